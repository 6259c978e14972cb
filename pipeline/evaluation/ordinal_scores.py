"""Scores of class probabilities that depend on the order of the classes."""

import numpy as np

from pipeline.evaluation.bootstrap import Statistic, mean_statistic
from pipeline.evaluation.row_groups import ratio_or_nan

RANK_MAE = "rank_mae"


def ordinal_scores(*, truth: np.ndarray, predicted: np.ndarray, probabilities: np.ndarray) -> list[Statistic]:
    """Return the statistics of an ordinal label: rank MAE, quadratic weighted kappa and ranked probability score.

    Args:
        truth: (rows,) class indices.
        predicted: (rows,) class indices.
        probabilities: (rows, classes) float64.
    """
    return [
        rank_error(truth, predicted),
        quadratic_kappa(truth, predicted),
        mean_statistic({"ranked_probability_score": ranked_probability_scores(truth, probabilities)}),
    ]


def rank_error(truth: np.ndarray, predicted: np.ndarray) -> Statistic:
    """Return the statistic of the mean distance between the indices of the predicted and the true class, (rows,)."""
    return mean_statistic({RANK_MAE: np.abs(predicted - truth)})


def quadratic_kappa(truth: np.ndarray, predicted: np.ndarray) -> Statistic:
    """Return the statistic of the kappa of (rows,) class indices; a distance of n classes has the weight n squared.

    Cohen 1968, "Weighted kappa". It is 0 if all rows have the same class and prediction.
    """
    columns = np.stack([truth, predicted, truth**2 + predicted**2, (truth - predicted) ** 2]).astype(np.float64)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_truth, of_predicted, squares, observed = columns @ weights
        expected = squares - 2 * of_truth * of_predicted / weights.sum(axis=0)
        return {"quadratic_kappa": np.nan_to_num(1 - ratio_or_nan(observed, expected))}

    return statistic


def ranked_probability_scores(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the ranked probability score of each row, from 0 to 1: (rows,) float64. Arguments as above."""
    hot = truth[:, None] == np.arange(probabilities.shape[1])
    return (np.cumsum(probabilities - hot, axis=1)[:, :-1] ** 2).mean(axis=1)


def median_class(shares: np.ndarray) -> np.ndarray:
    """Return the outputs, (classes,) float64, that predict the median class. shares: (classes,), of all rows."""
    return np.eye(len(shares))[np.argmax(np.cumsum(shares) >= 0.5)]
