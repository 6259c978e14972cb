"""Splits by the values of a column: the name of a split, a group whose rows stay together, or a time."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Callable, Mapping

import numpy as np

from pipeline.data.containers import SPLIT_NAMES
from pipeline.errors import DataError

DAY = 86_400.0  # seconds
SPLIT_WORDS = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "val": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}

RowLocation = Callable[[int], str]


# ---- groups ---------------------------------------------------------------------------------------------------------


def assign_groups(
    groups: np.ndarray, strata: np.ndarray, shares: Mapping[str, float], *, seed: int, option: str
) -> dict[str, np.ndarray]:
    """Assign rows to splits so that the rows of a group stay together.

    The groups are assigned one by one, large groups first and groups of one size in an order that the seed decides,
    each to the split that is then nearest to its share of all rows and of each stratum (by the sum of squared
    deviations divided by the share, as in a chi-square statistic).

    Args:
        groups: (rows,) the index of the group of each row, from 0 without gaps.
        strata: (rows,) int64, the stratum of each row.
        shares: Split name -> share of all rows. The remaining rows are "train".
        seed: Decides the order of groups of one size.
        option: The option and its value, for error messages.

    Returns:
        Split name -> sorted row indices.

    Raises:
        DataError: There are fewer groups than splits.
    """
    names = ["train", *shares]
    sizes = np.bincount(groups)
    if len(sizes) < len(names):
        raise DataError(
            f"{option}: expected at least {len(names)} groups, one for each of {', '.join(names)}; found {len(sizes)}. "
            "Set data.split.group='' or choose a column with more groups."
        )
    _, codes = np.unique(strata, return_inverse=True)
    strata_rows = np.append(np.bincount(codes), len(groups))  # a last stratum holds all rows: splits keep their sizes
    targets = np.array([1 - sum(shares.values()), *shares.values()])[:, np.newaxis] * strata_rows
    excess, weights = -targets, 1 / targets
    own_strata, own_rows = _rows_by_stratum(groups, codes)
    split_of = np.empty(len(sizes), np.int64)
    shuffled = np.random.Generator(np.random.Philox(seed)).permutation(len(sizes))
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")].tolist():
        columns, rows = own_strata[group], own_rows[group]
        growth = ((2 * excess[:, columns] + rows) * rows * weights[:, columns]).sum(axis=1)
        split = int(growth.round(9).argmin())
        excess[split, columns] += rows
        split_of[group] = split
    _fill_empty(split_of, sizes, len(names))
    return {name: np.flatnonzero(split_of[groups] == split) for split, name in enumerate(names)}


def _rows_by_stratum(groups: np.ndarray, codes: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return, for each group, its strata and its rows in each; the last stratum holds all rows."""
    width = int(codes.max()) + 2
    keys = groups.astype(np.int64) * width
    pairs, rows = np.unique(np.concatenate([keys + codes, keys + width - 1]), return_counts=True)
    starts = np.flatnonzero(np.diff(pairs // width)) + 1
    return np.split(pairs % width, starts), np.split(rows, starts)


def _fill_empty(split_of: np.ndarray, sizes: np.ndarray, splits: int) -> None:
    """Move the smallest group of the split with the most groups into each split that has none."""
    for split in range(splits):
        if not (split_of == split).any():
            donor = np.bincount(split_of, minlength=splits).argmax()
            candidates = np.flatnonzero(split_of == donor)
            split_of[candidates[np.argmin(sizes[candidates])]] = split


# ---- time -----------------------------------------------------------------------------------------------------------


def assign_times(times: np.ndarray, shares: Mapping[str, float], *, gap: float, option: str) -> dict[str, np.ndarray]:
    """Assign rows to splits in the order of time: training before validation before test.

    Rows of equal time stay in one split: a border moves to the nearest change of time.

    Args:
        times: (rows,) float64.
        shares: Split name -> share of all rows, in the order of time. The rows before are "train".
        gap: Rows that are not more than this before the next split begins are left out, if it is above 0.
        option: The option and its value, for error messages.

    Returns:
        Split name -> sorted row indices.

    Raises:
        DataError: There are too few different times, or the gap leaves a split without rows.
    """
    names = ["train", *shares]
    order = np.argsort(times, kind="stable")
    ordered = times[order]
    changes = np.flatnonzero(np.diff(ordered)) + 1  # the positions where a split may begin
    if len(changes) < len(shares):
        raise DataError(
            f"{option}: expected at least {len(names)} different times, one for each of {', '.join(names)}; found "
            f"{len(changes) + 1}. Set data.split.time='' or choose a column with more times."
        )
    ideal = (1 - np.cumsum([*shares.values()][::-1])[::-1]) * len(times)
    starts: list[int] = []
    for index, position in enumerate(ideal):
        first = int(np.searchsorted(changes, starts[-1], "right")) if starts else 0
        free = changes[first : len(changes) - (len(ideal) - index - 1)]
        starts.append(int(free[np.argmin(np.abs(free - position))]))
    rows = {}
    for name, start, end in zip(names, [0, *starts], [*starts, len(times)], strict=True):
        kept = slice(start, end)
        if gap and end < len(times):
            kept = slice(start, max(start, int(np.searchsorted(ordered, ordered[end] - gap))))
        rows[name] = np.sort(order[kept])
        if not len(rows[name]):
            raise DataError(
                f"data.split.gap={gap:g}: expected a gap that leaves rows in the {name} split, whose times are "
                f"{ordered[start]:g} to {ordered[end - 1]:g}; found none left. Set a smaller gap."
            )
    return rows


def assign_windows(first: np.ndarray, last: np.ndarray, shares: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Assign windows to splits by the times that they predict: training before validation before test.

    A window belongs to the split that holds all of its predicted times. A window that predicts times of two splits is
    left out. The input of a window may reach into an earlier split: those values are known when the forecast is made.

    Args:
        first: (rows,) float64, the first predicted time of each window.
        last: (rows,) float64, the last predicted time of each window.
        shares: Split name -> share of all rows, in the order of time. All earlier rows are "train".

    Returns:
        Split name -> sorted row indices.

    Raises:
        DataError: There are too few different times, or a split has no windows.
    """
    rows = assign_times(first, shares, gap=0, option="data.window")
    for name, following in itertools.pairwise(rows):
        rows[name] = rows[name][last[rows[name]] < first[rows[following]].min()]
        if not len(rows[name]):
            raise DataError(
                f"data.window: expected windows in the {name} split; found none whose predicted lines all lie in it. "
                "Set a smaller data.window.horizon, or a larger share for this split."
            )
    return rows


# ---- splits by name ------------------------------------------------------------------------------------------------


def read_split_names(values: np.ndarray, *, row_location: RowLocation, option: str) -> dict[str, np.ndarray]:
    """Return the rows of each split, which a column names: split name -> sorted row indices.

    Raises:
        DataError: A row has no value or an unknown name, or no row is for training.
    """
    _check_present(values, row_location, option)
    names = np.array([SPLIT_WORDS.get(str(value).strip().lower(), "") for value in values])
    if (names == "").any():
        row = int(np.argmax(names == ""))
        raise DataError(
            f"{row_location(row)}: expected one of {', '.join(SPLIT_WORDS)} in {option}; found {values[row]!r}. Rows "
            f"without the name of a split: {np.count_nonzero(names == ''):,}. Write a name, or remove these rows."
        )
    rows = {name: np.flatnonzero(names == name) for name in SPLIT_NAMES if (names == name).any()}
    if "train" not in rows:
        raise DataError(f"{option}: expected rows with the value train; found none. Write it in the rows for training.")
    return rows


# ---- the values of a column -----------------------------------------------------------------------------------------


def index_groups(values: np.ndarray, *, row_location: RowLocation, option: str) -> np.ndarray:
    """Return the index of the group of each row, (rows,) int64, in the order of their values.

    Raises:
        DataError: A row has no value.
    """
    _check_present(values, row_location, option)
    return np.unique(values.astype(str) if values.dtype == object else values, return_inverse=True)[1]


def read_times(values: np.ndarray, *, row_location: RowLocation, option: str) -> np.ndarray:
    """Return times as numbers, (rows,) float64: numbers as they are, dates in days since 1970.

    Raises:
        DataError: A row has no value, or one that is neither a number nor a date.
    """
    _check_present(values, row_location, option)
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    if values.dtype.kind == "M":
        return values.astype("datetime64[us]").astype(np.int64) / (1e6 * DAY)
    numbers = np.empty(len(values))
    for row, value in enumerate(values):
        try:
            numbers[row] = _time(str(value))
        except ValueError as error:
            raise DataError(
                f"{row_location(row)}: expected a number or a date like 2024-01-31 or 2024-01-31T12:00 in {option}; "
                f"found {value!r}. Write the times in this form."
            ) from error
    return numbers


def _time(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        moment = datetime.datetime.fromisoformat(text.strip())
        zone = moment.tzinfo or datetime.UTC
        return moment.replace(tzinfo=zone).timestamp() / DAY
    if not np.isfinite(number):
        raise ValueError(text)
    return number


def _check_present(values: np.ndarray, row_location: RowLocation, option: str) -> None:
    if values.dtype == object:
        missing = np.array([value is None or not str(value).strip() for value in values], bool)
    elif values.dtype.kind in "fM":
        missing = np.isnat(values) if values.dtype.kind == "M" else ~np.isfinite(values)
    else:
        missing = values == "" if values.dtype.kind == "U" else np.zeros(len(values), bool)
    if missing.any():
        raise DataError(
            f"{row_location(int(np.argmax(missing)))}: expected a value in every row, since {option}; found none, and "
            f"{np.count_nonzero(missing):,} such rows. Fill it in, or remove the rows."
        )
