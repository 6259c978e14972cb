"""Preflight: what can be known to be wrong is told before the first step, naming the key."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline import config as c
from pipeline.data import feed, splits
from pipeline.errors import ConfigError
from pipeline.models.build import build
from pipeline.preflight import inspection, names
from pipeline.training import optimizers
from pipeline.training.objectives.supervised import Supervised, class_weights

ADAM = c.Optimizer("Adam", {"learning_rate": 0.01})
COSINE = c.Optimizer("Adam", {"learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1}}})


def checked(data, model=None, objective=None, optimizer=ADAM, **training):
    """Build, compile and check, as `train` does before its first step. Returns the objective."""
    config = c.Config(c.Digits(), model or c.Mlp(hidden=[4]), optimizer, objective or c.Supervised(), c.Fit(**training))
    model = build(config.model, data.spec, lambda name: feed.feature_batches(data.train, data.spec, name))
    objective = Supervised(config.objective, data.spec, model)
    batches = feed.TrainingFeed(data.train, data.spec, config.data, config.training.batch_size, 0)
    objective.compile(optimizers.build(optimizer, 10), config.training)
    inspection.check(config, data, objective, batches)
    return objective


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """What is kept of the data goes where run.root is, from the working directory."""
    monkeypatch.chdir(tmp_path)


def refused(words, data, **options):
    with pytest.raises(ConfigError) as raised:
        checked(data, **options)
    assert raised.value.status == 2
    for word in words:
        assert word in str(raised.value)


# ---- what goes together ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["val_loss", "loss", "accuracy", "val_accuracy"])
def test_what_an_epoch_logs_can_be_watched(digits, monitor):
    early, plateau = c.EarlyStopping(patience=2, monitor=monitor), c.Plateau(patience=2, monitor=monitor)
    objective = checked(digits, early_stopping=early, plateau=plateau)
    assert float(objective.model.optimizer.learning_rate) == pytest.approx(0.01)


def test_what_is_said_to_be_logged_is_what_is_logged(digits):
    objective = checked(digits, objective=c.Supervised(metrics=["accuracy", "SparseTopKCategoricalAccuracy"]))
    batches = feed.ordered_batches(digits.validation, digits.spec, c.Digits(), 64)
    found = objective.model.evaluate(batches, verbose=0, return_dict=True)
    assert sorted(objective.log_names()) == sorted(found)


def test_what_is_said_to_be_logged_of_several_labels_is_what_is_logged(tmp_path):
    lines = [f"{row},{'ab'[row % 2]},{'xyz'[row % 3]}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,label", *lines]) + "\n")
    data = splits.load(c.Csv(path=str(tmp_path / "t.csv"), numeric=["size"], labels=["kind", "label"]))
    objective = checked(data, model=c.Tabular(hidden=[4]))
    batches = feed.ordered_batches(data.test, data.spec, c.Digits(), 64)
    found = objective.model.evaluate(batches, verbose=0, return_dict=True)
    assert sorted(objective.log_names()) == sorted(found)


def test_a_check_changes_no_weight_and_no_metric(digits):
    objective = checked(digits)
    assert all(float(keras.ops.sum(keras.ops.abs(variable))) == 0 for variable in objective.model.metrics_variables)
    assert int(objective.model.optimizer.iterations) == 0


# ---- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key, callback", [("early_stopping", c.EarlyStopping), ("plateau", c.Plateau)])
def test_a_misspelt_monitor_is_answered_with_the_nearest(digits, key, callback):
    watching = {key: callback(patience=2, monitor="val_los")}
    refused([f"training.{key}.monitor", "val_los", "Did you mean val_loss"], digits, **watching)


def test_watching_validation_without_validation_rows_is_refused(digits):
    refused(["val_loss"], replace(digits, validation=None), early_stopping=c.EarlyStopping(patience=2))


def test_a_monitor_that_nobody_watches_is_not_looked_at(digits):
    checked(digits, early_stopping=c.EarlyStopping(monitor="nothing"))


def test_a_metric_of_unknown_direction_needs_a_mode(tmp_path):
    lines = [f"{row},{'ab'[row % 2]},{'xyz'[row % 3]}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,label", *lines]) + "\n")
    data = splits.load(c.Csv(path=str(tmp_path / "t.csv"), numeric=["size"], labels=["kind", "label"]))
    model, monitor = c.Tabular(hidden=[4]), "val_kind_accuracy"
    refused(["training.early_stopping.mode", monitor], data, model=model, early_stopping=c.EarlyStopping(2, monitor))
    checked(data, model=model, early_stopping=c.EarlyStopping(2, monitor, mode="max"))


def test_a_plateau_cannot_lower_what_a_schedule_sets(digits):
    refused(["training.plateau", "schedule"], digits, optimizer=COSINE, plateau=c.Plateau(patience=2))


@pytest.mark.parametrize("units", [9, 11])
def test_an_output_of_another_width_than_the_label_is_refused(digits, units):
    layers = c.Layers(layers=["Flatten", {"class_name": "Dense", "config": {"units": units}}])
    refused(["10", f"{units}", "digit", "units: 10"], digits, model=layers)


def test_an_output_that_keeps_the_shape_of_the_input_is_refused(digits):
    refused(
        ["(8, 8, 10)", "units: 10"], digits, model=c.Layers(layers=[{"class_name": "Dense", "config": {"units": 10}}])
    )


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "BinaryCrossentropy"])
def test_a_loss_that_does_not_fit_the_labels_is_refused(digits, loss):
    refused(["objective"], digits, objective=c.Supervised(loss=loss))


@pytest.mark.parametrize("metric", ["AUC", "F1Score", {"class_name": "MeanIoU", "config": {"num_classes": 10}}])
def test_a_metric_that_does_not_fit_the_labels_is_refused(digits, metric):
    refused(["objective"], digits, objective=c.Supervised(metrics=[metric]))


def test_a_metric_of_several_numbers_is_refused(tmp_path):
    rows = {"x": np.ones((20, 2), np.float32), "y": np.eye(2, dtype=np.float32)[np.arange(20) % 2]}
    np.savez(tmp_path / "one_hot.npz", **rows)
    data = splits.load(c.Npz(path=str(tmp_path / "one_hot.npz"), label_kind="one_hot"))
    refused(["F1Score", "average"], data, objective=c.Supervised(metrics=["F1Score"]))
    checked(data, objective=c.Supervised(metrics=[{"class_name": "F1Score", "config": {"average": "macro"}}]))


def test_xla_that_keras_would_leave_out_is_refused(digits):
    refused(["training.jit", "determinism=relaxed"], digits, jit="always")


@pytest.mark.parametrize("weights", [[1.0], [1.0] * 11])
def test_class_weights_of_another_number_than_the_classes_are_refused(digits, weights):
    with pytest.raises(ConfigError, match="expected 10 weights"):
        class_weights(c.Supervised(class_weight=weights), digits.spec, digits.train.labels)


def test_balanced_weights_give_every_class_the_same_part(digits):
    weights = class_weights(c.Supervised(class_weight="balanced"), digits.spec, digits.train.labels)["digit"]
    parts = weights * np.bincount(digits.train.labels["digit"])
    np.testing.assert_allclose(parts, len(digits.train) / 10, rtol=1e-6)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "part, words",
    [
        ({"model": c.Mlp(activation="rellu")}, ["model.activation", "relu"]),
        ({"model": c.Mlp(kernel_initializer="he_norml")}, ["model.kernel_initializer", "he_normal"]),
        ({"model": c.Gru(recurrent_activation="sigmod")}, ["model.recurrent_activation", "sigmoid"]),
        ({"model": c.Mlp(preprocessing=["Normalisation"])}, ["model.preprocessing", "Normalization"]),
        ({"model": c.Layers(layers=["Flaten"])}, ["model.layers", "Flatten"]),
        ({"optimizer": c.Optimizer("Adm")}, ["optimizer", "Adam"]),
        ({"optimizer": c.Optimizer("Adam", {"learning_rat": 1})}, ["learning_rat", "learning_rate"]),
        ({"objective": c.Supervised(loss="mean_sqared_error")}, ["objective.loss", "MeanSquaredError"]),
        ({"objective": c.Supervised(metrics=["AUCC"])}, ["objective.metrics", "AUC"]),
    ],
)
def test_a_name_that_keras_does_not_have_is_answered_with_the_nearest(part, words):
    config = c.Config(**{"data": c.Digits(), "model": c.Mlp(), "optimizer": ADAM, "objective": c.Supervised(), **part})
    with pytest.raises(ConfigError) as raised:
        names.check(config)
    for word in words:
        assert word in str(raised.value)


def test_a_finding_to_be_ignored_must_be_one_there_is():
    config = c.Config(c.Digits(), c.Mlp(), ADAM, c.Supervised(), c.Fit(), preflight=c.Preflight(["unscaled-input"]))
    with pytest.raises(ConfigError, match="unscaled-inputs"):
        names.check(config)


def test_looking_names_up_leaves_no_trace_in_the_names_of_layers():
    names.check(c.Config(data=c.Digits(), model=c.Layers(layers=["Flatten"]), optimizer=ADAM, objective=c.Supervised()))
    assert keras.layers.Flatten().name == "flatten"
