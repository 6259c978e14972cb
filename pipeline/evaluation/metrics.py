"""How good predictions are: scores with bootstrap intervals, and what stands behind them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.stats import bootstrap

from pipeline.errors import DataError
from pipeline.evaluation.options import Evaluation
from pipeline.spec import CLASS, MULTI_LABEL, REAL, Label

BATCH_ELEMENTS = 2**18  # weights held at a time: 2 MiB, which stays in a core's cache
PROBABILITY_SLACK = 1e-3  # half-precision outputs leave [0, 1] by less

# Every score is a function of row weights: (rows, draws) in, name -> (draws,) out. Weights of one give the score
# itself; the times a resample has drawn each row give the score of that resample.
Statistic = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclass(frozen=True)
class Score:
    """A score and its percentile bootstrap interval; low and high are NaN where there is a single row."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassScores:
    """One line of the per-class table.

    rows: how many belong to the class. precision is NaN for a class never predicted, recall for one without rows,
    f1 for one with neither.
    """

    name: str
    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class Calibration:
    """How far the top class's probability can be trusted.

    edges: (bins + 1,), from 0 to 1; a bin holds its upper edge. confidence, accuracy: (bins,) means of the rows in
    each bin, NaN where there are none. count: (bins,) int64. ece: expected calibration error, the mean of
    |accuracy - confidence| over the rows (Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3).
    ece_by_chance: what the ece of a perfectly calibrated model with these confidences stays below, at the intervals'
    level (consistency resampling: Broecker and Smith 2007). An interval around the ece itself would mislead: noise
    only ever adds to it, so resamples lie above it, and for a calibrated model hardly any such interval holds the
    truth.
    """

    edges: np.ndarray
    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    ece: float
    ece_by_chance: float


@dataclass(frozen=True)
class Residuals:
    """predictions, targets: (rows, width) float64 of a real label."""

    predictions: np.ndarray
    targets: np.ndarray


@dataclass(frozen=True)
class LabelEvaluation:
    """All that is known of one label.

    confidence: level of the scores' intervals. per_class: empty for real labels. confusion: (classes, classes) int64,
    rows are true and columns predicted, for labels of one class a row; else None. calibration: likewise.
    residuals: for real labels, else None.
    """

    name: str
    label: Label
    rows: int
    confidence: float
    scores: dict[str, Score]
    per_class: tuple[ClassScores, ...] = ()
    confusion: np.ndarray | None = None
    calibration: Calibration | None = None
    residuals: Residuals | None = None


@dataclass(frozen=True)
class ScoresOnly:
    """All that is known of what is not judged by predicted labels, such as generated images.

    name: of what is judged. rows: behind the scores. confidence: level of the scores' intervals. note: what the scores
    mean, for people. figures: of evaluation.figures, shown beside them.
    """

    name: str
    rows: int
    confidence: float
    scores: dict[str, Score]
    note: str = ""
    figures: tuple = ()


def evaluate(name, label, targets, outputs, losses, config: Evaluation, seed) -> LabelEvaluation:
    """Score the predictions of one label.

    targets: (rows,) indices for class labels, (rows, width) for one-hot (of which the largest counts) and
    multi-label ones, either for real ones. outputs: (rows, width) probabilities, or predictions of real labels; a
    class label of two classes may have (rows,) or (rows, 1) probabilities of the second one. losses: name -> (rows,),
    each averaged as a score. Raises DataError for no rows, for outputs that are not finite or no probabilities, and
    for shapes that contradict the label.
    """
    targets = np.asarray(targets)
    rows = len(targets)
    if rows == 0:
        raise DataError(f"label {name!r}: expected rows to evaluate on; found none. Give this split some rows.")
    outputs = checked_outputs(name, label, rows, outputs)
    mean_losses = averages({key: checked_losses(name, key, rows, values) for key, values in losses.items()})

    of_kind = {REAL: of_real, MULTI_LABEL: of_multi_label}.get(label.kind, of_classes)
    statistics, details = of_kind(label, targets, outputs, config, seed)
    scores = intervals([mean_losses, *statistics], rows, config, seed)
    return LabelEvaluation(name, label, rows, config.confidence, scores, **details)


