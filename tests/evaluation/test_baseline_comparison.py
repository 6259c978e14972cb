"""The comparison of a model with simple models: its sign, its interval and its words."""

import numpy as np
import pytest

from pipeline.data.containers import Table
from pipeline.evaluation.baseline_comparison import compare_with_simple_models, simple_outputs
from pipeline.evaluation.decisions import Decision
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.simple_models import SimpleModels
from pipeline.spec import DataSpec, class_label, ordinal_label, real_label

OPTIONS = Evaluation(resamples=500)
RANDOM = np.random.default_rng(0)
TRUTH = RANDOM.integers(0, 2, 300)


def predictions(accuracy, seed):
    right = np.random.default_rng(seed).random(300) < accuracy
    return np.eye(2)[np.where(right, TRUTH, 1 - TRUTH)]


def compare(outputs, simple):
    return compare_with_simple_models(
        "y", class_label("ab"), targets=TRUTH, outputs=outputs, simple=simple, options=OPTIONS, seed=0
    )


def test_better_equal_and_worse_models_are_described_and_the_unbeaten_come_first():
    model = predictions(0.8, 1)
    simple = {"a coin": predictions(0.5, 2), "itself": model, "an oracle": predictions(1.0, 3)}
    by_name = {comparison.name: comparison for comparison in compare(model, simple)}
    assert [*by_name][-1] == "a coin" and by_name["a coin"].is_beaten
    assert by_name["a coin"].describe().startswith("better than a coin by 0.273 [0.")
    assert by_name["itself"].describe() == "not better than itself: difference 0 [0, 0]"
    assert by_name["an oracle"].describe().startswith("worse than an oracle by 0.187 [0.")


def test_ordinal_model_is_compared_with_the_median_class_by_the_error_of_the_rank():
    label, truth = ordinal_label("abc"), np.repeat([0, 1, 2], [140, 40, 120])
    models = SimpleModels(constants={"y": np.array([140, 40, 120]) / 300}, linear={}, coding=None)
    rows = Table({}, {"y": truth}, str)
    simple = simple_outputs(DataSpec({}, {"y": label}), models, rows)["y"]
    outputs = np.eye(3)[np.minimum(truth + (np.arange(300) % 10 == 0), 2)]
    (comparison,) = compare_with_simple_models(
        "y", label, targets=truth, outputs=outputs, simple=simple, options=OPTIONS, seed=0
    )
    assert (comparison.metric, comparison.baseline) == ("rank_mae", pytest.approx(260 / 300))
    assert comparison.describe().startswith("better than the median class by 0.8")
    assert comparison.difference.value == pytest.approx(260 / 300 - 18 / 300) and comparison.is_beaten


def test_interval_of_the_difference_is_paired():
    model = predictions(0.8, 1)
    twin = model.copy()
    twin[:6] = twin[:6, ::-1]  # the same mistakes but for six rows
    (comparison,) = compare(model, {"twin": twin})
    assert comparison.difference.high - comparison.difference.low < 0.04  # of two separate intervals: 0.13


def test_real_labels_are_compared_by_r2():
    values = RANDOM.normal(size=200)
    outputs = (values + RANDOM.normal(0, 0.5, 200))[:, np.newaxis]
    simple = {"the training mean": np.full((200, 1), values.mean())}
    (comparison,) = compare_with_simple_models(
        "y", real_label(), targets=values, outputs=outputs, simple=simple, options=OPTIONS, seed=0
    )
    assert comparison.metric == "r2" and comparison.baseline == pytest.approx(0, abs=1e-9) and comparison.is_beaten


def test_a_single_row_is_not_compared():
    one = np.array([[0.0, 1.0]])
    assert (
        compare_with_simple_models(
            "y", class_label("ab"), targets=np.array([1]), outputs=one, simple={"x": one}, options=OPTIONS, seed=0
        )
        == ()
    )


def test_models_with_a_threshold_are_compared_by_a_score_that_needs_none():
    targets = np.arange(200) % 10 == 0
    outputs = np.where(targets, 0.3, np.linspace(0, 0.25, 200))
    decision = Decision(rule="max_f1", thresholds=(0.27,), positive=1)
    (found,) = compare_with_simple_models(
        "y",
        class_label(["no", "yes"]),
        targets=targets.astype(int),
        outputs=np.stack([1 - outputs, outputs], axis=1),
        simple={"the majority class": np.tile([0.9, 0.1], (200, 1))},
        decision=decision,
        options=Evaluation(resamples=100),
        seed=0,
    )
    assert (found.metric, found.score, found.baseline, found.is_beaten) == ("roc_auc", 1.0, 0.5, True)
