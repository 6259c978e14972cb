"""Write files atomically, flush them to disk, and compute their digests."""

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a binary file for writing. It appears under `path` only when it is complete.

    The content goes to a temporary file, which is flushed to disk and renamed at the end. If the block raises an error,
    the temporary file is removed and `path` does not change.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        flush_to_disk(path.parent)  # the rename survives a power failure only if the folder is flushed too
    finally:
        draft.unlink(missing_ok=True)


def open_regular(path: str | Path) -> BufferedReader:
    """Open a regular file for reading.

    Args:
        path: The file. A pipe or a device is refused, since opening or reading it may never end.

    Raises:
        OSError: The file cannot be opened, or is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # opening a pipe that nobody writes to would wait
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    number = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
    raise OSError(number, "expected a regular file; found another kind", str(path))


def read_limited(path: str | Path, most: int) -> bytes:
    """Return the content of a regular file of a limited size. The size is compared before memory is taken.

    Args:
        path: The file.
        most: The largest size in bytes.

    Raises:
        OSError: The file cannot be read, is no regular file, or is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise OSError(errno.EFBIG, f"expected at most {most:,} bytes; found {size:,}", str(path))
        return file.read(size)


def flush_to_disk(path: Path) -> None:
    """Flush a file, or the entries of a folder, from the cache of the operating system to disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: str | Path) -> str:
    """Return the sha256 of a file's content, in hexadecimal."""
    with open_regular(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
