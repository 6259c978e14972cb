"""Weighted scores compared with scikit-learn, and with those of repeated rows."""

import numpy as np
import pytest
from sklearn import metrics as oracle
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.errors import DataError
from pipeline.evaluation import decisions, metrics
from pipeline.evaluation.baseline_comparison import compare_with_simple_models
from pipeline.evaluation.group_scores import RowGroups, score_groups
from pipeline.evaluation.metrics import evaluate_label
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.simple_models import fit_linear
from pipeline.evaluation.weighted_scores import effective_rows
from pipeline.spec import MULTI_LABEL, ONE_HOT, class_label, real_label, row_label

ROWS = 240
OPTIONS = Evaluation(resamples=100, beta=2.0)
RANDOM = np.random.default_rng(3)
WEIGHTS = np.where(RANDOM.random(ROWS) < 0.2, 0, RANDOM.lognormal(sigma=1.5, size=ROWS))
BINARY = class_label(["no", "yes"])


def class_case(classes, grain=0.02):
    """Targets, and probabilities with ties."""
    targets = RANDOM.integers(0, classes, ROWS)
    scores = RANDOM.normal(size=(ROWS, classes)) + 1.5 * np.eye(classes)[targets]
    outputs = np.round(np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True) / grain) * grain
    outputs[:, 0] = 1 - outputs[:, 1:].sum(axis=1)
    return targets, np.clip(outputs, 0, 1)


def evaluate(label, targets, outputs, weights=WEIGHTS, options=OPTIONS, losses=None):
    return evaluate_label(
        "y", label, targets=targets, outputs=outputs, losses=losses or {}, options=options, seed=0, weights=weights
    )


def check(evaluation, expected):
    for name, value in expected.items():
        assert evaluation.scores[name].value == pytest.approx(value, rel=1e-9, abs=1e-9), name
        assert evaluation.scores[name].low <= value <= evaluation.scores[name].high, name


@pytest.mark.parametrize("kind", ["class", ONE_HOT])
def test_scores_of_two_classes_agree_with_scikit_learn(kind):
    targets, outputs = class_case(2)
    label, given = (BINARY, targets) if kind == "class" else (row_label(ONE_HOT, BINARY.classes), np.eye(2)[targets])
    found = evaluate(label, given, outputs, losses={"loss": targets + 1.0})
    predicted, p, by = outputs.argmax(axis=1), outputs[:, 1], {"sample_weight": WEIGHTS}
    expected = {
        "loss": np.average(targets + 1.0, weights=WEIGHTS),
        "accuracy": oracle.accuracy_score(targets, predicted, **by),
        "balanced_accuracy": oracle.balanced_accuracy_score(targets, predicted, **by),
        "precision": oracle.precision_score(targets, predicted, **by),
        "recall": oracle.recall_score(targets, predicted, **by),
        "f1": oracle.f1_score(targets, predicted, **by),
        "f2": oracle.fbeta_score(targets, predicted, beta=2, **by),
        "macro_f1": oracle.f1_score(targets, predicted, average="macro", **by),
        "mcc": oracle.matthews_corrcoef(targets, predicted, **by),
        "roc_auc": oracle.roc_auc_score(targets, p, **by),
        "average_precision": oracle.average_precision_score(targets, p, **by),
        "brier": oracle.brier_score_loss(targets, p, **by),
        "log_loss": oracle.log_loss(targets, np.stack([1 - p, p], axis=1), **by),
    }
    check(found, expected)
    assert found.rows == np.count_nonzero(WEIGHTS)
    assert found.confusion == pytest.approx(oracle.confusion_matrix(targets, predicted, **by), rel=1e-9)


def test_scores_of_more_classes_agree_with_scikit_learn():
    targets, outputs = class_case(6, grain=1e-9)  # without ties, which scikit-learn ranks in another order
    predicted, by = outputs.argmax(axis=1), {"sample_weight": WEIGHTS}
    found = evaluate(class_label(range(6)), targets, outputs)
    expected = {
        "balanced_accuracy": oracle.balanced_accuracy_score(targets, predicted, **by),
        "top_3_accuracy": oracle.top_k_accuracy_score(targets, outputs, k=3, **by),
        "mcc": oracle.matthews_corrcoef(targets, predicted, **by),
        "macro_roc_auc": oracle.roc_auc_score(np.eye(6)[targets], outputs, average="macro", **by),
        "macro_average_precision": oracle.average_precision_score(np.eye(6)[targets], outputs, **by),
    }
    check(found, expected)
    precision, recall, f1, _ = oracle.precision_recall_fscore_support(targets, predicted, **by)
    for line, *values in zip(found.per_class, precision, recall, f1, strict=True):
        assert (line.precision, line.recall, line.f1) == pytest.approx(values, rel=1e-9)


