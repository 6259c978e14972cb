"""The journal of one run: a line of JSON for everything that the registry will know of it, written before the registry.

The first line holds the run's own id. A line that a kill or a full disk cut short is taken away by the next writer,
and no reader looks at it.
"""

import fcntl
import hashlib
import json
import math
import os
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

from pipeline.errors import RegistryError

FILE_NAME = "registry.jsonl"


class Event(StrEnum):
    """The kinds of lines; the "event" of a line."""

    BEGIN = "begin"
    EPOCH = "epoch"
    EVALUATION = "evaluation"
    ARTIFACT = "artifact"
    PREDICTIONS = "predictions"
    DRIFT = "drift"
    END = "end"


class RunJournal:
    """The journal at one path, to be added to by any number of processes.

    What cannot be written, on a full disk, is kept and written with the next line.
    """

    def __init__(self, path):
        self.path = Path(path)
        self.unwritten = []

    def add(self, event, **content):
        """Put a line at the end, where a kill of the process cannot reach it. Raises OSError where that cannot be done;
        the line is then tried again."""
        line = {"event": event, "at": datetime.now(UTC).isoformat(timespec="microseconds"), **content}
        self.unwritten.append(encode_line(line).encode() + b"\n")
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = whole_size(file)
            file.truncate(size)
            head = json.dumps({"run": uuid.uuid4().hex}).encode() + b"\n" if size == 0 else b""
            file.write(head + b"".join(self.unwritten))
        self.unwritten.clear()

    def sync(self):
        """Put what was added on disk, where a power cut cannot reach it: a few milliseconds, not for a step's loop."""
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


def encode_line(value):
    """JSON that every program reads: NaN and infinity, which JSON has no numbers for, are told as text."""
    try:
        return json.dumps(value, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(finite_json(value), default=str)


def finite_json(value):
    match value:
        case dict():
            return {key: finite_json(part) for key, part in value.items()}
        case list() | tuple():
            return [finite_json(part) for part in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


def whole_size(file):
    """Bytes up to the end of the last whole line of an open file."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n")
        if cut >= 0:
            return start + cut + 1
        end = start
    return 0


def read_journal(path):
    """(id of the run, bytes of the first line, bytes of all whole lines) of a journal; (None, 0, b"") where no line is
    whole yet.

    Raises RegistryError where there is none, or its first line is not ours.
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise RegistryError(f"{path}: expected the journal of a run; {error.strerror}.") from None
    content = content[: content.rfind(b"\n") + 1]
    if not content:
        return None, 0, b""
    first = content[: content.find(b"\n") + 1]
    try:
        return uuid.UUID(json.loads(first)["run"]).hex, len(first), content
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RegistryError(f"{path}: expected the journal of a run; its first line names none.") from None


def parse_lines(path, content, start):
    """Yield (offset, line as a dict) of the whole lines from byte `start` on. Raises RegistryError for what is none."""
    offset = start
    for line in content[start:].splitlines(keepends=True):
        try:
            found = json.loads(line)
            if not isinstance(found["event"], str) or not isinstance(found["at"], str):
                raise TypeError
        except (ValueError, KeyError, TypeError):
            raise RegistryError(f"{path}, byte {offset}: expected a line of JSON; the journal is damaged.") from None
        yield offset, found
        offset += len(line)


def has_prefix(path, size, sha256):
    """Whether the first `size` bytes of a journal have this sha256."""
    with Path(path).open("rb") as file:
        return hashlib.sha256(file.read(size)).hexdigest() == sha256


def read_run_id(path):
    """The run's id in the first line of a journal; None where there is no such line."""
    with Path(path).open("rb") as file:
        try:
            return uuid.UUID(json.loads(file.readline(100))["run"]).hex
        except (ValueError, KeyError, TypeError, AttributeError):
            return None


def find_journals(root):
    """The journals of all runs under a root, by name."""
    return sorted(Path(root).glob(f"*/{FILE_NAME}"))
