"""The loss of the same prediction for every row, and the warning about a model that is no better."""

import numpy as np
import pytest

from pipeline.objectives.supervised import SupervisedOptions
from pipeline.spec import DataSpec, class_label, real_label, row_label
from pipeline.training.baselines import losses_above_baseline

CLASSES = np.repeat([0, 1, 2], [6, 3, 1])
SHARES = np.array([0.6, 0.3, 0.1])
ENTROPY = float(-(SHARES * np.log(SHARES)).sum())
LOGITS = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
ONE_HOT = np.eye(3, dtype=np.float32)[CLASSES]
SPREAD = (0.6 * 0.4 + 0.9 * 0.1) / 2  # the ranked probability score of the shares
REAL = np.array([1, 2, 6], np.float32)


@pytest.mark.parametrize(
    ("label", "values", "loss", "expected"),
    [
        (real_label(), REAL, None, REAL.var()),
        (real_label(), REAL, "mean_absolute_error", 2),
        (real_label(2), np.stack([REAL, 10 * REAL], axis=1), None, 101 * REAL.var() / 2),
        (class_label(range(3)), CLASSES, None, ENTROPY),
        (class_label(range(3)), CLASSES, LOGITS, ENTROPY),
        (class_label(range(2)), CLASSES > 0, "binary_crossentropy", -0.6 * np.log(0.6) - 0.4 * np.log(0.4)),
        (class_label(range(3)), CLASSES, "ranked_probability_score", SPREAD),
        (row_label("one_hot", range(3)), ONE_HOT, None, ENTROPY),
        (row_label("multi_label", range(2)), ONE_HOT[:, :2], None, (0.6730 + 0.6109) / 2),
    ],
)
def test_baseline_is_the_loss_of_the_mean_or_of_the_shares(label, values, loss, expected):
    values = values.astype(label.dtype)
    found = SupervisedOptions(loss).baseline_losses(DataSpec({}, {"y": label}), {"y": values})
    assert found == {"loss": pytest.approx(expected, rel=1e-3)}


def test_baseline_counts_class_weights_as_training_does():
    spec = DataSpec({}, {"y": class_label(range(3))})
    balanced = SupervisedOptions(class_weight="balanced").baseline_losses(spec, {"y": CLASSES})
    assert balanced["loss"] == pytest.approx(np.log(3), rel=1e-5)


def test_losses_of_several_labels_have_the_names_that_an_epoch_logs():
    spec = DataSpec({}, {"size": real_label(), "kind": class_label(range(3))})
    found = SupervisedOptions().baseline_losses(spec, {"size": np.repeat(REAL, [4, 4, 2]), "kind": CLASSES})
    assert set(found) == {"size_loss", "kind_loss"}


def test_loss_without_a_baseline_has_none():
    spec = DataSpec({}, {"y": row_label("one_hot", range(3))})
    assert SupervisedOptions("categorical_hinge").baseline_losses(spec, {"y": ONE_HOT}) == {}


def test_model_that_never_beats_its_baseline_is_warned_about():
    assert losses_above_baseline([{"loss": 3.0}, {"loss": 1.9}], {"loss": 2.0}) == []
    (message,) = losses_above_baseline([{"loss": 3.0}, {"loss": 2.5}], {"loss": 2.0})
    assert "2.5 at best" in message and "No epoch was better" in message
    assert losses_above_baseline([{"loss": 0.1}], {"loss": 0.0}) == []  # a constant label has nothing to learn
    assert losses_above_baseline([{"loss": float("nan")}], {"loss": 2.0}) != []
