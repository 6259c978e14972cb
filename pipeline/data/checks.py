"""Check every row before training. Each error names the first row that fails."""

import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

import numpy as np

from pipeline.data.categories import looks_continuous
from pipeline.data.containers import Dataset, FeatureColumn, Images, Sequences, Shards, Split, Table
from pipeline.data.file_names import check_name
from pipeline.data.options import STANDARD_INPUT
from pipeline.data.padding import padding_advice
from pipeline.data.row_weights import check_weights
from pipeline.data.source import DataSource
from pipeline.errors import DataError, nearest
from pipeline.options import walk
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, DataSpec, Feature, Label

SUM_TOLERANCE = 1e-3  # largest distance of the sum of a one-hot row from 1
BLOCK = 1 << 22  # numbers checked at a time, so that a check needs little memory


def check_paths(source: DataSource) -> None:
    """Check that the paths of a source are files or folders in UTF-8. Reading a pipe or a device may never end.

    Raises:
        DataError: A path is something else.
        OSError: It does not exist, or cannot be looked up.
    """
    for key, path, item in walk(source, "data."):
        if item.metadata["path"] and path and path != STANDARD_INPUT:
            check_name(path)
            mode = Path(path).stat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise DataError(f"{key}={path}: expected a file or a folder; found a device or a pipe. Write a file.")


def check(spec: DataSpec, splits: Mapping[str, Split], source: DataSource) -> None:
    """Check a data set before training on it.

    Args:
        spec: The spec of the rows.
        splits: The splits by name.
        source: The source that they were read from.

    Raises:
        DataError: A row breaks the spec, a split has no rows, or the train split lacks a class, a category or values.
    """
    check_rows(spec, splits, source)
    train = splits["train"]
    for name, label in spec.labels.items():
        if label.classes and len(label.classes) != label.width:
            raise DataError(
                f"label {name!r}: expected a width of {len(label.classes)}, the number of its classes; found "
                f"{label.width}. Make the label with class_label or row_label."
            )
        if label.classes:
            _check_every_class_is_trained(label, name, train, source)
    if source.allows_missing_values and isinstance(train, Table):
        for name, column in train.features.items():
            _check_has_values(spec.features[name], name, column)
    for name, feature in spec.features.items() if source.requires_known_categories else ():
        if feature.holds_categories:
            check_categories(name, {*_categories(name, train), *feature.categories}, splits)


def check_labels(dataset: Dataset, source: DataSource) -> None:
    """Check the classes of a data set before it is divided: they are not measurements, and some class has several rows.

    Args:
        dataset: The data set, as it was read for training.
        source: The source that it was read from.

    Raises:
        DataError: A label looks continuous, and no option declares its numbers as classes. Or every class of a label
            has only one row, so that only the split "train" would get rows.
    """
    train = dataset.splits["train"]
    for name, label in dataset.spec.labels.items():
        argument = source.class_argument(name, len(label.classes)) if label.kind == CLASS else None
        if argument is None:
            continue
        rows = np.bincount(train.labels[name].reshape(-1), minlength=len(label.classes))
        if looks_continuous(dict(zip(label.classes, rows.tolist()))):
            raise DataError(
                f"{dataset.location}, label {name!r}: expected classes; found {len(label.classes):,} different numbers "
                f"in {rows.sum():,} rows, which look continuous. Set data.label_kind=real to predict a number, or "
                f"{argument} if each number names a class."
            )
        if len(rows) > 1 and rows.max() == 1 and len(dataset.splits) == 1:
            raise DataError(
                f"{dataset.location}, label {name!r}: expected several rows per class; found one row of each of the "
                f"{len(rows):,} classes. Add rows, or name another column as the label; if it is a number, write it in "
                "plain digits and set data.label_kind=real."
            )


def check_rows(spec: DataSpec, splits: Mapping[str, Split], source: DataSource) -> None:
    """Check that every row conforms to the spec. The features of shards were checked when they were read.

    Args:
        spec: The spec of the rows.
        splits: The splits by name.
        source: The source that they were read from.

    Raises:
        DataError: A row breaks the spec, or a split has no rows.
    """
    for split_name, split in splits.items():
        if not len(split):
            raise DataError(f"the {split_name} split: expected rows; found none. See data.split, or add rows.")
        check_weights(split_name, split, getattr(source, "weight", ""))
        for name, label in spec.labels.items():
            _check_label(label, name, split)
        if not isinstance(split, Shards):
            for name, column in split.features.items():
                allow_nan = source.allows_missing_values
                _check_feature(name, spec.features[name], column, split.row_location, allow_nan=allow_nan)


def check_categories(name: str, known: set[str], splits: Mapping[str, Split]) -> None:
    """Check that every category of a feature occurs in training.

    Args:
        name: The name of the feature.
        known: The categories that occur in training.
        splits: The splits to check, by name; the name is "" for rows that do not belong to a split.

    Raises:
        DataError: A category does not.
    """
    for split_name, split in splits.items():
        for row, category in enumerate(_categories(name, split)):
            if category not in known:
                found = f"{category!r} in the {split_name} split" if split_name else repr(category)
                raise DataError(
                    f"{split.row_location(row)}, column {name!r}: expected a category that occurs in the train split; "
                    f"found {found}. {nearest(category, known)} "
                    "data.unknown_categories=accept gives all unknown categories one shared code."
                )