# ---- as JSON --------------------------------------------------------------------------------------------------------


def as_json(evaluations: list[LabelEvaluation | ScoresOnly]) -> dict[str, dict[str, dict[str, float | None]]]:
    """Return label -> score -> value, low and high, as result.json holds them; null for NaN and infinity."""
    return {
        evaluation.name: {
            name: {key: value if math.isfinite(value) else None for key, value in vars(score).items()}
            for name, score in evaluation.scores.items()
        }
        for evaluation in evaluations
    }


def calibration_as_json(evaluations: list[LabelEvaluation | ScoresOnly]) -> dict[str, dict[str, float]]:
    """Return label -> expected calibration error and its bound by chance, for the labels that have one."""
    return {
        evaluation.name: {"ece": evaluation.calibration.ece, "ece_by_chance": evaluation.calibration.ece_by_chance}
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation) and evaluation.calibration
    }


# ---- kinds of label: their statistics, and what else LabelEvaluation holds of them -----------------------------------


def of_classes(label, targets, outputs, config, seed):
    rows = len(targets)
    truth = targets.reshape(rows) if label.kind == CLASS else targets.argmax(axis=1)
    predicted = outputs.argmax(axis=1)
    correct = predicted == truth
    tallies = tally(membership(truth, label.width), membership(predicted, label.width))
    statistics = [averages({"accuracy": correct}), balanced_accuracy(tallies), macro_f1(tallies)]
    if label.width > 5:
        statistics.append(averages({"top_3_accuracy": rank(truth, outputs) < 3}))
    if label.width == 2 and 0 < np.count_nonzero(truth) < rows:  # undefined where one class has no rows
        statistics.append(roc_auc(truth == 1, outputs[:, 1]))
    cells = np.bincount(truth * label.width + predicted, minlength=label.width**2)
    return statistics, {
        "per_class": per_class_scores(label, tallies, rows),
        "confusion": cells.reshape(label.width, label.width),
        "calibration": calibration_of(outputs.max(axis=1), correct, config, seed),
    }


def of_multi_label(label, targets, outputs, config, seed):
    rows = len(targets)
    truth, predicted = targets.reshape(rows, label.width) > 0.5, outputs > 0.5
    tallies = tally(sparse.csr_array(truth.T, dtype=float), sparse.csr_array(predicted.T, dtype=float))
    agreement = averages(
        {"subset_accuracy": (truth == predicted).all(axis=1), "hamming_loss": (truth != predicted).mean(axis=1)}
    )
    return [agreement, macro_f1(tallies)], {"per_class": per_class_scores(label, tallies, rows)}


def of_real(label, targets, outputs, config, seed):
    targets = targets.reshape(outputs.shape).astype(np.float64)
    return [regression(targets, outputs)], {"residuals": Residuals(predictions=outputs, targets=targets)}


# ---- checks ---------------------------------------------------------------------------------------------------------


def checked_outputs(name, label, rows, outputs):
    """A model's outputs as (rows, width) float64, a lone sigmoid unit spread over its two classes.

    Raises DataError for what is not finite, is no probability where the label asks for one, or has another shape.
    """
    outputs = np.asarray(outputs)
    widths = (1, 2) if label.kind == CLASS and label.width == 2 else (label.width,)
    if outputs.shape[:1] != (rows,) or outputs[0].size not in widths:
        raise DataError(
            f"label {name!r}: expected outputs of shape ({rows}, {label.width}); found {outputs.shape}. "
            "Give the model's head as many units as the label is wide."
        )
    outputs = outputs.reshape(rows, -1).astype(np.float64)
    refuse_not_finite(f"label {name!r}: the model's outputs", outputs)
    if label.kind == REAL:
        return outputs
    distance = np.abs(outputs - 0.5)
    off = distance.max(axis=1) > 0.5 + PROBABILITY_SLACK
    if off.any():
        row = int(off.argmax())
        raise DataError(
            f"label {name!r}: expected probabilities from 0 to 1; found {outputs[row, distance[row].argmax()]} at row "
            f"{row}. End the model in softmax or sigmoid."
        )
    return np.hstack([1 - outputs, outputs]) if outputs.shape[1] < label.width else outputs


