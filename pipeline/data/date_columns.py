"""Columns of dates as numbers: days since 1970, and the day of the week and of the year as points on a circle."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace

from pipeline.data.categories import is_missing_word
from pipeline.data.table_columns import NumberColumn, TableFile
from pipeline.errors import DataError
from pipeline.lazy import np

PARTS = ("days", "weekday_sin", "weekday_cos", "yearday_sin", "yearday_cos")
FIRST_WEEKDAY = 3  # of 1970-01-01, a Thursday; Monday is 0


def part_names(dates: Sequence[str]) -> tuple[str, ...]:
    """Return the names of the columns of numbers that columns of dates give."""
    return tuple(f"{name}.{part}" for name in dates for part in PARTS)


def dates_among(numeric: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of dates whose columns of numbers are among the given ones."""
    bases = [name.removesuffix(f".{PARTS[0]}") for name in numeric if name.endswith(f".{PARTS[0]}")]
    return tuple(base for base in bases if {*part_names([base])} <= {*numeric})


def is_date(text: str) -> bool:
    """Return whether a text is a date, or a date and a time, in ISO 8601 with hyphens."""
    return text.strip()[4:5] == "-" and _days(text) is not None


def with_date_parts(file: TableFile, dates: Sequence[str], missing: Collection[str]) -> TableFile:
    """Return a file with the columns of numbers that its columns of dates give.

    Args:
        file: The columns of dates are among its texts.
        dates: The columns of dates.
        missing: The fields that mean a missing value, without blanks around them.

    Raises:
        DataError: A field is neither a date nor missing. The message names its line and column.
    """
    numbers = dict(file.numbers)
    for name in dates:
        column = file.texts[name]
        days = [_days(value) for value in column.values]
        words = [value for value, number in zip(column.values, days, strict=True) if number is None]
        rows = column.counts
        taken = Counter({value.strip(): rows[value] for value in words if value.strip() in missing})
        undecided = {
            value.strip(): column.first_row([value])
            for value in words
            if value.strip() not in taken and is_missing_word(value)
        }
        if wrong := [value for value in words if value.strip() not in taken and value.strip() not in undecided]:
            row = column.first_row(wrong)
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected a date like 2024-01-31 or 2024-01-31T12:00, "
                f"since data.dates names the column; found {column.text(row)!r}. Write the dates in this form, or "
                "remove the column from data.dates."
            )
        distinct = np.array([np.nan if number is None else number for number in days])
        for part, values in zip(part_names([name]), date_parts(distinct), strict=True):
            numbers[part] = NumberColumn(values[column.codes], taken, undecided, None)
            taken, undecided = Counter(), {}  # counted once per column of dates
    return replace(file, numbers=numbers)


def date_parts(days: np.ndarray) -> list[np.ndarray]:
    """Return the numbers of dates in the order of PARTS: (dates,) float64 each, NaN for a missing date.

    The day of the week begins at 0 on Monday, and the day of the year at 0 on 1 January. Both are divided by the number
    of days of the week or of that year to give the angle.

    Args:
        days: (dates,) float64, days since 1970 with fractions; NaN if missing.
    """
    known = np.isfinite(days)
    dates = np.floor(np.where(known, days, 0)).astype("datetime64[D]")
    years = dates.astype("datetime64[Y]")
    first, following = years.astype("datetime64[D]"), (years + np.timedelta64(1, "Y")).astype("datetime64[D]")
    weekday = (dates.astype(np.int64) + FIRST_WEEKDAY) % 7 / 7
    yearday = (dates - first) / (following - first)
    angles = [2 * np.pi * np.where(known, share, np.nan) for share in (weekday, yearday)]
    return [days, *(function(angle) for angle in angles for function in (np.sin, np.cos))]


def _days(text: str) -> float | None:
    """Return the days since 1970 of a date, with a fraction for its time; None for another text.

    A time with an offset from UTC is converted to UTC. A time without one is used as it is.
    """
    try:
        moment = datetime.datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    moment = moment.replace(tzinfo=moment.tzinfo or datetime.UTC)
    return (moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) / datetime.timedelta(days=1)
