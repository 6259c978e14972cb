"""The meaning of class names and categories: words for no value, spellings that look alike, numbers that are measured.

Nothing here knows a file format. Counts are by value, so that a column of a million rows costs no more than its few
different values.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal

from pipeline.errors import shortened

# casefolded fields that other programs write for a missing value
MISSING_WORDS = frozenset(
    [
        *("", "-", "--", "\u2013", "\u2014", ".", "?", "na", "n/a", "n.a.", "nan", "-nan", "none", "null"),
        *("#na", "#n/a", "#n/a n/a", "<na>", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),
    ]
)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.IGNORECASE)
AROUND_NUMBER = re.compile(r"^\s*[$\u20ac\u00a3\u00a5]\s*|\s*[%$\u20ac\u00a3\u00a5]?\s*$")
THOUSANDS = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d+)?")
LONGEST_NUMBER = 100  # characters; longer texts are not read as numbers
# limits of `looks_continuous`:
FEWEST = 10  # distinct values; fewer are always classes
MANY_CLASSES = 20  # distinct values; fewer whole numbers are measurements only if they have gaps and hardly repeat
ROWS_PER_CLASS = 20  # rows per value; with as many rows, numbers are always classes
ROWS_PER_VALUE = 3  # rows per value; with fewer rows, even numbers without gaps are measurements
SHOWN = 5  # groups of look-alikes in a message


def is_missing_word(text: str) -> bool:
    """Return whether a field looks as if it meant a missing value: "", nan, None, null, NA, N/A, - and so on."""
    return text.strip().casefold() in MISSING_WORDS


def number_of(text: str) -> Decimal | None:
    """Return the finite number that a text is, with sign and decimals; None if it is no number."""
    text = text.strip()
    return Decimal(text) if len(text) < LONGEST_NUMBER and NUMBER.fullmatch(text) else None


def written_number(text: str) -> Decimal | None:
    """Return the number in a text, which may have a decimal comma, commas between thousands, a currency or % sign."""
    plain = AROUND_NUMBER.sub("", text)
    if THOUSANDS.fullmatch(plain):
        return number_of(plain.replace(",", ""))
    return number_of(plain.replace(",", ".", 1))


def class_names(values: Iterable[str]) -> list[str]:
    """Return the distinct values in the order of their indices: by number if all are numbers, otherwise as text."""
    distinct = set(values)
    numbers = {name: number_of(name) for name in distinct}
    if all(number is not None for number in numbers.values()):
        return sorted(distinct, key=lambda name: (numbers[name], name))
    return sorted(distinct)


# ---- spellings ------------------------------------------------------------------------------------------------------


def spelling_key(text: str) -> str:
    """Return the key that all spellings of a value share.

    Upper and lower case, blanks of any kind, composed and decomposed letters, full-width forms, invisible characters
    and the ways to write a number (1, 1.0, +1) make no difference.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    visible = "".join(letter for letter in folded if unicodedata.category(letter) != "Cf").replace("\u2212", "-")
    words = " ".join(visible.split())
    number = number_of(words)
    return words if number is None else format(number.normalize() + 0, "f")


def look_alikes(counts: Mapping[str, int]) -> list[list[str]]:
    """Return the groups of values that differ in spelling only, the most frequent spelling of each first.

    Args:
        counts: Value -> rows.
    """
    groups: dict[str, list[str]] = {}
    for value in most_frequent_first(counts):
        groups.setdefault(spelling_key(value), []).append(value)
    return [group for group in groups.values() if len(group) > 1]


def most_frequent_first(counts: Mapping[str, int]) -> list[str]:
    """Return the values by falling number of rows, those with as many rows in the order of the text."""
    return sorted(counts, key=lambda value: (-counts[value], value))


def merged_spellings(values: Iterable[str], preferred: Iterable[str]) -> dict[str, str]:
    """Return value -> the spelling that stands for it.

    Args:
        values: The values to merge.
        preferred: The spellings to merge into, the first of those that look alike wins. A value that looks like none
            of them stays as it is.
    """
    spelling_of: dict[str, str] = {}
    for spelling in preferred:
        spelling_of.setdefault(spelling_key(spelling), spelling)
    return {value: spelling_of.get(spelling_key(value), value) for value in values}


# ---- what a column of values looks like -----------------------------------------------------------------------------


def have_gaps(span: int | Decimal, count: int) -> bool:
    """Return whether distinct whole numbers leave about half of their range empty.

    Args:
        span: The largest number minus the smallest one.
        count: How many distinct numbers there are.
    """
    return span >= 2 * count


def looks_continuous(counts: Mapping[str, int]) -> bool:
    """Return whether the values of a label look like measurements rather than class names.

    Measurements are many different numbers with few rows each. Whole numbers without gaps, such as the numbers of
    persons, may be classes with fewer rows per value than numbers with gaps or decimals, such as prices.

    Args:
        counts: Value -> rows.
    """
    numbers = [written_number(value) for value in counts]
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or len(known) < FEWEST:
        return False
    rows_per_class = sum(counts.values()) / len(known)
    if any(number % 1 for number in known):
        return rows_per_class < ROWS_PER_CLASS
    has_gaps = have_gaps(max(known) - min(known), len(known))
    if len(known) < MANY_CLASSES:
        return has_gaps and rows_per_class < ROWS_PER_VALUE
    return rows_per_class < (ROWS_PER_CLASS if has_gaps else ROWS_PER_VALUE)


def describe_counts(counts: Mapping[str, int], noun: str) -> str:
    """Return one line about the values of a column, the rarest first: "2 classes: 'a' (2), 'b' (9)"."""
    rarest_first = sorted(counts, key=lambda value: (counts[value], value))
    return f"{len(counts):,} {noun}: {list_counts(counts, rarest_first)}"


def describe_look_alikes(counts: Mapping[str, int], groups: Collection[list[str]]) -> str:
    """Return the groups of spellings in one line: "'no' (31), 'No ' (4); 'yes' (20), 'YES' (1)"."""
    shown = "; ".join(list_counts(counts, group) for group in list(groups)[:SHOWN])
    return shown + ("; ..." if len(groups) > SHOWN else "")


def list_counts(counts: Mapping[str, int], values: list[str]) -> str:
    """Return values with their rows: "'a' (2), 'b' (5)"."""
    return shortened(f"{_visible(value)} ({counts[value]:,})" for value in values)


def _visible(value: str) -> str:
    """Return a text in quotes, with escapes if what is special about it would not show: decomposed or full-width."""
    hidden = any(unicodedata.combining(letter) or "\uff00" <= letter <= "\uffef" for letter in value)
    return ascii(value) if hidden else repr(value)
