"""Results of a run that are stored in its result.json by label."""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.errors import RunError


def read_by_label[Stored](
    result: Mapping[str, Any], key: str, build: Callable[[dict[str, Any]], Stored]
) -> dict[str, Stored]:
    """Return label -> the object that was stored for it; {} if nothing was stored.

    Args:
        result: The content of the result.json.
        key: The key of the objects.
        build: Makes an object from its stored fields.

    Raises:
        RunError: The fields are not those of such an object.
    """
    try:
        return {name: build(fields) for name, fields in result.get(key, {}).items()}
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise RunError(f"result.json of the run: expected {key}; {error}. Restore the file from a backup.") from None
