"""The folder of one run: its name, who holds it, and whether it is to be begun, continued or left alone."""

import fcntl
import json
import os
import socket
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import RunError
from pipeline.files import atomic_write
from pipeline.runs import identity
from pipeline.runtime import environment

PREDICTION_PROFILE = "prediction_profile.json"  # beside predictions.csv.gz
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"


def choose(config):
    """The folder of a run and whether it is finished already: (path, bool).

    A named run is continued if it is the same, refused with the differences if it is not. An unnamed one is called
    DATA-MODEL-N: the newest of these is continued if it is unfinished and the same, else the next number is taken.
    training.resume=never continues none that has begun.
    """
    return _named(config) if config.run.name is not None else _numbered(config)


def _named(config):
    folder = Path(config.run.root) / config.run.name
    if not _begun(folder):
        return folder, False
    begun, now = read(folder, "environment.json")["identity"]["config"], identity.identity(config)["config"]
    if differences := identity.differing(begun, now):
        raise RunError(
            f"{folder}: expected the config this run began with; found other values:\n"
            + "\n".join(f"  {line}" for line in differences)
            + "\nA run is never overwritten: take another run.name, or the values it began with."
        )
    is_finished = status(folder) == FINISHED
    asked = read(folder, "result.json").get("asked_epochs", config.training.epochs)
    if is_finished and asked != config.training.epochs:
        raise RunError(
            f"{folder}: expected training.epochs={asked}, which this run finished with; found "
            f"{config.training.epochs}. A finished run is not trained further: take another run.name."
        )
    if not is_finished and not _goes_on(config):
        raise RunError(
            f"{folder}: expected a run that has not begun, as training.resume=never asks for; it is "
            f"{status(folder)}. Take another run.name, or training.resume=auto to go on with it."
        )
    return folder, is_finished


def _numbered(config):
    root, prefix = Path(config.run.root), "-".join([config.data.choice, config.model.choice])
    numbers = [
        int(path.name[len(prefix) + 1 :]) for path in root.glob(f"{prefix}-*") if path.name[len(prefix) + 1 :].isdigit()
    ]
    newest = root / f"{prefix}-{max(numbers, default=0)}"
    if newest.is_dir() and not _begun(newest):
        return newest, False  # made by a process that ended, or is about to, before it began
    unfinished = _goes_on(config) and _begun(newest) and status(newest) != FINISHED
    if unfinished and read(newest, "environment.json")["identity"] == identity.identity(config):
        return newest, False
    return root / f"{prefix}-{max(numbers, default=0) + 1}", False


def _goes_on(config):
    return config.training.resume == "auto"


def confirm(folder, config):
    """Raise RunError where, until the folder was held, another process began or finished it as another run."""
    if choose(config) != (folder, False):
        raise RunError(f"{folder}: another process took this run meanwhile. The same command looks again.")


def refuse_other(folder, fingerprint, device):
    """Raise RunError where a run was begun on other data than is there now, or on another kind of device.

    fingerprint: of the data. device: "cpu" or "gpu". Half a run on each would be the result of neither.
    """
    if not _begun(folder):
        return
    begun = read(folder, "result.json")["fingerprint"], read(folder, "environment.json")["hardware"]["device"]
    for what, then, now in zip(("data", "device"), begun, (fingerprint, device), strict=True):
        if then != now:
            raise RunError(
                f"{folder}: expected the {what} this run began with, {then}; found {now}. "
                "Take another run.name, or what it began with."
            )


@contextmanager
def held(folder):
    """Hold a run folder, making it where it is not there, so that no second process works in it.

    The lock dies with its process. Raises RunError naming the holder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read().strip() or "another process"
            raise RunError(
                f"{folder}: expected a run that no process works on; held by {holder}. "
                "Wait for it, or take another run.name."
            ) from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {_here()}")
        lock.flush()
        yield


def status(folder):
    """PREDICTION_PROFILE = "prediction_profile.json"  # beside predictions.csv.gz
    RUNNING, FINISHED, INTERRUPTED or FAILED; INTERRUPTED too where the process of a running one is gone."""
    found = read(folder, "result.json")["status"]
    if found == RUNNING and not _is_held(folder):
        return INTERRUPTED
    return found


def finished(folder):
    """The result.json of a run that is finished. Raises RunError with the words that finish it where it is not."""
    result = read(folder, "result.json")
    if result["status"] != FINISHED:
        command = read(folder, "environment.json")["command"]
        raise RunError(f"{folder}: expected a finished run; it is {status(folder)}. Go on with it: {command}")
    return result


def read(folder, name):
    """The JSON object in one file of a run. Raises RunError where it is not there or not whole."""
    try:
        return json.loads((folder / name).read_text())
    except (OSError, ValueError) as error:
        raise RunError(
            f"{folder / name}: expected a file of a run; {error}. `python -m pipeline runs` lists runs."
        ) from None


def write(folder, name, content):
    """Write one JSON file of a run, whole or not at all."""
    with atomic_write(folder / name) as file:
        file.write(json.dumps(content, indent=2, default=str).encode() + b"\n")


def update(folder, **changes):
    """Change entries of a run's result.json."""
    write(folder, "result.json", read(folder, "result.json") | changes)


def _here():
    """The name of the machine, and that of the container where this runs in one."""
    own, host = socket.gethostname(), environment.host()
    return host if own == host else f"{host}, in the container {own}"


def _begun(folder):
    return (folder / "environment.json").exists() and (folder / "result.json").exists()


def _is_held(folder):
    """Asked with no more than the right to read: the run may be another user's, and NFS wants a file that is open for
    reading."""
    try:
        with (folder / ".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
