"""The spec of a data set: the names, shapes, dtypes and kinds of its features and labels.

A run stores the spec, and the fingerprint of a data set covers it: renaming a field changes every fingerprint.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, override

from pipeline.typed_json import convert

CLASS = "class"  # one integer, the index of a class
ONE_HOT = "one_hot"  # one probability per class; they sum to 1
MULTI_LABEL = "multi_label"  # one 0 or 1 per class; any number of classes at once
REAL = "real"  # real numbers
MEDIAN = 0.5  # of the quantiles of a real label, the one that is its prediction
LABEL_KINDS = (CLASS, ONE_HOT, MULTI_LABEL, REAL)
# Short rows are padded with a value that the data must not contain, so that the padding marks the length of a row.
TOKEN_PADDING = 0  # for token IDs: vocabularies start at 1
STEP_PADDING = (2 - 2.0**-23) * 2.0**127  # for measurements: the largest number of float32, about 3.4e38
DTYPES = ("uint8", "int32", "float32", "float64", "string")  # of features
LABEL_DTYPES = ("int64", "float32")


@dataclass(frozen=True)
class Feature:
    """One input of the model.

    Attributes:
        shape: The shape of one example, without the batch axis. A leading None is a length that varies between rows.
        dtype: One of DTYPES, in the data and at the input of the saved model.
        text: Whether a string is free text, to be split into words, rather than the name of a category.
        columns: The names of the columns that a table has as one feature of shape (columns,), as its file writes them.
        categories: All categories that it may hold, in order; empty if those of the train split are all.
    """

    shape: tuple[int | None, ...]
    dtype: str
    text: bool = False
    columns: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    @property
    def holds_categories(self) -> bool:
        """Whether it is the name of a category."""
        return self.dtype == "string" and not self.text

    @property
    def variable_length(self) -> bool:
        """Whether rows differ in length."""
        return None in self.shape

    @property
    def padding(self) -> float:
        """The value that pads short rows if rows differ in length. A step of only this value is masked."""
        return TOKEN_PADDING if self.holds_tokens else STEP_PADDING

    @property
    def fixed_shape(self) -> tuple[int, ...]:
        """The shape without the axis whose length differs from row to row."""
        return tuple(size for size in self.shape if size is not None)

    @property
    def holds_tokens(self) -> bool:
        """Whether it is a sequence of token IDs, rather than of measurements."""
        return self.dtype in ("uint8", "int32") and len(self.shape) == 1


@dataclass(frozen=True)
class Label:
    """One target.

    Attributes:
        kind: One of LABEL_KINDS.
        classes: The names of the classes in index order; empty for real labels.
        width: The number of units of an output: of classes, or of real numbers.
        shape: The shape of the label of one example: () for a class index or a single real number; (points,) if the
            example is a task of several points with one index or number each; otherwise (width,).
        dtype: One of LABEL_DTYPES.
        ordered: Whether the order of the classes counts, as of an ordinal label. Only of kind CLASS.
    """

    kind: str
    classes: tuple[str, ...]
    width: int
    shape: tuple[int, ...]
    dtype: str
    ordered: bool = False

    @property
    def units(self) -> int:
        """The number of output units of the model."""
        return self.width


@dataclass(frozen=True, kw_only=True)
class ModelLabel(Label):
    """A real label with what its model needs. Part of the spec that a model is built for, not of that of the data.

    Attributes:
        mean: The mean of each of its `width` numbers over the training rows, if the model computes normalized values
            and returns them in the unit of the label; otherwise ().
        deviation: The standard deviation of each.
        quantiles: The quantiles that the model predicts of each number; () if it predicts one value.
    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    quantiles: tuple[float, ...] = ()

    @property
    @override
    def units(self) -> int:
        return self.width * max(1, len(self.quantiles))


@dataclass(frozen=True)
class DataSpec:
    """Features and labels by name, the same for all splits of a data set.

    Attributes:
        features: By name.
        labels: By name.
        lengths: The shortest and longest row of variable-length data, in steps; None if all rows have the same shape.
    """

    features: dict[str, Feature]
    labels: dict[str, Label]
    lengths: tuple[int, int] | None = None


def class_label(classes: Iterable[object], shape: tuple[int, ...] = ()) -> Label:
    """Return a label of one class index per row.

    Args:
        classes: The names of the classes in index order.
        shape: (points,) if each row is a task with one class per point.
    """
    names = tuple(str(name) for name in classes)
    return Label(CLASS, names, len(names), tuple(shape), "int64")


def ordinal_label(classes: Iterable[object]) -> Label:
    """Return a label of one class index per row. classes: The names of the classes, the lowest first."""
    return replace(class_label(classes), ordered=True)


def real_label(width: int = 1) -> Label:
    """Return the label of a regression: `width` real numbers per row."""
    return Label(REAL, (), width, () if width == 1 else (width,), "float32")


def row_label(kind: str, classes: Iterable[object]) -> Label:
    """Return a label of one number per class in each row.

    Args:
        kind: ONE_HOT or MULTI_LABEL.
        classes: The names of the classes in order.
    """
    names = tuple(str(name) for name in classes)
    return Label(kind, names, len(names), (len(names),), "float32")


def spec_from_dict(fields: dict[str, Any]) -> DataSpec:
    """Return the spec that dataclasses.asdict turned into a dict, also after JSON turned its tuples into lists.

    Raises:
        ValueError: The fields are not those of a spec.
    """
    spec = convert(DataSpec, fields)
    for name, part in (spec.features | spec.labels).items():
        sizes = [*part.shape[1:], *(size for size in part.shape[:1] if isinstance(part, Label) or size is not None)]
        if not all(size is not None and size > 0 for size in sizes):
            raise ValueError(f"{name}.shape: expected positive sizes; found {list(part.shape)}")
        known = LABEL_DTYPES if isinstance(part, Label) else DTYPES
        if part.dtype not in known:
            raise ValueError(f"{name}.dtype: expected one of {', '.join(known)}; found {part.dtype!r}")
    for name, label in spec.labels.items():
        if label.kind not in LABEL_KINDS or label.width < 1 or len(label.classes) != label.width * (label.kind != REAL):
            raise ValueError(
                f"labels.{name}: expected a kind of {', '.join(LABEL_KINDS)} with one class per unit; found "
                f"{label.kind!r}, {len(label.classes)} classes and {label.width} units"
            )
    return spec
