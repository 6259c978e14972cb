"""Results of a run that are stored in its result.json by label."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import RunError
from pipeline.typed_json import convert


def read_by_label[Stored](result: Mapping[str, Any], key: str, kind: type[Stored]) -> dict[str, Stored]:
    """Return label -> the object that was stored for it; {} if nothing was stored.

    Args:
        result: The content of the result.json.
        key: The key of the objects.
        kind: The dataclass of an object.

    Raises:
        RunError: The entries are not those of such an object.
    """
    try:
        return convert(dict[str, kind], result.get(key, {}), key)
    except ValueError as error:
        raise RunError(f"result.json of the run: {error}. Restore the file from a backup.") from None
