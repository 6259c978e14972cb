"""Calibration: whether the predicted probability of a class equals how often it is right."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.evaluation.bootstrap import draws_per_batch
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.row_groups import membership, ratio_or_nan


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """A reliability diagram and the expected calibration error of the predicted class's probability.

    An interval around `ece` would mislead: noise only raises it, so that resamples lie above it, and for a calibrated
    model hardly any such interval contains the true error.

    Attributes:
        edges: (bins + 1,) float64 from 0 to 1; a bin includes its upper edge.
        confidence: (bins,) float64, mean confidence of the rows in each bin; NaN in an empty bin.
        accuracy: (bins,) float64, share of correct rows in each bin; NaN in an empty bin.
        count: (bins,) int64, rows in each bin.
        ece: Expected calibration error, the (weighted) mean of |accuracy - confidence| over the rows (Guo et al. 2017,
            "On Calibration of Modern Neural Networks", equation 3).
        ece_by_chance: The quantile, at the level of the intervals, of the `ece` of a perfectly calibrated model with
            these confidences (consistency resampling: Broecker and Smith 2007, "Increasing the Reliability of
            Reliability Diagrams").
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float
    ece_by_chance: float


def estimate_calibration(
    *,
    confidences: np.ndarray,
    correct: np.ndarray,
    options: Evaluation,
    seed: int,
    weights: np.ndarray | None = None,
) -> Calibration:
    """Estimate the calibration of predictions.

    Args:
        confidences: (rows,) float64, the probability of the predicted class.
        correct: (rows,) bool, whether the prediction is right.
        options: Number of bins and resamples, and the level of `ece_by_chance`.
        seed: The seed of the resamples.
        weights: (rows,) float64 above 0, the weights of the rows; None: every row counts once.
    """
    rows = len(confidences)
    edges = np.linspace(0, 1, options.bins + 1)
    bin_of_row = np.clip(np.searchsorted(edges, confidences) - 1, 0, options.bins - 1)
    bins = membership(bin_of_row, options.bins, weights)
    total = bins @ np.ones(rows)
    rng = np.random.default_rng(seed)
    batch = draws_per_batch(rows)
    batches = [min(batch, options.resamples - start) for start in range(0, options.resamples, batch)]
    by_chance = np.concatenate(
        [
            calibration_errors(bins, confidences=confidences, correct=rng.random((rows, draws)) < confidences[:, None])
            for draws in batches
        ]
    )
    return Calibration(
        edges=edges,
        confidence=ratio_or_nan(bins @ confidences, total),
        accuracy=ratio_or_nan(bins @ correct.astype(np.float64), total),
        count=np.bincount(bin_of_row, minlength=options.bins),
        ece=float(calibration_errors(bins, confidences=confidences, correct=correct[:, None])[0]),
        ece_by_chance=float(np.quantile(by_chance, options.confidence)),
    )


def calibration_errors(bins: sparse.csr_array, *, confidences: np.ndarray, correct: np.ndarray) -> np.ndarray:
    """Return the expected calibration error of each draw: (draws,) float64.

    Args:
        bins: (bins, rows), the weight of the row if it is in the bin, else 0.
        confidences: (rows,) float64.
        correct: (rows, draws) bool.
    """
    return np.abs(bins @ (correct - confidences[:, None])).sum(axis=0) / bins.sum()
