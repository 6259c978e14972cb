"""The dtypes in which features and labels are kept: float32 and int32, or float64 for values that float32 would merge.

float32 has 24 binary digits. Of Unix seconds it merges those of two minutes, so that 225 of them may become 3.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.data.containers import Dataset, Images, Sequences, Table
from pipeline.data.table_columns import EXACT_IN_FLOAT64
from pipeline.errors import DataError
from pipeline.lazy import np
from pipeline.spec import REAL, Feature

logger = logging.getLogger(__name__)

ROUNDING = 1e-4  # share of the spread of a column that rounding may change: measurements are rarely finer
LOST = 0.01  # share of the distinct values that may be merged by larger rounding: a few outliers may
SAMPLE = 4_096  # rows from which the spread of a column is estimated
SAMPLE_NUMBERS = 1 << 22  # numbers in these rows
BLOCK = 1 << 20  # numbers that are read at a time
NAMED = 3  # columns that a message names
PREDICT = "; call the saved model as model(x), since its predict casts arrays to float32"


@dataclass(frozen=True)
class MergedColumn:
    """A column with different values that become equal in a dtype.

    Attributes:
        index: The index of the column on the last axis.
        before: The number of distinct values in the data.
        after: The number of distinct values in the dtype.
    """

    index: int
    before: int
    after: int


def in_model_dtypes(dataset: Dataset, trained: dict[str, Feature] | None = None) -> Dataset:
    """Return a data set whose features and real labels have the dtypes of its spec.

    Floats become float32 and integers int32. A feature becomes float64 if some split has a column that would lose
    values in float32, or an integer that does not fit into int32.

    Args:
        dataset: The data set as its source returns it. The dtypes of arrays may be wider than those of the spec.
        trained: The features that a model was trained on, whose dtypes are kept.

    Raises:
        DataError: An integer does not even fit into float64, or not into the dtype that was trained; or float32 would
            merge values of a real label.
    """
    tables = {name: split for name, split in dataset.splits.items() if isinstance(split, Table)}
    if not tables:
        return dataset
    features = {
        name: _with_dtype(name, feature, tables, dataset.location, (trained or {}).get(name))
        for name, feature in dataset.spec.features.items()
    }
    splits = {
        split_name: replace(
            table,
            features={name: _in_dtype(column, features[name].dtype) for name, column in table.features.items()},
            labels={
                name: in_label_dtype(column, f"{dataset.location}, label {name!r}")
                if dataset.spec.labels[name].kind == REAL
                else column
                for name, column in table.labels.items()
            },
        )
        for split_name, table in tables.items()
    }
    return Dataset(replace(dataset.spec, features=features), splits, dataset.location)


def in_trained_dtypes(
    table: Table, found: Mapping[str, Feature], trained: Mapping[str, Feature], location: str
) -> tuple[Table, dict[str, Feature]]:
    """Return rows in the dtypes that a model was trained on, and their features.

    Args:
        table: The rows as a source returns them. The dtypes of arrays may be wider.
        found: The features of the table.
        trained: The features of the training data.
        location: The location of the data, for error messages.

    Raises:
        DataError: An integer does not fit into the dtype that was trained.
    """
    features = {
        name: _with_trained_dtype(feature, [*_arrays(table.features[name])], f"{location}, {name!r}", trained.get(name))
        for name, feature in found.items()
    }
    columns = {name: _in_dtype(column, features[name].dtype) for name, column in table.features.items()}
    return replace(table, features=columns), features


def in_label_dtype(array: np.ndarray, location: str) -> np.ndarray:
    """Return the numbers of a real label as float32.

    Raises:
        DataError: float32 would merge values.
    """
    merged = merged_columns(array)
    if merged:
        column = merged[0]
        place = f", column {column.index}" if array.ndim > 1 and array.shape[-1] > 1 else ""
        reference = np.round(np.median(_columns(array)[:, column.index].astype(np.float64)))
        raise DataError(
            f"{location}{place}: expected labels that stay distinct in float32, the dtype of losses; found "
            f"{column.before:,} distinct values, which would become {column.after:,}. Subtract a reference value, "
            f"such as {reference:.0f}, from the labels: the model then predicts the difference."
        )
    return array.astype(np.float32, copy=False)


def merged_columns(array: np.ndarray) -> list[MergedColumn]:
    """Return the columns that float32 cannot hold: values that differ by much, for their spread, would be merged.

    The spread is the width of the shortest interval that holds half of the values, so that neither outliers nor a
    number that stands for "unknown" count. Infinite values and NaN are left out.

    Args:
        array: Numbers of one feature or label, (rows, ..., columns) or (rows,).
    """
    is_exact = array.dtype.kind not in "iuf" or array.dtype.itemsize <= 2 or array.dtype == np.float32
    if is_exact or not array.size:
        return []
    columns = _columns(array)
    found = [_merged(index, columns[:, index]) for index in np.flatnonzero(_may_merge(columns)).tolist()]
    return [column for column in found if column is not None]


# ---- features -------------------------------------------------------------------------------------------------------


def _with_dtype(
    name: str, feature: Feature, tables: dict[str, Table], location: str, trained: Feature | None
) -> Feature:
    """Return a feature with the dtype in which it is kept."""
    arrays = [array for table in tables.values() for array in _arrays(table.features[name])]
    place = f"{location}, {name!r}"
    if trained is not None:
        feature = _with_trained_dtype(feature, arrays, place, trained)
        if feature.dtype != "float64" and (merged := _merged_of_all(arrays)):
            logger.warning("data: %s: float32, as in training, merges values: %s", place, _described(merged, feature))
        return feature
    is_wide = _has_wide_integers(arrays)
    merged = [] if is_wide else _merged_of_all(arrays)
    if is_wide:
        _check_exact(arrays, place)
        logger.info("data: %s is kept in float64, since it has integers beyond int32%s", place, PREDICT)
    elif merged:
        merging = _described(merged, feature)
        logger.info("data: %s is kept in float64, since float32 would merge values: %s%s", place, merging, PREDICT)
    return replace(feature, dtype="float64") if is_wide or merged else feature


def _with_trained_dtype(
    feature: Feature, arrays: Sequence[np.ndarray], location: str, trained: Feature | None
) -> Feature:
    """Return a feature with the dtype of the training.

    Raises:
        DataError: An integer does not fit into this dtype.
    """
    if trained is not None and trained.dtype == "float64" and feature.dtype != "string":
        _check_exact(arrays, location)
        return replace(feature, dtype="float64")
    if _has_wide_integers(arrays):
        raise DataError(
            f"{location}: expected integers that fit into int32, as in training; found larger ones. Train a model on "
            "rows like these."
        )
    return feature


def _has_wide_integers(arrays: Iterable[np.ndarray]) -> bool:
    return any(array.dtype.kind in "iu" and not _fits(array, np.int32) for array in arrays)


def _merged_of_all(arrays: Iterable[np.ndarray]) -> list[MergedColumn]:
    """Return the columns in which float32 would merge values, in at least one of the arrays."""
    by_index: dict[int, MergedColumn] = {}
    for array in arrays:
        by_index = {column.index: column for column in merged_columns(array)} | by_index
    return [by_index[index] for index in sorted(by_index)]


def _arrays(column: np.ndarray | Sequences | Images) -> Iterable[np.ndarray]:
    """Return the array of a column; none if it holds images on disk."""
    if isinstance(column, Images):
        return []
    return [column.values if isinstance(column, Sequences) else column]


def _in_dtype(column: np.ndarray | Sequences | Images, dtype: str) -> np.ndarray | Sequences | Images:
    if isinstance(column, Sequences):
        return Sequences(_cast(column.values, dtype), column.offsets)
    return column if isinstance(column, Images) else _cast(column, dtype)


def _cast(array: np.ndarray, dtype: str) -> np.ndarray:
    if dtype == "string":
        return array
    with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite: the checks name its row
        return array.astype(dtype, copy=False)


def _check_exact(arrays: Iterable[np.ndarray], location: str) -> None:
    """Check that float64 holds every integer.

    Raises:
        DataError: It rounds one.
    """
    for array in arrays:
        if array.dtype.kind not in "iu" or not array.size:
            continue
        smallest, largest = int(array.min()), int(array.max())
        if max(-smallest, largest) > EXACT_IN_FLOAT64:
            is_narrow = largest - smallest <= EXACT_IN_FLOAT64
            fix = f"Subtract a reference value, such as {smallest}" if is_narrow else "Divide them, if digits can go"
            raise DataError(
                f"{location}: expected integers from -2^53 to 2^53, which float64 holds; found {smallest} to "
                f"{largest}. {fix}; leave them out if they only identify rows."
            )


def _fits(array: np.ndarray, dtype: type) -> bool:
    limits = np.iinfo(dtype)
    return not array.size or (array.min() >= limits.min and array.max() <= limits.max)


def _described(merged: list[MergedColumn], feature: Feature) -> str:
    """Return columns with their distinct values: "column 0 (225 distinct values become 3), ..."."""
    shown = [
        f"column {repr(feature.columns[item.index]) if feature.columns else item.index} "
        f"({item.before:,} distinct values become {item.after:,})"
        for item in merged[:NAMED]
    ]
    return ", ".join(shown + ["..."] * (len(merged) > NAMED))


# ---- columns --------------------------------------------------------------------------------------------------------


def _columns(array: np.ndarray) -> np.ndarray:
    """Return an array as (numbers, columns): the last axis holds the columns."""
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)


def _may_merge(columns: np.ndarray) -> np.ndarray:
    """Return the columns that are worth a closer look, (columns,) bool: rounding is large for a sample of the rows."""
    largest = np.zeros(columns.shape[1])
    for block in _blocks(columns):
        with np.errstate(invalid="ignore"):
            largest = np.fmax(largest, np.fmax(-np.fmin.reduce(block, axis=0).astype(np.float64), 0))
            largest = np.fmax(largest, np.fmax.reduce(block, axis=0).astype(np.float64))
    rows = max(64, min(SAMPLE, SAMPLE_NUMBERS // len(largest)))
    sample = columns[:: max(1, -(-len(columns) // rows))].astype(np.float64)
    threshold = ROUNDING * spread(np.where(np.isfinite(sample), sample, np.nan))
    limits = np.finfo(np.float32)
    rounding = np.fmax(np.fmin(largest, limits.max) * limits.eps, limits.smallest_subnormal) / 2
    suspects = ~(rounding <= threshold)
    inexact = np.zeros(len(largest), bool)
    if suspects.any():
        for block in _blocks(columns):
            values = block[:, suspects]
            with np.errstate(over="ignore", invalid="ignore"):
                rounded = values.astype(np.float32).astype(np.float64)
                inexact[suspects] |= (np.isfinite(rounded) & (rounded != values)).any(axis=0)
    return inexact


def _blocks(columns: np.ndarray) -> Iterator[np.ndarray]:
    rows = max(1, BLOCK // columns.shape[1])
    for start in range(0, len(columns), rows):
        yield columns[start : start + rows]


def _merged(index: int, values: np.ndarray) -> MergedColumn | None:
    """Return the distinct values of a column before and after rounding; None if rounding loses nothing of it."""
    with np.errstate(over="ignore"):
        values = values[np.isfinite(values) & np.isfinite(values.astype(np.float32))]
    if not len(values):
        return None
    distinct = np.unique(values)
    rounded = distinct.astype(np.float32)
    starts = np.flatnonzero(np.append(True, rounded[1:] != rounded[:-1]))
    errors = np.maximum.reduceat(np.abs(distinct - rounded.astype(np.float64)), starts)
    merged = np.diff(np.append(starts, len(distinct))) - 1
    width = spread(values.astype(np.float64)[:, np.newaxis])[0] or spread(distinct.astype(np.float64)[:, np.newaxis])[0]
    lost = merged[errors > ROUNDING * width].sum()
    return MergedColumn(index, len(distinct), len(starts)) if lost > LOST * len(distinct) else None


def spread(values: np.ndarray) -> np.ndarray:
    """Return the width of the shortest interval that holds half of the numbers of each column: (columns,).

    If half of them are the same number, it is that of the others.

    Args:
        values: (rows, columns) float64; NaN is left out.
    """
    widths = _half_width(values)
    same = widths == 0
    if same.any():
        ordered = np.sort(values[:, same], axis=0)
        counts = np.isfinite(ordered).sum(axis=0)
        middle = np.take_along_axis(ordered, (counts // 2)[np.newaxis].clip(max=len(ordered) - 1), axis=0)
        widths[same] = _half_width(np.where(values[:, same] == middle, np.nan, values[:, same]))
    return widths


def _half_width(values: np.ndarray) -> np.ndarray:
    """Return the width of the shortest interval that holds half of the numbers of each column; 0 of fewer than two."""
    ordered = np.sort(values, axis=0)  # NaN comes last
    counts = np.isfinite(ordered).sum(axis=0)
    widths = np.zeros(values.shape[1])
    for count in np.unique(counts[counts > 1]).tolist():
        chosen = ordered[:count, counts == count]
        half = max(1, count // 2)
        widths[counts == count] = (chosen[half:] - chosen[:-half]).min(axis=0)
    return widths
