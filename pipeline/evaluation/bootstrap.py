"""Scores with bootstrap confidence intervals.

Every score is a function of row weights. Weights of one give the score of the rows. The number of times that a resample
drew each row gives the score of that resample. If rows have weights of their own, both are multiplied by them.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import bootstrap

from pipeline.evaluation.options import Evaluation

MAX_WEIGHTS = 2**18  # row weights in memory at a time: 2 MiB, which fits the cache of a core

Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]
"""Takes row weights (rows, draws) float64, returns the scores of each draw by name: (draws,) float64."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score and its percentile bootstrap interval.

    Attributes:
        value: The score of all rows.
        low: The lower end of the interval; NaN if there is none, as for a single row.
        high: The upper end of the interval; NaN if there is none.
    """

    value: float
    low: float = np.nan
    high: float = np.nan

    def to_json(self) -> dict[str, float | None]:
        """Return the numbers as result.json holds them; None for NaN and infinity."""
        return {name: value if math.isfinite(value) else None for name, value in vars(self).items()}


def bootstrap_scores(
    statistics: Sequence[Statistic],
    *,
    rows: int,
    options: Evaluation,
    seed: int,
    weights: np.ndarray | None = None,
) -> dict[str, Score]:
    """Compute scores and their percentile intervals by resampling rows, with the same draws for every score.

    Args:
        statistics: Functions of row weights; their names must differ.
        rows: Number of rows.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples.
        weights: (rows,) float64 above 0, the weights of the rows; None: every row counts once.
    """

    def scores_of(counts: np.ndarray) -> dict[str, np.ndarray]:
        counts = weighted(counts, weights)
        return {name: values for statistic in statistics for name, values in statistic(counts).items()}

    def scores_of_draws(draws: np.ndarray, axis: int) -> np.ndarray:
        return np.stack(list(scores_of(row_counts(draws)).values()))

    values = {name: float(value[0]) for name, value in scores_of(np.ones((rows, 1))).items()}
    if rows == 1:
        return {name: Score(value=value) for name, value in values.items()}
    interval = bootstrap(
        (np.arange(rows),),
        scores_of_draws,
        vectorized=True,
        method="percentile",  # the jackknife of BCa takes time in the square of the rows
        n_resamples=options.resamples,
        batch=draws_per_batch(rows),
        confidence_level=options.confidence,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {
        name: Score(value=value, low=float(low), high=float(high))
        for (name, value), low, high in zip(values.items(), interval.low, interval.high, strict=True)
    }


def resampled_scores(
    scores: Callable[[np.ndarray], np.ndarray],
    *,
    rows: int,
    resamples: int,
    seed: int | tuple[int, ...],
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Compute scores of resamples of rows.

    Args:
        scores: Takes row weights (rows, draws) float64, returns (..., draws) float64.
        rows: Number of rows.
        resamples: Number of resamples.
        seed: The seed of the resamples.
        weights: As for `bootstrap_scores`.

    Returns:
        (..., resamples) float64.
    """
    rng, blocks, batch = np.random.default_rng(seed), [], draws_per_batch(rows)
    for start in range(0, resamples, batch):
        draws = rng.integers(rows, size=(min(batch, resamples - start), rows))
        blocks.append(scores(weighted(row_counts(draws), weights)))
    return np.concatenate(blocks, axis=-1)


def percentile_interval(values: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the lower and the upper end of the percentile interval. values: (resamples,) float64 scores."""
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def draws_per_batch(rows: int) -> int:
    """Return the number of resamples of this number of rows that are computed at a time."""
    return max(1, MAX_WEIGHTS // rows)


def row_counts(draws: np.ndarray) -> np.ndarray:
    """Count how often each resample drew each row.

    Args:
        draws: (draws, rows) integer, indices of rows.

    Returns:
        (rows, draws) float64.
    """
    count, rows = draws.shape
    cells = draws * count + np.arange(count)[:, None]
    return np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)


def weighted(counts: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return how much each row counts in each draw, (rows, draws): its count times its weight.

    Args:
        counts: (rows, draws), how often each draw has each row.
        weights: (rows,); None: every row counts once.
    """
    return counts if weights is None else counts * weights[:, np.newaxis]


def mean_statistic(columns: Mapping[str, np.ndarray]) -> Statistic:
    """Return the statistic whose scores are the means of columns.

    Args:
        columns: Name -> (rows,) numbers or booleans.
    """
    values = np.array(list(columns.values()), np.float64)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return dict(zip(columns, values @ weights / weights.sum(axis=0), strict=True)) if columns else {}

    return statistic
