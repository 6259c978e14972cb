"""The folder of one run: its name, its lock, its files and the status of the run."""

import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pipeline.errors import RunError, nearest
from pipeline.files import atomic_write, open_regular, read_limited
from pipeline.runs.identity import differences, identity
from pipeline.runs.stored_files import KINDS
from pipeline.runtime import environment
from pipeline.spec import DataSpec, spec_from_dict
from pipeline.typed_json import AnyNumber, parse

if TYPE_CHECKING:
    from pipeline.config import Config

MAX_BYTES = 2**28  # of a JSON or text file of a run
RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"


# ---- choosing a folder ----------------------------------------------------------------------------------------------


def check_root(root: str) -> None:
    """Check that the folder of the runs is none yet, or a folder.

    Raises:
        RunError: It is a file.
    """
    if Path(root).exists() and not Path(root).is_dir():
        raise RunError(
            f"run.root={root}: expected a folder, or a path where none is yet; found a file. Choose another."
        )


def choose(config: "Config") -> tuple[Path, bool]:
    """Choose the folder of a run.

    If `run.name` is set and that run exists with the same config, it is resumed if it is unfinished. If its config
    differs, an error lists the differences. Without `run.name`, the name is DATA-MODEL-N. The newest of these runs is
    resumed if it is unfinished and has the same identity. Otherwise the next number is used. With training.resume=never
    no run is resumed.

    Returns:
        The folder, and whether its run is finished.

    Raises:
        RunError: A run of this name cannot be resumed.
    """
    return _named(config) if config.run.name is not None else _numbered(config)


def require_unchanged(folder: Path, config: "Config") -> None:
    """Check that `choose` still returns this folder. The caller must hold the lock of the folder.

    Raises:
        RunError: Another process has started or finished this run in the meantime.
    """
    if choose(config) != (folder, False):
        raise RunError(
            f"{folder}: expected a run that no other process trains; found one that another process has started or "
            "finished. Run the same command again."
        )


def require_same_data_and_device(folder: Path, *, fingerprint: str, device: str) -> None:
    """Check that a run is resumed with the same data and the same kind of device as at its start.

    Args:
        folder: The run folder. For a new run there is nothing to check.
        fingerprint: sha256 of the current data.
        device: The current kind of device, "cpu" or "gpu".

    Raises:
        RunError: The data or the device differs.
    """
    if not _begun(folder):
        return
    begun = read(folder, "result.json")["fingerprint"], read(folder, "environment.json")["hardware"]["device"]
    for name, then, now in zip(("data", "device"), begun, (fingerprint, device), strict=True):
        if then != now:
            raise RunError(
                f"{folder}: expected the same {name} as at the start of this run, {then}; found {now}. "
                f"Choose another run.name, or restore the {name}."
            )


def find(root: str, name: str) -> Path:
    """Return the folder of a stored run.

    Raises:
        RunError: There is no such run.
    """
    folder = Path(root) / name
    if not folder.is_dir():
        known = [path.parent.name for path in Path(root).glob("*/result.json")]
        advice = nearest(name, known) if known else "There are no runs there yet; `make train` starts the first."
        raise RunError(f"run.name={name}: expected a run under {root}/; there is no such run. {advice}")
    return folder


def _named(config: "Config") -> tuple[Path, bool]:
    assert config.run.name is not None
    folder = Path(config.run.root) / config.run.name
    if not _begun(folder):
        return folder, False
    begun, now = read(folder, "environment.json")["identity"]["config"], identity(config)["config"]
    if changed := differences(begun, now):
        raise RunError(
            f"{folder}: expected the config with which this run was started; found other values:\n"
            + "\n".join(f"  {line}" for line in changed)
            + "\nA run is never overwritten. Choose another run.name, or restore these values."
        )
    is_finished = status(folder) == FINISHED
    epochs = read(folder, "result.json").get("asked_epochs", config.training.epochs)
    if is_finished and epochs != config.training.epochs:
        raise RunError(
            f"{folder}: expected training.epochs={epochs}, which this run finished with; found "
            f"{config.training.epochs}. A finished run is not trained further. Choose another run.name."
        )
    if not is_finished and not _may_resume(config):
        raise RunError(
            f"{folder}: expected a new run, since training.resume=never; found one that is {status(folder)}. "
            "Choose another run.name, or resume it with training.resume=auto."
        )
    return folder, is_finished


def _numbered(config: "Config") -> tuple[Path, bool]:
    root, prefix = Path(config.run.root), f"{config.data.choice}-{config.model.choice}"
    suffixes = [path.name[len(prefix) + 1 :] for path in root.glob(f"{prefix}-*")]
    last = max((int(suffix) for suffix in suffixes if suffix.isdigit()), default=0)
    newest = root / f"{prefix}-{last}"
    if newest.is_dir() and not _begun(newest):
        return newest, False  # a process created the folder and then ended, or is about to start the run
    unfinished = _may_resume(config) and _begun(newest) and status(newest) != FINISHED
    if unfinished and read(newest, "environment.json")["identity"] == identity(config):
        return newest, False
    return root / f"{prefix}-{last + 1}", False


