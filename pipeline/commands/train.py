"""`train`: from a config to a trained, evaluated and reported model in its own run folder."""

import logging
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import keras

from pipeline import logs, stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import input_pipeline
from pipeline.data.source import DataSource
from pipeline.errors import ExitStatus, Interrupted, RunError
from pipeline.evaluation import (
    calibration_change,
    calibrators,
    comparisons,
    data_columns,
    group_scores,
    metrics,
    prediction_profiles,
    profiles,
    simple_models,
    weighted_scores,
)
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.experiment import Experiment, prepare
from pipeline.preflight import inspection
from pipeline.preflight.findings import as_json
from pipeline.preflight.inspection import Verdict
from pipeline.reports import run_report
from pipeline.reports.comparison_text import score_text
from pipeline.runs import folder as run_folder
from pipeline.runs import provenance, saved_model, simple_baselines, trained_rows
from pipeline.runs.description import Description
from pipeline.runs.identity import binding, identity
from pipeline.runs.recorder import Recorder
from pipeline.runs.result import Result
from pipeline.runtime import environment
from pipeline.runtime.signals import StopRequest, stop_request
from pipeline.training import baselines, calibrated_model, callbacks, checkpoints, gradients, label_scale
from pipeline.training.checkpointer import Checkpointer
from pipeline.training.epoch_history import EpochHistory
from pipeline.training.weights_digest import digest_per_weight, weights_digest

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The result of the training loop.

    Attributes:
        history: The logs of each epoch.
        kept_epoch: The epoch, counted from 1, whose weights early stopping restored; None if the last one was kept.
    """

    history: list[dict[str, Any]]
    kept_epoch: int | None


@dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """A run that was just finished.

    Attributes:
        model: The trained model.
        weights_digest: sha256 of its weights.
        history: The logs of each epoch.
        environment: The environment record.
    """

    model: keras.Model
    weights_digest: str
    history: list[dict[str, Any]]
    environment: dict[str, Any]


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train, evaluate and report one run; resume it if it was interrupted.

    Raises:
        PipelineError: Config, data, environment or run folder is wrong, or a stop was requested.
    """
    start_time = time.monotonic()
    with logs.collected() as log:
        environment.require_lock(config.environment.allow_drift)
        environment.require_clock(datetime.now(UTC))
        folder, finished = run_folder.choose(config)
        if finished:
            print(f"{folder}: finished already. Its report: {folder / 'report.html'}")
            return ExitStatus.DONE
        experiment = prepare(config)
        train(config, experiment, folder, command_line=invocation.command_line, start_time=start_time, log=log)
    return ExitStatus.DONE


def train(
    config: Config, experiment: Experiment, folder: Path, *, command_line: str, start_time: float, log: logs.RunLog
) -> TrainedRun:
    """Train a model in a run folder, evaluate it and write the report.

    Args:
        config: The config of the run.
        experiment: Data, model and objective, made from `config`.
        folder: The run folder, as chosen by `runs.folder.choose`.
        command_line: The command, for the record.
        start_time: `time.monotonic()` when the command started.
        log: The messages so far; they go to the run.log in the folder.
    """
    verdict = inspection.check(config, experiment.data, experiment.objective, experiment.feed)
    with write_errors_explained(folder), run_folder.lock(folder):
        log.open(folder)
        run_folder.require_unchanged(folder, config)
        run_folder.require_same_data_and_device(
            folder, fingerprint=experiment.data.fingerprint, device=experiment.device["device"]
        )
        description = describe(config, experiment, verdict, command_line)
        if next((folder / "checkpoints").glob(f"*{checkpoints.SUFFIX}"), None):
            add_changes(config, folder, description.environment)
        checkpoint = newest_checkpoint(config, folder, description)
        start_time -= checkpoint.seconds  # the time spent in earlier processes
        trained_rows.write(folder, experiment.data.splits)
        description.write(folder)
        result = Result(folder, first_result(config, experiment, description))

        stopping = stop_request(config.run.grace, partial(abandon, result))
        with stopping as stop, Recorder(config, folder) as recorder:
            recorder.record_start(description)
            with failure_recorded(result, recorder):
                training = fit(
                    config,
                    experiment,
                    folder,
                    checkpoint=checkpoint,
                    stop=stop,
                    start_time=start_time,
                    recorder=recorder,
                )
                model, fitted = calibrated_model.calibrate(config, experiment.data, experiment.objective.model)
                evaluations = evaluate(config, experiment, folder, model, fitted)
                seconds = time.monotonic() - start_time
                finish(
                    config,
                    experiment,
                    description,
                    result,
                    training=training,
                    model=model,
                    fitted=fitted,
                    evaluations=evaluations,
                    warnings=learning_warnings(config, experiment, training),
                    seconds=seconds,
                )
            recorder.record_evaluation(
                folder,
                split="test",
                rows=result.values["rows"]["test"],
                result=result.values,
                profiles=prediction_profiles.evaluations_to_json(evaluations),
            )
            recorder.record_end(result.values)
    return TrainedRun(
        model=experiment.objective.model,
        weights_digest=result.values["weights_digest"],
        history=training.history,
        environment=description.environment,
    )


