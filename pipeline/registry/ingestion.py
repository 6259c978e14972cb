"""Ingest journals into the tables, each line exactly once.

One transaction locks the row of the run, reads how many bytes of its journal have been ingested, inserts the rows of
the new lines and updates that number. So no line is ingested twice, even if several processes ingest the same journal.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.errors import RegistryError
from pipeline.registry import journal, tables
from pipeline.registry.journal import Event, StoredJournal
from pipeline.registry.store import connect_read_only
from pipeline.registry.tables import split_number

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
EMPTY_SHA256 = hashlib.sha256().hexdigest()
# FOR UPDATE, so that no other process ingests the same lines at the same time
LOCK_RUN = (
    sa.select(tables.run.c.id, tables.run.c.journal_bytes, tables.run.c.journal_sha256)
    .where(tables.run.c.uuid == sa.bindparam("run"))
    .with_for_update()
)
UPDATE_RUN = sa.update(tables.run).where(tables.run.c.id == sa.bindparam("updated_id"))


def ingest_all(engine: sa.Engine, root: str | Path) -> tuple[int, list[str]]:
    """Ingest the new lines of every journal under a root.

    Returns:
        The number of lines ingested, and a message for each journal that was refused.
    """
    with connect_read_only(engine) as connection:
        ingested = dict(connection.execute(sa.select(tables.run.c.uuid, tables.run.c.journal_bytes)).all())
    count = 0
    problems = []
    for path in journal.find_journals(root):
        try:
            if ingested.get(journal.read_run_id(path)) == path.stat().st_size:
                continue
            count += ingest_journal(engine, path)
        except (RegistryError, OSError) as error:
            problems.append(str(error))
    return count, problems


def ingest_journal(engine: sa.Engine, path: str | Path) -> int:
    """Ingest the new lines of a journal in one transaction.

    Returns:
        The number of new lines.

    Raises:
        RegistryError: The journal is damaged, or its beginning differs from the lines that were ingested before.
    """
    with engine.begin() as connection:
        stored = journal.read_journal(path)
        return 0 if stored is None else ingest_new_lines(connection, stored)


def ingest_new_lines(connection: sa.Connection, stored: StoredJournal) -> int:
    """Ingest the new lines of a journal in the current transaction of a connection. See `ingest_journal`."""
    run = connection.execute(LOCK_RUN, {"run": stored.run_id}).one_or_none()
    if run is None:
        row = {"uuid": stored.run_id, "journal_bytes": 0, "journal_sha256": EMPTY_SHA256}
        insert_if_missing(connection, tables.run, row)
        run = connection.execute(LOCK_RUN, {"run": stored.run_id}).one()
    digest = hashlib.sha256(stored.content[: run.journal_bytes])
    if digest.hexdigest() != run.journal_sha256:
        # another process may have ingested lines that were written after this process had read the journal
        grown = run.journal_bytes > len(stored.content)
        if grown and journal.has_prefix(stored.path, run.journal_bytes, run.journal_sha256):
            return 0
        raise RegistryError(
            f"{stored.path}: expected the journal whose first {run.journal_bytes:,} bytes were ingested; found another "
            "one. It was changed, or is the copy of a run that was resumed elsewhere."
        )
    lines = list(stored.parse_lines(run.journal_bytes))
    if lines:
        try:
            insert_lines(connection, run.id, lines)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise RegistryError(
                f"{stored.path}: expected lines that this program wrote; found one with a wrong or missing entry "
                f"({error!r})."
            ) from None
        digest.update(stored.content[run.journal_bytes :])
        update_run(connection, run.id, journal_bytes=len(stored.content), journal_sha256=digest.hexdigest())
    return len(lines)


def find_open_journals(engine: sa.Engine, root: str | Path) -> list[Path]:
    """Return the journals under a root whose runs have the status "running" in the tables."""
    with connect_read_only(engine) as connection:
        running = set(connection.scalars(sa.select(tables.run.c.uuid).where(tables.run.c.status == "running")))
    return [path for path in journal.find_journals(root) if journal.read_run_id(path) in running] if running else []


# ---- lines to rows --------------------------------------------------------------------------------------------------


def insert_lines(connection: sa.Connection, run_id: int, lines: Iterable[tuple[int, dict[str, Any]]]) -> None:
    """Insert the rows of journal lines.

    Args:
        connection: A connection in a transaction.
        run_id: The ID of the row of the run.
        lines: Pairs (byte offset, line) in the order of the journal.
    """
    epochs = {}
    for offset, line in lines:
        match line["event"]:
            case Event.BEGIN:
                start_run(connection, run_id, line)
            case Event.EPOCH:
                for metric, number in line["metrics"].items():
                    value, not_finite = split_number(number)
                    row = {"run_id": run_id, "epoch": line["epoch"], "metric": metric}
                    epochs[line["epoch"], metric] = row | {"value": value, "not_finite": not_finite}
            case Event.EVALUATION:
                upsert(connection, tables.evaluation, build_evaluation_rows(run_id, line))
            case Event.ARTIFACT:
                upsert(connection, tables.artifact, build_artifact_rows(run_id, line))
            case Event.PREDICTIONS:
                upsert(connection, tables.prediction_profile, build_profile_rows(run_id, line))
            case Event.DRIFT:
                upsert(connection, tables.drift_result, build_drift_rows(run_id, offset, line))
            case Event.END:
                keys = ("status", "seconds", "epochs", "best_epoch", "weights_digest")
                update_run(connection, run_id, ended=line["at"], **{key: line[key] for key in keys if key in line})
        if line["event"] != Event.EPOCH:
            row = {"run_id": run_id, "place": offset, "at": line["at"], "kind": line["event"]}
            upsert(connection, tables.event, [row | {"message": line.get("message") or line.get("status")}])
    upsert(connection, tables.epoch_metric, epochs.values())


def start_run(connection: sa.Connection, run_id: int, line: dict[str, Any]) -> None:
    """Fill the row of a run from its BEGIN line, and insert the architecture, environment and dataset if missing.

    The start time of a resumed run remains that of its first process.
    """
    model_config = encode_canonical_json(line["architecture"]["config"])
    architecture = {
        "digest": hash_text(model_config),
        "config": model_config,
        "parameters": line["architecture"]["parameters"],
        "summary": line["architecture"]["summary"],
    }
    config = encode_canonical_json(line["config"])
    started = connection.scalar(sa.select(tables.run.c.started).where(tables.run.c.id == run_id))
    keys = ("name", "command", "data", "model", "training", "seed", "git_commit", "host", "folder")
    update_run(
        connection,
        run_id,
        **{key: line[key] for key in keys},
        git_dirty=None if line["git_dirty"] is None else int(line["git_dirty"]),
        status="running",
        started=started or line["at"],
        ended=None,
        config=config,
        config_digest=hash_text(config),
        architecture_id=insert_shared(connection, tables.architecture, architecture),
        environment_id=insert_shared(connection, tables.environment, build_environment_row(line["environment"])),
        dataset_id=insert_shared(connection, tables.dataset, build_dataset_row(line["dataset"])),
    )


def build_environment_row(environment: dict[str, Any]) -> dict[str, Any]:
    """Return the row of an environment, whose digest covers all other columns."""
    row = environment | {key: encode_canonical_json(environment[key]) for key in ("packages", "hardware")}
    return row | {"digest": hash_text(encode_canonical_json(row))}


def build_dataset_row(dataset: dict[str, Any]) -> dict[str, Any]:
    """Return the row of a dataset, whose digest covers all other columns."""
    row = {
        "fingerprint": dataset["fingerprint"],
        "rows": encode_canonical_json(dataset["rows"]),
        "spec": encode_canonical_json(dataset["spec"]),
        "profile": None if dataset["profile"] is None else encode_canonical_json(dataset["profile"]),
    }
    return row | {"digest": hash_text(encode_canonical_json(row))}


def build_evaluation_rows(run_id: int, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of an EVALUATION line, one per score."""
    shared = {key: line[key] for key in ("fingerprint", "split", "confidence", "data", "rows")}
    for label, scores in line["metrics"].items():
        for metric, score in scores.items():
            value, not_finite = split_number(score["value"])
            yield {
                **shared,
                "run_id": run_id,
                "label": label,
                "metric": metric,
                "value": value,
                "not_finite": not_finite,
                "low": split_number(score["low"])[0],
                "high": split_number(score["high"])[0],
                "evaluated": line["at"],
            }


