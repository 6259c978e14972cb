"""Scores of rows with weights: rows of weight 0 are left out, and the others count by their weights."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly


def scored_rows(weights: np.ndarray | None) -> np.ndarray | slice:
    """Return the index of the rows that are scored, those with a weight above 0: (rows,) bool, or all.

    Args:
        weights: (rows,); None: every row counts once.
    """
    return slice(None) if weights is None or weights.all() else weights > 0


def only_scored(weights: np.ndarray | None, *arrays: np.ndarray) -> tuple[Any, ...]:
    """Return the weights and other arrays, (rows, ...), of the rows that are scored. Weights as for `scored_rows`."""
    kept = scored_rows(weights)
    return (None if weights is None else weights[kept], *(array[kept] for array in arrays))


def effective_rows(weights: np.ndarray) -> float:
    """Return the effective number of rows, (sum of w)^2 / sum of w^2 (Kish 1965, "Survey Sampling").

    The mean of so many rows of equal weight varies as much as the weighted mean.

    Args:
        weights: (rows,) weights from 0 on, not all 0.
    """
    shares = weights.astype(np.float64) / weights.max()
    return float(shares.sum() ** 2 / (shares**2).sum())


def weights_to_json(evaluations: "Sequence[LabelEvaluation | ScoresOnly]") -> dict[str, dict[str, float]]:
    """Return {"effective_rows": label -> effective number of rows} for weighted scores; {} if there are none."""
    found = {
        evaluation.name: effective_rows(weights)
        for evaluation in evaluations
        if (weights := getattr(evaluation, "weights", None)) is not None
    }
    return {"effective_rows": found} if found else {}
