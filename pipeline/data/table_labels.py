"""The labels of a table: numbers, one class per row, or several classes per row."""

from __future__ import annotations

from collections import Counter

from pipeline.data.table_columns import TableFile, TextColumn
from pipeline.errors import DataError, nearest
from pipeline.lazy import np
from pipeline.spec import Label


def classes_of(field: str, separator: str) -> list[str]:
    """Return the classes that a field names, each once, without blanks around them.

    Args:
        field: As the file has it.
        separator: The character between two classes; "" if a field names one class.
    """
    if not separator:
        return [field]
    return [name for name in dict.fromkeys(part.strip() for part in field.split(separator)) if name]


def count_classes(column: TextColumn, separator: str) -> dict[str, int]:
    """Return class -> rows. separator: As for `classes_of`."""
    counts: Counter[str] = Counter()
    for field, rows in column.counts.items():
        counts.update(dict.fromkeys(classes_of(field, separator), rows))
    return dict(counts)


def class_targets(file: TableFile, name: str, label: Label, *, separator: str, known: str) -> np.ndarray:
    """Return the classes of each row: (rows,) int64 indices, or (rows, classes) float32 with 1 for each class it has.

    Args:
        file: The rows.
        name: Of the column.
        label: The label.
        separator: As for `classes_of`.
        known: Which classes the label has, for the error message: "a class KNOWN".

    Raises:
        DataError: A row has another class. The message names its line.
    """
    column = file.texts[name]
    index = {class_name: number for number, class_name in enumerate(label.classes)}
    classes = [classes_of(field, separator) for field in column.values]
    unknown = {
        field: [class_name for class_name in names if class_name not in index]
        for field, names in zip(column.values, classes)
    }
    if any(unknown.values()):
        row = column.first_row([field for field, names in unknown.items() if names])
        found = unknown[column.values[column.codes[row]]][0]
        raise DataError(f"{file.row_location(row)}: expected a class {known}; found {found!r}. {nearest(found, index)}")
    if not separator:
        return np.array([index[names[0]] for names in classes], np.int64)[column.codes]
    members = np.zeros((len(classes), len(index)), np.float32)
    for row, names in enumerate(classes):
        members[row, [index[class_name] for class_name in names]] = 1
    return members[column.codes]
