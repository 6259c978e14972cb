"""Compare a model with simple models on the same rows, by the paired difference of the main score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.data.containers import Split
from pipeline.evaluation.bootstrap import Score, percentile_interval, resampled_scores, weighted
from pipeline.evaluation.decisions import Decision
from pipeline.evaluation.main_scores import LOWER_IS_BETTER, score_function, score_of_models
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.ordinal_scores import median_class
from pipeline.evaluation.simple_models import SimpleModels
from pipeline.evaluation.weighted_scores import only_scored
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, DataSpec, Label

CONSTANTS = {
    CLASS: "the majority class",
    ONE_HOT: "the majority class",
    MULTI_LABEL: "the most frequent answers",
    REAL: "the training mean",
}
LINEAR_MODELS = {kind: "linear regression" if kind == REAL else "logistic regression" for kind in CONSTANTS}


@dataclass(frozen=True, kw_only=True)
class BaselineComparison:
    """The comparison of a model with one simple model.

    Attributes:
        name: The name of the simple model.
        metric: The name of the score that is compared.
        score: The score of the model.
        baseline: The score of the simple model.
        difference: How much better the model is: its score minus that of the simple model, or the reverse if a lower
            score is better.
    """

    name: str
    metric: str
    score: float
    baseline: float
    difference: Score

    @property
    def is_beaten(self) -> bool:
        """Whether the interval of the difference lies above 0."""
        return self.difference.low > 0

    @property
    def verdict(self) -> str:
        """Whether the model is "better" than the simple model, "worse" or "not better"."""
        if self.is_beaten:
            return "better"
        return "worse" if self.difference.high < 0 else "not better"

    def describe(self) -> str:
        """Return the result as part of a sentence: "better than the majority class by 0.41 [0.38, 0.44]"."""
        value, low, high = self.difference.value, self.difference.low, self.difference.high
        if self.verdict == "not better":
            return f"not better than {self.name}: difference {value:.3g} [{low:.3g}, {high:.3g}]"
        if self.verdict == "worse":
            value, low, high = -value, -high, -low
        return f"{self.verdict} than {self.name} by {value:.3g} [{low:.3g}, {high:.3g}]"


def compare_with_simple_models(
    name: str,
    label: Label,
    *,
    targets: np.ndarray,
    outputs: np.ndarray,
    simple: Mapping[str, np.ndarray],
    decision: Decision | None = None,
    options: Evaluation,
    seed: int,
    weights: np.ndarray | None = None,
) -> tuple[BaselineComparison, ...]:
    """Compare the predictions of a model with those of simple models.

    Each resample draws rows together with the predictions of all models.

    Args:
        name: The name of the label.
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        outputs: The outputs of the model, (rows, width) float64, checked.
        simple: Name of a simple model -> its outputs, (rows, width) float64.
        decision: The decision of the model.
        options: Number of resamples and confidence level.
        seed: The seed of the resamples.
        weights: (rows,), the weights of the rows; None: every row counts once. Rows of weight 0 are left out.

    Returns:
        The comparisons, first those with models that are not beaten; empty for a single row, which has no interval.
    """
    weights, targets, outputs, *others = only_scored(weights, targets, outputs, *simple.values())
    simple = dict(zip(simple, others, strict=True))
    metric, rows = score_of_models(label, decision), len(targets)
    if rows < 2 or not simple:
        return ()
    models = [
        score_function(metric, label, targets=targets, outputs=values, decision=chosen)
        for values, chosen in [(outputs, decision), *((values, None) for values in simple.values())]
    ]

    def scores(counts: np.ndarray) -> np.ndarray:
        return np.stack([score(counts) for score in models])

    score, *others = scores(weighted(np.ones((rows, 1)), weights))[:, 0].tolist()
    resampled = resampled_scores(scores, rows=rows, resamples=options.resamples, seed=seed, weights=weights)
    sign = -1 if metric in LOWER_IS_BETTER else 1
    comparisons = []
    for position, (simple_name, value) in enumerate(zip(simple, others, strict=True), start=1):
        low, high = percentile_interval(sign * (resampled[0] - resampled[position]), options.confidence)
        comparisons.append(
            BaselineComparison(
                name=simple_name,
                metric=metric,
                score=score,
                baseline=value,
                difference=Score(value=sign * (score - value), low=low, high=high),
            )
        )
    return tuple(sorted(comparisons, key=lambda comparison: comparison.is_beaten))


def simple_outputs(spec: DataSpec, models: SimpleModels, rows: Split) -> dict[str, dict[str, np.ndarray]]:
    """Return the predictions of the simple models: label -> name of the model -> (rows, width) float64."""
    linear = models.predict_linear(spec, rows)
    outputs = {}
    for name, label in spec.labels.items():
        constant, constant_name = models.constants[name], CONSTANTS[label.kind]
        if label.ordered:
            constant, constant_name = median_class(constant), "the median class"
        outputs[name] = {constant_name: np.broadcast_to(constant, (len(rows), len(constant)))}
        if name in linear:
            outputs[name][LINEAR_MODELS[label.kind]] = linear[name]
    return outputs


def baselines_to_json(comparisons: Mapping[str, Sequence[BaselineComparison]]) -> dict[str, Any]:
    """Return label -> name of the simple model -> the comparison, as result.json holds it."""
    return {
        label: {
            comparison.name: {
                "metric": comparison.metric,
                "score": comparison.score,
                "baseline": comparison.baseline,
                "difference": comparison.difference.to_json(),
                "beaten": comparison.is_beaten,
            }
            for comparison in of_label
        }
        for label, of_label in comparisons.items()
        if of_label
    }
