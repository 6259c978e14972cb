"""Read YAML files that may come from anyone: no tags, no aliases, of a limited size."""

from pathlib import Path
from typing import Any

import yaml

from pipeline.files import read_limited

MAX_BYTES = 2**20  # a config has a few KiB
MAX_DEPTH = 50  # levels of dicts and lists; the time to parse grows with the square of the levels


def read(path: Path) -> dict[str, Any]:
    """Read a YAML file that holds a dict.

    Raises:
        OSError: The file cannot be read, is no regular file, or is too large.
        ValueError: It is not such YAML. The message names the line.
    """
    text = read_limited(path, MAX_BYTES).decode()
    check_plain(text)
    values = yaml.safe_load(text)
    if not isinstance(values, dict):
        raise ValueError("found no keys and values")
    return {str(key): value for key, value in values.items()}


def check_plain(text: str) -> None:
    """Check that a YAML text has few levels, and neither tags nor aliases: tags create objects, aliases multiply.

    Raises:
        ValueError: It has one, or it is no YAML. The message names the line.
    """
    depth = 0
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            line = event.start_mark.line + 1
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise ValueError(f"found more than {MAX_DEPTH} levels in line {line}")
            if isinstance(event, yaml.AliasEvent):
                raise ValueError(f"found an alias (*{event.anchor}) in line {line}")
            tag = getattr(event, "tag", None)
            if tag:
                raise ValueError(f"found a tag ({tag}) in line {line}")
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" in line {mark.line + 1}" if mark else ""
        raise ValueError(f"found no valid YAML{line}: {getattr(error, 'problem', None) or error}") from None
