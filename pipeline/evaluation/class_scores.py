"""Scores of class probabilities: scores of one class against the rest, ranking scores, and scores of all classes.

A score that is undefined for the rows has the value of scikit-learn: 0, or 0.5 for a ROC AUC.
"""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from pipeline.evaluation.bootstrap import Statistic, mean_statistic
from pipeline.evaluation.row_groups import ratio_or_nan

SMALLEST = float(np.finfo(np.float64).eps)  # the probability of which a logarithm is taken in place of 0
ROUNDING = 1e-12  # share of the total weight below which a difference of sums of weights is rounding, not rows
MAX_RANKED = 20  # classes; with more, ranking each class against the rest takes too long

Counts = Callable[[np.ndarray], Sequence[np.ndarray]]


def binary_scores(counts: Counts, positive: int, beta: float) -> Statistic:
    """Return the statistic of precision, recall, F1 and, unless beta is 1, F-beta of one of two classes.

    Args:
        counts: As returned by `metrics.class_counts`.
        positive: The index of the class.
        beta: The weight of recall in F-beta: recall counts beta times as much as precision.
    """

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows, predicted, correct = (count[positive] for count in counts(weights))
        scores = {
            "precision": np.nan_to_num(ratio_or_nan(correct, predicted)),
            "recall": np.nan_to_num(ratio_or_nan(correct, rows)),
            "f1": f_beta(rows, predicted, correct, 1.0),
        }
        return scores if beta == 1 else scores | {f"f{beta:g}": f_beta(rows, predicted, correct, beta)}

    return statistic


def f_beta(rows: np.ndarray, predicted: np.ndarray, correct: np.ndarray, beta: float) -> np.ndarray:
    """Return F-beta from the numbers of true, predicted and correct rows of a class; 0 if all are 0."""
    return np.nan_to_num(ratio_or_nan((1 + beta**2) * correct, beta**2 * rows + predicted))


def matthews_correlation(counts: Counts) -> Statistic:
    """Return the statistic of the Matthews correlation coefficient, for any number of classes.

    Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation coefficient".
    """

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows, predicted, correct = counts(weights)
        total = weights.sum(axis=0)
        covariance = correct.sum(axis=0) * total - (rows * predicted).sum(axis=0)
        spreads = [total**2 - (count**2).sum(axis=0) for count in (rows, predicted)]
        spreads = [np.where(spread <= ROUNDING * total**2, 0, spread) for spread in spreads]
        return {"mcc": np.nan_to_num(ratio_or_nan(covariance, np.sqrt(np.maximum(spreads[0] * spreads[1], 0))))}

    return statistic


def probability_scores(truth: np.ndarray, probabilities: np.ndarray) -> Statistic:
    """Return the statistic of the Brier score and the log loss.

    The Brier score is the squared distance between the probabilities and the one-hot true class. For two classes, the
    distance of one class is used. A probability of 0 is replaced by the epsilon of float64, as in scikit-learn.

    Args:
        truth: (rows,) class indices.
        probabilities: (rows, classes) float64.
    """
    if probabilities.shape[1] == 2:  # one of them decides, so that a single unit has the same scores
        probabilities = np.stack([1 - probabilities[:, 1], probabilities[:, 1]], axis=1)
    hot = np.arange(probabilities.shape[1]) == truth[:, None]
    squared = ((probabilities - hot) ** 2).sum(axis=1)
    own = np.clip(probabilities[np.arange(len(truth)), truth], SMALLEST, 1 - SMALLEST)
    return mean_statistic({"brier": squared / 2 if hot.shape[1] == 2 else squared, "log_loss": -np.log(own)})


def ranking(*, positive: np.ndarray, confidences: np.ndarray) -> Statistic:
    """Return the statistic of the area under the ROC curve and of the average precision.

    The area is the probability that a positive row is ranked above a negative one, ties counting half (Mann and Whitney
    1947, "On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other"). A resample
    without one of the two classes counts as 0.5. The average precision is the mean over the positive rows of the share
    of positive rows among those with at least the same confidence.

    Args:
        positive: (rows,) bool.
        confidences: (rows,) float64, the probability of the positive class.
    """
    order = np.argsort(confidences, kind="stable")
    _, first, size = np.unique(confidences[order], return_index=True, return_counts=True)  # rows of equal confidence
    row_of_positive = np.flatnonzero(positive[order])
    group, group_starts = np.unique(np.searchsorted(first, row_of_positive, side="right") - 1, return_index=True)
    # only rows before a group of positive rows, and those of the group, count: most rows of a rare class need no sum
    starts, ends = first[group], first[group] + size[group]

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        weights = weights[order]
        rows = np.cumsum(weights, axis=0)
        total, up_to = rows[-1], rows[ends - 1]
        below = np.where(starts[:, None] > 0, rows[starts - 1], 0)
        own = np.add.reduceat(weights[row_of_positive], group_starts, axis=0)
        positives = np.cumsum(own, axis=0)
        negatives_below, negatives_tied = below - (positives - own), up_to - below - own
        negatives = total - positives[-1]
        pairs = positives[-1] * np.where(negatives <= ROUNDING * total, 0, negatives)
        auc = ratio_or_nan((own * (negatives_below + negatives_tied / 2)).sum(axis=0), pairs)
        precision = np.nan_to_num(ratio_or_nan(positives[-1] - positives + own, total - below))
        average = ratio_or_nan((own * precision).sum(axis=0), positives[-1])
        return {"roc_auc": np.where(pairs > 0, auc, 0.5), "average_precision": np.nan_to_num(average)}

    return statistic


def mean_over_classes(statistics: Sequence[Statistic], members: np.ndarray) -> Statistic:
    """Return the statistic of the means of scores over classes, with names that start with "macro_".

    In each resample, a class counts only if some rows have it and some do not.

    Args:
        statistics: One per class, with the same names.
        members: (rows, classes) bool, the classes of each row.
    """
    rows_of_class = sparse.csr_array(members.T, dtype=float)

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows = rows_of_class @ weights
        defined = (rows > 0) & (rows < (1 - ROUNDING) * weights.sum(axis=0))
        scores = [single(weights) for single in statistics]
        return {
            f"macro_{name}": np.nan_to_num(
                ratio_or_nan((defined * np.stack([score[name] for score in scores])).sum(axis=0), defined.sum(axis=0))
            )
            for name in scores[0]
        }

    return statistic
