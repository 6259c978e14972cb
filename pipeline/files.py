"""Files that are there whole or not at all, and what is in them."""

import hashlib
import os
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(path: Path):
    """A binary file to write into, put on disk and renamed to `path` at the end, removed if that is not reached."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with draft.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        sync(path.parent)  # the rename is on disk once the folder is
    finally:
        draft.unlink(missing_ok=True)


def sync(path):
    """Have the system put a file, or the entries of a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path):
    """sha256 of a file's content, in hexadecimal."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
