"""`train`: from a config to a trained, evaluated and reported model in a folder of its own."""

import hashlib
import json
import logging
import os
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import keras

from pipeline import logs, stored_config
from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.data import input_pipeline
from pipeline.errors import ExitStatus, Interrupted, RunError
from pipeline.evaluation import profile
from pipeline.files import atomic_write
from pipeline.preflight import inspection
from pipeline.preflight.assembly import assemble
from pipeline.preflight.findings import as_json
from pipeline.registry.callback import EpochRecorder
from pipeline.reports import run_report
from pipeline.reports.text_tables import table
from pipeline.runs import folder as run_folder
from pipeline.runs import identity, recorder
from pipeline.runtime import environment
from pipeline.runtime.signals import stop_request
from pipeline.training import callbacks, checkpoints, gradients, scoring

logger = logging.getLogger(__name__)


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train, evaluate and report one run; go on with it where it was stopped."""
    with logs.collected() as log:
        return train(config, invocation, log)


def train(config: Config, invocation: Invocation, log: logs.RunLog) -> ExitStatus:
    """Train, evaluate and report one run, whose messages are collected in `log`."""
    began = time.monotonic()
    environment.require_lock(config.environment.allow_drift)
    folder, finished = run_folder.choose(config)
    if finished:
        print(f"{folder}: finished already. Its report: {folder / 'report.html'}")
        return ExitStatus.DONE

    parts = assemble(config)
    record, data, objective, model = parts.device, parts.data, parts.objective, parts.objective.model
    verdict = inspection.check(config, data, objective, parts.feed)
    record |= {"jit": objective.jit, "precision": config.training.precision}

    with writing_in(folder), run_folder.held(folder):
        log.open(folder)
        run_folder.confirm(folder, config)
        run_folder.refuse_other(folder, data.fingerprint, record["device"])
        made_of = {
            **environment.describe(),
            "hardware": record,
            "preflight": {"warnings": as_json(verdict.warnings), "ignored": as_json(verdict.ignored)},
            "command": invocation.command_line,
            "identity": identity.identity(config),
        }
        state = begin_from(folder, config.training.epochs)
        if state.arrays:
            before = run_folder.read(folder, "environment.json")
            made_of["mixed"] = identity.mixed(folder, before, made_of, config.environment.allow_drift)
        began -= state.seconds  # as if its processes had followed each other without a break
        start(folder, config, stored_config.to_yaml(config), made_of, data, model)
        asked = stop_request(config.run.grace, partial(abandon, folder))
        with asked as stop, recorder.recorded(config, folder) as tell:
            try:
                history, best_epoch = learn(folder, config, objective, parts.feed, data, state, began, stop, tell)
                judged = scoring.judge(
                    config, data.spec, model, data.test, lambda: data.train, folder / "predictions.csv.gz"
                )
                seconds = time.monotonic() - began
                finish(folder, data, model, history, best_epoch, judged, seconds)
            except Interrupted as error:
                logger.debug("%s", error)
                note_end(folder, run_folder.INTERRUPTED, error)
                raise
            except Exception as error:
                logger.debug("failed", exc_info=error)
                note_end(folder, run_folder.FAILED, error)
                raise
    return ExitStatus.DONE


@contextmanager
def writing_in(folder):
    """Turns what the file system refuses while the block runs into a RunError that says what to do."""
    try:
        yield
    except OSError as error:
        raise RunError(
            f"{folder}: expected a folder that can be written to; {error}. Mend it, and the same command goes on from "
            "the last checkpoint."
        ) from error


def note_end(folder, status, why):
    """Write down how a run ended early. Where that cannot be written, the folder tells by itself that nobody works."""
    with suppress(OSError, RunError):
        run_folder.update(folder, status=status, why=str(why))


def abandon(folder, signal_name):
    """End the process at once: a step, or the evaluation, took longer than the grace. It goes on like a killed one."""
    if run_folder.read(folder, "result.json")["status"] != run_folder.RUNNING:
        return  # what takes its time is the registry's, which has a limit of its own
    why = f"{signal_name}: run.grace was over first; the same command goes on from the last checkpoint."
    note_end(folder, run_folder.INTERRUPTED, why)
    logger.info("%s", why)
    os._exit(ExitStatus.INTERRUPTED)


def start(folder, config, config_yaml, made_of, data, model):
    """Write down what the run is made of, before its first step. made_of: what environment.json is to hold."""
    lines = []
    model.summary(print_fn=lines.append, line_length=100)
    (folder / "checkpoints").mkdir(exist_ok=True)
    for name, text in (
        ("config.yaml", config_yaml),
        ("summary.txt", "\n".join(lines) + "\n"),
        ("architecture.json", json.dumps(keras.saving.serialize_keras_object(model), indent=1, sort_keys=True) + "\n"),
        ("spec.json", json.dumps(asdict(data.spec), indent=1) + "\n"),
        ("profile.json", json.dumps(profile.as_json(scoring.data_profile(data.spec, data.train))) + "\n"),
    ):
        with atomic_write(folder / name) as file:
            file.write(text.encode())
    run_folder.write(folder, "environment.json", made_of)
    run_folder.write(
        folder,
        "result.json",
        {
            "status": run_folder.RUNNING,
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "fingerprint": data.fingerprint,
            "asked_epochs": config.training.epochs,
            "rows": data.rows,
            "parameters": model.count_params(),
        },
    )


def begin_from(folder, epochs):
    """The newest whole checkpoint of a run that is to be of so many epochs."""
    state, damaged = checkpoints.newest(folder / "checkpoints")
    for path in damaged:
        logger.warning("%s is damaged and was skipped", path)
    if (state.epoch, state.step) > (epochs, 0):
        raise RunError(
            f"{folder}: expected training.epochs of at least {state.epoch + bool(state.step)}, since so many are "
            f"trained or begun; found {epochs}."
        )
    return state


def learn(folder, config, objective, training_feed, data, state, began, stop, tell):
    """Train from a checkpoint's State to the end. Returns the epochs' logs and the epoch that was kept.

    began: the run, as time.monotonic() tells it. tell: a recorder.Recorder.
    """
    at = f"resuming after epoch {state.epoch}" + (f", step {state.step}" if state.step else "")
    logger.info("run: %s, %s", folder, at if state.arrays else "new")

    journal = callbacks.Journal(folder / "metrics.jsonl")
    # the registry before the journal, which ends a run that diverges: that epoch is to be seen too
    own = [*callbacks.of_config(config.training, str(folder / "tensorboard")), *objective.callbacks(folder)]
    others = [*own, EpochRecorder(tell), journal]
    checkpointer = callbacks.Checkpointer(
        objective,
        folder / "checkpoints",
        config.training.checkpoints,
        config.training.epochs,
        training_feed.steps,
        stop,
        others,
        state,
        began,
    )
    validation = data.validation and input_pipeline.ordered_batches(
        data.validation, data.spec, config.data, config.training.batch_size
    )
    verbose = 1 if sys.stdout.isatty() else 2  # a bar on a terminal, a line an epoch in a log
    config.training.train(
        objective,
        training_feed,
        validation=validation,
        callbacks=others,
        checkpointer=checkpointer,
        verbose=verbose,
        folder=folder,
    )
    return journal.history, callbacks.kept_epoch(others)


def finish(folder, data, model, history, best_epoch, evaluations, seconds):
    """Save the model, write the report and the result, and say where they are."""
    digest = checkpoints.weights_digest(model)
    run_folder.write(folder, "weights.json", checkpoints.digest_of_each(model))
    save(model, folder / "model.keras")
    recorded = run_folder.read(folder, "environment.json")
    files = {
        "model": "model.keras",
        "predictions": "predictions.csv.gz",
        "epochs": "metrics.jsonl",
        "config": "config.yaml",
    }
    files = {what: name for what, name in files.items() if (folder / name).exists()}  # not all objectives predict
    page = run_report.write(
        folder,
        run_report.Report(
            title=folder.name,
            command=recorded["command"],
            status=run_folder.FINISHED,
            seconds=seconds,
            weights_digest=digest,
            spec=data.spec,
            fingerprint=data.fingerprint,
            rows=data.rows,
            config=(folder / "config.yaml").read_text(),
            environment={key: value for key, value in recorded.items() if key not in ("identity", "command")},
            summary=(folder / "summary.txt").read_text(),
            parameters=model.count_params(),
            history=history,
            best_epoch=best_epoch,
            evaluations=evaluations,
            notes=identity.notes(recorded),
            files=files,
            gradients=gradients.read(folder / "gradients.jsonl"),
        ),
    )
    run_folder.update(
        folder,
        status=run_folder.FINISHED,
        seconds=round(seconds, 1),
        epochs=len(history),
        best_epoch=best_epoch,
        metrics=scoring.as_json(evaluations),
        calibration=scoring.calibration_as_json(evaluations),
        weights_digest=digest,
        parameters=model.count_params(),
        rows=data.rows,
        files=files | {"report": page.name},
    )
    print(f"\n{table(evaluations)}\n")
    print(f"weights  {digest}")
    print(f"report   {page}")
    print(f"model    {folder / 'model.keras'}")
    root = "" if folder.parent == Path("runs") else f" run.root={folder.parent}"
    print(f"next     make evaluate run.name={folder.name}{root} | make runs{root} | make tensorboard")


def save(model, path):
    """Save a model and, beside it, the sha256 of the file, as `sha256sum --check` reads it."""
    draft = path.with_name(".model.partial.keras")
    model.save(draft, include_optimizer=False)
    content = draft.read_bytes()
    draft.unlink()
    for target, bytes_ in ((path, content), (path.with_name("model.keras.sha256"), sha256_line(content, path.name))):
        with atomic_write(target) as file:
            file.write(bytes_)


def sha256_line(content, name):
    return f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode()
