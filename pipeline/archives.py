"""ZIP archives whose members are not compressed, such as model files and arrays of NumPy."""

import zipfile
from pathlib import Path


def check_stored(path: Path) -> int:
    """Check that an archive holds no more bytes than it has, so that reading it needs no more memory than that.

    Returns:
        The size of the archive in bytes.

    Raises:
        ValueError: It holds more.
        OSError: It cannot be read.
        zipfile.BadZipFile: It is no archive.
    """
    with zipfile.ZipFile(path) as archive:
        content = sum(member.file_size for member in archive.infolist())
    size = path.stat().st_size
    if content > size:
        raise ValueError(f"it unpacks to {content:,} bytes, more than its own {size:,}.")
    return size