# ---- before the first step ------------------------------------------------------------------------------------------


@contextmanager
def write_errors_explained(folder: Path) -> Iterator[None]:
    """Re-raise an OSError of the block as a RunError with a fix."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder}: expected a folder that can be written to; found {error}. Fix this; the same command then "
            "resumes from the last checkpoint."
        ) from error


def newest_checkpoint(config: Config, folder: Path, description: Description) -> checkpoints.State:
    """Return the newest undamaged checkpoint of a run, or the empty State of a new run.

    Raises:
        RunError: More than `training.epochs` epochs are trained or begun, all checkpoints are damaged, or the newest is
            that of another run.
    """
    epochs = config.training.epochs
    state, damaged = checkpoints.newest(
        folder / "checkpoints",
        run=binding(description.environment["identity"], description.fingerprint),
        may_differ=("lock",) if config.environment.allow_drift else (),
    )
    for path in damaged:
        logger.warning("%s is damaged and was skipped", path)
    if (state.epoch, state.step) > (epochs, 0):
        raise RunError(
            f"{folder}: expected training.epochs of at least {state.epoch + bool(state.step)}, the number of epochs "
            f"that were started; found {epochs}."
        )
    return state


def describe(config: Config, experiment: Experiment, verdict: Verdict, command_line: str) -> Description:
    """Collect the description of a run before its first step."""
    data, model = experiment.data, experiment.objective.model
    summary: list[str] = []
    model.summary(print_fn=summary.append, line_length=100)
    return Description(
        config=stored_config.to_yaml(config),
        environment={
            **environment.describe(),
            "hardware": experiment.device | {"jit": experiment.objective.jit, "precision": config.training.precision},
            "preflight": {"warnings": as_json(verdict.warnings), "ignored": as_json(verdict.ignored)},
            "unknown_words": [str(item) for item in verdict.unknown_words],
            "command": command_line,
            "identity": identity(config),
        },
        architecture=keras.saving.serialize_keras_object(model),
        summary="\n".join(summary) + "\n",
        spec=asdict(data.spec),
        profile=profiles.profile_to_json(data_columns.profile_split(data.spec, data.train)),
        fingerprint=data.fingerprint,
        rows=data.rows,
        parameters=model.count_params(),
    )


def add_changes(config: Config, folder: Path, record: dict[str, Any]) -> None:
    """Add the changes since the previous process to the environment record of a resumed run.

    Raises:
        EnvironmentMismatch: Code or packages changed, and environment.allow_drift is false.
    """
    before = run_folder.read(folder, "environment.json")
    record["mixed"] = provenance.changes_while_training(
        folder, before, record, allow_drift=config.environment.allow_drift
    )


def first_result(config: Config, experiment: Experiment, description: Description) -> dict[str, Any]:
    """Return the content of result.json while the run is trained."""
    normalized = label_scale.statistics(experiment.objective.model, experiment.data.spec)
    return {
        "status": run_folder.RUNNING,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "fingerprint": description.fingerprint,
        "asked_epochs": config.training.epochs,
        "rows": description.rows,
        "parameters": description.parameters,
    } | ({"normalized_labels": normalized} if normalized else {})


# ---- training -------------------------------------------------------------------------------------------------------


def fit(
    config: Config,
    experiment: Experiment,
    folder: Path,
    *,
    checkpoint: checkpoints.State,
    stop: StopRequest,
    start_time: float,
    recorder: Recorder,
) -> Training:
    """Train from a checkpoint to the last epoch.

    Args:
        config: The config of the run.
        experiment: Data, model and objective.
        folder: The run folder.
        checkpoint: The state to start from.
        stop: Read between two steps.
        start_time: `time.monotonic()` at the start, minus the time spent in earlier processes.
        recorder: Gets the logs of each epoch.

    Raises:
        Interrupted: A stop was requested; a checkpoint is saved.
    """
    position = f"resuming after epoch {checkpoint.epoch}" + (f", step {checkpoint.step}" if checkpoint.step else "")
    logger.info("run: %s, %s", folder, position if checkpoint.arrays else "new")

    (folder / "checkpoints").mkdir(exist_ok=True)
    data, objective = experiment.data, experiment.objective
    history = EpochHistory(recorder.record_epoch, experiment.data.spec.labels)
    own = callbacks.from_options(config.training, folder / "tensorboard", experiment.data.spec.labels)
    others = [*own, *objective.callbacks(folder), history]
    checkpointer = Checkpointer(
        objective=objective,
        folder=folder / "checkpoints",
        options=config.training.checkpoints,
        epochs=config.training.epochs,
        steps_per_epoch=experiment.feed.steps,
        stop=stop,
        callbacks=others,
        state=checkpoint,
        start_time=start_time,
    )
    validation = None
    if data.validation is not None:
        validation = input_pipeline.ordered_batches(data.validation, data.spec, config.training.batch_size)
    try:
        config.training.train(
            objective,
            experiment.feed,
            validation=validation,
            callbacks=others,
            checkpointer=checkpointer,
            verbose=1 if sys.stdout.isatty() else 2,  # a progress bar on a terminal, one line per epoch elsewhere
            folder=folder,
        )
    finally:
        history.write(folder)
    return Training(history=history.rows, kept_epoch=callbacks.restored_epoch(others))


@contextmanager
def failure_recorded(result: Result, recorder: Recorder) -> Iterator[None]:
    """Record why the block ended early, in result.json, run.log and the registry.

    If result.json cannot be written, the released lock still marks the run as interrupted.
    """
    try:
        yield
    except BaseException as error:
        interrupted = isinstance(error, Interrupted) or not isinstance(error, Exception)
        logger.debug("the run ended early: %s", error, exc_info=None if isinstance(error, Interrupted) else error)
        status = run_folder.INTERRUPTED if interrupted else run_folder.FAILED
        with suppress(OSError):
            result.update(status=status, why=str(error) or type(error).__name__)
        recorder.record_end(result.values)
        raise


def abandon(result: Result, signal_name: str) -> None:
    """Exit at once, since a step or the evaluation takes longer than run.grace.

    The run can be resumed like a killed one. A finished run is not abandoned: it only waits for the registry, which has
    its own time limit.
    """
    if result.values["status"] != run_folder.RUNNING:
        return
    reason = (
        f"{signal_name}: run.grace ended before the current step; the same command resumes from the last checkpoint."
    )
    with suppress(OSError):
        result.update(status=run_folder.INTERRUPTED, why=reason)
    logger.info("%s", reason)
    os._exit(ExitStatus.INTERRUPTED)


# ---- after the last step --------------------------------------------------------------------------------------------


def evaluate(
    config: Config,
    experiment: Experiment,
    folder: Path,
    model: keras.Model,
    fitted: Mapping[str, calibrators.Calibrator],
) -> list[LabelEvaluation | ScoresOnly]:
    """Score the model on the test split and compare it with simple models. Store the simple models with the run.

    Args:
        config: The config of the run.
        experiment: The data.
        folder: The run folder.
        model: The trained model, calibrated if `fitted` holds calibrators.
        fitted: The calibrators by label.
    """
    data = experiment.data
    evaluations = config.objective.score(
        config,
        data.spec,
        model,
        data.test,
        training_rows=lambda: data.train,
        folder=folder,
        decisions=config.objective.decisions(config, data.spec, model, data.validation),
    )
    evaluations = calibrated_model.with_changes(evaluations, config, data.spec, model, rows=data.test, fitted=fitted)
    if not any(isinstance(evaluation, LabelEvaluation) for evaluation in evaluations):
        return evaluations
    models = simple_models.fit_simple_models(data.spec, data.train)
    simple_baselines.write(folder, models)
    return comparisons.with_comparisons(
        evaluations,
        data.spec,
        data.test,
        models=models,
        groups=group_scores.read_groups(config.evaluation.groups, data.spec, data.test),
        options=config.evaluation,
        seed=config.seed,
    )


def learning_warnings(config: Config, experiment: Experiment, training: Training) -> list[str]:
    """Log and return a warning for each training loss that predicting the same for every row would have matched."""
    if config.regularization.mixup:
        return []  # the loss is that of mixed labels
    spec, labels = experiment.data.spec, experiment.data.train.labels
    penalty = sum(float(loss) for loss in experiment.objective.model.losses)  # Keras adds it to "loss"
    known = config.objective.baseline_losses(spec, labels, experiment.data.train.weights)
    known = {name: value + penalty if name == "loss" else value for name, value in known.items()}
    warnings = baselines.losses_above_baseline(training.history, known)
    for warning in warnings:
        logger.warning("%s", warning)
    return warnings


def finish(
    config: Config,
    experiment: Experiment,
    description: Description,
    result: Result,
    *,
    training: Training,
    model: keras.Model,
    fitted: Mapping[str, calibrators.Calibrator],
    evaluations: list[Any],
    warnings: list[str],
    seconds: float,
) -> None:
    """Save the model, write the report and the result, and print their paths.

    Args:
        config: The config of the run.
        experiment: The data and the trained model.
        description: The description of the run.
        result: The result of the run; it is FINISHED afterwards.
        training: The history.
        model: The model to save: the trained one, calibrated if `fitted` holds calibrators.
        fitted: The calibrators by label.
        evaluations: The scores on the test split.
        warnings: The warnings of the training.
        seconds: Wall time of the run, in all its processes.
    """
    folder, data, trained = result.folder, experiment.data, experiment.objective.model
    digest = weights_digest(trained)
    run_folder.write(folder, "weights.json", digest_per_weight(trained))
    saved_model.save(model, folder / "model.keras")
    files = {
        "model": "model.keras",
        "predictions": "predictions.csv.gz",
        "epochs": "metrics.jsonl",
        "config": "config.yaml",
    }
    files = {content: name for content, name in files.items() if (folder / name).exists()}  # GANs predict nothing
    page = run_report.write_run_report(
        folder,
        run_report.RunReport(
            title=folder.name,
            command=description.environment["command"],
            status=run_folder.FINISHED,
            seconds=seconds,
            weights_digest=digest,
            spec=data.spec,
            fingerprint=data.fingerprint,
            rows=data.rows,
            config=description.config,
            environment={k: value for k, value in description.environment.items() if k not in ("identity", "command")},
            summary=description.summary,
            parameters=description.parameters,
            history=training.history,
            best_epoch=training.kept_epoch,
            evaluations=evaluations,
            notes=[*warnings, *provenance.notes(description.environment)],
            files=files,
            gradients=gradients.read(folder / "gradients.jsonl"),
        ),
    )
    result.update(
        status=run_folder.FINISHED,
        seconds=round(seconds, 1),
        epochs=len(training.history),
        warnings=warnings,
        best_epoch=training.kept_epoch,
        metrics=metrics.scores_to_json(evaluations),
        calibration=metrics.calibration_to_json(evaluations),
        **calibration_change.changes_to_json(evaluations),
        **({"calibrators": calibrators.to_json(fitted)} if fitted else {}),
        **comparisons.comparisons_to_json(evaluations),
        **weighted_scores.weights_to_json(evaluations),
        decisions=metrics.decisions_to_json(evaluations),
        weights_digest=digest,
        files=files | {"report": page.name},
    )
    scores = f"{score_text(evaluations)}\n\nweights  {digest}"
    logger.debug("finished in %.1f seconds\n%s", seconds, scores)
    print(f"\n{scores}\nreport   {page}\nmodel    {folder / 'model.keras'}")
    print(f"next     {next_commands(folder, config.data)}")


def next_commands(folder: Path, data: DataSource) -> str:
    """Return the commands that a user may want after a training."""
    root = "" if folder.parent == Path("runs") else f" run.root={folder.parent}"
    evaluate = " ".join([f"make evaluate run.name={folder.name}{root}", *stored_config.path_arguments(data)])
    return f"{evaluate} | make runs{root} | make tensorboard"
