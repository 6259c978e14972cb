"""Threshold curves of a class against the rest: true and false positives at each threshold."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.row_groups import ratio_or_nan


@dataclass(frozen=True, kw_only=True)
class ThresholdCurve:
    """Counts at each threshold. A row is predicted positive if its confidence is at least the threshold.

    The counts are int64. If the rows have weights, they are sums of weights, float64.

    Attributes:
        thresholds: (n,) float64, the distinct confidences, increasing.
        true_positives: (n,), the positive rows that are predicted positive.
        false_positives: (n,), the other rows that are predicted positive.
        positives: The number of positive rows.
        negatives: The number of other rows.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: float
    negatives: float

    @property
    def precision(self) -> np.ndarray:
        """The share of positive rows among the rows that are predicted positive: (n,) float64."""
        return self.true_positives / (self.true_positives + self.false_positives)

    @property
    def recall(self) -> np.ndarray:
        """The share of positive rows that are predicted positive: (n,) float64; NaN without positive rows."""
        return ratio_or_nan(self.true_positives, np.full(len(self.thresholds), self.positives))

    @property
    def fallout(self) -> np.ndarray:
        """The share of other rows that are predicted positive: (n,) float64; NaN without other rows."""
        return ratio_or_nan(self.false_positives, np.full(len(self.thresholds), self.negatives))

    @property
    def f1(self) -> np.ndarray:
        """The F1 of the positive class: (n,) float64."""
        return 2 * self.true_positives / (self.true_positives + self.false_positives + self.positives)


def threshold_curve(positive: np.ndarray, confidences: np.ndarray, weights: np.ndarray | None = None) -> ThresholdCurve:
    """Count the true and false positives at each threshold.

    Args:
        positive: (rows,) bool.
        confidences: (rows,) float64, the probability of the positive class.
        weights: (rows,) float64 above 0, the weights of the rows; None: every row counts once.
    """
    order = np.argsort(confidences, kind="stable")
    thresholds, starts = np.unique(confidences[order], return_index=True)
    counts = np.ones(len(positive), np.int64) if weights is None else weights
    # two sums, since the difference of sums of weights would not be exactly 0
    true_positives, false_positives = (
        np.cumsum(np.where(members, counts, 0)[order][::-1])[::-1][starts] for members in (positive, ~positive)
    )
    return ThresholdCurve(
        thresholds=thresholds,
        true_positives=true_positives,
        false_positives=false_positives,
        positives=true_positives[0].item(),
        negatives=false_positives[0].item(),
    )