def _may_resume(config: "Config") -> bool:
    return config.training.resume == "auto"


def _begun(folder: Path) -> bool:
    return (folder / "environment.json").exists() and (folder / "result.json").exists()


# ---- the lock -------------------------------------------------------------------------------------------------------


@contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock a run folder until the block ends, so that no other process works in it. Create a missing folder.

    The operating system releases the lock if the process is killed.

    Raises:
        RunError: Another process has locked the folder; the message names it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise RunError(
                f"{folder}: expected a run that no other process works on; found it locked by {holder}. "
                "Wait for that process, or choose another run.name."
            ) from None
        file.truncate(0)
        file.write(f"process {os.getpid()} on {_machine()}")
        file.flush()
        yield


def _machine() -> str:
    """Return the name of the machine, and the name of the container if the process runs in one."""
    own, host = socket.gethostname(), environment.host()
    return host if own == host else f"{host}, in the container {own}"


def _is_locked(folder: Path) -> bool:
    """Return whether a process has locked the folder.

    The lock file is opened for reading only: the run may belong to another user, and NFS allows a shared lock only on a
    file that is open for reading.
    """
    try:
        with open_regular(folder / ".lock") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


# ---- files ----------------------------------------------------------------------------------------------------------


def status(folder: Path) -> str:
    """Return RUNNING, FINISHED, INTERRUPTED or FAILED.

    If the recorded status is RUNNING, but no process holds the lock, the run is INTERRUPTED.

    Raises:
        RunError: The folder holds no run, or a damaged one.
    """
    recorded = read(folder, "result.json")["status"]
    if recorded == RUNNING and not _is_locked(folder):
        return INTERRUPTED
    return recorded


def read_finished(folder: Path) -> dict[str, Any]:
    """Return the result.json of a finished run.

    Raises:
        RunError: The run is not finished. The message contains the command that resumes it.
    """
    result = read(folder, "result.json")
    if result["status"] != FINISHED:
        command = read(folder, "environment.json")["command"]
        raise RunError(f"{folder}: expected a finished run; found one that is {status(folder)}. Resume it: {command}")
    return result


class StoredDict(dict[str, Any]):
    """A JSON object of a run's file. A missing key is an error that names the file."""

    def __init__(self, path: Path, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.path = path

    def __missing__(self, key: str) -> NoReturn:
        raise RunError(
            f"{self.path}: expected the entry {key!r}; found none. The file is damaged, or another program wrote it: "
            "restore the run from a backup, or train it again under another name."
        )

    def __reduce__(self) -> tuple[type, tuple[Path, list[tuple[str, Any]]]]:
        """Support copies: the constructor needs the path."""
        return StoredDict, (self.path, list(self.items()))


def read_spec(folder: Path) -> DataSpec:
    """Return the spec of the training data of a run.

    Raises:
        RunError: The file does not exist or is damaged.
    """
    return read_as(folder, "spec.json", spec_from_dict)


def read_as[Content](folder: Path, name: str, build: Callable[[Any], Content]) -> Content:
    """Return the object that is stored in one JSON file of a run.

    Args:
        folder: The run folder.
        name: The name of the file.
        build: Makes the object from the content; raises ValueError if the content is another.

    Raises:
        RunError: The file does not exist or is damaged.
    """
    content = read(folder, name)
    try:
        return build(content)
    except ValueError as error:
        raise _no_file_of_a_run(folder / name, error) from None


def read(folder: Path, name: str) -> Any:
    """Return the content of one JSON file of a run, of the types in `stored_files.KINDS`.

    Raises:
        RunError: The file does not exist or is damaged.
    """
    text = read_text(folder, name)
    try:
        return parse(KINDS.get(name, dict[str, Any]), text, partial(StoredDict, folder / name))
    except ValueError as error:
        raise _no_file_of_a_run(folder / name, error) from None


def read_epochs(folder: Path) -> list[dict[str, float]]:
    """Return the metrics of every epoch of a run, from its metrics.jsonl.

    Raises:
        RunError: The file does not exist or is damaged.
    """
    name = "metrics.jsonl"
    try:
        return [parse(dict[str, AnyNumber], line) for line in read_text(folder, name).splitlines()]
    except ValueError as error:
        raise _no_file_of_a_run(folder / name, error) from None


def read_text(folder: Path, name: str) -> str:
    """Return the content of one text file of a run.

    Raises:
        RunError: The file cannot be read.
    """
    try:
        return read_limited(folder / name, MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _no_file_of_a_run(folder / name, error) from None


def write(folder: Path, name: str, content: Any) -> None:
    """Write one JSON file of a run atomically: after a crash, the file has either the old or the new content.

    Raises:
        OSError: The file cannot be written.
    """
    with atomic_write(folder / name) as file:
        file.write(json.dumps(content, indent=2, default=str).encode() + b"\n")


def _no_file_of_a_run(path: Path, error: Exception | str) -> RunError:
    return RunError(f"{path}: expected a file of a run; {error}. `python -m pipeline runs` lists the runs.")
