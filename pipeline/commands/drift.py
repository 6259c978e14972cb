"""`drift`: whether other data, and what a model says of it, look like those of training; or a score over runs."""

import json
import logging
from dataclasses import asdict, replace
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np

from pipeline import stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data.input_pipeline import ordered_batches
from pipeline.errors import ConfigError, DataError, ExitStatus, RunError, nearest
from pipeline.evaluation import change_points, data_columns, drift_detection, prediction_profiles, profiles
from pipeline.evaluation.drift_detection import DriftKind, DriftResult, DriftVerdict
from pipeline.files import atomic_write
from pipeline.registry import journal, queries, store
from pipeline.registry.journal import Event
from pipeline.reports import drift_page, predictions_csv
from pipeline.reports.formatting import align_columns, format_number
from pipeline.runs import folder as run_folder
from pipeline.runs import ingestion, recorder, saved_model
from pipeline.runtime import determinism, devices, environment
from pipeline.spec import spec_from_dict
from pipeline.training import label_scores
from pipeline.training.model_inputs import check_tokens, load_rows

logger = logging.getLogger(__name__)

SHOWN = 20  # lines of the table; the page and the registry hold them all
NEAR = 2  # runs between a change of level and a change of what it is made of that count as together
MADE_OF = {"lock": "lock", "architecture": "architecture", "fingerprint": "data", "git_commit": "code"}


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Look for drift, print a table and write drift.html. Returns DONE, DIFFERENCE for drift, or UNDECIDED."""
    results, page = over_runs(config) if invocation.action == ("series",) else of_data(config)
    if invocation.as_json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        print(f"{table(results)}\n\npage     {page}")
    return status(results)


def status(results):
    """Return the exit status of drift results."""
    verdicts = {result.verdict for result in results}
    if DriftVerdict.DRIFT in verdicts:
        return ExitStatus.DIFFERENCE
    return ExitStatus.UNDECIDED if DriftVerdict.TOO_FEW_ROWS in verdicts or not results else ExitStatus.DONE


def table(results):
    """Totals by kind, and the results that say most, a line each."""
    lines = []
    for kind in dict.fromkeys(result.kind for result in results):
        verdicts = [result.verdict for result in results if result.kind == kind]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        lines.append(f"{kind}: {len(verdicts)} comparisons: {counts}")
    rows = [("kind", "subject", "method", "effect", "threshold", "p", "verdict", "")]
    for result in drift_page.most_significant_first(results)[:SHOWN]:
        figures = (format_number(result.effect), format_number(result.threshold), format_number(result.p_value))
        rows.append((result.kind, result.subject, result.method, *figures, result.verdict, result.detail))
    return "\n".join([*lines, *align_columns(rows)])


# ---- one run and other data -----------------------------------------------------------------------------------------


def of_data(config):
    """(results, path of the page) of a run's data, predictions and, against another run, scores."""
    if not config.objective.predicts_labels:
        raise ConfigError(
            f"drift: expected a run that predicts labels; found objective={config.objective.choice}. Use "
            "`python -m pipeline evaluate` to score it."
        )
    environment.require_lock(config.environment.allow_drift)
    folder = run_folder.find(config.run.root, config.run.name)
    spec = spec_from_dict(run_folder.read(folder, "spec.json"))
    reference = profiles.profile_from_json(run_folder.read(folder, "profile.json"))
    said = run_folder.read(folder, predictions_csv.PROFILE_FILE)
    said = {name: prediction_profiles.prediction_profile_from_json(found) for name, found in said.items()}
    devices.select(config.device, config.hardware)
    determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    part, fingerprint = load_rows(config, spec, config.drift.split)

    new = profiles.count_rows(reference.columns, data_columns.column_blocks(spec, part))
    groups = drift_detection.compare_data(reference, new, config.drift)

    def predicted(of_run, config):
        model = saved_model.load(of_run / "model.keras")
        batches = ordered_batches(part, spec, config.data, config.training.batch_size)
        outputs = label_scores.predict(model, spec, batches)
        return label_scores.probabilities_of(spec, config.objective.label_losses(spec), outputs, len(part))

    outputs = predicted(folder, config)
    says = {
        name: prediction_profiles.profile_predictions(
            label, part.labels[name], outputs[name], said[name].profile.columns
        )
        for name, label in spec.labels.items()
    }
    groups = [*groups, drift_detection.compare_predictions(said, says, config.drift)]
    results = drift_detection.with_verdicts(groups, config.drift.rate)
    if config.drift.against:
        other = run_folder.find(config.run.root, config.drift.against)
        if spec_from_dict(run_folder.read(other, "spec.json")) != spec:
            raise DataError(f"{other}: expected a run on data of the same form as {folder}; found another.")
        stored = stored_config.read(other / "config.yaml")
        check_tokens(stored, spec, part)
        judged = predicted(other, replace(config, objective=stored.objective))  # its loss says what its outputs are
        for name, label in spec.labels.items():
            results += drift_detection.compare_scores(
                name,
                label,
                targets=part.labels[name],
                reference=judged[name],
                new=outputs[name],
                evaluation=config.evaluation,
                options=config.drift,
                seed=config.seed,
            )

    target = folder / "drift" / f"{config.drift.split}-{fingerprint[:12]}"
    target.mkdir(parents=True, exist_ok=True)
    pictures = drift_page.histograms(results, reference, new)
    for name in spec.labels:
        pictures += drift_page.histograms(results, said[name].profile, says[name].profile)
    title = f"{folder.name} and {len(part):,} rows of {config.data.choice}"
    page = write(target, title, results, pictures)
    with recorder.of_stored_run(config, folder) as tell:
        tell(Event.DRIFT, data=fingerprint, results=[asdict(result) for result in results])
    return results, page


