"""Journals become rows, each line once.

Everything that is written goes through one transaction that holds the run's row, reads how far its journal has been
ingested, and moves that mark with the rows: whoever ingests a journal, and however often, no line counts twice.
"""

import hashlib
import json
from functools import cache

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from pipeline.errors import RegistryError
from pipeline.registry import journal, tables
from pipeline.registry.journal import Event
from pipeline.registry.store import connect_read_only
from pipeline.registry.tables import split_number

INSERT = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}
EMPTY = hashlib.sha256().hexdigest()
# how far a run's journal has been taken in; holds the row, so that nobody else takes the same lines in
TAKEN = (
    sa.select(tables.run.c.id, tables.run.c.journal_bytes, tables.run.c.journal_sha256)
    .where(tables.run.c.uuid == sa.bindparam("run"))
    .with_for_update()
)


def ingest_journal(engine, path):
    """Ingest what is new in a journal, in one transaction. Returns how many lines that was.

    Raises RegistryError where the journal is damaged, or is not the one of which a part was taken in before.
    """
    with engine.begin() as connection:
        return ingest_content(connection, path, *journal.read_journal(path))


def ingest_content(connection, path, uuid, head, content):
    """The part of `ingest_journal` inside the transaction. uuid, head, content: from journal.read_journal(path)."""
    if uuid is None:
        return 0
    taken = connection.execute(TAKEN, {"run": uuid}).one_or_none()
    if taken is None:
        put(connection, tables.run, [{"uuid": uuid, "journal_bytes": 0, "journal_sha256": EMPTY}], keep=True)
        taken = connection.execute(TAKEN, {"run": uuid}).one()
    digest = hashlib.sha256(content[: taken.journal_bytes])
    if digest.hexdigest() != taken.journal_sha256:
        # another process may have taken in what was written after this one had read: nothing is new then
        if taken.journal_bytes > len(content) and journal.has_prefix(path, taken.journal_bytes, taken.journal_sha256):
            return 0
        raise RegistryError(
            f"{path}: expected the journal whose first {taken.journal_bytes:,} bytes were taken in; found another. "
            "It was changed, or is a copy of a run that went on elsewhere."
        )
    new = list(journal.parse_lines(path, content, max(head, taken.journal_bytes)))
    if new:
        try:
            apply(connection, taken.id, new)
        except (KeyError, TypeError, AttributeError) as error:
            raise RegistryError(
                f"{path}: expected lines as this program writes them; one lacks what it should hold ({error!r})."
            ) from None
        digest.update(content[taken.journal_bytes :])
        change_run(connection, taken.id, journal_bytes=len(content), journal_sha256=digest.hexdigest())
    return len(new)


def ingest_all(engine, root):
    """Ingest every journal under a root that has grown. Returns (lines ingested, problems as text)."""
    with connect_read_only(engine) as connection:
        known = dict(connection.execute(sa.select(tables.run.c.uuid, tables.run.c.journal_bytes)).all())
    count, problems = 0, []
    for path in journal.find_journals(root):
        try:
            if known.get(journal.read_run_id(path)) == path.stat().st_size:
                continue
            count += ingest_journal(engine, path)
        except (RegistryError, OSError) as error:
            problems.append(str(error))
    return count, problems


def find_open_journals(engine, root):
    """The journals under a root of the runs that the tables call running."""
    with connect_read_only(engine) as connection:
        known = set(connection.scalars(sa.select(tables.run.c.uuid).where(tables.run.c.status == "running")))
    return [path for path in journal.find_journals(root) if journal.read_run_id(path) in known] if known else []


def apply(connection, run_id, lines):
    """Turn journal lines into rows. lines: [(offset, line)] in order."""
    epochs = {}
    for place, line in lines:
        match line["event"]:
            case Event.BEGIN:
                begin(connection, run_id, line)
            case Event.EPOCH:
                for metric, value in line["metrics"].items():
                    epochs[line["epoch"], metric] = row = {"run_id": run_id, "epoch": line["epoch"], "metric": metric}
                    row["value"], row["not_finite"] = split_number(value)
            case Event.EVALUATION:
                put(connection, tables.evaluation, evaluation_rows(run_id, line))
            case Event.ARTIFACT:
                rows = [{"run_id": run_id, **file} for file in line["files"]]
                put(connection, tables.artifact, rows)
            case Event.PREDICTIONS:
                put(connection, tables.prediction_profile, profile_rows(run_id, line))
            case Event.DRIFT:
                put(connection, tables.drift_result, drift_rows(run_id, place, line))
            case Event.END:
                known = ("status", "seconds", "epochs", "best_epoch", "weights_digest")
                change_run(connection, run_id, ended=line["at"], **{key: line[key] for key in known if key in line})
        if line["event"] != Event.EPOCH:
            row = {"run_id": run_id, "place": place, "at": line["at"], "kind": line["event"]}
            put(connection, tables.event, [row | {"message": line.get("message") or line.get("status")}])
    put(connection, tables.epoch_metric, list(epochs.values()))


