"""Arguments as a person types them, brought into Hydra's grammar.

Hydra takes only some characters in a value that is not quoted: neither umlauts nor ~ ; # & ( or a lone comma. Here the
values that it cannot read are put in quotes.
"""

import re
import shlex

from pipeline.overrides import READ_AS_ANOTHER_TYPE, quoted

OPENING, CLOSING = "([{", ")]}"
ENCODED_KEY = re.compile(r"__key_([0-9a-f]*)")  # Hydra cannot quote a key
PLAIN_KEY = re.compile(r"[A-Za-z_][\w .-]*", re.ASCII)
LITERAL = re.compile(r"""[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|true|false|null""", re.IGNORECASE)
PLAIN = re.compile(r"[\w./*?%@$|\\+-]+( [\w./*?%@$|\\+-]+)*", re.ASCII)


def in_grammar(override: str) -> str | None:
    """Return `key=value` with quotes around the texts of its value that need them.

    Returns:
        None if it is no `key=value`, or if brackets or quotes do not match, so that nobody can know what it means.
    """
    key, equals, value = override.partition("=")
    if not equals:
        return None
    text = _in_grammar(value.strip()) if value.strip() else quoted(value)
    return None if text is None else f"{key}={text}"


def as_list(override: str) -> str:
    """Return `key=[value]` for `key=value`."""
    key, _, value = override.partition("=")
    return f"{key}=[{value}]"


def sweep_fixes(override: str) -> str:
    """Return what to type instead of `key=a,b`: a list, or a text with a comma."""
    key, _, value = override.partition("=")
    return f"{shlex.quote(as_list(override))} for a list, {shlex.quote(f'{key}={quoted(value)}')} for a text"


def decoded_key(key: str) -> str:
    """Return the key of a dict as it was typed."""
    found = ENCODED_KEY.fullmatch(key)
    return bytes.fromhex(found[1]).decode() if found else key


def _in_grammar(value: str) -> str | None:
    if _is_quoted(value) or LITERAL.fullmatch(value) or PLAIN.fullmatch(value):
        return value
    if value[:1] not in ("[", "{"):
        # a lone quote at the start was meant to be closed
        return None if value[:1] in ("'", '"') else quoted(value)
    if _closing_of(value[:1]) != value[-1:] or len(value) < 2:
        return None
    entries = _split(value[1:-1], ",")
    if entries is None:
        return None
    entries = [entry.strip() for entry in entries] if value[1:-1].strip() else []
    texts = [_pair(entry) if value[0] == "{" else _in_grammar(entry) for entry in entries]
    return None if None in texts else value[0] + ", ".join(filter(None, texts)) + value[-1]


def _pair(entry: str) -> str | None:
    """Return `key: value` with a key that Hydra takes, encoded if it has other characters."""
    parts = _split(entry, ":")
    if parts is None or len(parts) < 2:
        return None
    key, value = parts[0].strip(), ":".join(parts[1:]).strip()
    text = _in_grammar(value)
    if _is_quoted(key):
        key = re.sub(r"\\(.)", r"\1", key[1:-1])
    if not PLAIN_KEY.fullmatch(key) or key.lower() in READ_AS_ANOTHER_TYPE:
        key = f"__key_{key.encode().hex()}"
    return None if text is None else f"{key}: {text}"


def _closing_of(opening: str) -> str:
    return CLOSING[OPENING.index(opening)]


def _is_quoted(text: str) -> bool:
    return bool(re.fullmatch(r"""(["'])(?:(?!\1)[^\\]|\\.)*\1""", text, re.DOTALL))


def _split(text: str, separator: str) -> list[str] | None:
    """Split at a separator outside quotes and brackets; None if one of these is not closed."""
    pieces, start, closing, index = [], 0, "", 0
    while index < len(text):
        letter = text[index]
        at_start = not text[start:index].strip()
        if letter in "\"'" and (at_start or closing):
            end = index + 1
            while end < len(text) and text[end] != letter:
                end += 2 if text[end] == "\\" else 1
            if end >= len(text):
                return None
            index = end
        elif letter in OPENING:
            closing += _closing_of(letter)
        elif closing and letter == closing[-1]:
            closing = closing[:-1]
        elif letter in "]}":
            return None
        elif letter == separator and not closing:
            pieces.append(text[start:index])
            start = index + 1
        index += 1
    return None if closing else [*pieces, text[start:]]
