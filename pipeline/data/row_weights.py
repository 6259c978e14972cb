"""Row weights: how much a row counts in losses, metrics and scores. Without weights, every row counts once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.data.table_columns import TableFile
from pipeline.errors import DataError
from pipeline.lazy import np

if TYPE_CHECKING:
    from pipeline.data.containers import Split

KEY = "data.weight"
EXPECTED = "expected a weight, a number from 0 to 3.4e38"
FIX = "Write the weight, 0 to leave the row out of losses and scores, or remove the row."


def column_weights(file: TableFile, name: str) -> np.ndarray:
    """Return the column of weights of a table file: (rows,) float64.

    Raises:
        DataError: A field is not a number, or is missing.
    """
    column = file.numbers[name]
    if column.first_text is not None:
        row, field = column.first_text
        raise DataError(f"{file.row_location(row)}, column {name!r}: {EXPECTED}; found {field!r}. {FIX}")
    missing = np.isnan(column.values)
    if missing.any():
        raise DataError(
            f"{file.row_location(int(np.argmax(missing)))}, column {name!r}: {EXPECTED}; found none. Rows without a "
            f"weight: {np.count_nonzero(missing):,}. {FIX}"
        )
    return column.values


def array_weights(values: np.ndarray, location: str) -> np.ndarray:
    """Return an array of weights: (rows,) float64.

    Args:
        values: (rows,) or (rows, 1) numbers or booleans.
        location: The file and array, for error messages.

    Raises:
        DataError: The array has another shape or dtype.
    """
    if values.dtype.kind not in "biuf" or values.shape[1:] not in ((), (1,)):
        raise DataError(
            f"{location}: expected one weight per row, (rows,) numbers; found {values.dtype} {values.shape}. Fix the "
            "array."
        )
    return values.reshape(len(values)).astype(np.float64)


def check_weights(split_name: str, split: Split, name: str = "") -> None:
    """Check the weights of a split, if it has any. Training takes them as float32.

    Args:
        split_name: The name of the split.
        split: The rows.
        name: The column or array of the weights; "" if it is not known.

    Raises:
        DataError: A weight is below 0 or not finite, all are 0, there is not one per row, or the rows are windows.
    """
    weights = split.weights
    if weights is None:
        return
    if getattr(split, "windows", None) is not None:
        raise DataError(f"the {split_name} split: expected windows without row weights; found weights. Leave them out.")
    if weights.shape != (len(split),) or weights.dtype not in (np.float32, np.float64):
        raise DataError(
            f"the {split_name} split: expected row weights ({len(split)},) float32 or float64; found {weights.shape} "
            f"{weights.dtype}. Fix the data source."
        )
    of_column = f", column {name!r}" if name else ""
    wrong = ~((weights >= 0) & (weights <= np.finfo(np.float32).max))
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(
            f"{split.row_location(row)}{of_column}: {EXPECTED}; found {weights[row]:g}. Rows with a wrong weight: "
            f"{np.count_nonzero(wrong):,}. {FIX}"
        )
    if not weights.astype(np.float32).any():
        raise DataError(
            f"the {split_name} split{of_column}: expected a weight above 0; found 0 in all {len(split):,} rows. "
            f"Fix the weights, or set {KEY}='' to count every row once."
        )
