"""Record a run in its journal, from which the registry is filled: start, epochs, scores, drift and end."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pipeline.evaluation.drift_detection import DriftResult
from pipeline.files import sha256
from pipeline.options import choices, flatten
from pipeline.registry import journal
from pipeline.registry.background_ingestion import BackgroundIngestion
from pipeline.registry.journal import Event
from pipeline.reports import predictions_csv
from pipeline.runs import folder as run_folder
from pipeline.runs.description import Description
from pipeline.runtime import environment

if TYPE_CHECKING:
    from pipeline.config import Config

logger = logging.getLogger(__name__)

# files of a run that the registry lists with their digests, in addition to those that result.json names
FILES = ("config.yaml", "environment.json", "architecture.json", "spec.json", "summary.txt", "profile.json")
FILES = (*FILES, predictions_csv.PROFILE_FILE)
FILES_OF_EVALUATION = (predictions_csv.FILE, "report.html")


class Recorder:
    """Writes lines to the journal of a run and has them ingested into the registry in the background.

    A failure is logged as a warning and never stops the run. At the end of a `with` block, the recorder waits until the
    registry has the last lines, but at most `registry.patience` seconds.

    Args:
        config: The config of the command.
        folder: The run folder.
    """

    def __init__(self, config: "Config", folder: Path) -> None:
        self.config = config
        self.folder = folder
        self.journal = journal.RunJournal(folder / journal.FILE_NAME)
        self.ingestion: BackgroundIngestion | None = None
        self.has_warned = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        self.close()

    def add(self, event: Event, **content: Any) -> None:
        """Add a line to the journal and start its ingestion.

        Args:
            event: The kind of line.
            content: The other entries of the line, ready for JSON.
        """
        try:
            self.journal.add(event, **content)
        except OSError as error:
            if not self.has_warned:
                logger.warning("registry: %s: %s; the run continues", self.journal.path, error.strerror)
            self.has_warned = True
            return
        if self.ingestion is None and self.config.registry.url != "none":
            self.ingestion = BackgroundIngestion(self.config.registry, self.config.run.root, self.journal)
        if self.ingestion is not None:
            self.ingestion.notify()

    def record_start(self, description: Description) -> None:
        """Record the config, the environment, the model and the data of a run."""
        self.add(Event.BEGIN, **_start(self.config, self.folder, description))

    def record_epoch(self, epoch: int, metrics: dict[str, float]) -> None:
        """Record the metrics of an epoch, counted from 1."""
        self.add(Event.EPOCH, epoch=epoch, metrics=metrics)

    def record_evaluation(
        self, folder: Path, *, split: str, rows: int, result: dict[str, Any], profiles: dict[str, Any]
    ) -> None:
        """Record scores and the files that hold them.

        Args:
            folder: The run folder after training, or the folder of a later evaluation.
            split: The split that was scored.
            rows: Its number of rows.
            result: The content of result.json in `folder`.
            profiles: The content of prediction_profile.json in `folder`; {} if there is none.
        """
        self.add(
            Event.EVALUATION,
            split=split,
            fingerprint=result["fingerprint"],
            data=self.config.data.choice,
            rows=rows,
            confidence=self.config.evaluation.confidence,
            metrics=result["metrics"] | _calibration_scores(result),
        )
        if profiles:
            self.add(Event.PREDICTIONS, split=split, fingerprint=result["fingerprint"], profiles=profiles)
        names = [*FILES, *result["files"].values()] if folder == self.folder else FILES_OF_EVALUATION
        paths = [folder / name for name in dict.fromkeys(names) if (folder / name).exists()]
        self.add(Event.ARTIFACT, files=[_file(path, self.folder) for path in paths])

    def record_drift(self, data: str, results: Sequence[DriftResult]) -> None:
        """Record the results of a drift check.

        Args:
            data: The fingerprint of the new rows; for a series of runs, the choice of data.
            results: The comparisons.
        """
        self.add(Event.DRIFT, data=data, results=[asdict(result) for result in results])

    def record_end(self, result: dict[str, Any]) -> None:
        """Record the status of a run at its end, and its results.

        Args:
            result: The content of its result.json.
        """
        keys = ("status", "seconds", "epochs", "best_epoch", "weights_digest")
        self.add(Event.END, **{key: result[key] for key in keys if key in result}, message=result.get("why"))

    def close(self) -> None:
        """Wait until the registry has ingested the last lines, but at most `registry.patience` seconds."""
        if self.ingestion is not None:
            self.ingestion.close()


@contextmanager
def of_stored_run(config: "Config", folder: Path) -> Iterator[Recorder]:
    """Yield a recorder for new results on a run that has ended.

    If the run has no journal, the journal is first written from the files of the run.

    Raises:
        RunError: A file of the run is missing or damaged.
    """
    with Recorder(config, folder) as recorder:
        if not (folder / journal.FILE_NAME).exists():
            result = run_folder.read(folder, "result.json")
            recorder.record_start(Description.read(folder))
            if result["status"] == run_folder.FINISHED:
                has_profiles = (folder / predictions_csv.PROFILE_FILE).exists()
                recorder.record_evaluation(
                    folder,
                    split="test",
                    rows=result["rows"]["test"],
                    result=result,
                    profiles=run_folder.read(folder, predictions_csv.PROFILE_FILE) if has_profiles else {},
                )
            recorder.record_end(result | {"status": run_folder.status(folder)})
        yield recorder


def _calibration_scores(result: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the scores of each label with a calibration error, and add this error, which has no interval."""
    return {
        label: result["metrics"][label] | {"ece": {"value": calibration["ece"], "low": None, "high": None}}
        for label, calibration in result.get("calibration", {}).items()
    }


def _file(path: Path, home: Path) -> dict[str, Any]:
    return {"path": str(path.relative_to(home)), "sha256": sha256(path), "bytes": path.stat().st_size}


def _start(config: "Config", folder: Path, description: Description) -> dict[str, Any]:
    record, chosen = description.environment, choices(config)
    return {
        "name": folder.name,
        "folder": str(folder.absolute()),
        "command": record["command"],
        "host": record["hostname"],
        "seed": config.seed,
        "git_commit": record["git"]["commit"],
        "git_dirty": record["git"]["dirty"],
        "data": chosen["data"],
        "model": chosen["model"],
        "training": chosen["training"],
        "config": {"choices": chosen} | dict(flatten(asdict(config))),
        "architecture": {
            "config": {key: description.architecture[key] for key in ("class_name", "config")},
            "parameters": description.parameters,
            "summary": description.summary,
        },
        "environment": _environment(record),
        "dataset": {
            "fingerprint": description.fingerprint,
            "rows": description.rows,
            "spec": description.spec,
            "profile": description.profile,
        },
    }


def _environment(record: dict[str, Any]) -> dict[str, Any]:
    """Return the row of the table `environment`. Machines of the same kind give the same row."""
    drift, changes = record["lock"]["drift"], record.get("mixed", [])
    locked = environment.locked(environment.PROJECT / record["lock"]["name"])
    return {
        "lock_name": record["lock"]["name"],
        "lock_digest": record["lock"]["sha256"],
        "drifted": len(drift) + len(changes),
        "packages": locked | {package["package"]: package["installed"] for package in drift},
        "image_digest": (record["image"] or {}).get("id"),
        "python": record["python"],
        "platform": record["platform"],
        "hardware": {"cpu": record["cpu"], "memory": record["memory"], **record["hardware"]},
        "driver": record["nvidia_driver"],
    }
