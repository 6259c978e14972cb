"""Which columns of a table are numbers, categories and text: names, patterns and ranges resolved against the header."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pipeline.data.date_columns import part_names
from pipeline.errors import DataError, nearest
from pipeline.overrides import shell_argument

ALL = "*"
RANGE = ".."


@dataclass(frozen=True)
class Roles:
    """The columns of each role, in the order of the options, and of the header within a pattern or range.

    Attributes:
        numeric: The columns of numbers, and last those that columns of dates give.
        numbers_only: The columns of `numeric` that only '*' selects. They are left out if they hold text.
        labels: The columns of all labels.
        members: Label -> its columns, for each label whose classes are columns.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    text: tuple[str, ...]
    numbers_only: frozenset[str]
    labels: tuple[str, ...] = ()
    members: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def assign_roles(
    header: Sequence[str],
    location: str,
    *,
    labels: Sequence[str],
    numeric: Sequence[str],
    categorical: Sequence[str],
    text: Sequence[str],
    exclude: Sequence[str],
    dates: Sequence[str],
    members: Mapping[str, Sequence[str]],
) -> Roles:
    """Resolve the names, patterns and ranges of each role.

    A name that the header has is meant literally, whatever characters it holds. Otherwise `*` stands for any
    characters, and `FIRST..LAST` for all columns from one to another. A column that is named keeps its role: patterns
    and ranges of other roles leave it out. `numeric='*'` selects every column of numbers without another role.

    Args:
        header: The names of the columns, in order.
        location: The location of the header, for error messages.
        labels: The columns to predict.
        numeric: Names, patterns and ranges of columns of numbers.
        categorical: Likewise, of categories.
        text: Likewise, of free text.
        exclude: Likewise, of columns that no pattern or range selects.
        dates: Likewise, of dates, which are read as columns of numbers.
        members: Label -> likewise, of the columns that are its classes. Such a label is no column itself.

    Raises:
        DataError: The header lacks a column, or has a selected one twice.
    """
    roles = {"numeric": numeric, "categorical": categorical, "text": text, "dates": dates}
    named = {name for selectors in (*roles.values(), labels) for name in selectors if name in header}
    taken = {name for selector in exclude for name in matches(header, selector, location)}
    label_columns: dict[str, tuple[str, ...]] = {name: (name,) for name in labels}
    for label, selectors in members.items():
        selected = [
            name
            for selector in selectors
            for name in matches(header, selector, location)
            if selector in header or (name not in named and name not in taken)
        ]
        label_columns[label] = tuple(dict.fromkeys(selected))
        taken.update(selected)
        if not selected:
            raise DataError(
                f"{location}: expected columns of the label {label!r}; found none without another role for "
                f"{', '.join(selectors)}. Name them: data.multi_label_columns."
            )
    of_labels = tuple(name for columns in label_columns.values() for name in columns)
    taken.update(labels, of_labels)
    for name in of_labels:
        check_once(header, name, location)
    # '*' alone takes what is left, in the order numeric, categorical, text
    found: dict[str, list[str]] = {role: [] for role in roles}
    for everything in (False, True):
        for role, selectors in roles.items():
            for selector in selectors:
                is_name = selector in header
                if (selector == ALL and not is_name) != everything:
                    continue
                for name in matches(header, selector, location):
                    if is_name or (name not in named and name not in taken):
                        check_once(header, name, location)
                        found[role].append(name)
                        taken.add(name)
    others = [selector for selector in numeric if selector != ALL]
    named_numbers = {name for selector in others for name in matches(header, selector, location)}
    numbers_only = frozenset(found["numeric"]) - named_numbers if ALL in numeric and ALL not in header else frozenset()
    parts = part_names(found["dates"])
    if repeated := [name for name in parts if name in header]:
        raise DataError(
            f"{location}: expected no column {repeated[0]!r}, since data.dates gives a column of this name; found one. "
            "Rename it."
        )
    return Roles(
        (*found["numeric"], *parts),
        tuple(found["categorical"]),
        tuple(found["text"]),
        numbers_only,
        of_labels,
        {label: label_columns[label] for label in members},
    )


def matches(header: Sequence[str], selector: str, location: str) -> list[str]:
    """Return the columns that a name, pattern or range selects, in the order of the header.

    Raises:
        DataError: There is none.
    """
    if selector in header:
        return [selector]
    first, range_sign, last = selector.partition(RANGE)
    if range_sign and first in header and last in header:
        start, end = header.index(first), header.index(last)
        if start > end:
            raise DataError(
                f"{location}: expected column {first!r} before {last!r}, since {selector!r} is asked for; found it "
                f"after. Write {last}{RANGE}{first}."
            )
        return list(dict.fromkeys(header[start : end + 1]))
    if ALL in selector:
        pattern = re.compile(".*".join(map(re.escape, selector.split(ALL))), re.DOTALL)
        found = [name for name in dict.fromkeys(header) if pattern.fullmatch(name)]
        if found:
            return found
        known = nearest(selector, header)
        raise DataError(f"{location}: expected columns that match {selector!r}; found none. {known}")
    check_once(header, selector, location)
    return [selector]


def check_once(header: Sequence[str], name: str, location: str) -> None:
    """Check that a header has a column, and has it once.

    Raises:
        DataError: It has not.
    """
    count = header.count(name)
    if not count:
        raise DataError(f"{location}: expected a column {name!r}; found none. {nearest(name, header)}")
    if count > 1:
        raise DataError(
            f"{location}: expected a column {name!r} once; found it {count} times. Rename one, or, if a pattern "
            f"selects it, leave it out: {shell_argument('data.exclude', [name])}."
        )
