"""Write the journals of runs without training. Imports no TensorFlow, so that a process starts quickly."""

import os
from pathlib import Path

from pipeline.registry.journal import FILE_NAME, Event, RunJournal

FINGERPRINT = "f" * 64
PROJECT = Path(__file__).parents[1]


def environment():
    """Return the environment of a child process, with the password of the PostgreSQL server if it is running."""
    return os.environ | {"PYTHONPATH": f"{PROJECT}{os.pathsep}{PROJECT / 'tests'}"}


def begin_content(folder, **changes):
    """Return the content of a BEGIN line.

    Args:
        folder: The run folder.
        changes: Keys of the line, or `units` of the model, `lock` digest, number of `drifted` packages.
    """
    units, lock, drifted = changes.pop("units", 10), changes.pop("lock", "l" * 64), changes.pop("drifted", 0)
    return {
        **{"name": folder.name, "folder": str(folder.absolute()), "command": "train", "host": "here", "seed": 0},
        **{"git_commit": "c" * 40, "git_dirty": False, "data": "digits", "model": "mlp", "training": "fit"},
        "config": {"seed": 0, "choices": {"data": "digits"}},
        "architecture": {"config": {"units": units}, "parameters": units * 65, "summary": f"Dense {units}"},
        "environment": {
            **{"lock_name": "requirements-cpu.txt", "lock_digest": lock, "drifted": drifted, "driver": None},
            **{"packages": {"numpy": "2.5.5"}, "image_digest": None, "python": "3.12", "platform": "Linux"},
            "hardware": {"cpu": {"count": 2}},
        },
        "dataset": {"fingerprint": FINGERPRINT, "rows": {"train": 100, "test": 20}, "spec": {}, "profile": None},
        **changes,
    }


def score(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def write_run(root, name, epochs=3, accuracy=0.9, status="finished", **changes):
    """Write the journal of a run that has ended, and return its path."""
    folder = Path(root) / name
    folder.mkdir(parents=True, exist_ok=True)
    journal = RunJournal(folder / FILE_NAME)
    journal.add(Event.BEGIN, **begin_content(folder, **changes))
    for epoch in range(1, epochs + 1):
        journal.add(Event.EPOCH, epoch=epoch, metrics={"loss": 1 / epoch, "accuracy": 1 - 1 / epoch})
    add_evaluation(journal, accuracy)
    journal.add(Event.ARTIFACT, files=[{"path": "model.keras", "sha256": "a" * 64, "bytes": 7}])
    journal.add(Event.END, status=status, seconds=1.5, epochs=epochs, best_epoch=None, weights_digest="w" * 64)
    return journal.path


def add_evaluation(journal, accuracy, split="test", **changes):
    journal.add(
        Event.EVALUATION,
        **{"split": split, "fingerprint": FINGERPRINT, "data": "digits", "rows": 20, "confidence": 0.95},
        **{"metrics": {"digit": {"accuracy": score(accuracy, accuracy - 0.05, accuracy + 0.05)}}, **changes},
    )
