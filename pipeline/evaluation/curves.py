"""Threshold curves of a class against the rest: true and false positives at each threshold."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluation.row_groups import ratio_or_nan


@dataclass(frozen=True, kw_only=True)
class ThresholdCurve:
    """Counts at each threshold. A row is predicted positive if its confidence is at least the threshold.

    Attributes:
        thresholds: (n,) float64, the distinct confidences, increasing.
        true_positives: (n,) int64, the positive rows that are predicted positive.
        false_positives: (n,) int64, the other rows that are predicted positive.
        positives: The number of positive rows.
        negatives: The number of other rows.
    """

    thresholds: np.ndarray
    true_positives: np.ndarray
    false_positives: np.ndarray
    positives: int
    negatives: int

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


def threshold_curve(positive: np.ndarray, confidences: np.ndarray) -> ThresholdCurve:
    """Count the true and false positives at each threshold.

    Args:
        positive: (rows,) bool.
        confidences: (rows,) float64, the probability of the positive class.
    """
    order = np.argsort(confidences, kind="stable")
    thresholds, starts = np.unique(confidences[order], return_index=True)
    positives_from = np.cumsum(positive[order][::-1])[::-1][starts]
    rows_from = len(confidences) - starts
    count = int(np.count_nonzero(positive))
    return ThresholdCurve(
        thresholds=thresholds,
        true_positives=positives_from,
        false_positives=rows_from - positives_from,
        positives=count,
        negatives=len(positive) - count,
    )
