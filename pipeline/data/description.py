"""Describe a data set: derive the spec of its features from the columns of the train split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from pipeline.data.containers import Dataset, FeatureColumn, Images, Sequences, Table
from pipeline.errors import DataError
from pipeline.lazy import np
from pipeline.spec import DataSpec, Feature, Label


def describe(
    splits: dict[str, Table], *, labels: dict[str, Label], location: str, text: Collection[str] = ()
) -> Dataset:
    """Return a data set of these splits.

    Args:
        splits: One table per split: "train", and "validation" and "test" if the data has them.
        labels: The labels by name, from `class_label(names)`, `real_label()` or `row_label(kind, names)`.
        location: The file or folder, for error messages.
        text: The string features that are free text, which the model splits into words; others are categories.

    Raises:
        DataError: A split is empty, or columns do not match each other or the train split.
    """
    features = {name: describe_feature(column) for name, column in splits["train"].features.items()}
    for name, feature in features.items():
        if 0 in feature.shape:
            raise DataError(
                f"{location}: expected at least one value per row in feature {name!r}; found {feature.shape}."
            )
    for split_name, split in splits.items():
        if not len(split):
            raise DataError(f"{location}: expected rows in the {split_name} split; found none.")
        for name, column in split.features.items():
            if len(column) != len(split):
                raise DataError(
                    f"{location}, {split_name} split: expected {len(split):,} rows in feature {name!r}, as in the "
                    f"labels; found {len(column):,}."
                )
            if describe_feature(column) != features[name]:
                raise DataError(
                    f"{location}, {split_name} split: expected feature {name!r} as in the train split, "
                    f"{features[name]}; found {describe_feature(column)}."
                )
        for name, values in split.keys.items():
            if values.shape != (len(split),):
                raise DataError(
                    f"{location}, {split_name} split: expected one value per row in the key column {name!r}, "
                    f"({len(split)},); found {values.shape}. Fix the column."
                )
        if split.weights is not None and split.weights.shape != (len(split),):
            raise DataError(
                f"{location}, {split_name} split: expected one weight per row, ({len(split)},); found "
                f"{split.weights.shape}. Fix the weights."
            )
    lengths = [split.lengths for split in splits.values() if split.lengths is not None]
    span = (int(min(map(np.min, lengths))), int(max(map(np.max, lengths)))) if lengths else None
    features |= {name: replace(features[name], text=True) for name in text}
    return Dataset(DataSpec(features, labels, span), splits, location)


def describe_feature(column: FeatureColumn) -> Feature:
    """Return the shape and dtype of a column's rows."""
    match column:
        case Images(shape=shape, dtype=dtype):
            return Feature(tuple(shape), dtype)
        case Sequences(values=values):
            # measurements become floats, since every integer may be data and none can mark padding
            is_measured = values.ndim > 1 and values.dtype.kind in "iu"
            return Feature((None, *values.shape[1:]), "float32" if is_measured else dtype_name(values))
        case _:
            return Feature(column.shape[1:], dtype_name(column))


def dtype_name(array: np.ndarray) -> str:
    """Return the dtype that a feature has if it loses no values in it, as `Feature` names it.

    That of floats is float32, of integers int32, and of an object array, which holds text, "string". uint8 stays uint8.
    """
    if array.dtype == np.uint8:
        return "uint8"
    return {"f": "float32", "i": "int32", "u": "int32", "O": "string"}.get(array.dtype.kind, array.dtype.name)
