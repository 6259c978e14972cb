"""`drift`: compare data and predictions with those of a run's training, or detect change points of a score."""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data.containers import Split
from pipeline.data.input_pipeline import ordered_batches
from pipeline.errors import ConfigError, DataError, ExitStatus, RunError, nearest
from pipeline.evaluation import calibrators, change_points, data_columns, drift_detection, prediction_profiles, profiles
from pipeline.evaluation.drift_detection import DriftKind, DriftResult, DriftVerdict
from pipeline.evaluation.options import Drift
from pipeline.objectives.options import ObjectiveOptions
from pipeline.registry import journal, queries, store
from pipeline.reports import drift_page, predictions_csv
from pipeline.reports.formatting import align_columns, format_number
from pipeline.runs import folder as run_folder
from pipeline.runs import ingestion, recorder, saved_model
from pipeline.runtime import determinism, devices, environment
from pipeline.spec import DataSpec
from pipeline.training import label_scores
from pipeline.training.model_inputs import EvaluatedRows, check_padding, check_tokens, load_rows

logger = logging.getLogger(__name__)

STATUS = {
    DriftVerdict.NONE: ExitStatus.DONE,
    DriftVerdict.DRIFT: ExitStatus.DIFFERENCE,
    DriftVerdict.TOO_FEW_ROWS: ExitStatus.UNDECIDED,
}
MAX_LINES = 20  # lines of the printed table; the page and the registry hold all comparisons
MAX_DISTANCE = 2  # runs between a change point and a change of the provenance that is reported with it
PROVENANCE = {"lock": "lock", "architecture": "architecture", "fingerprint": "data", "git_commit": "code"}


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Detect drift, print a table and write drift.html.

    Returns:
        DIFFERENCE for drift, UNDECIDED if there are too few rows or runs, else DONE.

    Raises:
        PipelineError: Config, data, environment or run is wrong.
    """
    origin, results, page = check_series(config) if invocation.action == ("series",) else check_data(config)
    if invocation.as_json:
        print(json.dumps([asdict(result) for result in results], indent=1))
    else:
        print(f"{origin}\n{table(results)}\n\npage     {page}")
    return STATUS[drift_page.overall_verdict(results)]


def table(results: Sequence[DriftResult]) -> str:
    """Return the number of verdicts of each kind, and one line for each of the most significant comparisons."""
    lines = []
    for kind in dict.fromkeys(result.kind for result in results):
        verdicts = [result.verdict for result in results if result.kind == kind]
        counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in dict.fromkeys(verdicts))
        lines.append(f"{kind}: {len(verdicts)} comparisons: {counts}")
    rows = [("kind", "subject", "method", "effect", "threshold", "p-value", "verdict", "detail")]
    for result in drift_page.most_significant_first(results)[:MAX_LINES]:
        effect, threshold, p_value = map(format_number, (result.effect, result.threshold, result.p_value))
        rows.append(
            (result.kind, result.subject, result.method, effect, threshold, p_value, result.verdict, result.detail)
        )
    return "\n".join([*lines, *align_columns(rows)])


# ---- data and predictions -------------------------------------------------------------------------------------------


def check_data(config: Config) -> tuple[str, list[DriftResult], Path]:
    """Test rows for drift against the training of a run. If another run is given, compare the scores of both.

    Returns:
        One line about the rows that are compared; the comparisons; the path of the page.

    Raises:
        ConfigError: The run predicts no labels.
        DataError: The data has another form than the data of the training.
        RunError: A run does not exist or is damaged.
    """
    if not config.objective.predicts_labels:
        raise ConfigError(
            f"drift: expected a run that predicts labels; found objective={config.objective.choice}. Use "
            "`python -m pipeline evaluate` to score it."
        )
    environment.require_lock(config.environment.allow_drift)
    assert config.run.name is not None
    folder = run_folder.find(config.run.root, config.run.name)
    calibrators.check_command(calibrators.of_run(run_folder.read(folder, "result.json")), config.evaluation)
    spec = run_folder.read_spec(folder)
    reference = run_folder.read_as(folder, "profile.json", profiles.profile_from_json)
    reference_predictions = run_folder.read_as(
        folder,
        predictions_csv.PROFILE_FILE,
        partial(prediction_profiles.profiles_from_json, labels=spec.labels),
    )
    devices.select(config.device, config.hardware)
    determinism.prepare(config.determinism, seed=config.seed, threads=config.hardware.threads)
    others = [run_folder.find(config.run.root, config.drift.against)] if config.drift.against else []
    selection = load_rows(config, spec, config.drift.split, runs=[folder, *others])
    check_held_out(selection, folder)
    rows = selection.rows

    new = profiles.count_rows(reference.columns, data_columns.column_blocks(spec, rows))
    outputs = predict(config, folder, spec, rows, objective=config.objective)
    predictions = {
        name: prediction_profiles.profile_predictions(
            label,
            targets=rows.labels[name],
            outputs=outputs[name],
            columns=reference_predictions[name].profile.columns,
        )
        for name, label in spec.labels.items()
    }
    groups = [*drift_detection.compare_data(reference=reference, new=new, options=config.drift)]
    if selection.split == "test" and selection.own_split:
        logger.info(
            "drift: the predictions of %s on its own test rows are the reference; they are not compared", folder
        )
    else:
        groups.append(
            drift_detection.compare_predictions(reference=reference_predictions, new=predictions, options=config.drift)
        )
    results = drift_detection.with_verdicts(groups, config.drift.rate)
    if config.drift.against:
        results += compare_with_run(config, folder, spec, rows, outputs=outputs)

    histograms = drift_page.histogram_plots(results, reference, new)
    for name in spec.labels:
        histograms += drift_page.histogram_plots(
            results, reference_predictions[name].profile, predictions[name].profile
        )
    target = folder / "drift" / f"{selection.split}-{selection.fingerprint[:12]}"
    target.mkdir(parents=True, exist_ok=True)
    page = target / "drift.html"
    title = f"{folder.name} and {selection.origin}"
    drift_page.write_drift_page(page, title, results, histograms=histograms)
    run_folder.write(target, "drift.json", [asdict(result) for result in results])
    with recorder.of_stored_run(config, folder) as record:
        record.record_drift(selection.fingerprint, results)
    return selection.origin, results, page


def check_held_out(selection: EvaluatedRows, folder: Path) -> None:
    """Check that rows are not compared with themselves.

    Raises:
        DataError: The rows are the training split of the run, or contain it.
    """
    if selection.own_data and selection.split in ("train", "all") and not selection.left_out:
        raise DataError(
            f"drift.split={selection.split}: expected rows that {folder.name} was not trained on; found its training "
            "split, which is the reference of the comparison. Name other data (data=... or data.path=...), or compare "
            "the held-out rows: drift.split=test."
        )


def predict(
    config: Config, folder: Path, spec: DataSpec, rows: Split, *, objective: ObjectiveOptions
) -> dict[str, np.ndarray]:
    """Predict rows with the model of a run.

    Args:
        config: The config of the command, for the batches.
        folder: The run folder.
        spec: The spec of the data.
        rows: The rows.
        objective: The objective of the run; its losses define what the outputs are, such as logits.

    Returns:
        (rows, width) float64 by label: probabilities, or the numbers of a real label.
    """
    model = saved_model.load(folder / "model.keras")
    check_padding(spec, model, folder)
    batches = ordered_batches(rows, spec, config.training.batch_size)
    outputs = label_scores.predict(model, spec, batches)
    return label_scores.probabilities_of(spec, objective.label_losses(spec), outputs, len(rows))


def compare_with_run(
    config: Config, folder: Path, spec: DataSpec, rows: Split, *, outputs: dict[str, np.ndarray]
) -> list[DriftResult]:
    """Compare the scores of a run with those of the run drift.against, on the same rows.

    Args:
        config: The config of the command.
        folder: The folder of the run.
        spec: The spec of the data.
        rows: The rows.
        outputs: The predictions of the run, as returned by `predict`.

    Raises:
        RunError: There is no other run of that name.
        DataError: The other run was trained on data of another form.
    """
    other = run_folder.find(config.run.root, config.drift.against)
    if run_folder.read_spec(other) != spec:
        raise DataError(f"{other}: expected a run on data with the same features and labels as {folder}; found others.")
    stored = stored_config.read(other / "config.yaml")
    check_tokens(stored, spec, rows)
    reference = predict(config, other, spec, rows, objective=stored.objective)
    return [
        result
        for name, label in spec.labels.items()
        for result in drift_detection.compare_scores(
            name,
            label,
            targets=rows.labels[name],
            reference=reference[name],
            new=outputs[name],
            evaluation=config.evaluation,
            options=config.drift,
            seed=config.seed,
        )
    ]


# ---- a score over runs ----------------------------------------------------------------------------------------------

RunRow = dict[str, Any]
"""A run with its score, as `registry.queries.read_score_series` returns it."""


def check_series(config: Config) -> tuple[str, list[DriftResult], Path]:
    """Detect change points of one score over the runs on one data source.

    Returns:
        One line about the runs that are compared; the comparisons; the path of the page.

    Raises:
        RunError: No run has the score.
        ConfigError: Several labels have it, and drift.label names none.
        RegistryError: The registry does not answer.
    """
    data, options, root = config.data.choice, config.drift, Path(config.run.root)
    runs = read_series(config)
    scores = np.array([run["value"] for run in runs])
    changes = detect_changes(scores, options)
    results = [series_result(method, index, runs=runs, scores=scores, options=options) for method, index in changes]
    marks = [(index, f"{method}: {provenance_changes(runs, index)}") for method, index in changes if index]
    title = f"{options.metric} of {len(runs):,} runs on {data}"
    page = root / "drift.html"
    drift_page.write_drift_page(page, title, results, series=[drift_page.series_plot(title, scores, marks)])
    newest = root / runs[-1]["name"]
    if (newest / journal.FILE_NAME).exists():
        with recorder.of_stored_run(config, newest) as record:
            record.record_drift(data, results)
    else:
        logger.warning("registry: %s does not exist here, so the results are not recorded", newest)
    return title, results, page


def read_series(config: Config) -> list[RunRow]:
    """Read the runs that have the score and match the filters, oldest first.

    Raises:
        RunError: There are none.
        ConfigError: Several labels have the score, and drift.label names none.
        RegistryError: The registry does not answer.
    """
    data, options = config.data.choice, config.drift
    with store.open_registry(config.registry, config.run.root) as engine:
        ingestion.ingest_with_warnings(engine, config.run.root)
        with store.connect_read_only(engine) as connection:
            scored = queries.read_score_series(connection, data=data, metric=options.metric, label=options.label)
    runs = [
        run
        for run in scored
        if fnmatchcase(run["name"], config.runs.name or "*") and config.runs.model in ("", run["model"])
    ]
    if not runs:
        raise RunError(
            f"drift.metric={options.metric}: expected runs on data={data} that have this score; the registry has none."
        )
    labels = sorted({run["label"] for run in runs})
    if len(labels) > 1:
        raise ConfigError(
            f"drift.label: expected the label of {options.metric}, which several labels have; found none. "
            f"{nearest('', labels)}"
        )
    return runs


def detect_changes(scores: np.ndarray, options: Drift) -> list[tuple[str, int | None]]:
    """Return the name of each detector and the index at which a new level begins; None if it detects no change.

    Args:
        scores: (runs,) float64, oldest first.
        options: Thresholds.
    """
    if len(scores) < options.rows:
        return [("ADWIN", None), ("Page-Hinkley", None)]
    scaled = (scores - scores[0]) / (change_points.noise_level(scores) or 1.0)
    changes = {
        "ADWIN": change_points.adwin(scaled, delta=options.delta),
        "Page-Hinkley": change_points.page_hinkley(
            scaled, threshold=options.threshold, slack=change_points.SLACK, min_values=options.rows
        ),
    }
    return [
        (method, index) for method, points in changes.items() for index in [point.index for point in points] or [None]
    ]


def series_result(
    method: str, index: int | None, *, runs: Sequence[RunRow], scores: np.ndarray, options: Drift
) -> DriftResult:
    """Return the result of one detector.

    Args:
        method: The name of the detector.
        index: The first run of a new level; None if there is no change.
        runs: The runs.
        scores: (runs,) float64.
        options: Thresholds.
    """
    effect, p_value, detail = 0.0, 1.0, ""
    verdict = DriftVerdict.NONE
    if index is not None:
        effect, p_value = change_points.level_shift(scores, index)
        verdict = DriftVerdict.DRIFT if abs(effect) >= options.difference else DriftVerdict.NONE
        detail = f"from run {runs[index]['name']} on; {provenance_changes(runs, index)}"
    return DriftResult(
        kind=DriftKind.SERIES,
        subject=f"{runs[0]['label']} {options.metric}",
        method=method,
        reference_rows=len(runs) if index is None else index,
        rows=len(runs) if index is None else len(runs) - index,
        effect=effect,
        p_value=p_value,
        threshold=options.difference,
        verdict=verdict if len(runs) >= options.rows else DriftVerdict.TOO_FEW_ROWS,
        detail=detail,
    )


def provenance_changes(runs: Sequence[RunRow], index: int) -> str:
    """Return the changes of the provenance around an index: "lock changed with run NAME"."""
    nearby = range(max(1, index - MAX_DISTANCE), min(len(runs), index + MAX_DISTANCE + 1))
    changes = [
        f"{name} changed with run {runs[position]['name']}"
        for key, name in PROVENANCE.items()
        for position in nearby
        if runs[position][key] != runs[position - 1][key]
    ]
    return ", ".join(changes) or "nothing else changed"
