"""Scores of a model's predictions, with bootstrap intervals, and the details behind them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import sparse

from pipeline.errors import DataError
from pipeline.evaluation import class_scores
from pipeline.evaluation.bootstrap import Score, Statistic, bootstrap_scores, mean_statistic, weighted
from pipeline.evaluation.calibration import Calibration, estimate_calibration
from pipeline.evaluation.curves import ThresholdCurve, threshold_curve
from pipeline.evaluation.decisions import Decision, decide, to_json
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.ordinal_scores import ordinal_scores
from pipeline.evaluation.row_groups import membership, ratio_or_nan
from pipeline.evaluation.weighted_scores import scored_rows
from pipeline.spec import CLASS, MULTI_LABEL, REAL, Label

if TYPE_CHECKING:
    from pipeline.evaluation.baseline_comparison import BaselineComparison
    from pipeline.evaluation.calibration_change import CalibrationChange
    from pipeline.evaluation.group_scores import GroupComparison
    from pipeline.evaluation.prediction_intervals import PredictedQuantiles
    from pipeline.evaluation.prediction_profiles import PredictionProfile
    from pipeline.reports.worst_mistakes import Mistake

PROBABILITY_SLACK = 1e-3  # half-precision outputs leave [0, 1] by less

ClassCounts = Callable[[np.ndarray], list[np.ndarray]]
"""Takes row weights (rows, draws), returns rows, predicted rows and correct rows of each class: (classes, draws)."""


@dataclass(frozen=True, kw_only=True)
class ClassScores:
    """One row of the table of classes.

    Attributes:
        name: The name of the class.
        rows: Number of rows of the class.
        precision: NaN if the class is never predicted.
        recall: NaN if the class has no rows.
        f1: NaN if the class has no rows and is never predicted.
    """

    name: str
    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Residuals:
    """Predictions and targets of a real label, (rows, width) float64 each, and the weights of the rows or None."""

    predictions: np.ndarray
    targets: np.ndarray
    weights: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class PositiveClass:
    """The results of the positive class of two classes.

    Attributes:
        name: The name of the class.
        threshold: The probability from which a row is predicted positive.
        curve: The true and false positives by threshold.
        calibration: The calibration of the probability of the class.
    """

    name: str
    threshold: float
    curve: ThresholdCurve
    calibration: Calibration


@dataclass(frozen=True, kw_only=True)
class LabelEvaluation:
    """The evaluation of the predictions of one label.

    Attributes:
        name: The name of the label.
        label: The spec of the label.
        rows: The number of scored rows: those with a weight above 0.
        confidence: The level of the confidence intervals, between 0 and 1.
        scores: Score name -> value with its interval.
        per_class: One entry per class; empty for real labels.
        confusion: (classes, classes), true classes by predicted classes; None unless each row has one class. Numbers of
            rows, int64, or sums of their weights, float64.
        calibration: The calibration of the probabilities; None unless each row has one class.
        decision: The decision of the label; None: the most probable class is predicted.
        positive: The positive class; None unless the label has two classes and both have rows.
        residuals: The differences between predictions and targets; None unless the label is real.
        quantiles: The predicted quantiles; None unless the model predicts intervals of a real label.
        predictions: The profile of the predictions; None if none was built.
        targets: The labels of the rows, as `evaluate_label` takes them.
        outputs: (rows, width) float64, the checked predictions.
        calibration_change: The scores before and after the calibration of the probabilities; None if there is none.
        baselines: The comparisons with simple models.
        groups: The scores by groups of rows.
        mistakes: The rows of the worst mistakes, the worst first.
        weights: (rows,) float64, the weights of the rows; None: every row counts once.
    """

    name: str
    label: Label
    rows: int
    confidence: float
    scores: dict[str, Score]
    per_class: tuple[ClassScores, ...] = ()
    confusion: np.ndarray | None = None
    calibration: Calibration | None = None
    decision: Decision | None = None
    positive: PositiveClass | None = None
    residuals: Residuals | None = None
    quantiles: "PredictedQuantiles | None" = None
    predictions: "PredictionProfile | None" = None
    targets: np.ndarray | None = None
    outputs: np.ndarray | None = None
    calibration_change: "CalibrationChange | None" = None
    baselines: "tuple[BaselineComparison, ...]" = ()
    groups: "tuple[GroupComparison, ...]" = ()
    mistakes: "tuple[Mistake, ...]" = ()
    weights: np.ndarray | None = None


@dataclass(frozen=True, kw_only=True)
class ScoresOnly:
    """The evaluation of a model whose outputs are not predictions of labels, such as generated images.

    Attributes:
        name: The name of the output, such as "generated".
        rows: Number of rows behind the scores.
        confidence: Level of the intervals of the scores.
        scores: By name.
        note: What the scores mean, for the report.
        figures: Figures of `pipeline.reports.figures`, shown beside the scores.
    """

    name: str
    rows: int
    confidence: float
    scores: dict[str, Score]
    note: str = ""
    figures: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Scored:
    """The rows of a label that are scored: those with a weight above 0.

    Attributes:
        targets: As `evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
        weights: (rows,) float64; None: every row counts once.
    """

    targets: np.ndarray
    outputs: np.ndarray
    weights: np.ndarray | None


def evaluate_label(
    name: str,
    label: Label,
    *,
    targets: ArrayLike,
    outputs: ArrayLike,
    losses: Mapping[str, ArrayLike],
    options: Evaluation,
    seed: int,
    decision: Decision | None = None,
    weights: np.ndarray | None = None,
) -> LabelEvaluation:
    """Score the predictions of one label.

    Args:
        name: The name of the label.
        label: The label.
        targets: (rows,) class indices of a class label; (rows, width) of a one-hot label, of which the largest counts,
            and of a multi-label; (rows,) or (rows, width) of a real label.
        outputs: (rows, width) probabilities, or predictions of a real label. A class label of two classes may have
            (rows,) or (rows, 1) probabilities of the second class.
        losses: Name -> (rows,) numbers. The mean of each is a score.
        options: How to score.
        seed: The seed of the resamples behind the intervals.
        decision: The decision of the label; None predicts the most probable class.
        weights: (rows,) from 0 on, the weights of the rows; None: every row counts once. Rows of weight 0 are left out.

    Raises:
        DataError: There are no rows, or none with a weight above 0; an output is not finite or not a probability; or a
            shape does not fit the label.
    """
    targets = np.asarray(targets)
    rows = len(targets)
    if rows == 0:
        raise DataError(f"label {name!r}: expected rows to evaluate on; found none. Give this split some rows.")
    outputs = check_outputs(outputs, name=name, label=label, rows=rows)
    row_losses = {loss: check_losses(values, name=name, loss=loss, rows=rows) for loss, values in losses.items()}
    weights = None if weights is None else np.asarray(weights, np.float64)
    kept = scored_rows(weights)
    scored = Scored(targets[kept], outputs[kept], None if weights is None else weights[kept])
    if not len(scored.targets):
        raise DataError(f"label {name!r}: expected rows with a weight above 0 to evaluate on; found none.")
    statistics = [
        mean_statistic({loss: values[kept] for loss, values in row_losses.items()}),
        *label_statistics(label, targets=scored.targets, outputs=scored.outputs, decision=decision),
        *further_statistics(label, targets=scored.targets, outputs=scored.outputs, options=options, decision=decision),
    ]
    return LabelEvaluation(
        name=name,
        label=label,
        rows=len(scored.targets),
        confidence=options.confidence,
        scores=bootstrap_scores(
            statistics, rows=len(scored.targets), options=options, seed=seed, weights=scored.weights
        ),
        targets=targets,
        outputs=outputs,
        decision=decision,
        weights=weights,
        **label_details(label, scored, options=options, seed=seed, decision=decision),
    )


# ---- as JSON --------------------------------------------------------------------------------------------------------


def scores_to_json(
    evaluations: Sequence[LabelEvaluation | ScoresOnly],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return label -> score -> value, low and high, as result.json holds them; None for NaN and infinity."""
    return {
        evaluation.name: {name: score.to_json() for name, score in evaluation.scores.items()}
        for evaluation in evaluations
    }


def calibration_to_json(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> dict[str, dict[str, float]]:
    """Return label -> expected calibration error and its bound by chance, for the labels that have one."""
    return {
        evaluation.name: {"ece": evaluation.calibration.ece, "ece_by_chance": evaluation.calibration.ece_by_chance}
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation) and evaluation.calibration
    }


def decisions_to_json(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> dict[str, Any]:
    """Return label -> its decision, for the labels that have a decision."""
    return to_json(
        {
            evaluation.name: evaluation.decision
            for evaluation in evaluations
            if isinstance(evaluation, LabelEvaluation) and evaluation.decision
        }
    )


# ---- kinds of label -------------------------------------------------------------------------------------------------


def label_statistics(
    label: Label, *, targets: np.ndarray, outputs: np.ndarray, decision: Decision | None = None
) -> list[Statistic]:
    """Return the statistics whose scores evaluate a label, without its losses.

    Args:
        label: The label.
        targets: As `evaluate_label` takes them.
        outputs: (rows, width) float64, checked.
        decision: As `evaluate_label` takes it.
    """
    if label.kind == REAL:
        return [regression(targets=targets.reshape(outputs.shape).astype(np.float64), predictions=outputs)]
    if label.kind == MULTI_LABEL:
        truth, predicted = members_of(label, targets), decide(label, outputs, decision)
        agreement = {
            "subset_accuracy": (truth == predicted).all(axis=1),
            "hamming_loss": (truth != predicted).mean(axis=1),
        }
        return [mean_statistic(agreement), macro_f1(multi_label_counts(truth=truth, predicted=predicted))]
    truth, predicted = true_classes(label, targets), decide(label, outputs, decision)
    counts = class_counts(truth=truth, predicted=predicted, classes=label.width)
    statistics = [mean_statistic({"accuracy": predicted == truth}), balanced_accuracy(counts), macro_f1(counts)]
    if label.width > 5:
        statistics.append(mean_statistic({"top_3_accuracy": rank(truth=truth, probabilities=outputs) < 3}))
    if label.width == 2 and 0 < np.count_nonzero(truth) < len(truth):  # undefined if one class has no rows
        positive = positive_of(decision)
        statistics.append(class_scores.ranking(positive=truth == positive, confidences=outputs[:, positive]))
    return statistics


def further_statistics(
    label: Label, *, targets: np.ndarray, outputs: np.ndarray, options: Evaluation, decision: Decision | None = None
) -> list[Statistic]:
    """Return the statistics of a label that drift detection does not compare. Arguments as for `evaluate_label`."""
    if label.kind == REAL:
        return []
    if label.kind == MULTI_LABEL:
        return one_against_rest(members_of(label, targets), outputs)
    truth, predicted = true_classes(label, targets), decide(label, outputs, decision)
    counts = class_counts(truth=truth, predicted=predicted, classes=label.width)
    statistics = [class_scores.matthews_correlation(counts), class_scores.probability_scores(truth, outputs)]
    if label.ordered:
        statistics += ordinal_scores(truth=truth, predicted=predicted, probabilities=outputs)
    if label.width != 2:
        return [*statistics, *one_against_rest(members_of(label, targets), outputs)]
    return [class_scores.binary_scores(counts, positive_of(decision), options.beta), *statistics]


def one_against_rest(members: np.ndarray, outputs: np.ndarray) -> list[Statistic]:
    """Return the means of ROC AUC and average precision over classes; [] if all are undefined, or for many classes.

    Args:
        members: (rows, classes) bool, the classes of each row.
        outputs: (rows, classes) float64.
    """
    ranked = [index for index, column in enumerate(members.T) if 0 < np.count_nonzero(column) < len(column)]
    if not ranked or len(members.T) > class_scores.MAX_RANKED:
        return []
    each = [class_scores.ranking(positive=members[:, index], confidences=outputs[:, index]) for index in ranked]
    return [class_scores.mean_over_classes(each, members[:, ranked])]


def label_details(
    label: Label, scored: Scored, *, options: Evaluation, seed: int, decision: Decision | None
) -> dict[str, Any]:
    """Return the fields of LabelEvaluation beyond the scores, by name. Other arguments as for `evaluate_label`."""
    targets, outputs, weights = scored.targets, scored.outputs, scored.weights
    if label.kind == REAL:
        residuals = Residuals(
            predictions=outputs, targets=targets.reshape(outputs.shape).astype(np.float64), weights=weights
        )
        return {"residuals": residuals}
    if label.kind == MULTI_LABEL:
        predicted = decide(label, outputs, decision)
        counts = multi_label_counts(truth=members_of(label, targets), predicted=predicted)
        return {"per_class": per_class_scores(label, counts, len(targets), weights)}
    truth, predicted = true_classes(label, targets), decide(label, outputs, decision)
    counts = class_counts(truth=truth, predicted=predicted, classes=label.width)
    most_probable = outputs.argmax(axis=1)
    cells = np.bincount(truth * label.width + predicted, weights, minlength=label.width**2)
    return {
        "per_class": per_class_scores(label, counts, len(targets), weights),
        "confusion": cells.reshape(label.width, label.width),
        "calibration": estimate_calibration(
            confidences=outputs.max(axis=1),
            correct=most_probable == truth,
            options=options,
            seed=seed,
            weights=weights,
        ),
        "positive": positive_class(label, scored, options=options, seed=seed, decision=decision),
    }


def positive_class(
    label: Label, scored: Scored, *, options: Evaluation, seed: int, decision: Decision | None
) -> PositiveClass | None:
    """Return the results of the positive class of a label of two classes; None if only one class has rows."""
    index = positive_of(decision)
    positive = true_classes(label, scored.targets) == index
    if label.width != 2 or positive.all() or not positive.any():
        return None
    confidences = scored.outputs[:, index]
    return PositiveClass(
        name=label.classes[index],
        threshold=decision.thresholds[0] if decision else 0.5,
        curve=threshold_curve(positive, confidences, scored.weights),
        calibration=estimate_calibration(
            confidences=confidences, correct=positive, options=options, seed=seed, weights=scored.weights
        ),
    )


def positive_of(decision: Decision | None) -> int:
    """Return the index of the positive class of two: the class of the decision, or the second."""
    return 1 if decision is None or decision.positive is None else decision.positive


def members_of(label: Label, targets: np.ndarray) -> np.ndarray:
    """Return the classes of each row of a label with classes: (rows, classes) bool."""
    if label.kind == MULTI_LABEL:
        return targets.reshape(len(targets), -1) > 0.5
    return true_classes(label, targets)[:, None] == np.arange(label.width)


def true_classes(label: Label, targets: np.ndarray) -> np.ndarray:
    """Return the class index of each row, (rows,) integer, of a class or one-hot label."""
    return targets.reshape(-1) if label.kind == CLASS else targets.argmax(axis=1)


# ---- checks ---------------------------------------------------------------------------------------------------------


def check_outputs(outputs: ArrayLike, *, name: str, label: Label, rows: int) -> np.ndarray:
    """Return a model's outputs as (rows, width) float64; a single sigmoid unit becomes the two classes' probabilities.

    Args:
        outputs: As for `evaluate_label`.
        name: The name of the label, for error messages.
        label: The label.
        rows: Number of rows.

    Raises:
        DataError: An output is not finite or, of a label with classes, not a probability; or the shape does not fit.
    """
    outputs = np.asarray(outputs)
    widths = (1, 2) if label.kind == CLASS and label.width == 2 else (label.width,)
    if outputs.shape[:1] != (rows,) or outputs[0].size not in widths:
        raise DataError(
            f"label {name!r}: expected outputs of shape ({rows}, {label.width}); found {outputs.shape}. "
            "Give the model's head as many units as the label is wide."
        )
    outputs = outputs.reshape(rows, -1).astype(np.float64)
    require_finite(f"label {name!r}: the model's outputs", outputs)
    if label.kind == REAL:
        return outputs
    distance = np.abs(outputs - 0.5)
    outside = distance.max(axis=1) > 0.5 + PROBABILITY_SLACK
    if outside.any():
        row = int(outside.argmax())
        raise DataError(
            f"label {name!r}: expected probabilities from 0 to 1; found {outputs[row, distance[row].argmax()]} at row "
            f"{row}. End the model in softmax or sigmoid."
        )
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] < label.width else outputs


def check_losses(values: ArrayLike, *, name: str, loss: str, rows: int) -> np.ndarray:
    """Return the losses of the rows as (rows,) float64.

    Args:
        values: (rows,) numbers.
        name: The name of the label, for error messages.
        loss: Name of the loss, for error messages.
        rows: Number of rows.

    Raises:
        DataError: A loss is not finite.
    """
    values = np.asarray(values, np.float64).reshape(rows)
    require_finite(f"label {name!r}: {loss}", values[:, None])
    return values


def require_finite(subject: str, values: np.ndarray) -> None:
    """Check values, (rows, width) float64.

    Raises:
        DataError: A value is NaN or infinite.
    """
    finite = np.isfinite(values)
    bad = ~finite.all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{subject}: expected finite numbers; found {values[row][~finite[row]][0]} at row {row}, and {bad.sum()} "
            f"of {len(values)} rows like it. Training has diverged: lower the learning rate or clip gradients."
        )


# ---- classes --------------------------------------------------------------------------------------------------------


def class_counts(*, truth: np.ndarray, predicted: np.ndarray, classes: int) -> ClassCounts:
    """Count rows, predicted rows and correct rows per class, from class indices (rows,) each."""
    return _counts(membership(truth, classes), membership(predicted, classes))


def multi_label_counts(*, truth: np.ndarray, predicted: np.ndarray) -> ClassCounts:
    """Count rows, predicted rows and correct rows per class, from (rows, classes) bool each."""
    return _counts(sparse.csr_array(truth.T, dtype=float), sparse.csr_array(predicted.T, dtype=float))


def _counts(truth: sparse.csr_array, predicted: sparse.csr_array) -> ClassCounts:
    members = sparse.vstack([truth, predicted, truth.multiply(predicted)], format="csr")
    return lambda weights: np.split(members @ weights, 3)


def _mean_of_present(present: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Average over the classes that are present, 0 if none is: (classes, draws) each -> (draws,)."""
    return np.where(present, values, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)


def balanced_accuracy(counts: ClassCounts) -> Statistic:
    """Return the statistic of the mean recall over the classes that have rows."""

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows, _, correct = counts(weights)
        return {"balanced_accuracy": _mean_of_present(rows > 0, ratio_or_nan(correct, rows))}

    return statistic


def macro_f1(counts: ClassCounts) -> Statistic:
    """Return the statistic of the mean F1 over the classes that have rows or are predicted."""

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        rows, predicted, correct = counts(weights)
        return {"macro_f1": _mean_of_present(rows + predicted > 0, ratio_or_nan(2 * correct, rows + predicted))}

    return statistic


def per_class_scores(
    label: Label, counts: ClassCounts, rows: int, weights: np.ndarray | None = None
) -> tuple[ClassScores, ...]:
    """Return the scores of each class over this number of rows, whose weights may be given: (rows,)."""
    once = np.ones((rows, 1))
    rows_of_class = counts(once)[0][:, 0]
    truth, predicted, correct = (count[:, 0] for count in counts(weighted(once, weights)))
    columns = (
        ratio_or_nan(correct, predicted),
        ratio_or_nan(correct, truth),
        ratio_or_nan(2 * correct, truth + predicted),
    )
    return tuple(
        ClassScores(name=name, rows=int(count), precision=float(precision), recall=float(recall), f1=float(f1))
        for name, count, precision, recall, f1 in zip(label.classes, rows_of_class, *columns, strict=True)
    )


def rank(*, truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Return the number of classes that are ranked above the true one: (rows,) integer.

    Of equal probabilities the lower class index ranks first, as in argmax.

    Args:
        truth: (rows,) class indices.
        probabilities: (rows, classes).
    """
    own = np.take_along_axis(probabilities, truth[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    return (probabilities > own).sum(axis=1) + ((probabilities == own) & earlier).sum(axis=1)


# ---- real numbers ---------------------------------------------------------------------------------------------------


def regression(*, targets: np.ndarray, predictions: np.ndarray) -> Statistic:
    """Return the statistic of MAE, RMSE and R2 (coefficient of determination), averaged over the outputs.

    R2 of constant targets is 1 if all predictions are exact, else 0.

    Args:
        targets: (rows, width) float64.
        predictions: (rows, width) float64.
    """
    errors = predictions - targets
    centred = targets - np.median(targets, axis=0)  # exactly 0 for constant targets, unlike with the rounded mean
    sums = np.hstack([np.abs(errors), errors**2, centred, centred**2]).T

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        absolute, squared, first, second = np.split(sums @ weights, 4)
        total = weights.sum(axis=0)
        spread = second - first**2 / total
        constant = spread <= 1e-12 * second  # smaller is rounding
        unexplained = np.divide(squared, spread, out=(squared > 0).astype(np.float64), where=~constant)
        return {
            "mae": (absolute / total).mean(axis=0),
            "rmse": np.sqrt(squared / total).mean(axis=0),
            "r2": (1 - unexplained).mean(axis=0),
        }

    return statistic
