"""Names of files that the records of a run can hold."""

import os

from pipeline.errors import DataError


def check_name(path: str) -> None:
    """Check that a path is text: TensorFlow and the records of a run hold paths in UTF-8.

    Raises:
        DataError: It has other bytes.
    """
    try:
        path.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{os.fsencode(path)!r}: expected a path in UTF-8; found other bytes. Rename the file or the folder."
        ) from None
