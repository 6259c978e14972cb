"""The memory of the machine or container, and whether data fits into it before it is read."""

import os
from collections.abc import Iterator
from pathlib import Path

from pipeline.errors import DataError

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")  # of a container
MEMINFO = Path("/proc/meminfo")


def total() -> int:
    """Return the bytes of memory of the machine or container."""
    return min([os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits()])


def available() -> int:
    """Return the bytes of memory that the program can still get, swap not included."""
    free = [int(line.split()[1]) * 1024 for line in _lines(MEMINFO) if line.startswith("MemAvailable:")]
    return min([total(), *free])


def check_fits(size: int, location: str) -> None:
    """Check that values fit into the available memory, before they are read.

    Args:
        size: The bytes that they take at least.
        location: The file, for the error message.

    Raises:
        DataError: They do not.
    """
    most = available()
    if size > most:
        raise DataError(
            f"{location}: expected at most {most / 2**30:,.1f} GiB of values, the memory that is available; found "
            f"{size / 2**30:,.1f} GiB. Read fewer rows or columns, or use a machine with more memory."
        )


def _limits() -> Iterator[int]:
    for path in map(Path, LIMITS):
        for text in _lines(path):
            if text.isdigit():
                yield int(text)


def _lines(path: Path) -> list[str]:
    return path.read_text().split("\n") if path.exists() else []
