"""`evaluate`: score the model of a stored run again, on the data it was trained with or on other data."""

import time

from pipeline import stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import splits
from pipeline.errors import ExitStatus
from pipeline.evaluation import (
    calibration_change,
    calibrators,
    comparisons,
    decisions,
    group_scores,
    metrics,
    prediction_profiles,
    weighted_scores,
)
from pipeline.reports import run_report
from pipeline.reports.comparison_text import score_text
from pipeline.runs import folder as run_folder
from pipeline.runs import provenance, recorder, saved_model, simple_baselines
from pipeline.runtime import determinism, devices, environment
from pipeline.training import calibrated_model
from pipeline.training.model_inputs import check_categories, check_padding, load_rows


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Score the model of runs/NAME on the rows that `config.evaluation.split` selects.

    The results go to runs/NAME/evaluations/SPLIT-FINGERPRINT/; the files of the training stay as they are.

    Raises:
        RunError: The run is not finished, or its files are damaged.
        DataError: The data has another form than the data of the training.
    """
    start_time = time.monotonic()
    environment.require_lock(config.environment.allow_drift)
    assert config.run.name is not None
    folder = run_folder.find(config.run.root, config.run.name)
    trained = run_folder.read_finished(folder)
    fitted = calibrators.of_run(trained)
    calibrators.check_command(fitted, config.evaluation)
    spec = run_folder.read_spec(folder)
    device = devices.select(config.device, config.hardware)
    device |= determinism.prepare(config.determinism, seed=config.seed, threads=config.hardware.threads)
    model = saved_model.load(folder / "model.keras")
    check_padding(spec, model, folder)
    columns = config.evaluation.groups
    selection = load_rows(config, spec, config.evaluation.split, runs=[folder], keys=columns)
    rows, split, fingerprint = selection.rows, selection.split, selection.fingerprint
    print(selection.origin, flush=True)
    groups = group_scores.read_groups(columns, spec, rows)
    check_categories(config.data, spec, model, rows, split)

    chosen = decisions.of_command(decisions.of_run(trained), spec, config.evaluation)

    target = folder / "evaluations" / f"{split}-{fingerprint[:12]}"
    target.mkdir(parents=True, exist_ok=True)
    evaluations = config.objective.score(
        config,
        spec,
        model,
        rows,
        training_rows=lambda: splits.load_split(config.data, "train", spec)[0],
        folder=target,
        decisions=chosen,
    )
    evaluations = calibrated_model.with_changes(evaluations, config, spec, model, rows=rows, fitted=fitted)
    models = simple_baselines.read(folder, spec)
    evaluations = comparisons.with_comparisons(
        evaluations,
        spec,
        rows,
        models=models,
        groups=groups,
        options=config.evaluation,
        seed=config.seed,
    )
    notes = provenance.notes(run_folder.read(folder, "environment.json"))
    if not selection.own_data:
        notes.append(f"Evaluated on data other than the training data: {selection.origin}.")
    if models is None and config.objective.predicts_labels:
        notes.append(f"Not compared with simple models: {folder.name} has none, since an earlier version trained it.")
    notes += selection.notes
    page = run_report.write_run_report(
        target,
        run_report.RunReport(
            title=f"{folder.name}, {split} rows",
            command=invocation.command_line,
            status=trained["status"],
            seconds=time.monotonic() - start_time,
            weights_digest=trained["weights_digest"],
            spec=spec,
            fingerprint=fingerprint,
            rows={split: len(rows)},
            config=stored_config.to_yaml(config),
            environment=environment.describe() | {"hardware": device},
            summary=run_folder.read_text(folder, "summary.txt"),
            parameters=trained["parameters"],
            history=[],
            best_epoch=None,
            evaluations=evaluations,
            notes=notes,
            files={path.name.partition(".")[0]: path.name for path in target.glob("predictions.csv.gz")}
            | {"result": "result.json"},
        ),
    )
    result = {
        "status": run_folder.FINISHED,
        "split": split,
        "rows": len(rows),
        "origin": selection.origin,
        "trained_rows": selection.notes,
        "fingerprint": fingerprint,
        "weights_digest": trained["weights_digest"],
        "metrics": metrics.scores_to_json(evaluations),
        "calibration": metrics.calibration_to_json(evaluations),
        **calibration_change.changes_to_json(evaluations),
        **comparisons.comparisons_to_json(evaluations),
        **weighted_scores.weights_to_json(evaluations),
        "decisions": metrics.decisions_to_json(evaluations),
    }
    run_folder.write(target, "result.json", result)
    with recorder.of_stored_run(config, folder) as record:
        record.record_evaluation(
            target,
            split=split,
            rows=len(rows),
            result=result,
            profiles=prediction_profiles.evaluations_to_json(evaluations),
        )
    print(f"{score_text(evaluations)}\n\nreport   {page}")
    return ExitStatus.DONE
