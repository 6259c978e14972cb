"""What a data set promises: the names, shapes, dtypes and label kinds that every example keeps to."""

from dataclasses import dataclass

CLASS = "class"  # one integer, the index of a class
ONE_HOT = "one_hot"  # a row of probabilities that sums to 1, one a class
MULTI_LABEL = "multi_label"  # a row of zeros and ones, any number of classes at once
REAL = "real"  # real numbers
PADDING = 0  # what short rows of variable-length features are filled up with; a step of nothing else is masked
LABEL_KINDS = (CLASS, ONE_HOT, MULTI_LABEL, REAL)


@dataclass(frozen=True)
class Feature:
    """One input of the model.

    shape: of one example, without the batch axis; a leading None is a length that differs from row to row.
    dtype: as stored, and as the saved model takes it: "uint8", "int32", "float32" or "string".
    text: whether a string is free text, to be taken apart into words, rather than the name of a category.
    """

    shape: tuple[int | None, ...]
    dtype: str
    text: bool = False

    @property
    def variable_length(self):
        return None in self.shape


@dataclass(frozen=True)
class Label:
    """One thing to predict.

    kind: one of LABEL_KINDS.
    classes: the names of the classes in index order; empty for real labels.
    width: units an output needs: the number of classes, or of real numbers.
    shape: of one example's label: () for an index or a single real number, (points,) where the example is a task of so
    many points with an index or a number each, else (width,).
    """

    kind: str
    classes: tuple[str, ...]
    width: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class DataSpec:
    """The promise of one data set, the same for all of its splits.

    lengths: shortest and longest row of variable-length data, in steps; None where every row is the same.
    """

    features: dict[str, Feature]
    labels: dict[str, Label]
    lengths: tuple[int, int] | None = None


def class_label(classes, shape=()):
    """The label of a set whose rows belong to one class each, or each of their points does: shape is then (points,)."""
    return Label(CLASS, tuple(str(name) for name in classes), len(classes), tuple(shape), "int64")


def real_label(width=1):
    """The label of a regression: a number a row, or `width` of them."""
    return Label(REAL, (), width, () if width == 1 else (width,), "float32")


def row_label(kind, classes):
    """The label of a set whose rows hold a number a class: kind is ONE_HOT or MULTI_LABEL."""
    return Label(kind, tuple(str(name) for name in classes), len(classes), (len(classes),), "float32")


def spec_from(fields):
    """The DataSpec that asdict and JSON turned into dicts and lists."""
    features = {
        name: Feature(**feature | {"shape": tuple(feature["shape"])}) for name, feature in fields["features"].items()
    }
    labels = {
        name: Label(**label | {"classes": tuple(label["classes"]), "shape": tuple(label["shape"])})
        for name, label in fields["labels"].items()
    }
    return DataSpec(features, labels, fields["lengths"] and tuple(fields["lengths"]))
