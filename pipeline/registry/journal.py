"""The journal of a run: one JSON line per event, written before the event is ingested into the registry.

The first line, the header, holds the ID of the run. The last line is incomplete if the process was killed or the disk
was full. Readers ignore such a line, and the next writer removes it.
"""

import fcntl
import hashlib
import json
import math
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, BinaryIO

from pipeline.errors import RegistryError
from pipeline.files import open_regular, read_limited

FILE_NAME = "registry.jsonl"
BLOCK = 65_536  # bytes read at once when a file is searched backwards
HEADER_START = b'{"run": "'
MAX_HEADER = 100  # bytes
MAX_BYTES = 2**30  # of a journal


class Event(StrEnum):
    """The kinds of journal lines: the values of the key "event"."""

    BEGIN = "begin"
    EPOCH = "epoch"
    EVALUATION = "evaluation"
    ARTIFACT = "artifact"
    PREDICTIONS = "predictions"
    DRIFT = "drift"
    END = "end"


class RunJournal:
    """Appends lines to the journal at one path. Any number of processes may append to the same journal.

    A line that cannot be written, because the disk is full, is kept in memory and written with the next one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.unwritten: list[bytes] = []

    def add(self, event: str, **content: Any) -> None:
        """Append a line. The line survives if the process is killed. It survives a power failure only after `sync`.

        Args:
            event: The kind of the line, an `Event`.
            content: The other entries of the line. An entry "at" replaces the current time.

        Raises:
            OSError: The line cannot be written. The next call tries again to write it.
        """
        line = {"event": event, "at": datetime.now(UTC).isoformat(timespec="microseconds"), **content}
        self.unwritten.append(encode_line(line).encode() + b"\n")
        with self.path.open("a+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = measure_complete_lines(file)
            file.truncate(size)
            header = json.dumps({"run": uuid.uuid4().hex}).encode() + b"\n" if size == 0 else b""
            file.write(header + b"".join(self.unwritten))
        self.unwritten.clear()

    def sync(self) -> None:
        """Flush the journal to disk, so that it survives a power failure.

        This takes milliseconds, so it must not be called in every step.
        """
        with self.path.open("rb") as file:
            os.fsync(file.fileno())


@dataclass(frozen=True, kw_only=True)
class StoredJournal:
    """The complete lines of a journal, as they were read from disk.

    Attributes:
        path: The file.
        run_id: The ID in the header: 32 hexadecimal digits.
        header_size: Bytes of the header.
        content: All complete lines, the header included.
    """

    path: Path
    run_id: str
    header_size: int
    content: bytes

    def parse_lines(self, start: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield (byte offset, line) of each line from byte `start` on, without the header.

        Raises:
            RegistryError: A line is not one that `RunJournal` writes.
        """
        offset = max(start, self.header_size)
        for text in self.content[offset:].splitlines(keepends=True):
            try:
                line = json.loads(text)
                if not isinstance(line["event"], str) or not isinstance(line["at"], str):
                    raise TypeError
            except (ValueError, KeyError, TypeError, RecursionError):
                raise RegistryError(
                    f"{self.path}, byte {offset}: expected a JSON object with event and at; found a damaged line. "
                    "Restore the file from a backup, or move it away."
                ) from None
            yield offset, line
            offset += len(text)


def read_journal(path: str | Path) -> StoredJournal | None:
    """Read the complete lines of a journal.

    Returns:
        The lines; None if the header is incomplete, which happens while another process creates the file.

    Raises:
        RegistryError: The file does not exist, or has no header.
    """
    try:
        content = read_limited(path, MAX_BYTES)
    except OSError as error:
        raise RegistryError(f"{path}: expected the journal of a run; {error.strerror}.") from None
    complete = content[: content.rfind(b"\n") + 1]
    if not complete and HEADER_START.startswith(content[: len(HEADER_START)]):
        return None
    content = complete
    header = content[: content.find(b"\n") + 1]
    run_id = parse_header(header)
    if run_id is None:
        raise RegistryError(f"{path}: expected the journal of a run; found no run ID in its first line.")
    return StoredJournal(path=Path(path), run_id=run_id, header_size=len(header), content=content)


def read_run_id(path: Path) -> str | None:
    """Return the run ID in the header of a journal; None if the file cannot be read or has no valid header."""
    try:
        with open_regular(path) as file:
            return parse_header(file.readline(MAX_HEADER))
    except OSError:
        return None


def parse_header(line: bytes) -> str | None:
    """Return the run ID in a header line; None if it is not a header."""
    try:
        return uuid.UUID(json.loads(line)["run"]).hex
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def has_prefix(path: Path, size: int, sha256: str) -> bool:
    """Return whether the first `size` bytes of the file have this sha256."""
    with open_regular(path) as file:
        return hashlib.sha256(file.read(size)).hexdigest() == sha256


def find_journals(root: str | Path) -> list[Path]:
    """Return the journals of all runs under a root, sorted by the name of the run folder."""
    return sorted(Path(root).glob(f"*/{FILE_NAME}"))


def encode_line(line: dict[str, Any]) -> str:
    """Encode a line as standard JSON, which has no NaN and no infinity: they are written as strings."""
    try:
        return json.dumps(line, default=str, allow_nan=False)
    except ValueError:
        return json.dumps(replace_nonfinite(line), default=str)


def replace_nonfinite(value: Any) -> Any:
    """Return a JSON value with each NaN and infinity in it replaced by a string."""
    match value:
        case dict():
            return {key: replace_nonfinite(item) for key, item in value.items()}
        case list() | tuple():
            return [replace_nonfinite(item) for item in value]
        case float() if not math.isfinite(value):
            return str(value)
    return value


def measure_complete_lines(file: BinaryIO) -> int:
    """Return the number of bytes up to the end of the last complete line of an open file."""
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - BLOCK)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
