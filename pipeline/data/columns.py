"""Turn the values that a file holds into columns: class indices, and the dtypes that features may have."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from pipeline.errors import DataError, nearest, shortened
from pipeline.lazy import np

logger = logging.getLogger(__name__)

FIXES = {  # dtype kind -> how to save an array x of it as numbers
    "c": "Save real and imaginary parts as numbers: numpy.stack([x.real, x.imag], axis=-1).",
    "M": "Save seconds as numbers: (x - numpy.datetime64('1970-01-01')) / numpy.timedelta64(1, 's').",
    "m": "Save seconds as numbers: x / numpy.timedelta64(1, 's').",
}


def numbered_rows(location: str, first: int = 0) -> Callable[[int], str]:
    """Return a `row_location` for data without lines: "LOCATION, row N", counted from `first`."""
    return lambda row: f"{location}, row {first + row}"


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


def numbered_classes(
    given: Mapping[str, np.ndarray],
    count: int | None,
    *,
    location: str,
    row_locations: Mapping[str, Callable[[int], str]],
) -> tuple[list[str], dict[str, np.ndarray]]:
    """Return the classes of labels that are numbers or booleans.

    Numbers from 0 on without gaps are indices already. Others, such as 10, 20, 30 or -1, 1, are the classes in numeric
    order, so that reports show them as the file has them.

    Args:
        given: Split name -> (rows,) or (rows, points) of whole numbers in any dtype, or booleans; with "train".
        count: The number of classes; None takes those that occur in "train".
        location: The file and label, for error messages.
        row_locations: Split name -> the function that returns the location of a row, for the error message.

    Returns:
        The names in index order, and split name -> the indices, int64.

    Raises:
        DataError: A number is not whole, or no class; or there are more or fewer of them than `count`.
    """
    are_booleans = all(array.dtype.kind == "b" for array in given.values())
    numbers = {name: _whole_numbers(array, location, row_locations[name]) for name, array in given.items()}
    found = np.unique(numbers["train"])
    if count is None:
        count = len(found)
        is_index = found[0] == 0 and found[-1] == count - 1
    else:
        is_index = all(array.min() >= 0 and array.max() < count for array in numbers.values())
        if not is_index and len(found) != count:
            raise DataError(
                f"{location}: expected {count} classes, since data.classes={count}: indices from 0 to {count - 1}, or "
                f"any {count} numbers; found {len(found)}: {shortened(map(str, found.tolist()))}. Set "
                "data.classes=null to use these numbers as the classes."
            )
    classes = np.arange(count) if is_index else found
    indices = {}
    for split_name, array in numbers.items():
        indices[split_name] = np.searchsorted(classes, array).clip(max=count - 1)
        unknown = (classes[indices[split_name]] != array).reshape(len(array), -1)
        if unknown.any():
            row, point = np.argwhere(unknown)[0].tolist()
            value = array.reshape(len(array), -1)[row, point]
            raise DataError(
                f"{row_locations[split_name](row)}: expected a class of the train split "
                f"({shortened(map(str, classes.tolist()))}); found {value}. Add training rows of the class, or remove "
                "the row."
            )
    names = [str(bool(value)) for value in classes] if are_booleans else [str(value) for value in classes.tolist()]
    if not is_index and not are_booleans:
        last = int(found[-1])
        fix = f"; data.classes={last + 1} takes all from 0 to {last}" if found[0] == 0 and last < 2 * count else ""
        logger.info("data: %s: %s are classes 0 to %d, in numeric order%s", location, shortened(names), count - 1, fix)
    return names, indices


def _whole_numbers(array: np.ndarray, location: str, row_location: Callable[[int], str]) -> np.ndarray:
    """Return whole numbers of any dtype as int64.

    Raises:
        DataError: A number is not whole.
    """
    limit = 2.0**63
    with np.errstate(invalid="ignore"):
        wrong = (
            (array != np.rint(array)) | ~(np.abs(array.astype(np.float64)) < limit) if array.dtype.kind == "f" else None
        )
    if array.dtype.kind == "u":
        wrong = array > np.uint64(2**63 - 1)
    if wrong is not None and wrong.any():
        row = int(np.argmax(wrong.reshape(len(array), -1).any(axis=1)))
        value = array[wrong].flat[0]
        if not np.isfinite(value):
            raise DataError(f"{row_location(row)}: expected a class; found {value}. Leave the row out.")
        raise DataError(
            f"{location}: expected whole numbers, one class per row; found {value}, which looks continuous. Set "
            "data.label_kind=real."
        )
    return array.astype(np.int64)


def to_feature_dtype(array: np.ndarray, location: str) -> np.ndarray:
    """Return an array that can be the column of a feature: of numbers, or of dtype object for text.

    Booleans become uint8, and bytes are decoded. Other numbers stay as they are: `pipeline.data.precision` decides
    later, for all splits together, which dtype holds them.

    Raises:
        DataError: The dtype cannot be the column of a feature, or bytes are not UTF-8.
    """
    match array.dtype.kind:
        case "b":
            return array.astype(np.uint8)
        case "i" | "u":
            return array
        case "f" if array.dtype.itemsize > 8:
            return _in_float64(array, location)
        case "f":
            return array
        case "U" | "S":
            return decoded(array, location).astype(object)
    fix = f" {FIXES[array.dtype.kind]}" if array.dtype.kind in FIXES else ""
    raise DataError(f"{location}: expected numbers, booleans or text; found dtype {array.dtype}.{fix}")


def decoded(array: np.ndarray, location: str) -> np.ndarray:
    """Return an array of bytes, or of text, as text.

    Raises:
        DataError: It is not UTF-8, or has a NUL character.
    """
    try:
        texts = array if array.dtype.kind == "U" else np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{location}: expected text; found bytes that are not UTF-8 ({error}). Save the array as text: "
            "numpy.char.decode(x, ENCODING)."
        ) from None
    with_nul = next((text for text in texts.flat if "\0" in text), None)
    if with_nul is not None:
        raise DataError(
            f"{location}: expected text without NUL characters; found {str(with_nul)!r}. Save the array without them."
        )
    return texts


def _in_float64(array: np.ndarray, location: str) -> np.ndarray:
    """Return an array of longer floats as float64.

    Raises:
        DataError: float64 would merge values.
    """
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float64)
    before, after = len(np.unique(array)), len(np.unique(narrow))
    if after < before:
        raise DataError(
            f"{location}: expected numbers that stay distinct in float64; found {before:,} distinct values of "
            f"{array.dtype}, which would become {after:,}. Subtract a reference value, such as x - x.min(), before "
            "saving x.astype('float64')."
        )
    return narrow