def test_scores_of_a_multi_label_agree_with_scikit_learn():
    targets = (RANDOM.random((ROWS, 4)) < 0.4).astype(np.float32)
    outputs = np.clip(0.5 * targets + 0.6 * RANDOM.random((ROWS, 4)), 0, 1)
    predicted, by = outputs > 0.5, {"sample_weight": WEIGHTS}
    expected = {
        "subset_accuracy": oracle.accuracy_score(targets, predicted, **by),
        "hamming_loss": oracle.hamming_loss(targets, predicted, **by),
        "macro_f1": oracle.f1_score(targets, predicted, average="macro", **by),
        "macro_roc_auc": oracle.roc_auc_score(targets, outputs, average="macro", **by),
        "macro_average_precision": oracle.average_precision_score(targets, outputs, average="macro", **by),
    }
    check(evaluate(row_label(MULTI_LABEL, "abcd"), targets, outputs), expected)


def test_scores_of_a_real_label_agree_with_scikit_learn():
    targets = 100 + RANDOM.normal(size=(ROWS, 2))
    outputs, by = targets + RANDOM.normal(size=(ROWS, 2)), {"sample_weight": WEIGHTS}
    expected = {
        "mae": oracle.mean_absolute_error(targets, outputs, **by),
        "rmse": oracle.root_mean_squared_error(targets, outputs, **by),
        "r2": oracle.r2_score(targets, outputs, **by),
    }
    check(evaluate(real_label(2), targets, outputs), expected)


@pytest.mark.parametrize("rule", ["max_f1", "recall>=0.9", "precision>=0.7", "cost(fp=1, fn=20)"])
def test_thresholds_agree_with_scikit_learn(rule):
    targets, outputs = class_case(2)
    precision, recall, thresholds = oracle.precision_recall_curve(targets, outputs[:, 1], sample_weight=WEIGHTS)
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / (precision + recall)
    costs = [
        np.sum(WEIGHTS * np.where(targets, 20 * (outputs[:, 1] < threshold), outputs[:, 1] >= threshold))
        for threshold in thresholds
    ]
    best = {
        "max_f1": f1,
        "recall>=0.9": np.where(recall >= 0.9, precision, -1),
        "precision>=0.7": np.where(precision >= 0.7, recall, -1),
        "cost(fp=1, fn=20)": -np.array(costs),
    }[rule]
    found = decisions.choose(
        BINARY,
        members=metrics.members_of(BINARY, targets),
        probabilities=outputs,
        options=Evaluation(threshold=rule),
        weights=WEIGHTS,
    )
    assert found.thresholds == (thresholds[best.argmax()],)


def test_curves_and_calibration_agree_with_scikit_learn():
    targets, outputs = class_case(2)
    outputs = np.clip(outputs, 1e-6, 1 - 1e-6)
    found = evaluate(BINARY, targets, outputs).positive
    fallout, recall, thresholds = oracle.roc_curve(
        targets, outputs[:, 1], sample_weight=WEIGHTS, drop_intermediate=False
    )
    kept = np.isin(found.curve.thresholds, thresholds)
    assert found.curve.recall[kept][::-1] == pytest.approx(recall[1:], abs=1e-9)
    assert found.curve.fallout[kept][::-1] == pytest.approx(fallout[1:], abs=1e-9)
    bins = np.clip(np.searchsorted(found.calibration.edges, outputs[:, 1]) - 1, 0, 9)
    weight = np.bincount(bins, WEIGHTS, 10)
    share, mean = (np.bincount(bins, WEIGHTS * values, 10) / weight for values in (targets, outputs[:, 1]))
    assert found.calibration.accuracy == pytest.approx(share, rel=1e-9, nan_ok=True)
    assert found.calibration.ece == pytest.approx(np.nansum(weight * np.abs(share - mean)) / weight.sum(), rel=1e-9)
    assert found.calibration.count.sum() == np.count_nonzero(WEIGHTS)


