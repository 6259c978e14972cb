"""Prediction intervals of real labels: whether they contain as many values as they should, and how wide they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipeline.evaluation.bootstrap import bootstrap_scores, mean_statistic
from pipeline.evaluation.forecast_skill import skill
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.weighted_scores import scored_rows

if TYPE_CHECKING:
    from pipeline.evaluation.metrics import LabelEvaluation


@dataclass(frozen=True, kw_only=True)
class PredictedQuantiles:
    """The predicted quantiles of a real label. The interval lies between the lowest and the highest.

    Attributes:
        levels: The quantiles in increasing order, such as (0.1, 0.5, 0.9).
        values: (rows, width, quantiles) float64.
    """

    levels: tuple[float, ...]
    values: np.ndarray

    @property
    def nominal(self) -> float:
        """The share of the values that the interval should contain."""
        return self.levels[-1] - self.levels[0]

    def contains(self, targets: np.ndarray) -> np.ndarray:
        """Return whether each value lies in its interval: (rows, width) bool."""
        return (self.values[..., 0] <= targets) & (targets <= self.values[..., -1])

    def widths(self) -> np.ndarray:
        """Return the width of each interval: (rows, width) float64."""
        return self.values[..., -1] - self.values[..., 0]


def with_intervals(
    evaluation: "LabelEvaluation", quantiles: PredictedQuantiles, *, options: Evaluation, seed: int
) -> "LabelEvaluation":
    """Return the evaluation of a real label with two more scores: the coverage and the mean width of the intervals.

    Args:
        evaluation: The evaluation of the medians.
        quantiles: The predicted quantiles.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples. The seed of the other scores gives equal resamples.
    """
    assert evaluation.residuals is not None
    quantiles = replace(quantiles, values=quantiles.values[scored_rows(evaluation.weights)])
    statistic = mean_statistic(
        {
            "interval_coverage": quantiles.contains(evaluation.residuals.targets).mean(axis=1),
            "interval_width": quantiles.widths().mean(axis=1),
        }
    )
    scores = bootstrap_scores(
        [statistic],
        rows=len(quantiles.values),
        options=options,
        seed=seed,
        weights=evaluation.residuals.weights,
    )
    return replace(evaluation, scores=evaluation.scores | scores, quantiles=quantiles)


def with_interval_skill(
    evaluation: "LabelEvaluation", baselines: Mapping[str, np.ndarray], *, options: Evaluation, seed: int
) -> "LabelEvaluation":
    """Return the evaluation of a forecast with the pinball loss of simple intervals, and the skill of the quantiles.

    A simple interval is a simple forecast plus the quantiles of its errors on the same rows, for each step of the
    horizon. These rows are known to it, so that the comparison favours it.

    Args:
        evaluation: The evaluation; it stays as it is without quantiles.
        baselines: Name -> (rows, width) simple forecasts of the same rows.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples.
    """
    quantiles = evaluation.quantiles
    if quantiles is None:
        return evaluation
    assert evaluation.residuals is not None
    targets = evaluation.residuals.targets
    simple = {}
    for name, forecasts in baselines.items():
        forecasts = forecasts.reshape(targets.shape).astype(np.float64)
        errors = np.quantile(targets - forecasts, quantiles.levels, axis=0)  # (quantiles, width)
        simple[name] = pinball(targets, forecasts[..., None] + errors.T, quantiles.levels)
    statistic = skill(pinball(targets, quantiles.values, quantiles.levels), simple, loss="pinball", suffix="_interval")
    scores = bootstrap_scores([statistic], rows=evaluation.rows, options=options, seed=seed)
    return replace(evaluation, scores=evaluation.scores | scores)


def pinball(targets: np.ndarray, values: np.ndarray, levels: Sequence[float]) -> np.ndarray:
    """Return the mean pinball loss of each row: (rows,) float64.

    Args:
        targets: (rows, width) float64.
        values: (rows, width, quantiles) float64.
        levels: The quantiles.
    """
    errors = targets[..., None] - values
    return np.maximum(np.array(levels) * errors, (np.array(levels) - 1) * errors).mean(axis=(1, 2))