def checked_losses(name, key, rows, values):
    values = np.asarray(values, np.float64).reshape(rows)
    refuse_not_finite(f"label {name!r}: {key}", values[:, None])
    return values


def refuse_not_finite(what, values):
    finite = np.isfinite(values)
    bad = ~finite.all(axis=1)
    if bad.any():
        row = int(bad.argmax())
        raise DataError(
            f"{what}: expected finite numbers; found {values[row][~finite[row]][0]} at row {row}, and {bad.sum()} of "
            f"{len(values)} rows like it. Training has diverged: lower the learning rate or clip gradients."
        )


# ---- intervals ------------------------------------------------------------------------------------------------------


def intervals(statistics, rows, config, seed):
    """Scores by name, with percentile intervals from resampling whole rows, the same draws for every score."""

    def by_name(weights):
        return {name: values for statistic in statistics for name, values in statistic(weights).items()}

    def of_resamples(drawn, axis):
        return np.stack(list(by_name(row_counts(drawn)).values()))

    values = {name: float(value[0]) for name, value in by_name(np.ones((rows, 1))).items()}
    if rows == 1:
        return {name: Score(value, np.nan, np.nan) for name, value in values.items()}
    interval = bootstrap(
        (np.arange(rows),),
        of_resamples,
        vectorized=True,
        method="percentile",  # BCa's jackknife costs the square of the rows
        n_resamples=config.resamples,
        batch=max(1, BATCH_ELEMENTS // rows),
        confidence_level=config.confidence,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return {
        name: Score(value, float(low), float(high))
        for (name, value), low, high in zip(values.items(), interval.low, interval.high, strict=True)
    }


def row_counts(drawn):
    """How often each resample has drawn each row. drawn: (draws, rows) of indices -> (rows, draws) float64."""
    draws, rows = drawn.shape
    cells = drawn * draws + np.arange(draws)[:, None]
    return np.bincount(cells.ravel(), minlength=rows * draws).reshape(rows, draws).astype(np.float64)


def averages(columns) -> Statistic:
    """The mean of each column. columns: name -> (rows,)."""
    values = np.array(list(columns.values()), np.float64)

    def statistic(weights):
        return dict(zip(columns, values @ weights / weights.sum(axis=0), strict=True)) if columns else {}

    return statistic


# ---- classes --------------------------------------------------------------------------------------------------------


def membership(classes, width):
    """(width, rows) of 0 and 1: which row is of which class. classes: (rows,) of indices."""
    rows = len(classes)
    return sparse.csr_array((np.ones(rows), (classes, np.arange(rows))), shape=(width, rows))


def tally(truth, predicted):
    """Count, for each class and under given row weights, the rows it has, the rows predicted as it, and the hits.

    truth, predicted: (width, rows) sparse 0 and 1. Returns weights -> three arrays of (width, draws).
    """
    members = sparse.vstack([truth, predicted, truth.multiply(predicted)], format="csr")
    return lambda weights: np.split(members @ weights, 3)


def ratio(parts, whole):
    """parts / whole, NaN where there is no whole."""
    return np.divide(parts, whole, out=np.full(np.shape(parts), np.nan), where=whole > 0)


def mean_where(present, values):
    """Mean over classes of those that are present, 0 where none is. Both (width, draws)."""
    return np.where(present, values, 0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)


def balanced_accuracy(tallies) -> Statistic:
    """Mean recall over the classes that have rows."""

    def statistic(weights):
        support, _, hits = tallies(weights)
        return {"balanced_accuracy": mean_where(support > 0, ratio(hits, support))}

    return statistic


def macro_f1(tallies) -> Statistic:
    """Mean F1 over the classes that have rows or are predicted."""

    def statistic(weights):
        support, claimed, hits = tallies(weights)
        return {"macro_f1": mean_where(support + claimed > 0, ratio(2 * hits, support + claimed))}

    return statistic


def per_class_scores(label, tallies, rows):
    support, claimed, hits = (counts[:, 0] for counts in tallies(np.ones((rows, 1))))
    columns = ratio(hits, claimed), ratio(hits, support), ratio(2 * hits, support + claimed)
    return tuple(
        ClassScores(name, int(count), float(precision), float(recall), float(f1))
        for name, count, precision, recall, f1 in zip(label.classes, support, *columns, strict=True)
    )


def rank(truth, probabilities):
    """(rows,): how many classes come before the true one; among equals the lower index comes first, as in argmax."""
    own = np.take_along_axis(probabilities, truth[:, None], axis=1)
    earlier = np.arange(probabilities.shape[1]) < truth[:, None]
    return (probabilities > own).sum(axis=1) + ((probabilities == own) & earlier).sum(axis=1)


def roc_auc(positive, confidences) -> Statistic:
    """The chance that a positive row is ranked above a negative one, ties counting half (Mann and Whitney 1947).

    A resample that has lost one of the two classes says nothing and counts as 0.5.
    """
    order = np.argsort(confidences, kind="stable")
    positive = positive[order].astype(np.float64)[:, None]
    ties = np.flatnonzero(np.diff(confidences[order], prepend=-np.inf))  # where each distinct confidence starts

    def statistic(weights):
        weights = weights[order]
        positives = np.add.reduceat(weights * positive, ties, axis=0)
        negatives = np.add.reduceat(weights, ties, axis=0) - positives
        negatives_below = np.cumsum(negatives, axis=0) - negatives
        pairs = positives.sum(axis=0) * negatives.sum(axis=0)
        auc = ratio((positives * (negatives_below + negatives / 2)).sum(axis=0), pairs)
        return {"roc_auc": np.where(pairs > 0, auc, 0.5)}

    return statistic


def calibration_of(confidences, correct, config, seed):
    rows = len(confidences)
    edges = np.linspace(0, 1, config.bins + 1)
    bins = membership(np.clip(np.searchsorted(edges, confidences) - 1, 0, config.bins - 1), config.bins)
    count = bins @ np.ones(rows)
    rng = np.random.default_rng(seed)
    draws = max(1, BATCH_ELEMENTS // rows)
    batches = [min(draws, config.resamples - start) for start in range(0, config.resamples, draws)]
    calibrated = np.concatenate([ece(bins, confidences, rng.random((rows, n)) < confidences[:, None]) for n in batches])
    return Calibration(
        edges,
        ratio(bins @ confidences, count),
        ratio(bins @ correct.astype(np.float64), count),
        count.astype(np.int64),
        float(ece(bins, confidences, correct[:, None])[0]),
        float(np.quantile(calibrated, config.confidence)),
    )


def ece(bins, confidences, correct):
    """bins: (bins, rows) membership. confidences: (rows,). correct: (rows, draws) -> (draws,)."""
    return np.abs(bins @ (correct - confidences[:, None])).sum(axis=0) / len(confidences)


# ---- real numbers ---------------------------------------------------------------------------------------------------


def regression(targets, predictions) -> Statistic:
    """Errors of each output, averaged over the outputs. r2 of targets that are all alike is 1 if hit, else 0."""
    errors = predictions - targets
    centred = targets - np.median(targets, axis=0)  # exactly 0 where all are alike, which a mean's rounding is not
    sums = np.hstack([np.abs(errors), errors**2, centred, centred**2]).T

    def statistic(weights):
        absolute, squared, first, second = np.split(sums @ weights, 4)
        total = weights.sum(axis=0)
        spread = second - first**2 / total
        constant = spread <= 1e-12 * second  # below: rounding
        unexplained = np.divide(squared, spread, out=(squared > 0).astype(np.float64), where=~constant)
        return {
            "mae": (absolute / total).mean(axis=0),
            "rmse": np.sqrt(squared / total).mean(axis=0),
            "r2": (1 - unexplained).mean(axis=0),
        }

    return statistic
