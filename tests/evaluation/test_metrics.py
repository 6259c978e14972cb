"""Scores compared with scikit-learn, and the coverage of their intervals."""

import dataclasses
import math
import warnings

import numpy as np
import pytest
from sklearn import metrics as oracle

from pipeline.errors import DataError
from pipeline.evaluation import metrics
from pipeline.evaluation.curves import threshold_curve
from pipeline.evaluation.metrics import evaluate_label
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.ordinal_scores import quadratic_kappa
from pipeline.reports.formatting import score_table
from pipeline.spec import MULTI_LABEL, ONE_HOT, class_label, ordinal_label, real_label, row_label

CONFIG = Evaluation(resamples=200)


def evaluate(name, label, targets, outputs, losses, options, seed):
    return evaluate_label(name, label, targets=targets, outputs=outputs, losses=losses, options=options, seed=seed)


def class_case(rows, classes, seed=0, grain=None):
    """Targets and probabilities that are right more often than not; a grain rounds them, so that ties occur."""
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, classes, rows)
    scores = rng.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[targets]
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    if grain:
        probabilities = np.round(probabilities / grain) * grain
    return targets, np.clip(probabilities, 0, 1)


def real_case(rows, width, seed=0):
    rng = np.random.default_rng(seed)
    targets = 100 + rng.normal(size=(rows, width)) * np.arange(1, width + 1)
    return targets, targets + rng.normal(size=(rows, width))


def values(label, targets, outputs, losses=None, seed=0):
    scores = evaluate("y", label, targets, outputs, losses or {}, CONFIG, seed).scores
    return {name: score.value for name, score in scores.items()}


def same(found, expected):
    return found == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


# ---- ordinal classes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [2, 5])
def test_scores_of_ordinal_classes_agree_with_scikit_learn(classes):
    targets, outputs = class_case(150, classes)
    predicted = outputs.argmax(axis=1)
    found = values(ordinal_label(range(classes)), targets, outputs)
    assert same(found["quadratic_kappa"], oracle.cohen_kappa_score(targets, predicted, weights="quadratic"))
    assert same(found["rank_mae"], oracle.mean_absolute_error(targets, predicted))
    thresholds = [oracle.mean_squared_error(targets <= k, outputs[:, : k + 1].sum(axis=1)) for k in range(classes - 1)]
    assert same(found["ranked_probability_score"], np.mean(thresholds))


def test_quadratic_kappa_of_row_weights_agrees_with_scikit_learn():
    truth, outputs = class_case(80, 4)
    predicted, weights = outputs.argmax(axis=1), np.random.default_rng(1).integers(0, 4, (80, 3)).astype(float)
    found = quadratic_kappa(truth, predicted)(weights)["quadratic_kappa"]
    expected = [
        oracle.cohen_kappa_score(truth, predicted, weights="quadratic", sample_weight=column) for column in weights.T
    ]
    assert same(found.tolist(), expected)
    assert quadratic_kappa(np.zeros(5, int), np.zeros(5, int))(np.ones((5, 1)))["quadratic_kappa"] == 0