@pytest.mark.parametrize("scale", [1.0, 1e-3, 1e6])
def test_weights_that_are_all_equal_give_the_scores_and_intervals_of_no_weights(scale):
    targets, outputs = class_case(2)
    weighted, plain = (evaluate(BINARY, targets, outputs, weights) for weights in (np.full(ROWS, scale), None))
    for name, score in plain.scores.items():
        found = weighted.scores[name]
        assert (found.value, found.low, found.high) == pytest.approx((score.value, score.low, score.high), rel=1e-9)
    assert weighted.calibration.ece_by_chance == pytest.approx(plain.calibration.ece_by_chance, rel=1e-9)


def test_rows_of_weight_0_are_as_absent_rows():
    targets, outputs = class_case(2)
    kept = WEIGHTS > 0
    with_zeros = evaluate(BINARY, targets, outputs)
    without = evaluate(BINARY, targets[kept], outputs[kept], WEIGHTS[kept])
    assert with_zeros.scores == without.scores
    with pytest.raises(DataError, match="expected rows with a weight above 0"):
        evaluate(BINARY, targets, outputs, np.zeros(ROWS))


def test_score_of_a_rare_class_stays_in_its_range_in_every_resample():
    """Sums of weights in another order differ by rounding, where counts of rows would give exactly 0."""
    targets = np.zeros(40, np.int64)
    targets[7] = 1
    outputs = np.stack([1 - RANDOM.random(40), RANDOM.random(40)], axis=1)
    outputs[:, 0] = 1 - outputs[:, 1]
    scores = evaluate(BINARY, targets, outputs, RANDOM.random(40) / 3, Evaluation(resamples=500)).scores
    for name, lowest in (("roc_auc", 0), ("average_precision", 0), ("mcc", -1)):
        assert lowest <= scores[name].low <= scores[name].high <= 1, name


def test_interval_of_a_weighted_mean_is_that_of_its_effective_number_of_rows():
    values = RANDOM.normal(size=2_000)
    weights = RANDOM.lognormal(sigma=1.0, size=2_000)
    score = evaluate(
        real_label(), values, values[:, np.newaxis], weights, Evaluation(resamples=400), {"loss": values}
    ).scores["loss"]
    width = 2 * 1.96 / np.sqrt(effective_rows(weights))
    assert score.high - score.low == pytest.approx(width, rel=0.15)


def test_groups_and_comparisons_are_weighted():
    targets, outputs = class_case(2)
    right = outputs.argmax(axis=1) == targets
    indices = np.arange(ROWS) % 3
    weights = np.where(indices == 2, 0, WEIGHTS)
    rows = {"targets": targets, "outputs": outputs, "options": OPTIONS, "seed": 0, "weights": weights}
    found = score_groups(BINARY, RowGroups(column="region", names=("a", "b", "c"), indices=indices), **rows)
    expected = {name: np.average(right[indices == i], weights=weights[indices == i]) for i, name in enumerate("ab")}
    assert {group.name: group.score.value for group in found.groups} == pytest.approx(expected)
    (comparison,) = compare_with_simple_models("y", BINARY, simple={"guess": np.tile([0.4, 0.6], (ROWS, 1))}, **rows)
    baseline = np.average(targets == 1, weights=weights)
    assert comparison.baseline == pytest.approx(baseline)
    assert comparison.difference.value == pytest.approx(np.average(right, weights=weights) - baseline)
    assert comparison.difference.low < comparison.difference.value < comparison.difference.high


def test_linear_models_agree_with_scikit_learn():
    columns = RANDOM.normal(size=(ROWS, 3))
    weights = WEIGHTS / WEIGHTS[WEIGHTS > 0].mean()
    numbers = columns @ [1.0, -2.0, 0.5] + RANDOM.normal(size=ROWS)
    found, expected = fit_linear(real_label(), columns, numbers[:, np.newaxis], WEIGHTS), Ridge(alpha=1.0)
    expected.fit(columns, numbers, sample_weight=weights)
    assert found.weights[:, 0] == pytest.approx(expected.coef_, rel=1e-9)
    assert found.bias[0] == pytest.approx(expected.intercept_, rel=1e-9)
    classes = (numbers > 1).astype(int)
    found = fit_linear(BINARY, columns, np.eye(2)[classes], WEIGHTS)
    expected = LogisticRegression(C=2, tol=1e-8)  # the penalty of two opposite columns is half that of their difference
    expected.fit(columns, classes, sample_weight=weights)
    assert found.weights[:, 1] - found.weights[:, 0] == pytest.approx(expected.coef_[0], abs=0.02)
