"""The main score of each kind of label, by which models and groups of rows are compared."""

from collections.abc import Callable

import numpy as np

from pipeline.evaluation.bootstrap import mean_statistic
from pipeline.evaluation.class_scores import ranking
from pipeline.evaluation.decisions import Decision, decide, has_own_threshold
from pipeline.evaluation.metrics import macro_f1, members_of, multi_label_counts, regression, true_classes
from pipeline.evaluation.ordinal_scores import RANK_MAE, rank_error
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, Label

OF_MODELS = {CLASS: "accuracy", ONE_HOT: "accuracy", MULTI_LABEL: "macro_f1", REAL: "r2"}
OF_GROUPS = OF_MODELS | {REAL: "mae"}  # R2 depends on the variance of the label, which differs between groups
LOWER_IS_BETTER = frozenset({"mae", RANK_MAE})

ScoreFunction = Callable[[np.ndarray], np.ndarray]
"""Takes row weights (rows, draws) float64, returns the score of each draw: (draws,) float64."""


def score_of_models(label: Label, decision: Decision | None) -> str:
    """Return the name of the score by which models are compared.

    A simple model has no chosen threshold. If the model has one, the models are compared by a score without threshold.
    """
    if decision is None or decision.positive is None or not has_own_threshold(decision):
        return RANK_MAE if label.ordered else OF_MODELS[label.kind]
    return "roc_auc"


def score_of_groups(label: Label) -> str:
    """Return the name of the score by which groups of rows are compared."""
    return RANK_MAE if label.ordered else OF_GROUPS[label.kind]


def score_function(
    name: str, label: Label, *, targets: np.ndarray, outputs: np.ndarray, decision: Decision | None = None
) -> ScoreFunction:
    """Return the function of one score.

    Args:
        name: A value of OF_MODELS or OF_GROUPS, "roc_auc" of two classes, or RANK_MAE of an ordinal label.
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
        decision: The decision of the label; None predicts the most probable class.
    """
    if label.kind == REAL:
        statistic = regression(targets=targets.reshape(outputs.shape).astype(np.float64), predictions=outputs)
    elif label.kind == MULTI_LABEL:
        statistic = macro_f1(
            multi_label_counts(truth=members_of(label, targets), predicted=decide(label, outputs, decision))
        )
    elif name == "roc_auc":
        positive = true_classes(label, targets) == 1
        if positive.all() or not positive.any():  # no ranking of one class
            return lambda weights: np.full(weights.shape[1], 0.5)
        statistic = ranking(positive=positive, confidences=outputs[:, 1])
    elif name == RANK_MAE:
        statistic = rank_error(true_classes(label, targets), decide(label, outputs, decision))
    else:
        statistic = mean_statistic({"accuracy": decide(label, outputs, decision) == true_classes(label, targets)})
    return lambda weights: statistic(weights)[name]
