"""Logging: messages on the terminal, and the run.log of each run.

Every module logs to `logging.getLogger(__name__)`. The result of a command is printed on stdout instead.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from logging.handlers import MemoryHandler
from pathlib import Path
from typing import override

from pipeline.visible_text import printable

FILE_NAME = "run.log"
MAX_BUFFERED = 10_000  # largest number of messages that are kept until the run folder is known


def configure() -> None:
    """Print messages of level INFO and above on stderr. A second call changes nothing."""
    package = logging.getLogger("pipeline")
    package.setLevel(logging.DEBUG)
    package.propagate = False  # not on the root logger, to which libraries add their own handlers
    if not any(isinstance(handler, Terminal) for handler in package.handlers):
        package.addHandler(Terminal(logging.INFO))


class Terminal(logging.Handler):
    """Prints messages; warnings and errors start with their level."""

    @override
    def emit(self, record: logging.LogRecord) -> None:
        level = f"{record.levelname.lower()}: " if record.levelno >= logging.WARNING else ""
        with suppress(OSError):  # a closed terminal must not stop a run
            print(f"{level}{printable(record.getMessage())}", file=sys.stderr, flush=True)


class RunLog(MemoryHandler):
    """Collects all messages, and writes them to run.log once the folder of the run is known."""

    def __init__(self) -> None:
        super().__init__(MAX_BUFFERED, flushLevel=logging.CRITICAL + 1)

    def open(self, folder: Path) -> None:
        """Append the collected messages, and all later ones, to the run.log in `folder`.

        Raises:
            OSError: The file cannot be opened.
        """
        self.setTarget(RunLogFile(folder / FILE_NAME))
        self.flush()
        self.capacity = 1  # flushes after every line

    @override
    def close(self) -> None:
        file = self.target
        super().close()
        if file is not None:
            file.close()


class RunLogFile(logging.FileHandler):
    """The file run.log: time in UTC, level and message. A message that cannot be written is dropped."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, encoding="utf-8")
        formatter = logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%SZ")
        formatter.converter = time.gmtime
        self.setFormatter(formatter)

    @override
    def handleError(self, record: logging.LogRecord) -> None:
        """Do nothing: a run continues without its log if the disk is full."""

    @override
    def close(self) -> None:
        with suppress(OSError):  # text that could not be written earlier
            super().close()


@contextmanager
def collected() -> Iterator[RunLog]:
    """Collect the messages of the block for a run.log."""
    package = logging.getLogger("pipeline")
    log = RunLog()
    package.addHandler(log)
    try:
        yield log
    finally:
        package.removeHandler(log)
        log.close()