def row_blocks(values: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (index of the first row, rows) of successive blocks of at most BLOCK numbers."""
    rows = max(1, BLOCK * len(values) // max(values.size, 1))
    for start in range(0, len(values), rows):
        yield start, values[start : start + rows]


def _categories(name: str, split: Split) -> Iterator[str]:
    """Return the category of each row. Only tables have features of categories, as arrays of one value per row."""
    return cast(np.ndarray, cast(Table, split).features[name]).flat


def _check_label(label: Label, name: str, split: Split) -> None:
    """Check that the labels of each row, or of each step or pixel of it, lie in the range of their kind."""
    values = split.labels[name]
    if label.kind == CLASS:
        wrong = (values < 0) | (values >= len(label.classes))
        expected = f"a class from 0 to {len(label.classes) - 1}"
    elif label.kind == ONE_HOT:
        wrong = (values < 0).any(axis=-1) | ~(np.abs(values.sum(axis=-1) - 1) <= SUM_TOLERANCE)
        expected = "numbers of at least 0 that sum to 1"
    elif label.kind == MULTI_LABEL:
        wrong = ~np.isin(values, (0, 1))
        expected = "zeros and ones"
    else:
        wrong = ~np.isfinite(values)
        expected = "finite numbers"
    if wrong.any():
        row = int(np.argmax(wrong.reshape(len(values), -1).any(axis=1)))
        raise DataError(f"{split.row_location(row)}: expected {expected} in label {name!r}; found {values[row]}.")


def _check_feature(
    name: str,
    feature: Feature,
    column: FeatureColumn,
    row_location: Callable[[int], str],
    *,
    allow_nan: bool,
) -> None:
    """Check that numbers are finite, and that sequences have at least one step and no step that equals the padding."""
    if isinstance(column, Images):
        return
    if not isinstance(column, Sequences):
        _check_finite(name, column, row_location, allow_nan=allow_nan, columns=feature.columns)
        return
    if not column.lengths.all():
        row = int(np.argmin(column.lengths))
        raise DataError(
            f"{row_location(row)}: expected at least one step in feature {name!r}; found none. Remove the row."
        )

    def step_location(step: int) -> str:
        row = int(np.searchsorted(column.offsets, step, side="right")) - 1
        return f"{row_location(row)}, step {step - int(column.offsets[row])}"

    _check_finite(name, column.values, step_location, allow_nan=allow_nan)
    _check_padding(name, feature, column.values, step_location)


def _check_finite(
    name: str,
    values: np.ndarray,
    location: Callable[[int], str],
    *,
    allow_nan: bool,
    columns: Sequence[str] = (),
) -> None:
    if values.dtype.kind not in "fc":
        return
    for start, block in row_blocks(values):
        wrong = np.isinf(block) if allow_nan else ~np.isfinite(block)
        if wrong.any():
            index = np.argwhere(wrong)[0]
            fix = "" if allow_nan else " Fix the row or remove it."
            place = f"column {columns[index[-1]]!r}" if columns else f"feature {name!r}"
            at = "" if columns else f" at {index[1:].tolist()}"
            raise DataError(
                f"{location(start + int(index[0]))}: expected finite numbers in {place}; "
                f"found {block[tuple(index)]}{at}.{fix}"
            )


def _check_padding(name: str, feature: Feature, values: np.ndarray, location: Callable[[int], str]) -> None:
    for start, block in row_blocks(values):
        padded = (block.reshape(len(block), -1) == feature.padding).all(axis=1)
        if padded.any():
            raise DataError(
                f"{location(start + int(np.argmax(padded)))}: expected a step of feature {name!r} that is not all "
                f"padding; found only {padding_advice(feature)}"
            )


def _check_every_class_is_trained(label: Label, name: str, train: Split, source: DataSource) -> None:
    values = train.labels[name]
    if label.kind == CLASS:
        present = set(np.unique(values))
    else:
        present = set(np.flatnonzero((values > 0).reshape(-1, label.width).any(axis=0)))
    absent = [label.classes[index] for index in range(len(label.classes)) if index not in present]
    if absent:
        is_stated = getattr(source, "classes", None) is not None
        fix = "set data.classes=null, which takes the classes that occur" if is_stated else "remove the classes"
        raise DataError(
            f"the train split: expected every class of label {name!r}; found no row of {', '.join(absent[:10])}. "
            f"Add rows of these classes, or {fix}."
        )


def _check_has_values(feature: Feature, name: str, column: FeatureColumn) -> None:
    """Check that each column whose missing values are replaced by its mean has a mean."""
    if not isinstance(column, np.ndarray) or column.dtype.kind != "f":
        return
    empty = np.isnan(column).all(axis=0).reshape(-1)
    if feature.columns and empty.any():
        place = f"column {feature.columns[int(np.argmax(empty))]!r}"
    elif empty.all():
        place = f"column {name!r}"
    else:
        return
    raise DataError(
        f"the train split: expected values in {place}, whose mean replaces missing values; found none. "
        "Remove the column from data.numeric, or exclude it from a pattern with data.exclude."
    )
