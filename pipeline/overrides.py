"""Values of options as they are typed on the command line, for fixes that can be pasted."""

import json
import re
import shlex
from typing import Any

TYPED_BARE = re.compile(r"(/|\.{1,2}/)?[A-Za-z_][\w./-]*", re.ASCII)  # words and usual paths
READ_AS_ANOTHER_TYPE = {"true", "false", "yes", "no", "on", "off", "null", "nan", "inf"}  # if they are not quoted


def shell_argument(key: str, value: Any) -> str:
    """Return `key=value` as it is typed in a shell, quoted as a whole if the shell needs it."""
    return shlex.quote(f"{key}={hydra_value(value)}")


def shell_value(value: Any) -> str:
    """Return a value as it is typed after `key=` in a shell: quoted if the shell needs it."""
    return shlex.quote(hydra_value(value))


def hydra_value(value: Any) -> str:
    """Return a value in the grammar of Hydra's overrides."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_dict_key(key)}: {hydra_value(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(hydra_value, value)) + "]"
    if not isinstance(value, str):
        return json.dumps(value)
    if TYPED_BARE.fullmatch(value) and value.lower() not in READ_AS_ANOTHER_TYPE:
        return value
    return quoted(value)


def quoted(text: str) -> str:
    """Return a text in double quotes. Hydra takes a backslash for an escape only before a quote.

    `${` is escaped, so that it stays text when the argument is pasted.
    """
    text = escape_interpolation(text)
    return '"' + re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + ('\\"' if found[2] else ""), text) + '"'


def escape_interpolation(text: str) -> str:
    """Return the text that OmegaConf reads as this one, without resolving a `${...}` in it."""
    return re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", text)


def _dict_key(key: object) -> str:
    return hydra_value(str(key))
