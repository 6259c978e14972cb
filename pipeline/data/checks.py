"""What must hold for every row before anything is trained; each check names the row that breaks it."""

import numpy as np

from pipeline.data.containers import Images, Sequences, Shards
from pipeline.errors import DataError, nearest
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, PADDING

SUM_TOLERANCE = 1e-3  # how far a one-hot row's sum may lie from 1
BLOCK = 1 << 22  # numbers looked at together, so that a check takes little memory beside its data


def check(spec, parts, data):
    """Raise DataError for the first row, or lack of rows, that training could not use. Arguments as for check_rows."""
    check_rows(spec, parts, data)
    for name, label in spec.labels.items():
        if label.classes:
            check_every_class_is_trained(label, name, parts["train"])
    if data.allows_missing_values:
        check_every_column_has_values(data, parts["train"])
    for name in data.columns_of_known_categories:
        check_categories(name, set(parts["train"].features[name].flat), parts)


def check_rows(spec, parts, data):
    """Raise DataError for the first row that breaks the spec, and for a split without rows.

    parts: Table or Shards by split, as they will be trained and evaluated. data: the config they were read by.
    The features of shards are not looked at again: reading them has done it.
    """
    for split, part in parts.items():
        if not len(part):
            raise DataError(f"the {split} split: expected rows; found none. See data.split, or add rows.")
        for name, label in spec.labels.items():
            check_label(label, name, part)
        if not isinstance(part, Shards):
            for name, column in part.features.items():
                check_feature(name, column, part, data.allows_missing_values)


def check_label(label, name, part):
    """Labels must lie in the range of their kind: a known class, probabilities, zeros and ones, or finite numbers."""
    values = part.labels[name]
    if label.kind == CLASS:
        wrong = ((values < 0) | (values >= len(label.classes))).reshape(len(values), -1).any(axis=1)
        expected = f"a class from 0 to {len(label.classes) - 1}"
    elif label.kind == ONE_HOT:
        wrong = ~((values >= 0).all(axis=1) & (np.abs(values.sum(axis=1) - 1) <= SUM_TOLERANCE))
        expected = "numbers from 0 on that sum to 1"
    elif label.kind == MULTI_LABEL:
        wrong = ~np.isin(values, (0, 1)).all(axis=1)
        expected = "zeros and ones"
    else:
        wrong = ~np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        expected = "finite numbers"
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{part.where(row)}: expected {expected} in label {name!r}; found {values[row]}.")


def check_feature(name, column, part, may_lack_values):
    """Numbers must be finite, sequences have steps, and no step may be all zeros, since such steps are masked."""
    match column:
        case Images():
            return
        case Sequences(values=values, offsets=offsets):
            if not column.lengths.all():
                row = int(np.argmin(column.lengths))
                raise DataError(f"{part.where(row)}: expected at least one step in feature {name!r}; found none.")
            check_finite(name, values, lambda step: row_of(part, offsets, step), may_lack_values)
            check_padding(name, values, lambda step: row_of(part, offsets, step))
        case _:
            check_finite(name, column, part.where, may_lack_values)


def row_of(part, offsets, step):
    """The place of a step, counted through all rows: its row, and the step within it."""
    row = int(np.searchsorted(offsets, step, side="right")) - 1
    return f"{part.where(row)}, step {step - int(offsets[row])}"


def check_finite(name, values, where, may_lack_values):
    if values.dtype.kind != "f":
        return
    for start, block in blocks(values):
        wrong = np.isinf(block) if may_lack_values else ~np.isfinite(block)
        if wrong.any():
            index = np.argwhere(wrong)[0]
            remedy = "" if may_lack_values else " Mend the row or remove it."
            raise DataError(
                f"{where(start + int(index[0]))}: expected finite numbers in feature {name!r}; "
                f"found {block[tuple(index)]} at {index[1:].tolist()}.{remedy}"
            )


def check_padding(name, values, where):
    for start, block in blocks(values):
        padded = (block.reshape(len(block), -1) == PADDING).all(axis=1)
        if padded.any():
            raise DataError(
                f"{where(start + int(np.argmax(padded)))}: expected a step of feature {name!r} that is not all zeros; "
                "found zeros only, which mark padding and would be masked. Shift the values, or count tokens from 1."
            )


def blocks(values):
    """Yield (first row, rows) until all rows have been seen."""
    rows = max(1, BLOCK * len(values) // max(values.size, 1))
    for start in range(0, len(values), rows):
        yield start, values[start : start + rows]


def check_every_class_is_trained(label, name, train):
    values = train.labels[name]
    shown = set(np.unique(values) if label.kind == CLASS else np.flatnonzero((values > 0).any(axis=0)))
    absent = [label.classes[index] for index in range(len(label.classes)) if index not in shown]
    if absent:
        raise DataError(
            f"the train split: expected every class of label {name!r}; found no row of {', '.join(absent[:10])}. "
            "Add rows of it, or leave the class out."
        )


def check_every_column_has_values(data, train):
    for name in data.numeric:
        if np.isnan(train.features[name]).all():
            raise DataError(
                f"the train split: expected values in column {name!r}, whose mean fills in the missing; found none. "
                "Leave the column out of data.numeric."
            )


def check_categories(name, known, parts):
    """Every category must be one of those known, which training has shown."""
    for split, part in parts.items():
        for row, category in enumerate(part.features[name].flat):
            if category not in known:
                raise DataError(
                    f"{part.where(row)}, column {name!r}: expected a category that the train split shows; found "
                    f"{category!r} in the {split} split. {nearest(category, known)} "
                    "data.unknown_categories=accept gives all such one shared code."
                )
