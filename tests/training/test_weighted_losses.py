"""Row weights in training: the weighted losses and metrics of an epoch, both engines, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError
from pipeline.experiment import build
from pipeline.models.mlp import Mlp
from pipeline.models.tabular import Tabular
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.multi_task import MultiTaskOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.spec import MULTI_LABEL, ONE_HOT, class_label, real_label, row_label
from pipeline.training.baselines import baseline_loss
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.regularization import Regularization
from pipeline.training.tape import Tape

ROWS = 110
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(ROWS, 4)).astype(np.float32)
CLASSES = (X[:, 0] + 0.5 * RANDOM.normal(size=ROWS) > 0.8).astype(np.int64)
WEIGHTS = RANDOM.integers(0, 7, ROWS) / 2
STILL = Optimizer("SGD", {"learning_rate": 1e-30})  # the weights of the model keep their values
METRICS = [
    "accuracy",
    {"class_name": "F1Score", "config": {}},
    {"class_name": "AUC", "config": {"num_thresholds": 500}},
]


@pytest.fixture
def source(tmp_path):
    """The npz file of a label of two classes, with row weights."""
    np.savez(tmp_path / "rows.npz", x=X, y=CLASSES, one_hot=np.eye(2)[CLASSES], weight=WEIGHTS)
    return Npz(path=str(tmp_path / "rows.npz"), weight="weight", split=SplitOptions(validation=0.3, test=0.1))


def share_of_second(model, split):
    """Return the predicted probability of the second class of each row."""
    return model.predict(split.features["x"], verbose=0)[:, 1].astype(np.float64)


def test_losses_count_rows_and_classes_and_metrics_count_rows_only(train, configured, source):
    objective = SupervisedOptions(metrics=METRICS, class_weight=[1.0, 3.0])
    config = configured(Fit, source, Mlp(hidden=[8]), STILL, objective, epochs=1, batch_size=32)
    found, data = train(config), splits.load(config.data)
    logged = found.history[0]
    for prefix, split, of_classes in (("", data.train, [1.0, 3.0]), ("val_", data.validation, [1.0, 1.0])):
        targets, p = split.labels["y"], share_of_second(found.model, split)
        losses = -np.log(np.where(targets == 1, p, 1 - p))
        assert logged[f"{prefix}loss"] == pytest.approx(
            (split.weights * np.array(of_classes)[targets] * losses).mean(), rel=1e-4
        )
        assert logged[f"{prefix}accuracy"] == pytest.approx(
            np.average(targets == (p > 0.5), weights=split.weights), rel=1e-5
        )
        assert logged[f"{prefix}f1_score"] == pytest.approx(
            reference.f1_score(targets, p > 0.5, sample_weight=split.weights), rel=1e-4
        )
        assert logged[f"{prefix}auc"] == pytest.approx(
            reference.roc_auc_score(targets, p, sample_weight=split.weights), abs=0.01
        )


def test_both_engines_give_the_same_bits_with_row_and_class_weights(train, configured, source):
    objective = SupervisedOptions(metrics=METRICS, class_weight="balanced")
    data = replace(source, labels=["one_hot"], label_kind=ONE_HOT)
    fit, tape = (
        train(configured(engine, data, objective=objective, batch_size=32, epochs=2)) for engine in (Fit, Tape)
    )
    assert fit.history == tape.history
    assert fit.metrics_file == tape.metrics_file
    assert fit.digest == tape.digest


@pytest.mark.slow
@pytest.mark.parametrize("case", ["several labels", "learned tasks", "mixup"])
def test_weights_of_one_give_the_bits_of_no_weights(train, configured, tmp_path, case):
    lines = [f"{row % 7},{'xyz'[row % 3]},{'pq'[row % 7 > 3]},1" for row in range(90)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,label,w", *lines]) + "\n")
    data = Csv(path=str(tmp_path / "t.csv"), numeric=["size"], labels=["kind", "label"], weight="w")
    objective = MultiTaskOptions(weighting="learned") if case == "learned tasks" else SupervisedOptions()
    config = configured(Tape, data, Tabular(hidden=[6]), objective=objective, epochs=2, batch_size=20)
    config = replace(config, regularization=Regularization(mixup=0.4)) if case == "mixup" else config
    weighted, plain = train(config), train(replace(config, data=replace(data, weight="")))
    assert weighted.digest == plain.digest
    assert weighted.history == plain.history


@pytest.mark.slow
def test_resumed_run_has_the_weights_and_metrics_of_an_uninterrupted_one(train, configured, source):
    objective = SupervisedOptions(metrics=METRICS, class_weight="balanced")
    config = configured(Fit, source, Mlp(hidden=[8]), objective=objective, batch_size=32, epochs=2)
    resumed, whole = train(config, stop_at=(2, 1)), train(config)
    assert resumed.digest == whole.digest
    assert resumed.history == whole.history


def test_class_weights_of_one_hot_labels_are_those_of_class_labels(configured, source):
    options = SupervisedOptions(class_weight="balanced")
    one_hot = splits.load(replace(source, labels=["one_hot"], label_kind=ONE_HOT, split=SplitOptions(stratify=False)))
    expected = options.class_weights(one_hot.spec, one_hot.train.labels)["one_hot"]
    rows = one_hot.train.labels["one_hot"].sum(axis=0)
    assert expected == pytest.approx(rows.sum() / (2 * rows))
    config = configured(Fit, replace(source, labels=["one_hot"], label_kind=ONE_HOT, weight=""), objective=options)
    data = splits.load(config.data)
    for _, y, weights in build(config, data).feed.batches(0).as_numpy_iterator():
        assert weights == pytest.approx(
            options.class_weights(data.spec, data.train.labels)["one_hot"][y.argmax(axis=1)]
        )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"objective": AdversarialOptions()}, "expected an objective that compares outputs with labels"),
        ({"regularization": Regularization(gradient_penalty=0.1)}, "expected regularization.gradient_penalty=0"),
    ],
)
def test_options_that_would_ignore_row_weights_are_refused(configured, source, changes, message):
    from pipeline.training import weighted_losses

    with pytest.raises(ConfigError, match=f"data.weight: {message}"):
        weighted_losses.check(replace(configured(Tape, source), **changes))


@pytest.mark.parametrize(
    ("label", "targets", "loss"),
    [
        (class_label("ab"), CLASSES, "SparseCategoricalCrossentropy"),
        (row_label(ONE_HOT, "ab"), np.eye(2, dtype=np.float32)[CLASSES], "CategoricalCrossentropy"),
        (row_label(MULTI_LABEL, "ab"), np.eye(2, dtype=np.float32)[CLASSES], "BinaryCrossentropy"),
        (real_label(), X[:, 0], "MeanSquaredError"),
    ],
)
def test_baseline_of_the_loss_is_that_of_repeated_rows(label, targets, loss):
    import keras

    function, weights = getattr(keras.losses, loss)(), (2 * WEIGHTS).astype(int)
    repeated = np.repeat(targets, weights, axis=0)
    found = baseline_loss(label, function, targets, row_weights=weights)
    assert found == pytest.approx(baseline_loss(label, function, repeated) * len(repeated) / ROWS, rel=1e-5)
