"""Values of options as they are typed on the command line, for messages that can be pasted."""

import json
import re
import shlex
from typing import Any

WORD = re.compile(r"(?!(?:null|true|false|nan|inf)$)[a-z_]\w*", re.IGNORECASE)  # a string that needs no quotes


def shell_value(value: Any) -> str:
    """Return a value as it is typed after `key=` in a shell: quoted if the shell needs it."""
    return shlex.quote(_hydra_value(value))


def _hydra_value(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_hydra_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(_hydra_value, value)) + "]"
    if isinstance(value, str) and WORD.fullmatch(value):
        return value
    return json.dumps(value)
