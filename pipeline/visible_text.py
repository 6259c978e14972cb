"""Text from data, files and configs of others, made safe to show on a terminal and in a spreadsheet."""

import re
from collections.abc import Iterable
from typing import Any

# control characters except tab and line feed: they move the cursor, change the title, or hide what follows
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_FORMULA = ("=", "+", "-", "@", "\t")


def printable(text: str) -> str:
    r"""Return a text whose control characters are written as escapes: the character 27 as \x1b."""
    return _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def csv_cell(text: str) -> str:
    """Return a text as a cell that no spreadsheet takes for a formula.

    A text that begins with =, +, -, @ or a tab and is no number gets an apostrophe in front, by which spreadsheets mark
    text. Source: OWASP, CSV Injection.
    """
    text = printable(text)
    return f"'{text}" if len(text) > 1 and text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else text


def csv_cells(values: Iterable[Any]) -> list[Any]:
    """Return values as cells that no spreadsheet takes for a formula. What is no text stays as it is."""
    return [csv_cell(value) if isinstance(value, str) else value for value in values]
