"""The files of the installed packages against the digests that their wheels came with. Imports no TensorFlow."""

import base64
import csv
import hashlib
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path


def changed_files(packages: Iterable[str]) -> tuple[int, list[str]]:
    """Compare the files of packages with their RECORD, the list of digests that a wheel contains.

    Args:
        packages: The names of the packages. One that is not installed is a matter of the lock, and passed over.

    Returns:
        count: The number of compared files.
        changed: What differs: "PATH" of a file that is missing or has other content, or "NAME: no RECORD".
    """
    count, changed = 0, []
    for name in packages:
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        record = distribution.read_text("RECORD")
        if not record:
            changed.append(f"{name}: no RECORD")
            continue
        for path, digest in _digests(record):
            count += 1
            if not _has_digest(Path(str(distribution.locate_file(path))), digest):
                changed.append(path)
    return count, changed


def _digests(record: str) -> Iterator[tuple[str, str]]:
    """Yield path and sha256 of each file. RECORD itself, and files that are compiled here, have none."""
    for path, digest, _ in csv.reader(record.splitlines()):
        algorithm, _, value = digest.partition("=")
        if algorithm == "sha256":
            yield path, value


def _has_digest(path: Path, digest: str) -> bool:
    """Return whether a file has a sha256, written as in RECORD: URL-safe base64 without padding."""
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").digest()
    except OSError:
        return False
    return base64.urlsafe_b64encode(found).rstrip(b"=").decode() == digest
