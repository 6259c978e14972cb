"""Groups of rows, such as classes and bins: which row is in which group, and shares of groups."""

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse


def membership(groups: np.ndarray, count: int, weights: np.ndarray | None = None) -> sparse.csr_array:
    """Return a (count, rows) matrix that is 1, or the weight of the row, if the row is in the group, else 0.

    Args:
        groups: (rows,) integer, the group of each row.
        count: Number of groups.
        weights: (rows,), the weights of the rows; None: 1.
    """
    rows = len(groups)
    values = np.ones(rows) if weights is None else weights
    return sparse.csr_array((values, (groups, np.arange(rows))), shape=(count, rows))


def ratio_or_nan(numerator: ArrayLike, denominator: ArrayLike) -> np.ndarray:
    """Return numerator / denominator, of the same shape each; NaN if the denominator is 0."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=np.greater(denominator, 0))