# ---- classes --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows, classes", [(1, 3), (7, 2), (40, 3), (300, 10), (300, 200)])
def test_class_scores_agree_with_scikit_learn(rows, classes):
    targets, outputs = class_case(rows, classes)
    predicted = outputs.argmax(axis=1)
    found = values(class_label(range(classes)), targets, outputs)
    assert same(found["accuracy"], oracle.accuracy_score(targets, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's remarks on classes without rows
        assert same(found["balanced_accuracy"], oracle.balanced_accuracy_score(targets, predicted))
    assert same(found["macro_f1"], oracle.f1_score(targets, predicted, average="macro"))


def test_the_per_class_table_agrees_with_scikit_learn_and_marks_the_undefined():
    targets, outputs = class_case(60, 30)
    evaluation = evaluate("y", class_label(range(30)), targets, outputs, {}, CONFIG, 0)
    precision, recall, f1, rows = oracle.precision_recall_fscore_support(
        targets, outputs.argmax(axis=1), labels=range(30), zero_division=np.nan
    )
    assert same([line.precision for line in evaluation.per_class], precision)
    assert same([line.recall for line in evaluation.per_class], recall)
    assert same([line.f1 for line in evaluation.per_class], f1)
    assert [line.rows for line in evaluation.per_class] == list(rows)
    assert np.isnan(precision).any(), "the case is meant to hold a class that is never predicted"


def test_the_confusion_matrix_agrees_with_scikit_learn():
    targets, outputs = class_case(300, 10)
    evaluation = evaluate("y", class_label(range(10)), targets, outputs, {}, CONFIG, 0)
    np.testing.assert_array_equal(evaluation.confusion, oracle.confusion_matrix(targets, outputs.argmax(axis=1)))
    assert evaluation.confusion.dtype == np.int64


def test_top_3_accuracy_agrees_with_scikit_learn():
    targets, outputs = class_case(300, 6)
    expected = oracle.top_k_accuracy_score(targets, outputs, k=3)
    assert same(values(class_label(range(6)), targets, outputs)["top_3_accuracy"], expected)


def test_a_constant_output_ranks_three_classes_first_and_no_more():
    targets = np.arange(8)
    assert values(class_label(range(8)), targets, np.full((8, 8), 1 / 8))["top_3_accuracy"] == 3 / 8


def test_top_3_accuracy_is_left_out_for_five_classes():
    assert "top_3_accuracy" not in values(class_label(range(5)), *class_case(50, 5))


@pytest.mark.parametrize("grain", [None, 0.1, 1.0])
def test_roc_auc_agrees_with_scikit_learn_with_and_without_ties(grain):
    targets, outputs = class_case(200, 2, grain=grain)
    assert same(values(class_label("ab"), targets, outputs)["roc_auc"], oracle.roc_auc_score(targets, outputs[:, 1]))


def test_roc_auc_is_left_out_if_one_class_has_no_rows():
    _, outputs = class_case(50, 2)
    assert "roc_auc" not in values(class_label("ab"), np.ones(50, int), outputs)


def test_roc_auc_of_a_single_positive_row_has_finite_bounds():
    _, outputs = class_case(20, 2)
    score = evaluate("y", class_label("ab"), np.eye(20, dtype=int)[3], outputs, {}, CONFIG, 0).scores["roc_auc"]
    assert 0 <= score.low <= score.high <= 1


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_a_single_sigmoid_unit_is_scored_as_two_probabilities(shape):
    targets, outputs = class_case(80, 2)
    alone = evaluate("y", class_label("ab"), targets, outputs[:, 1].reshape(shape), {}, CONFIG, 0)
    pair = evaluate("y", class_label("ab"), targets, outputs, {}, CONFIG, 0)
    assert alone.scores == pair.scores
    np.testing.assert_array_equal(alone.confusion, pair.confusion)


def test_one_hot_targets_are_scored_as_their_indices():
    targets, outputs = class_case(80, 4)
    index = evaluate("y", class_label("abcd"), targets, outputs, {}, CONFIG, 0)
    one_hot = evaluate("y", row_label(ONE_HOT, "abcd"), np.eye(4)[targets], outputs, {}, CONFIG, 0)
    assert one_hot.scores == index.scores


@pytest.mark.parametrize("grain", [None, 0.1, 1.0])
def test_binary_scores_agree_with_scikit_learn(grain):
    targets, outputs = class_case(200, 2, grain=grain)
    outputs[:, 0] = 1 - outputs[:, 1]
    predicted, shares = outputs.argmax(axis=1), outputs[:, 1]
    found = evaluate("y", class_label("ab"), targets, outputs, {}, Evaluation(resamples=100, beta=2.0), 0).scores
    expected = {
        "average_precision": oracle.average_precision_score(targets, shares),
        "precision": oracle.precision_score(targets, predicted),
        "recall": oracle.recall_score(targets, predicted),
        "f1": oracle.f1_score(targets, predicted),
        "f2": oracle.fbeta_score(targets, predicted, beta=2),
        "mcc": oracle.matthews_corrcoef(targets, predicted),
        "brier": oracle.brier_score_loss(targets, shares),
        "log_loss": oracle.log_loss(targets, outputs),
    }
    assert same({name: found[name].value for name in expected}, expected)


@pytest.mark.parametrize("classes", [3, 10])
def test_scores_over_classes_agree_with_scikit_learn(classes):
    targets, outputs = class_case(300, classes)
    found = values(class_label(range(classes)), targets, outputs)
    expected = {
        "macro_roc_auc": oracle.roc_auc_score(targets, outputs, multi_class="ovr"),
        "macro_average_precision": oracle.average_precision_score(targets, outputs),
        "mcc": oracle.matthews_corrcoef(targets, outputs.argmax(axis=1)),
        "brier": oracle.brier_score_loss(targets, outputs),
        "log_loss": oracle.log_loss(targets, outputs),
    }
    assert same({name: found[name] for name in expected}, expected)


@pytest.mark.parametrize("classes", [2, 3])
def test_scores_of_row_weights_agree_with_scikit_learn(classes):
    targets, outputs = class_case(120, classes, grain=0.05)
    outputs /= outputs.sum(axis=1, keepdims=True)
    weights = np.random.default_rng(5).random(120)
    label, predicted = class_label(range(classes)), outputs.argmax(axis=1)
    statistics = [
        *metrics.label_statistics(label, targets=targets, outputs=outputs),
        *metrics.further_statistics(label, targets=targets, outputs=outputs, options=CONFIG),
    ]
    found = {name: score[0] for statistic in statistics for name, score in statistic(weights[:, None]).items()}
    expected = {
        "accuracy": oracle.accuracy_score(targets, predicted, sample_weight=weights),
        "mcc": oracle.matthews_corrcoef(targets, predicted, sample_weight=weights),
        "log_loss": oracle.log_loss(targets, outputs, sample_weight=weights),
    }
    if classes == 2:
        shares = outputs[:, 1]
        expected |= {
            "roc_auc": oracle.roc_auc_score(targets, shares, sample_weight=weights),
            "average_precision": oracle.average_precision_score(targets, shares, sample_weight=weights),
            "brier": oracle.brier_score_loss(targets, shares, sample_weight=weights),
            "f1": oracle.f1_score(targets, predicted, sample_weight=weights),
        }
    else:
        averaged = oracle.average_precision_score(targets, outputs, sample_weight=weights)
        expected |= {
            "macro_roc_auc": oracle.roc_auc_score(targets, outputs, multi_class="ovr", sample_weight=weights),
            "macro_average_precision": averaged,
        }
    assert same({name: found[name] for name in expected}, expected)


def test_curve_of_thresholds_agrees_with_scikit_learn():
    targets, outputs = class_case(200, 2, grain=0.05)
    curve = threshold_curve(targets == 1, outputs[:, 1])
    precision, recall, thresholds = oracle.precision_recall_curve(targets, outputs[:, 1])
    assert same(list(curve.thresholds), list(thresholds))
    assert same(list(curve.precision), list(precision[:-1]))
    assert same(list(curve.recall), list(recall[:-1]))
    fallout, _, _ = oracle.roc_curve(targets, outputs[:, 1], drop_intermediate=False)
    assert same(list(curve.fallout[::-1]), list(fallout[1:]))


# ---- calibration ----------------------------------------------------------------------------------------------------


def test_the_calibration_error_follows_its_definition():
    targets, outputs = class_case(500, 3)
    confidence, correct = outputs.max(axis=1), outputs.argmax(axis=1) == targets
    expected = 0
    for low, high in zip(np.linspace(0, 1, 11)[:-1], np.linspace(0, 1, 11)[1:]):
        inside = (low < confidence) & (confidence <= high)
        if inside.any():
            expected += inside.sum() / 500 * abs(correct[inside].mean() - confidence[inside].mean())
    calibration = evaluate("y", class_label("abc"), targets, outputs, {}, CONFIG, 0).calibration
    assert same(calibration.ece, expected)
    assert calibration.count.sum() == 500


def test_a_confidence_on_an_edge_belongs_to_the_bin_below():
    outputs = np.array([[0.5, 0.5], [1.0, 0.0]])
    calibration = evaluate("y", class_label("ab"), [0, 0], outputs, {}, Evaluation(bins=4), 0).calibration
    assert calibration.count.tolist() == [0, 1, 0, 1]


def test_empty_bins_of_the_reliability_diagram_hold_no_numbers():
    calibration = evaluate("y", class_label("ab"), *class_case(30, 2), {}, CONFIG, 0).calibration
    np.testing.assert_array_equal(np.isnan(calibration.accuracy), calibration.count == 0)
    np.testing.assert_array_equal(np.isnan(calibration.confidence), calibration.count == 0)


def test_a_calibrated_model_rarely_exceeds_the_error_by_chance_and_an_overconfident_one_does():
    rng = np.random.default_rng(0)
    exceeded = {0.0: 0, 0.2: 0}
    for overconfidence in exceeded:
        for seed in range(100):
            confidence = rng.uniform(0.7, 1, 200)
            targets = (rng.random(200) < confidence - overconfidence).astype(int)
            calibration = evaluate("y", class_label("ab"), targets, confidence, {}, CONFIG, seed).calibration
            exceeded[overconfidence] += calibration.ece > calibration.ece_by_chance
    assert exceeded[0.0] <= 12  # 5 are expected; 13 or more has a chance of 0.1 %
    assert exceeded[0.2] >= 95


# ---- several classes at once ----------------------------------------------------------------------------------------


def multi_label_case(rows=200, classes=5):
    rng = np.random.default_rng(0)
    targets = (rng.random((rows, classes)) < 0.3).astype(np.float32)
    return targets, np.clip(0.4 * targets + 0.6 * rng.random((rows, classes)), 0, 1)


def test_multi_label_scores_agree_with_scikit_learn():
    targets, outputs = multi_label_case()
    found = values(row_label(MULTI_LABEL, "abcde"), targets, outputs)
    predicted = outputs > 0.5
    assert same(found["subset_accuracy"], oracle.accuracy_score(targets, predicted))
    assert same(found["hamming_loss"], oracle.hamming_loss(targets, predicted))
    assert same(found["macro_f1"], oracle.f1_score(targets, predicted, average="macro"))


def test_multi_label_ranks_agree_with_scikit_learn():
    rng = np.random.default_rng(3)
    targets, outputs = (rng.random((100, 4)) < 0.4).astype(float), rng.random((100, 4))
    found = values(row_label(MULTI_LABEL, "abcd"), targets, outputs)
    assert same(found["macro_roc_auc"], oracle.roc_auc_score(targets, outputs))
    assert same(found["macro_average_precision"], oracle.average_precision_score(targets, outputs))


def test_a_class_without_rows_is_in_no_average():
    targets, outputs = multi_label_case()
    targets[:, 2] = outputs[:, 2] = 0
    expected = oracle.f1_score(targets, outputs > 0.5, average="macro", zero_division=np.nan)
    assert same(values(row_label(MULTI_LABEL, "abcde"), targets, outputs)["macro_f1"], expected)


def test_multi_label_rows_without_any_class_score_zero_f1_and_not_nan():
    nothing = np.zeros((10, 3))
    assert values(row_label(MULTI_LABEL, "abc"), nothing, nothing)["macro_f1"] == 0


# ---- real numbers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [1, 3])
def test_regression_scores_agree_with_scikit_learn(width):
    targets, outputs = real_case(200, width)
    found = values(real_label(width), targets, outputs)
    assert same(found["mae"], oracle.mean_absolute_error(targets, outputs))
    assert same(found["rmse"], oracle.root_mean_squared_error(targets, outputs))
    assert found["r2"] == pytest.approx(oracle.r2_score(targets, outputs), rel=1e-9)


@pytest.mark.parametrize("off", [0.0, 1.0])
def test_r2_of_constant_targets_agrees_with_scikit_learn(off):
    targets = np.full(30, 0.5)
    found = values(real_label(), targets, targets + off)["r2"]
    assert found == oracle.r2_score(targets, targets + off)


def test_r2_of_constant_targets_is_free_of_rounding():
    targets = np.full(30, 0.1)  # their mean is not 0.1
    assert values(real_label(), targets, targets + 1)["r2"] == 0


def test_flat_and_column_shaped_numbers_have_equal_scores():
    targets, outputs = real_case(50, 1)
    flat = evaluate("y", real_label(), targets[:, 0], outputs[:, 0], {}, CONFIG, 0)
    assert flat.scores == evaluate("y", real_label(), targets, outputs, {}, CONFIG, 0).scores


def test_residuals_keep_targets_and_predictions():
    targets, outputs = real_case(50, 2)
    residuals = evaluate("y", real_label(2), targets, outputs, {}, CONFIG, 0).residuals
    np.testing.assert_array_equal(residuals.targets, targets)
    np.testing.assert_array_equal(residuals.predictions, outputs)


# ---- losses and intervals -------------------------------------------------------------------------------------------


def test_every_loss_is_averaged_under_its_name():
    targets, outputs = class_case(50, 3)
    losses = {"loss": np.arange(50), "penalty": np.ones((50, 1))}
    found = values(class_label("abc"), targets, outputs, losses)
    assert found["loss"] == 24.5
    assert found["penalty"] == 1


def test_the_interval_of_a_mean_is_that_of_its_normal_approximation():
    losses = np.random.default_rng(0).exponential(size=2_000)
    targets, outputs = class_case(2_000, 3)
    evaluation = evaluate("y", class_label("abc"), targets, outputs, {"loss": losses}, Evaluation(resamples=4_000), 0)
    score, error = evaluation.scores["loss"], losses.std(ddof=1) / math.sqrt(2_000)
    assert score.low == pytest.approx(losses.mean() - 1.96 * error, abs=0.1 * error)
    assert score.high == pytest.approx(losses.mean() + 1.96 * error, abs=0.1 * error)


def test_intervals_cover_the_truth_at_about_their_level():
    sets, covered = 300, {"accuracy": 0, "mae": 0}
    config = Evaluation(resamples=200, confidence=0.9)
    rng = np.random.default_rng(0)
    for seed in range(sets):
        targets = rng.integers(0, 2, 120)
        hit = rng.random(120) < 0.8
        scores = evaluate("y", class_label("ab"), targets, np.where(hit, targets, 1 - targets), {}, config, seed).scores
        covered["accuracy"] += scores["accuracy"].low <= 0.8 <= scores["accuracy"].high
        noise = rng.normal(size=120)
        scores = evaluate("y", real_label(), np.zeros(120), noise, {}, config, seed).scores
        covered["mae"] += scores["mae"].low <= math.sqrt(2 / math.pi) <= scores["mae"].high
    for name, count in covered.items():
        assert 0.84 < count / sets < 0.96, name  # 0.9, give or take 3.5 standard errors


def test_every_score_lies_inside_its_interval_on_ordinary_data():
    targets, outputs = class_case(400, 10)
    scores = evaluate("y", class_label(range(10)), targets, outputs, {"loss": outputs[:, 0]}, CONFIG, 0).scores
    assert all(score.low < score.value < score.high for score in scores.values())


def test_scores_that_cannot_vary_have_intervals_of_zero_width():
    targets = np.arange(40) % 4
    scores = evaluate("y", class_label("abcd"), targets, np.eye(4)[targets], {"loss": np.ones(40)}, CONFIG, 0).scores
    errors = {"brier", "log_loss"}  # the logarithm of 1 is that of the largest float64 below it
    assert all(same([scores[name].low, scores[name].high], [0, 0]) for name in errors)
    others = {(score.value, score.low, score.high) for name, score in scores.items() if name not in errors}
    assert others == {(1.0, 1.0, 1.0)}


def test_exactly_predicted_constant_targets_have_an_r2_of_one_without_width():
    scores = evaluate("y", real_label(), np.full(20, 0.1), np.full(20, 0.1), {}, CONFIG, 0).scores
    assert dataclasses.astuple(scores["r2"]) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    "label, targets, outputs",
    [(class_label("ab"), [1], [0.7]), (real_label(), [1.0], [2.0]), (row_label(MULTI_LABEL, "ab"), [[0, 1]], [[0, 1]])],
    ids=["class", "real", "multi_label"],
)
def test_a_single_row_has_scores_but_no_interval(label, targets, outputs):
    scores = evaluate("y", label, targets, outputs, {"loss": [0.5]}, CONFIG, 0).scores
    assert all(
        math.isfinite(score.value) and math.isnan(score.low) and math.isnan(score.high) for score in scores.values()
    )


def test_no_warning_escapes_on_degenerate_data():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for rows in (1, 2, 3):
            evaluate(
                "y", class_label(range(7)), np.zeros(rows, int), np.eye(7)[:rows], {"loss": np.zeros(rows)}, CONFIG, 0
            )
            evaluate("y", class_label("ab"), np.arange(rows) % 2, np.full(rows, 0.5), {}, CONFIG, 0)
            evaluate("y", real_label(), np.zeros(rows), np.ones(rows), {}, CONFIG, 0)
            evaluate("y", row_label(MULTI_LABEL, "ab"), np.zeros((rows, 2)), np.zeros((rows, 2)), {}, CONFIG, 0)


def test_the_same_seed_gives_the_same_bits():
    targets, outputs = class_case(300, 2)
    first, second = (
        evaluate("y", class_label("ab"), targets, outputs, {"loss": outputs[:, 0]}, CONFIG, 7) for _ in "ab"
    )
    assert first.scores == second.scores
    assert first.calibration.ece_by_chance == second.calibration.ece_by_chance


def test_another_seed_moves_the_intervals_and_no_score():
    targets, outputs = class_case(300, 2)
    first, second = (evaluate("y", class_label("ab"), targets, outputs, {}, CONFIG, seed).scores for seed in (0, 1))
    assert {name: score.value for name, score in first.items()} == {name: score.value for name, score in second.items()}
    assert first["roc_auc"].low != second["roc_auc"].low


@pytest.mark.parametrize(
    "label, case",
    [
        (class_label(range(10)), class_case(200, 10)),
        (class_label("ab"), class_case(200, 2)),
        (real_label(), real_case(200, 1)),
    ],
    ids=["classes", "two classes", "real"],
)
def test_scores_do_not_depend_on_the_order_of_rows(label, case):
    targets, outputs = case
    losses = np.random.default_rng(1).random(200)
    order = np.random.default_rng(2).permutation(200)
    assert same(
        values(label, targets[order], outputs[order], {"loss": losses[order]}),
        values(label, targets, outputs, {"loss": losses}),
    )


def test_half_precision_outputs_are_accepted():
    targets, outputs = class_case(100, 3)
    halves = outputs.astype(np.float16)
    assert values(class_label("abc"), targets, halves)["accuracy"] == np.mean(halves.argmax(axis=1) == targets)


# ---- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("label", [class_label("abc"), real_label(3)], ids=["class", "real"])
def test_outputs_that_are_not_finite_are_refused_naming_the_first_row(label, bad):
    targets, outputs = class_case(50, 3) if label.classes else real_case(50, 3)
    outputs[17, 1] = outputs[31, 0] = bad
    with pytest.raises(DataError, match=rf"label 'y': the model's outputs.*found {bad} at row 17, and 2 of 50 rows"):
        evaluate("y", label, targets, outputs, {}, CONFIG, 0)


def test_losses_that_are_not_finite_are_refused_naming_the_first_row():
    losses = np.where(np.arange(50) == 9, np.nan, 1.0)
    with pytest.raises(DataError, match=r"penalty.*found nan at row 9"):
        evaluate("y", class_label("abc"), *class_case(50, 3), {"loss": np.ones(50), "penalty": losses}, CONFIG, 0)


def test_logits_are_refused_as_no_probabilities():
    targets, outputs = class_case(50, 3)
    outputs[4] = [-2.0, 0.1, 3.2]
    with pytest.raises(DataError, match=r"probabilities from 0 to 1; found 3\.2 at row 4"):
        evaluate("y", class_label("abc"), targets, outputs, {}, CONFIG, 0)


@pytest.mark.parametrize("shape", [(50, 4), (50,), (49, 3), ()])
def test_outputs_of_another_shape_than_the_label_are_refused(shape):
    targets, _ = class_case(50, 3)
    with pytest.raises(DataError, match=r"expected outputs of shape \(50, 3\)"):
        evaluate("y", class_label("abc"), targets, np.full(shape, 0.5), {}, CONFIG, 0)


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="expected rows"):
        evaluate("y", class_label("abc"), [], np.zeros((0, 3)), {}, CONFIG, 0)


# ---- the table ------------------------------------------------------------------------------------------------------


def test_the_table_holds_every_score_and_aligns_its_columns():
    targets, outputs = class_case(400, 10)
    evaluation = evaluate("digit", class_label(range(10)), targets, outputs, {"loss": 1e3 * outputs[:, 0]}, CONFIG, 0)
    heading, *lines = score_table([evaluation]).splitlines()
    assert heading == "digit: 400 rows, 95 % intervals"
    assert [line.split()[0] for line in lines] == list(evaluation.scores)
    assert len({line.index("[") for line in lines}) == len({len(line) for line in lines}) == 1


def test_the_table_is_plain_ascii_even_without_an_interval():
    text = score_table([evaluate("y", real_label(), [1.0], [-2.0], {}, CONFIG, 0)])
    assert text.isascii()
    assert "nan" not in text
