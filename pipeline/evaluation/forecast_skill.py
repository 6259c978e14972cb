"""Scores of a forecast compared with simple forecasts of the same rows."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pipeline.evaluation.bootstrap import Statistic, bootstrap_scores
from pipeline.evaluation.metrics import LabelEvaluation
from pipeline.evaluation.options import Evaluation


def with_skill(
    evaluation: LabelEvaluation, baselines: Mapping[str, np.ndarray], *, options: Evaluation, seed: int
) -> LabelEvaluation:
    """Return the evaluation of a real label with two more scores per baseline: the MAE of the baseline, and the skill.

    Args:
        evaluation: The evaluation of the model.
        baselines: Name -> (rows, width) predictions of the same rows.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples behind the intervals. The seed of the other scores gives equal resamples.
    """
    assert evaluation.residuals is not None
    targets = evaluation.residuals.targets
    errors = np.abs(evaluation.residuals.predictions - targets).mean(axis=1)
    others = {name: np.abs(values.reshape(targets.shape) - targets).mean(axis=1) for name, values in baselines.items()}
    scores = bootstrap_scores([skill(errors, others)], rows=evaluation.rows, options=options, seed=seed)
    return replace(evaluation, scores=evaluation.scores | scores)


def skill(errors: np.ndarray, baselines: Mapping[str, np.ndarray], *, loss: str = "mae", suffix: str = "") -> Statistic:
    """Return the statistic of the MAE of each baseline and the skill of a forecast: 1 - its MAE / MAE of the baseline.

    The skill is 1 if the forecast is exact, 0 if it is as good as the baseline; NaN if the baseline is exact.

    Args:
        errors: (rows,) absolute errors of the forecast, or another loss.
        baselines: Name of a baseline -> (rows,) the same of the baseline.
        loss: The name of the mean of such errors; it begins the name of the score of a baseline.
        suffix: The end of the names of the scores.
    """

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        own, total = errors @ weights, weights.sum(axis=0)
        scores = {}
        for name, values in baselines.items():
            other = values @ weights
            share = np.divide(own, other, out=np.full_like(own, np.nan), where=other > 0)
            scores |= {f"{loss}_{name}{suffix}": other / total, f"skill_{name}{suffix}": 1 - share}
        return scores

    return statistic
