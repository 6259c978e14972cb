"""Files with their sha256 beside them, in the format of `sha256sum --check`: NAME and NAME.sha256."""

import hashlib
import re
from pathlib import Path

from pipeline.files import atomic_write, read_limited

MAX_BYTES = 1_000  # of the file with the sha256
SHA256 = re.compile("[0-9a-f]{64}")


def digest_path(path: Path) -> Path:
    """Return the path of the file that holds the sha256 of a file."""
    return path.with_name(f"{path.name}.sha256")


def write(path: Path, content: bytes) -> None:
    """Write a file, then its sha256.

    Raises:
        OSError: One cannot be written.
    """
    digest = f"{hashlib.sha256(content).hexdigest()}  {path.name}\n".encode()
    for target, data in ((path, content), (digest_path(path), digest)):
        with atomic_write(target) as file:
            file.write(data)


def read_digest(path: Path) -> str:
    """Return the sha256 that is stored beside a file.

    Raises:
        OSError: Its file cannot be read.
        ValueError: Its file holds no sha256.
    """
    words = read_limited(digest_path(path), MAX_BYTES).decode(errors="replace").split()
    if not words or not SHA256.fullmatch(words[0]):
        raise ValueError(f"{digest_path(path)}: expected a sha256; found {' '.join(words)[:64]!r}")
    return words[0]
