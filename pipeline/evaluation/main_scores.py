"""The one score of each kind of label by which models, and groups of rows, are compared."""

from collections.abc import Callable

import numpy as np

from pipeline.evaluation.bootstrap import mean_statistic
from pipeline.evaluation.metrics import macro_f1, multi_label_counts, regression, true_classes
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, Label

OF_MODELS = {CLASS: "accuracy", ONE_HOT: "accuracy", MULTI_LABEL: "macro_f1", REAL: "r2"}
OF_GROUPS = OF_MODELS | {REAL: "mae"}  # R2 depends on the variance of the label, which differs between groups
LOWER_IS_BETTER = frozenset({"mae"})

ScoreFunction = Callable[[np.ndarray], np.ndarray]
"""Takes row weights (rows, draws) float64, returns the score of each draw: (draws,) float64."""


def score_function(name: str, label: Label, *, targets: np.ndarray, outputs: np.ndarray) -> ScoreFunction:
    """Return the function of one score.

    Args:
        name: A value of OF_MODELS or OF_GROUPS.
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
    """
    if label.kind == REAL:
        statistic = regression(targets=targets.reshape(outputs.shape).astype(np.float64), predictions=outputs)
    elif label.kind == MULTI_LABEL:
        statistic = macro_f1(multi_label_counts(truth=targets.reshape(outputs.shape) > 0.5, predicted=outputs > 0.5))
    else:
        statistic = mean_statistic({"accuracy": outputs.argmax(axis=1) == true_classes(label, targets)})
    return lambda weights: statistic(weights)[name]
