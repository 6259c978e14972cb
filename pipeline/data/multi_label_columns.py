"""Columns of 0 and 1 that are the classes of one multi-label."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from pipeline.data.categories import number_of
from pipeline.data.table_columns import TableFile
from pipeline.errors import ConfigError, DataError
from pipeline.lazy import np
from pipeline.overrides import shell_argument
from pipeline.spec import MULTI_LABEL

WORDS = {"false": 0, "true": 1, "no": 0, "yes": 1}


def check_multi_label_columns(
    columns: Mapping[str, Sequence[str]], *, labels: Sequence[str], kinds: Any, categories: Collection[str]
) -> None:
    """Check the option data.multi_label_columns.

    Args:
        columns: Label -> names, patterns and ranges of its columns.
        labels: data.labels.
        kinds: data.label_kind.
        categories: The columns of data.categories.

    Raises:
        ConfigError: A label is not in data.labels, has no columns, or has another kind or other classes.
    """
    for label, selectors in columns.items():
        key = f"data.multi_label_columns.{label}"
        if label not in labels:
            named = [name for name in labels if name != "label"]  # the default
            raise ConfigError(
                f"{key}: expected a label of data.labels; found {label!r}. Set "
                f"{shell_argument('data.labels', [*named, label])}."
            )
        if not selectors:
            raise ConfigError(f"{key}: expected the columns of its classes; found none. Name them.")
        kind = kinds.get(label, MULTI_LABEL) if isinstance(kinds, Mapping) else MULTI_LABEL
        if kind != MULTI_LABEL:
            raise ConfigError(
                f"data.label_kind.{label}: expected multi_label, since data.multi_label_columns.{label} is set; found "
                f"{kind}. Remove one of them."
            )
        if label in categories:
            raise ConfigError(
                f"data.categories.{label}: expected no classes, since those of {label!r} are the columns in "
                "data.multi_label_columns; found some. Remove them."
            )


def membership_targets(file: TableFile, columns: Sequence[str]) -> np.ndarray:
    """Return the classes of each row: (rows, columns) float32, 1 for each class that it has.

    Args:
        file: The rows. No column lacks a value.
        columns: One column per class.

    Raises:
        DataError: A value is neither yes nor no. The message names its line and column.
    """
    targets = np.empty((file.rows, len(columns)), np.float32)
    for index, name in enumerate(columns):
        column = file.texts[name]
        members = [_membership(value) for value in column.values]
        if None in members:
            unknown = [value for value, member in zip(column.values, members, strict=True) if member is None]
            row = column.first_row(unknown)
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected 0 or 1, false or true, no or yes, since the "
                f"column is a class of data.multi_label_columns; found {column.text(row)!r}. Write 0 or 1, or leave "
                "the column out."
            )
        targets[:, index] = np.array(members, np.float32)[column.codes]
    return targets


def _membership(value: str) -> int | None:
    """Return 1 for yes, 0 for no, None for any other value. Numbers may be written as 0.0 and 1.0."""
    number = number_of(value)
    return int(number) if number in (0, 1) else WORDS.get(value.strip().casefold())
