"""Profiles: one histogram per column of rows, counted block by block.

The bins are chosen from the first rows. Rows that are compared with a profile are counted in the profile's own bins.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import chain, pairwise
from typing import Any

import numpy as np

from pipeline.errors import DataError
from pipeline.typed_json import convert

EDGE_ROWS = 20_000  # rows whose quantiles are the edges of the bins: the share of a bin is off by at most 0.2 points
BINS = 20
MAX_CATEGORIES = 100  # counted separately; the rarer ones share OTHER
OTHER = "(other)"

ColumnBlock = Mapping[str, np.ndarray]
"""Column name -> (rows,) numbers, or names as objects. A missing number is NaN, a missing name is None."""


@dataclass(frozen=True, kw_only=True)
class NumberColumn:
    """The histogram of a column of numbers.

    Attributes:
        edges: (bins - 1,) increasing. A bin includes its lower edge; the outer bins are open.
        counts: (bins,) rows in each bin.
        missing: Rows without a number.
        low: Smallest finite number of the first rows.
        high: Largest finite number of the first rows.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CategoryColumn:
    """The counts of a column of names.

    Attributes:
        values: The names that are counted separately.
        counts: (values + 1,) rows of each name; the last entry counts all other names.
        missing: Rows without a name.
    """

    values: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int


Column = NumberColumn | CategoryColumn


@dataclass(frozen=True)
class Profile:
    """The histograms of all columns.

    Attributes:
        rows: Number of rows counted.
        columns: By name.
    """

    rows: int
    columns: dict[str, Column]


def build_profile(blocks: Iterable[ColumnBlock]) -> Profile:
    """Choose bins from the first EDGE_ROWS rows, and count all rows in them.

    Raises:
        DataError: There are no rows.
    """
    blocks, first_blocks, rows = iter(blocks), [], 0
    for block in blocks:
        first_blocks.append(block)
        rows += len(next(iter(block.values())))
        if rows >= EDGE_ROWS:
            break
    if not first_blocks:
        raise DataError("profile: expected rows; found none.")
    first_rows = {name: np.concatenate([block[name] for block in first_blocks]) for name in first_blocks[0]}
    return count_rows({name: empty_column(values) for name, values in first_rows.items()}, chain([first_rows], blocks))


def count_rows(columns: Mapping[str, Column], blocks: Iterable[ColumnBlock]) -> Profile:
    """Count rows in the bins of these columns, whose own counts are ignored.

    Raises:
        DataError: The blocks have other columns.
    """
    edges = {
        name: np.array([-np.inf, *column.edges, np.inf])
        for name, column in columns.items()
        if isinstance(column, NumberColumn)
    }
    counts = {name: np.zeros(len(column.counts), np.int64) for name, column in columns.items()}
    missing, rows = dict.fromkeys(columns, 0), 0
    for block in blocks:
        if block.keys() != columns.keys():
            different = sorted(block.keys() ^ columns.keys())
            raise DataError(
                f"expected the {len(columns)} columns of the profile; found differences in: "
                f"{', '.join(different[:5])}. Use data with the same columns."
            )
        block_rows = len(next(iter(block.values())))
        rows += block_rows
        for name, values in block.items():
            column = columns[name]
            if isinstance(column, NumberColumn) != (values.dtype != object):
                raise DataError(
                    f"expected numbers or names in the column {name!r}, as in the profile; found the other kind. Use "
                    "data with the same columns."
                )
            if isinstance(column, NumberColumn):
                in_bins = np.histogram(values, edges[name])[0]
            else:
                in_bins = count_names(column.values, values)
            counts[name] += in_bins
            missing[name] += block_rows - int(in_bins.sum())
    return Profile(
        rows,
        {
            name: replace(column, counts=tuple(counts[name].tolist()), missing=missing[name])
            for name, column in columns.items()
        },
    )


def empty_column(values: np.ndarray) -> Column:
    """Return a column without counts whose bins or names are chosen from these values, (rows,)."""
    if values.dtype == object:
        present = values[[value is not None for value in values]]
        names = [str(name) for name, _ in Counter(present).most_common(MAX_CATEGORIES)]
        return CategoryColumn(values=tuple(sorted(names)), counts=(0,) * (len(names) + 1), missing=0)
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return NumberColumn(edges=(), counts=(0,), missing=0, low=0.0, high=0.0)
    edges = bin_edges(values)
    return NumberColumn(
        edges=tuple(edges.tolist()),
        counts=(0,) * (len(edges) + 1),
        missing=0,
        low=float(values.min()),
        high=float(values.max()),
    )


def bin_edges(values: np.ndarray) -> np.ndarray:
    """Return the inner edges of the bins of a column, (bins - 1,) float64: its quantiles.

    A column of few distinct values has one bin per value.

    Args:
        values: (rows,) finite float64.
    """
    distinct = np.unique(values)
    if len(distinct) <= BINS:
        return np.append(distinct, np.nextafter(distinct[-1], np.inf))
    return np.unique(np.quantile(values, np.arange(1, BINS) / BINS))


def count_names(known: tuple[str, ...], values: np.ndarray) -> np.ndarray:
    """Return the number of rows of each known name, then of all other names: (known + 1,) int64. None is ignored."""
    rows_of = Counter(values.tolist())
    rows_of.pop(None, None)
    counts = [rows_of.pop(name, 0) for name in known]
    return np.array([*counts, sum(rows_of.values())], np.int64)


def profile_to_json(profile: Profile) -> dict[str, Any]:
    """Return the profile in the types of JSON."""
    return {"rows": profile.rows, "columns": {name: asdict(column) for name, column in profile.columns.items()}}


def profile_from_json(content: Any) -> Profile:
    """Return the profile from the content of `profile_to_json`.

    Raises:
        ValueError: The content is not a profile.
    """
    profile = convert(Profile, content)
    for name, column in profile.columns.items():
        bins = column.edges if isinstance(column, NumberColumn) else column.values
        if len(column.counts) != len(bins) + 1 or min(column.counts) < 0:
            raise ValueError(f"columns.{name}.counts: expected {len(bins) + 1} counts; found {list(column.counts)}")
        if isinstance(column, NumberColumn) and not all(low < high for low, high in pairwise(column.edges)):
            raise ValueError(f"columns.{name}.edges: expected increasing numbers; found {list(column.edges)}")
    return profile
