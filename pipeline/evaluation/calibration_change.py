"""Scores of probabilities before and after their calibration, on the same rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.bootstrap import Score, Statistic, bootstrap_scores, mean_statistic
from pipeline.evaluation.calibration import Calibration, estimate_calibration
from pipeline.evaluation.calibrators import Calibrator
from pipeline.evaluation.class_scores import SMALLEST, probability_scores
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly, members_of, true_classes
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.weighted_scores import only_scored
from pipeline.spec import MULTI_LABEL, Label

BEFORE, AFTER, DIFFERENCE = "before", "after", "difference"


@dataclass(frozen=True, kw_only=True)
class CalibrationChange:
    """The effect of a calibrator on the scored rows.

    Attributes:
        calibrator: The calibrator.
        scores: Score -> BEFORE, AFTER and DIFFERENCE (after minus before) -> value with its interval. The scores are
            the log loss and the Brier score.
        before: The calibration of the predicted class before; None for a multi-label.
        after: The same, after.
    """

    calibrator: Calibrator
    scores: dict[str, dict[str, Score]]
    before: Calibration | None
    after: Calibration | None


def calibration_change(
    evaluation: LabelEvaluation, calibrator: Calibrator, *, before: np.ndarray, options: Evaluation, seed: int
) -> CalibrationChange:
    """Compare the probabilities of an evaluation with those before the calibration.

    Args:
        evaluation: The evaluation of the calibrated probabilities.
        calibrator: The calibrator of the label.
        before: (rows, classes) float64, the probabilities of the trained model.
        options: Resamples, level of the intervals, and bins.
        seed: The seed of the resamples.
    """
    label, targets, after = evaluation.label, evaluation.targets, evaluation.outputs
    assert targets is not None and after is not None
    weights, targets, before, after = only_scored(evaluation.weights, targets, before, after)
    first, second = (_scores(label, targets, probabilities) for probabilities in (before, after))

    def statistic(counts: np.ndarray) -> dict[str, np.ndarray]:
        old, new = first(counts), second(counts)
        return {
            f"{kind} {name}": values
            for name in new
            for kind, values in ((BEFORE, old[name]), (AFTER, new[name]), (DIFFERENCE, new[name] - old[name]))
        }

    scores = bootstrap_scores([statistic], rows=len(targets), options=options, seed=seed, weights=weights)
    names = dict.fromkeys(name.partition(" ")[2] for name in scores)
    return CalibrationChange(
        calibrator=calibrator,
        scores={name: {kind: scores[f"{kind} {name}"] for kind in (BEFORE, AFTER, DIFFERENCE)} for name in names},
        before=_of_predicted(label, targets, before, weights=weights, options=options, seed=seed),
        after=evaluation.calibration,
    )


def _scores(label: Label, targets: np.ndarray, probabilities: np.ndarray) -> Statistic:
    if label.kind != MULTI_LABEL:
        return probability_scores(true_classes(label, targets), probabilities)
    members = members_of(label, targets)
    own = np.clip(np.where(members, probabilities, 1 - probabilities), SMALLEST, 1)
    return mean_statistic(
        {"brier": ((probabilities - members) ** 2).mean(axis=1), "log_loss": -np.log(own).mean(axis=1)}
    )


def _of_predicted(
    label: Label,
    targets: np.ndarray,
    probabilities: np.ndarray,
    *,
    weights: np.ndarray | None,
    options: Evaluation,
    seed: int,
) -> Calibration | None:
    if label.kind == MULTI_LABEL:
        return None
    correct = probabilities.argmax(axis=1) == true_classes(label, targets)
    return estimate_calibration(
        confidences=probabilities.max(axis=1), correct=correct, options=options, seed=seed, weights=weights
    )


def changes_to_json(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> dict[str, Any]:
    """Return {"calibration_change": label -> score -> BEFORE, AFTER and DIFFERENCE}; {} if no label is calibrated."""
    changes = {
        evaluation.name: {
            name: {kind: score.to_json() for kind, score in kinds.items()} for name, kinds in change.scores.items()
        }
        | ({"ece": {BEFORE: change.before.ece, AFTER: change.after.ece}} if change.before and change.after else {})
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation) and (change := evaluation.calibration_change)
    }
    return {"calibration_change": changes} if changes else {}
