"""What `train`, `evaluate` and `drift` tell the registry, put together from the files of the run's folder."""

import logging
from contextlib import contextmanager, suppress
from dataclasses import asdict

from pipeline.errors import RunError
from pipeline.files import sha256
from pipeline.options import choices, flatten
from pipeline.registry import journal
from pipeline.registry.background_ingestion import BackgroundIngestion
from pipeline.registry.journal import Event
from pipeline.runs import folder as run_folder
from pipeline.runs.folder import PREDICTION_PROFILE
from pipeline.runtime import environment

logger = logging.getLogger(__name__)

FILES = ("config.yaml", "environment.json", "architecture.json", "spec.json", "summary.txt", "profile.json")
FILES = (*FILES, PREDICTION_PROFILE)


class Recorder:
    """Writes lines to a run's journal and has them carried into the registry. Nothing that fails here stops a run."""

    def __init__(self, config, folder):
        self.journal = journal.RunJournal(folder / journal.FILE_NAME)
        self.config = config.registry
        self.root = config.run.root
        self.ingestion = None
        self.warned = False

    def __call__(self, event, **content):
        try:
            self.journal.add(event, **content)
        except OSError as error:
            if not self.warned:
                logger.warning(
                    "registry: %s: %s; the run continues, and tries again", self.journal.path, error.strerror
                )
            self.warned = True
            return
        if self.ingestion is None and self.config.url != "none":
            self.ingestion = BackgroundIngestion(self.config, self.root, self.journal)
        if self.ingestion is not None:
            self.ingestion.notify()

    def close(self):
        if self.ingestion is not None:
            self.ingestion.close()


@contextmanager
def recorded(config, folder):
    """A Recorder for one run: told of its beginning now, and at the end of what result.json says it came to."""
    record = Recorder(config, folder)
    record(Event.BEGIN, **beginning(config, folder))
    try:
        yield record
    finally:
        with suppress(RunError):  # the folder was taken away, which the block's own error tells
            record_end(record, config, folder)
        record.close()


@contextmanager
def added(config, folder):
    """A Recorder for what is found out about a run that has ended."""
    record = Recorder(config, folder)
    try:
        if not (folder / journal.FILE_NAME).exists():  # trained before there was a registry
            record(Event.BEGIN, **beginning(config, folder))
            record_end(record, config, folder)
        yield record
    finally:
        record.close()


def record_end(record, config, folder):
    """Record what a run came to, as result.json says."""
    result = run_folder.read(folder, "result.json")
    if result["status"] == run_folder.FINISHED:
        record_result(record, config, folder, result, "test")
    known = ("status", "seconds", "epochs", "best_epoch", "weights_digest")
    ending = {key: result[key] for key in known if key in result}
    if ending["status"] == run_folder.RUNNING:  # ended by what is no error, such as a second Ctrl-C
        ending["status"] = run_folder.INTERRUPTED
    record(Event.END, **ending, message=result.get("why"))


def record_result(record, config, folder, result, split):
    """Record the scores and files of a result.json that `train` or `evaluate` has written into `folder`."""
    record(
        Event.EVALUATION,
        split=split,
        fingerprint=result["fingerprint"],
        data=config.data.choice,
        rows=result["rows"] if isinstance(result["rows"], int) else result["rows"][split],
        confidence=config.evaluation.confidence,
        metrics=result["metrics"] | calibration_scores(result),
    )
    home = record.journal.path.parent
    if (folder / PREDICTION_PROFILE).exists():
        found = run_folder.read(folder, PREDICTION_PROFILE)
        record(Event.PREDICTIONS, split=split, fingerprint=result["fingerprint"], profiles=found)
    names = [*FILES, *result.get("files", {}).values()] if folder == home else ["predictions.csv.gz", "report.html"]
    paths = [folder / name for name in dict.fromkeys(names) if (folder / name).exists()]
    record(Event.ARTIFACT, files=[described(path, home) for path in paths])


def calibration_scores(result):
    """Metrics with the calibration error among them, which has no interval."""
    return {
        label: result["metrics"][label] | {"ece": {"value": found["ece"], "low": None, "high": None}}
        for label, found in result.get("calibration", {}).items()
    }


def described(path, home):
    return {"path": str(path.relative_to(home)), "sha256": sha256(path), "bytes": path.stat().st_size}


def beginning(config, folder):
    """What a run is made of, from the files that `train` has just written."""
    recorded = run_folder.read(folder, "environment.json")
    found = run_folder.read(folder, "architecture.json")
    result = run_folder.read(folder, "result.json")
    chosen = choices(config)
    return {
        **{"name": folder.name, "folder": str(folder.absolute()), "command": recorded["command"]},
        **{"host": recorded["hostname"], "seed": config.seed},
        **{"git_commit": recorded["git"]["commit"], "git_dirty": recorded["git"]["dirty"]},
        **{key: chosen[key] for key in ("data", "model", "training")},
        "config": {"choices": chosen} | dict(flatten(asdict(config))),
        "architecture": {
            "config": {key: found[key] for key in ("class_name", "config")},
            "parameters": result["parameters"],
            "summary": (folder / "summary.txt").read_text(),
        },
        "environment": environment_row(recorded),
        "dataset": {
            "fingerprint": result["fingerprint"],
            "rows": result["rows"],
            "spec": run_folder.read(folder, "spec.json"),
            "profile": run_folder.read(folder, "profile.json") if (folder / "profile.json").exists() else None,
        },
    }


def environment_row(recorded):
    """What the table `environment` holds of an environment.json: all that two runs on like machines share."""
    drift, mixed = recorded["lock"]["drift"], recorded.get("mixed", [])
    locked = environment.locked(environment.PROJECT / recorded["lock"]["name"])
    installed = locked | {package["package"]: package["installed"] for package in drift}
    return {
        "lock_name": recorded["lock"]["name"],
        "lock_digest": recorded["lock"]["sha256"],
        "drifted": len(drift) + len(mixed),
        "packages": installed,
        "image_digest": (recorded["image"] or {}).get("id"),
        "python": recorded["python"],
        "platform": recorded["platform"],
        "hardware": {"cpu": recorded["cpu"], "memory": recorded["memory"], **recorded["hardware"]},
        "driver": recorded["nvidia_driver"],
    }