def build_artifact_rows(run_id: int, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of an ARTIFACT line, one per file."""
    for file in line["files"]:
        yield {"run_id": run_id, **{key: file[key] for key in ("path", "sha256", "bytes")}}


def build_profile_rows(run_id: int, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a PREDICTIONS line, one per label."""
    shared = {key: line[key] for key in ("fingerprint", "split")}
    for label, profile in line["profiles"].items():
        content = {"rows": profile["rows"], "profile": encode_canonical_json(profile)}
        yield {**shared, "run_id": run_id, "label": label, **content}


def build_drift_rows(run_id: int, offset: int, line: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the rows of a DRIFT line, one per comparison."""
    keys = ("kind", "subject", "method", "reference_rows", "rows", "verdict", "detail")
    for number, result in enumerate(line["results"]):
        yield {
            "run_id": run_id,
            "place": offset,
            "number": number,
            "at": line["at"],
            "data": line["data"],
            **{key: result[key] for key in keys},
            **{key: split_number(result[key])[0] for key in ("effect", "p_value", "threshold")},
        }


# ---- statements -----------------------------------------------------------------------------------------------------


def update_run(connection: sa.Connection, run_id: int, **columns: Any) -> None:
    """Change columns of the row of a run."""
    tables.check_row(tables.run, columns)
    connection.execute(UPDATE_RUN, columns | {"updated_id": run_id})


def insert_shared(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> int | None:
    """Return the ID of the row with the same digest as `row`. Insert `row` if there is none."""
    insert_if_missing(connection, table, row)
    return connection.scalar(sa.select(table.c.id).where(table.c.digest == row["digest"]))


def insert_if_missing(connection: sa.Connection, table: sa.Table, row: dict[str, Any]) -> None:
    """Insert a row unless the table has one with the same key."""
    tables.check_row(table, row)
    statement = INSERT[connection.dialect.name](table).on_conflict_do_nothing(index_elements=find_key_columns(table))
    connection.execute(statement, row)


def upsert(connection: sa.Connection, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
    """Insert rows. A row with the same key is replaced."""
    rows = list(rows)
    for row in rows:
        tables.check_row(table, row)
    if rows:
        connection.execute(build_upsert(connection.dialect.name, table, tuple(rows[0])), rows)


@cache  # building the statement takes longer than executing it
def build_upsert(dialect: str, table: sa.Table, columns: tuple[str, ...]) -> sa.Insert:
    """Return the statement that inserts or replaces rows with these columns."""
    statement = INSERT[dialect](table)
    keys = find_key_columns(table)
    others = {name: statement.excluded[name] for name in columns if name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


def find_key_columns(table: sa.Table) -> list[str]:
    """Return the columns that identify a row: those of the UNIQUE constraint, or else those of the primary key."""
    unique = [item for item in table.constraints if isinstance(item, sa.UniqueConstraint)]
    return [column.name for column in (unique[0] if unique else table.primary_key).columns]


def encode_canonical_json(value: Any) -> str:
    """Return a value as JSON. Equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def hash_text(text: str) -> str:
    """Return the sha256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