def begin(connection, run_id, line):
    """The row of a run, and what it shares with others, stored once a digest."""
    model, environment, data = line["architecture"], line["environment"], line["dataset"]
    config = canonical(model["config"])
    ids = {
        "architecture_id": once(
            connection,
            tables.architecture,
            {"config": config},
            {"parameters": model["parameters"], "summary": model["summary"]},
        ),
        "environment_id": once(
            connection,
            tables.environment,
            {**environment, "packages": canonical(environment["packages"])}
            | {"hardware": canonical(environment["hardware"])},
        ),
        "dataset_id": once(
            connection,
            tables.dataset,
            {"fingerprint": data["fingerprint"]} | {key: canonical(data[key]) for key in ("rows", "spec", "profile")},
        ),
    }
    config = canonical(line["config"])
    started = connection.scalar(sa.select(tables.run.c.started).where(tables.run.c.id == run_id))
    change_run(
        connection,
        run_id,
        **{key: line[key] for key in ("name", "command", "data", "model", "training", "seed", "git_commit")},
        **{key: line[key] for key in ("host", "folder")},
        git_dirty=None if line["git_dirty"] is None else int(line["git_dirty"]),
        status="running",
        started=started or line["at"],
        ended=None,
        config=config,
        config_digest=digest_of(config),
        **ids,
    )


def once(connection, table, content, more=None):
    """The id of the row with this content, which is stored where it is not there yet."""
    row = content | {"digest": digest_of(next(iter(content.values())) if len(content) == 1 else canonical(content))}
    put(connection, table, [row | (more or {})], keep=True)
    return connection.scalar(sa.select(table.c.id).where(table.c.digest == row["digest"]))


def evaluation_rows(run_id, line):
    shared = {key: line[key] for key in ("fingerprint", "split", "confidence", "data")}
    for label, scores in line["metrics"].items():
        for metric, score in scores.items():
            value, not_finite = split_number(score["value"])
            low, high = (split_number(score[end])[0] for end in ("low", "high"))
            yield shared | {
                **{"run_id": run_id, "label": label, "metric": metric, "value": value, "not_finite": not_finite},
                **{"low": low, "high": high, "rows": line["rows"], "evaluated": line["at"]},
            }


def profile_rows(run_id, line):
    for label, profile in line["profiles"].items():
        yield {
            **{"run_id": run_id, "fingerprint": line["fingerprint"], "split": line["split"], "label": label},
            **{"rows": profile["rows"], "profile": canonical(profile)},
        }


def drift_rows(run_id, place, line):
    for number, result in enumerate(line["results"]):
        finite = {key: split_number(result[key])[0] for key in ("effect", "p_value", "threshold")}
        kept = ("kind", "subject", "method", "reference_rows", "rows", "verdict", "detail")
        yield {
            **{"run_id": run_id, "place": place, "number": number, "at": line["at"], "data": line["data"]},
            **{key: result[key] for key in kept},
            **finite,
        }


def put(connection, table, rows, keep=False):
    """Insert rows; those whose key is there already replace what stands there, or `keep` it."""
    rows = list(rows)
    if rows:
        connection.execute(insertion(connection.dialect.name, table, tuple(rows[0]), keep), rows)


@cache  # to build it takes longer than to run it
def insertion(dialect, table, columns, keep):
    """The statement of `put` for rows of these columns."""
    statement = INSERT[dialect](table)
    unique = [item for item in table.constraints if isinstance(item, sa.UniqueConstraint)]
    keys = [column.name for column in (unique[0].columns if unique else table.primary_key.columns)]
    others = {name: statement.excluded[name] for name in columns if name not in keys}
    if keep or not others:
        return statement.on_conflict_do_nothing(index_elements=keys)
    return statement.on_conflict_do_update(index_elements=keys, set_=others)


CHANGE = sa.update(tables.run).where(tables.run.c.id == sa.bindparam("changed"))


def change_run(connection, run_id, **values):
    connection.execute(CHANGE, values | {"changed": run_id})


def canonical(value):
    """JSON whose text is equal for equal values; None stays None."""
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def digest_of(text):
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
