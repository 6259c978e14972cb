"""Queries of the commands: the list of runs, the provenance of one run, and one score over successive runs."""

import logging
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from pipeline.errors import RunError, nearest
from pipeline.registry.tables import architecture, dataset, environment, evaluation, fits, run
from pipeline.typed_json import parse

logger = logging.getLogger(__name__)

RUN_WITH_PROVENANCE = (
    run.outerjoin(architecture, run.c.architecture_id == architecture.c.id)
    .outerjoin(environment, run.c.environment_id == environment.c.id)
    .outerjoin(dataset, run.c.dataset_id == dataset.c.id)
)
RUN_COLUMNS = (
    *(
        run.c[name]
        for name in ("id", "uuid", "name", "status", "started", "seconds", "data", "model", "training", "seed")
    ),
    *(run.c[name] for name in ("git_commit", "host", "folder", "epochs", "weights_digest")),
    architecture.c.digest.label("architecture"),
    architecture.c.parameters,
    environment.c.lock_digest.label("lock"),
    environment.c.drifted,
    dataset.c.fingerprint,
)
OUTCOME = ("status", "started", "seconds", "epochs", "best_epoch", "git_commit", "git_dirty", "host", "weights_digest")
ENVIRONMENT = ("lock_name", "lock_digest", "drifted", "image_digest", "python", "platform", "driver")
JSON_COLUMNS = ("config", "model_config", "rows", "spec", "hardware", "packages")
# with the scores on the test split of the data that the run was trained on
RUN_WITH_TEST_SCORES = RUN_WITH_PROVENANCE.join(
    evaluation,
    sa.and_(
        evaluation.c.run_id == run.c.id,
        evaluation.c.split == "test",
        evaluation.c.fingerprint == dataset.c.fingerprint,
    ),
)


def list_runs(connection: sa.Connection) -> list[dict[str, Any]]:
    """List all runs, oldest first, as dicts of RUN_COLUMNS and "scores": label -> metric -> value on the test split."""
    scores = defaultdict(lambda: defaultdict(dict))
    columns = evaluation.c.run_id, evaluation.c.label, evaluation.c.metric, evaluation.c.value
    for row in fetch_dicts(connection, sa.select(*columns).select_from(RUN_WITH_TEST_SCORES)):
        scores[row["run_id"]][row["label"]][row["metric"]] = row["value"]
    query = (
        sa.select(*RUN_COLUMNS)
        .select_from(RUN_WITH_PROVENANCE)
        .where(run.c.name.is_not(None))  # else only the header of its journal has been ingested
        .order_by(run.c.started, run.c.id)
    )
    runs = fetch_dicts(connection, query)
    for row in runs:
        row["scores"] = scores[row["id"]]
    return runs


def read_provenance(connection: sa.Connection, name: str) -> dict[str, dict[str, Any]]:
    """Read the provenance and the scores of the newest run with a name.

    Returns:
        metrics: {"value", "low", "high"} of each score; low and high are None if it has no interval.
        config: Every option by its dotted key, and "choices".
        architecture: "parameters", "digest" and "model", the model in Keras's serialised form.
        data, environment, run: The recorded entries of the data, of the environment and of the run.

    Raises:
        RunError: There is no run with this name.
    """
    columns = [*run.c, architecture.c.config.label("model_config"), architecture.c.digest.label("architecture")]
    columns += [architecture.c.parameters, dataset.c.fingerprint, dataset.c.rows, dataset.c.spec]
    columns += [environment.c[key] for key in (*ENVIRONMENT, "packages", "hardware")]
    query = (
        sa.select(*columns)
        .select_from(RUN_WITH_PROVENANCE)
        .where(run.c.name == name)
        .order_by(run.c.started.desc(), run.c.id)
    )
    row = connection.execute(query).mappings().first()
    if row is None:
        known = connection.scalars(sa.select(run.c.name).where(run.c.name.is_not(None)).distinct()).all()
        advice = nearest(name, known) if known else "The registry is empty."
        raise RunError(f"{name}: expected a run in the registry; found none with this name. {advice}")
    scores = connection.execute(sa.select(evaluation).where(evaluation.c.run_id == row["id"])).mappings()
    parsed = {key: _parse_object(row, key) for key in JSON_COLUMNS}
    return {
        "metrics": {
            f"{score['label']} {score['metric']}, {score['split']} rows of {score['data']}": {
                key: score[key] for key in ("value", "low", "high")
            }
            for score in scores
        },
        "config": parsed["config"],
        "architecture": {
            "parameters": row["parameters"],
            "digest": row["architecture"],
            "model": parsed["model_config"],
        },
        "data": {"fingerprint": row["fingerprint"], "rows": parsed["rows"], **parsed["spec"]},
        "environment": {key: row[key] for key in ENVIRONMENT} | parsed["hardware"] | parsed["packages"],
        "run": {key: row[key] for key in OUTCOME},
    }


def read_score_series(connection: sa.Connection, *, data: str, metric: str, label: str) -> list[dict[str, Any]]:
    """Read one score on the test split for each run that was trained on a data source, oldest run first.

    Args:
        connection: A connection to the registry.
        data: The choice of the option group `data`.
        metric: The name of the score.
        label: The label of the score; "" for all labels.

    Returns:
        RUN_COLUMNS, "value" and "label" of each run whose value is finite.
    """
    conditions = [run.c.data == data, evaluation.c.metric == metric, evaluation.c.value.is_not(None)]
    if label:
        conditions.append(evaluation.c.label == label)
    query = (
        sa.select(*RUN_COLUMNS, evaluation.c.value, evaluation.c.label)
        .select_from(RUN_WITH_TEST_SCORES)
        .where(*conditions)
        .order_by(run.c.started, run.c.id)
    )
    return fetch_dicts(connection, query)


def fetch_dicts(connection: sa.Connection, query: sa.Select) -> list[dict[str, Any]]:
    """Return the rows of a query as dicts.

    SQLite stores any value in any column: a row with a value of another type is logged and left out.
    """
    kinds = {key: column.type for key, column in query.selected_columns.items()}
    rows = []
    for mapping in connection.execute(query).mappings():
        row = {str(key): value for key, value in mapping.items()}
        wrong = [key for key, value in row.items() if value is not None and not fits(kinds[key], value)]
        if wrong:
            logger.warning(
                "registry: a row of the run %r is left out: another program wrote %s",
                row.get("name", row.get("run_id")),
                ", ".join(wrong),
            )
        else:
            rows.append(row)
    return rows


def _parse_object(row: sa.RowMapping, key: str) -> dict[str, Any]:
    """Return the JSON object in a column; {} if there is none.

    Raises:
        RunError: It is damaged.
    """
    try:
        return parse(dict[str, Any], row[key] or "{}")
    except (ValueError, TypeError) as error:
        raise RunError(
            f"{row['name']}: expected a JSON object in the column {key} of the registry; {error}. Delete the database, "
            "and fill it again from the journals: python -m pipeline registry ingest"
        ) from None
