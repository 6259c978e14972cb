"""Run one case, and compare what happened with the verdict."""

import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from fuzz.grammar import Verdict

from pipeline.cli.main import REFUSED
from pipeline.data import splits
from pipeline.data.containers import Images, Sequences, Table
from pipeline.errors import ExitStatus, PipelineError

LIMIT = 30  # seconds, after which a case hangs
# audit events of code that runs, and of connections
FORBIDDEN = {
    *("os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system", "subprocess.Popen"),
    *("pickle.find_class", "marshal.loads", "shutil.rmtree", "socket.connect", "socket.getaddrinfo", "webbrowser.open"),
}


class Hang(BaseException):
    """A case that did not end in time. No Exception, so that the program cannot take it for one of its own."""


class _Audit:
    """Records forbidden events while a case runs. An audit hook cannot be removed."""

    def __init__(self) -> None:
        self.events: list[str] | None = None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: tuple) -> None:
        if self.events is not None and event in FORBIDDEN and not _is_import(event):
            self.events.append(f"{event}{arguments!r:.200}")


def _is_import(event: str) -> bool:
    """Return whether compiled modules are loaded, which is no input."""
    frame = sys._getframe()
    while event == "marshal.loads" and frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


_audit = _Audit()


def _raise_hang(number: int, frame: Any) -> None:
    raise Hang


@contextmanager
def _watched() -> Iterator[list[str]]:
    """Yield the list of forbidden events of the block. Raises Hang if the block does not end in time."""
    before = signal.signal(signal.SIGALRM, _raise_hang)
    signal.alarm(LIMIT)
    _audit.events = events = []
    try:
        yield events
    finally:
        _audit.events = None
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(action: Callable[[], Any], verdict: Verdict, expected: Callable[[], Any]) -> str | None:
    """Return what is wrong with the outcome of an action; None if it is as the verdict says.

    Args:
        action: Returns the values that were read, or raises what the program raises.
        verdict: What it must do.
        expected: Returns the values of the input before it was changed.
    """
    values, refusal = None, ""
    try:
        with _watched() as events:
            values = action()
    except Hang:
        return f"hang: no end within {LIMIT} s"
    except (PipelineError, OSError) as error:
        handled = error.errno in REFUSED if isinstance(error, OSError) else error.status == ExitStatus.USER_ERROR
        if not handled:
            return f"traceback: {traceback.format_exc()}"
        refusal = str(error)
    except Exception:
        return f"traceback: {traceback.format_exc()}"
    if events:
        return f"executed: {events}"
    if verdict is Verdict.WRONG and not refusal:
        return "silent: accepted"
    if verdict is Verdict.RIGHT and refusal:
        return f"refused: {refusal}"
    if verdict is Verdict.RIGHT and (difference := _difference(expected(), values)):
        return f"read another value: {difference}"
    return None


def read_values(source: Any) -> dict[str, np.ndarray]:
    """Read a data set as a training does. Returns its columns and labels by name, of all splits that it has."""
    data = splits.load(source)
    values = {}
    for split_name, split in data.splits.items():
        for label, column in split.labels.items():
            values[f"{split_name}, {label}"] = column
        for name, column in split.features.items() if isinstance(split, Table) else ():
            if isinstance(column, Images):
                column = np.stack([column.pixels(row) for row in range(len(column))])
            if isinstance(column, Sequences):
                values[f"{split_name}, {name}, offsets"], column = column.offsets, column.values
            for index, own in enumerate(data.spec.features[name].columns):
                values[f"{split_name}, {own}"] = column[..., index]
            if not data.spec.features[name].columns:
                values[f"{split_name}, {name}"] = column
    return values


def _difference(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> str:
    for name in sorted(expected.keys() | found.keys()):
        if name not in expected or name not in found:
            return f"{name} is in one of them"
        if not np.array_equal(expected[name], found[name]):
            return f"{name}: {expected[name]!r:.300} became {found[name]!r:.300}"
    return ""


def keep(folder: Path, text: str) -> None:
    """Write how to repeat a case beside its files."""
    (folder / "REPEAT.txt").write_text(text + "\n", errors="surrogateescape")
