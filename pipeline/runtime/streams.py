"""Standard streams that are missing, or that their reader closes while the program runs."""

import io
import os
import sys
from typing import override


def open_missing() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file that is opened gets the number of the stream, and receives what libraries print.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number
    sys.stdin = sys.stdin or open(0)  # noqa: SIM115  closed at the end of the process
    sys.stdout = sys.stdout or open(1, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w")  # noqa: SIM115


def discard(stream: object) -> None:
    """Send the rest of a stream's output to the null device, what it still buffers included."""
    if isinstance(stream, io.TextIOWrapper):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)


class LastingStream(io.TextIOWrapper):
    """A stream that discards further output once its reader has closed the pipe."""

    @override
    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError:
            discard(self)
            return len(text)

    @override
    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            discard(self)
            super().flush()


def outlive_readers() -> None:
    """Let the program continue without a reader of its output: a training must not end with its terminal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is getattr(sys, f"__{name}__") and isinstance(stream, io.TextIOWrapper):
            settings = {"encoding": stream.encoding, "errors": stream.errors, "line_buffering": stream.line_buffering}
            setattr(sys, name, LastingStream(stream.detach(), **settings))