def write(folder, title, results, pictures):
    """Write drift.html and drift.json. Returns the page's path."""
    drift_page.write_drift_page(folder / "drift.html", title, results, pictures)
    with atomic_write(folder / "drift.json") as file:
        file.write(json.dumps([asdict(result) for result in results], indent=1).encode() + b"\n")
    return folder / "drift.html"


# ---- a score over runs ----------------------------------------------------------------------------------------------


def over_runs(config):
    """(results, path of the page) of one score of successive runs on one choice of data."""
    data, wanted = config.data.choice, config.drift
    with store.open_registry(config.registry, config.run.root) as engine:
        ingestion.ingest_with_warnings(engine, config.run.root)
        with store.connect_read_only(engine) as connection:
            found = queries.read_score_series(connection, data=data, metric=wanted.metric, label=wanted.label)
    found = [
        row
        for row in found
        if fnmatchcase(row["name"], config.runs.name or "*") and config.runs.model in ("", row["model"])
    ]
    if not found:
        raise RunError(
            f"drift.metric={wanted.metric}: expected runs on data={data} that have this score; the registry knows none."
        )
    labels = sorted({row["label"] for row in found})
    if len(labels) > 1:
        raise ConfigError(f"drift.label: expected the label whose {wanted.metric} is meant. {nearest('', labels)}")
    values = np.array([row["value"] for row in found])
    changes = detected(values, wanted)
    results = [level(method, found, values, place, wanted) for method, place in changes]
    root = Path(config.run.root)
    title = f"{wanted.metric} of {len(found):,} runs on {data}"
    marks = [
        (place, f"{method}: {together(found, place) or 'nothing else changed'}") for method, place in changes if place
    ]
    drift_page.write_drift_page(root / "drift.html", title, results, [drift_page.line(title, values, marks)])
    record(config, found, data, results)
    return results, root / "drift.html"


def detected(values, wanted):
    """[(method, place where a new level begins)]; the place is None where a method finds no change."""
    if len(values) < wanted.rows:
        return [("ADWIN", None), ("Page-Hinkley", None)]
    unit = change_points.noise_level(values)
    scaled = (values - values[0]) / (unit or 1.0)
    found = {
        "ADWIN": change_points.adwin(scaled, wanted.delta),
        "Page-Hinkley": change_points.page_hinkley(scaled, wanted.threshold, change_points.SLACK, wanted.rows),
    }
    return [
        (method, index) for method, changes in found.items() for index in [change.index for change in changes] or [None]
    ]


def level(method, found, values, place, wanted):
    """The Result of a change of level at a place, or of none."""
    n = len(found)
    subject = f"{found[0]['label']} {wanted.metric}"
    if place is None:
        verdict = DriftVerdict.TOO_FEW_ROWS if n < wanted.rows else DriftVerdict.NONE
        return DriftResult(DriftKind.SERIES, subject, method, n, n, 0.0, 1.0, wanted.difference, verdict)
    effect, p_value = change_points.level_shift(values, place)
    verdict = DriftVerdict.DRIFT if abs(effect) >= wanted.difference else DriftVerdict.NONE
    if n < wanted.rows:
        verdict = DriftVerdict.TOO_FEW_ROWS
    detail = f"from run {found[place]['name']} on; {together(found, place) or 'nothing else changed'}"
    counts = (place, n - place)
    return DriftResult(DriftKind.SERIES, subject, method, *counts, effect, p_value, wanted.difference, verdict, detail)


def together(found, place):
    """What else changed between the runs around a place: "lock changed with run NAME"."""
    near = range(max(1, place - NEAR), min(len(found), place + NEAR + 1))
    return ", ".join(
        f"{name} changed with run {found[here]['name']}"
        for key, name in MADE_OF.items()
        for here in near
        if found[here][key] != found[here - 1][key]
    )


def record(config, found, data, results):
    """Put the results into the journal of the series' newest run, where its folder is here."""
    folder = Path(config.run.root) / found[-1]["name"]
    if not (folder / journal.FILE_NAME).exists():
        logger.warning("registry: %s does not exist here: the results are printed, and not recorded", folder)
        return
    with recorder.of_stored_run(config, folder) as tell:
        tell(Event.DRIFT, data=data, results=[asdict(result) for result in results])
