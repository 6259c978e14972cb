"""Turn the values that a file holds into columns: class indices, and the dtypes that features may have."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from pipeline.errors import DataError, nearest
from pipeline.lazy import np

MAX_DIGITS = 100  # of class names that are ordered as numbers; Python refuses to convert huge integers


def numbered_rows(location: str) -> Callable[[int], str]:
    """Return a `row_location` for data without lines: "LOCATION, row N", counted from 0."""
    return lambda row: f"{location}, row {row}"


def class_names(values: Collection[str]) -> list[str]:
    """Return the distinct values in order: by number if all are whole numbers, otherwise alphabetically."""
    names = set(values)
    if all(name.removeprefix("-").isdecimal() and len(name) < MAX_DIGITS for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def class_indices(values: Sequence[str], *, names: Sequence[str], row_location: Callable[[int], str]) -> np.ndarray:
    """Return the index of the class of each row: (rows,) int64.

    Args:
        values: The class name of each row.
        names: The names of the classes in index order.
        row_location: Returns the location of a row, for the error message.

    Raises:
        DataError: A value is not among the names.
    """
    index = {name: number for number, name in enumerate(names)}
    for row, value in enumerate(values):
        if value not in index:
            raise DataError(
                f"{row_location(row)}: expected a class that occurs in the train split; found {value!r}. "
                f"{nearest(value, names)}"
            )
    return np.array([index[value] for value in values], np.int64)


def to_feature_dtype(array: np.ndarray, location: str) -> np.ndarray:
    """Convert an array to a dtype that features may have: uint8, int32, float32, or object for text.

    Floats become float32, integers int32, booleans uint8. uint8 stays uint8.

    Raises:
        DataError: The dtype has no such form, or an integer does not fit into int32.
    """
    match array.dtype.kind:
        case "b":
            return array.astype(np.uint8)
        case "u" if array.dtype.itemsize == 1:
            return array
        case "i" | "u":
            limits = np.iinfo(np.int32)
            if array.size and (array.min() < limits.min or array.max() > limits.max):
                raise DataError(
                    f"{location}: expected integers from {limits.min} to {limits.max} (int32); "
                    f"found {array.min()} to {array.max()}. Store them as floats or rescale them."
                )
            return array.astype(np.int32)
        case "f":
            with np.errstate(over="ignore"):  # a value too large for float32 becomes infinite: the checks name its row
                return array.astype(np.float32, copy=False)
        case "U":
            return array.astype(object)
    raise DataError(f"{location}: expected numbers, booleans or text; found dtype {array.dtype}.")
