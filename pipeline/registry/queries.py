"""What the commands ask the registry: lists of runs, two runs side by side, a metric over successive runs."""

import json
from collections import defaultdict
from typing import Any

import sqlalchemy as sa

from pipeline.errors import RunError, nearest
from pipeline.registry.tables import architecture, dataset, environment, evaluation, run

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
# a run's own scores: on the test split of the data it was trained with
OWN = sa.and_(evaluation.c.split == "test", evaluation.c.fingerprint == dataset.c.fingerprint)


def list_runs(connection):
    """Every run, oldest first, as a dict of RUN_COLUMNS and "scores": label -> metric -> value."""
    scores = defaultdict(lambda: defaultdict(dict))
    judged = RUN_WITH_PROVENANCE.join(evaluation, sa.and_(evaluation.c.run_id == run.c.id, OWN))
    columns = evaluation.c.run_id, evaluation.c.label, evaluation.c.metric, evaluation.c.value
    for run_id, label, metric, value in connection.execute(sa.select(*columns).select_from(judged)):
        scores[run_id][label][metric] = value
    # without a name: the first line of its journal is there, what it is made of is not yet
    query = (
        sa.select(*RUN_COLUMNS)
        .select_from(RUN_WITH_PROVENANCE)
        .where(run.c.name.is_not(None))
        .order_by(run.c.started, run.c.id)
    )
    return [dict(row) | {"scores": scores.get(row["id"], {})} for row in connection.execute(query).mappings()]


def read_provenance(connection: sa.Connection, name: str) -> dict[str, dict[str, Any]]:
    """Read what produced the newest run of a name, and its scores.

    Returns:
        metrics: {"value", "low", "high"} of each score; low and high are None if it has no interval.
        config: Every option by its dotted key, and "choices".
        architecture: "parameters", "digest" and "model", the model in Keras's serialised form.
        data, environment, run: Their entries.

    Raises:
        RunError: There is no such run.
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
    found = connection.execute(query).mappings().first()
    if found is None:
        known = connection.scalars(sa.select(run.c.name).where(run.c.name.is_not(None)).distinct()).all()
        advice = nearest(name, known) if known else "It knows none."
        raise RunError(f"{name}: expected a run that the registry knows; there is no such run. {advice}")
    scores = connection.execute(sa.select(evaluation).where(evaluation.c.run_id == found["id"])).mappings()
    stored = {
        key: json.loads(found[key] or "{}")
        for key in ("config", "model_config", "rows", "spec", "hardware", "packages")
    }
    return {
        "metrics": {
            f"{row['label']} {row['metric']}, {row['split']} rows of {row['data']}": {
                key: row[key] for key in ("value", "low", "high")
            }
            for row in scores
        },
        "config": stored["config"],
        "architecture": {
            "parameters": found["parameters"],
            "digest": found["architecture"],
            "model": stored["model_config"],
        },
        "data": {"fingerprint": found["fingerprint"], "rows": stored["rows"], **stored["spec"]},
        "environment": {key: found[key] for key in ENVIRONMENT} | stored["hardware"] | stored["packages"],
        "run": {key: found[key] for key in OUTCOME},
    }


def read_score_series(connection, data, metric, label):
    """The finished runs trained on a choice of data, oldest first, with one score of each on its test split.

    label: "" where a run has a single one. Returns dicts of RUN_COLUMNS and "value", only runs with a finite value.
    """
    judged = RUN_WITH_PROVENANCE.join(evaluation, sa.and_(evaluation.c.run_id == run.c.id, OWN))
    chosen = [run.c.data == data, evaluation.c.metric == metric, evaluation.c.value.is_not(None)]
    chosen += [evaluation.c.label == label] if label else []
    query = sa.select(*RUN_COLUMNS, evaluation.c.value, evaluation.c.label).select_from(judged).where(*chosen)
    return [dict(row) for row in connection.execute(query.order_by(run.c.started, run.c.id)).mappings()]
