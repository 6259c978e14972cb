"""Mean, variance and range of the columns of an array that is read in batches, in float64."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pipeline.lazy import np, tf

EPSILON = 2.0**-52  # machine epsilon of float64
EMPTY = 0.05  # share of the range of a column below which its mean is if nearly all of it is background
COMMON_SCALE = 0.25  # share of the range of all columns that the range of each one has if they have a common scale


@dataclass(frozen=True)
class ColumnStatistics:
    """Statistics of the columns of an array; each field is (columns,) float64.

    count: The numbers of a column, without NaN.
    mean, variance: 0 for a column of NaN only.
    smallest, largest: Infinite for a column of NaN only.
    """

    count: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray

    @property
    def constant(self) -> np.ndarray:
        """Whether a column has one value, but for rounding: (columns,) bool, as scikit-learn decides it."""
        rounding = self.count * EPSILON * self.variance + (self.count * self.mean * EPSILON) ** 2
        return (self.smallest >= self.largest) | (self.variance <= rounding)

    @property
    def scale_variance(self) -> np.ndarray:
        """The variance to normalize with: 1 for a constant column, whose later values would else be divided by 0."""
        return np.where(self.constant, 1.0, self.variance)

    @property
    def have_common_scale(self) -> bool:
        """Whether all columns have the same scale, as the pixels of an image have.

        They can then be normalized with one mean and variance. The range of each column must not be much smaller than
        the range of all columns together. Constant columns are ignored. Columns near the first or last may be almost
        always at the smallest value.
        """
        lowest, ranges = self.smallest.min(), self.largest - self.smallest
        is_wide = ranges >= COMMON_SCALE * (self.largest[~self.constant].max(initial=lowest) - lowest)
        is_empty = (self.smallest == lowest) & (self.mean - lowest <= EMPTY * ranges)
        margin = len(ranges) // 4
        position = np.arange(len(ranges))
        in_margin = (position < margin) | (position >= len(ranges) - margin)
        return bool((self.constant | is_wide | (is_empty & in_margin)).all())

    def merged(self, other: ColumnStatistics) -> ColumnStatistics:
        """Return the statistics of these and other rows (Chan, Golub and LeVeque 1983)."""
        count = self.count + other.count
        share = np.divide(other.count, count, out=np.zeros_like(count), where=count > 0)
        shift = other.mean - self.mean
        return ColumnStatistics(
            count,
            self.mean + shift * share,
            self.variance * (1 - share) + other.variance * share + shift**2 * share * (1 - share),
            np.minimum(self.smallest, other.smallest),
            np.maximum(self.largest, other.largest),
        )

    def pooled(self) -> ColumnStatistics:
        """Return the statistics of all columns together, as those of one column."""
        fields = (self.count, self.mean, self.variance, self.smallest, self.largest)
        first, *others = (
            ColumnStatistics(*(values[index : index + 1] for values in fields)) for index in range(len(self.count))
        )
        for other in others:
            first = first.merged(other)
        return first


def column_statistics(batches: Iterable[tf.Tensor], axes: Sequence[int]) -> ColumnStatistics:
    """Return the statistics of columns, NaN left out.

    They are computed in float64: in float32, `Normalization.adapt` gives 20,000 numbers of 1e6 +- 1 a standard
    deviation of 29.

    Args:
        batches: Numeric tensors of one rank, at least one.
        axes: The axes, from 0 on, each index of which is a column; () takes all numbers as one column.
    """
    first, *others = (_of_batch(tf.convert_to_tensor(batch), axes) for batch in batches)
    for other in others:
        first = first.merged(other)
    return first


def _of_batch(batch: tf.Tensor, axes: Sequence[int]) -> ColumnStatistics:
    values = tf.cast(batch, tf.float64)
    reduced = [axis for axis in range(len(values.shape)) if axis not in axes]
    present = ~tf.math.is_nan(values)
    count = tf.reduce_sum(tf.cast(present, tf.float64), reduced, keepdims=True)
    mean = tf.math.divide_no_nan(tf.reduce_sum(tf.where(present, values, 0), reduced, keepdims=True), count)
    squares = tf.reduce_sum(tf.where(present, tf.square(values - mean), 0), reduced, keepdims=True)
    fields = (
        count,
        mean,
        tf.math.divide_no_nan(squares, count),
        tf.reduce_min(tf.where(present, values, np.inf), reduced),
        tf.reduce_max(tf.where(present, values, -np.inf), reduced),
    )
    return ColumnStatistics(*(field.numpy().reshape(-1) for field in fields))
