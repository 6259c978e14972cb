"""Errors that preflight raises before the first step. Each message names the key."""

from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import pytest

from pipeline.config import Config
from pipeline.data import input_pipeline, splits
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError
from pipeline.models.gru import Gru
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.models.model import ModelOptions, build_model
from pipeline.models.tabular import Tabular
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.options import option
from pipeline.preflight import inspection, names
from pipeline.preflight.options import Preflight
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import EarlyStopping, Plateau

ADAM = Optimizer("Adam", {"learning_rate": 0.01})
COSINE = Optimizer("Adam", {"learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1}}})


def checked(data, model=None, objective=None, optimizer=ADAM, **training):
    """Build, compile and check a config as `train` does before its first step. Return the objective."""
    config = Config(Digits(), model or Mlp(hidden=[4]), optimizer, objective or SupervisedOptions(), Fit(**training))
    model = build_model(
        config.model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name)
    )
    objective = Supervised(config.objective, data.spec, model)
    batches = input_pipeline.TrainingFeed(
        split=data.train, spec=data.spec, source=config.data, batch_size=config.training.batch_size, seed=0
    )
    objective.compile(optimizer.build(10), config.training)
    inspection.check(config, data, objective, batches)
    return objective


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Run each test in its own folder, since run.root is relative to the working directory."""
    monkeypatch.chdir(tmp_path)


def refused(texts, data, **options):
    with pytest.raises(ConfigError) as raised:
        checked(data, **options)
    assert raised.value.status == 2
    for text in texts:
        assert text in str(raised.value)


# ---- what goes together ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("monitor", ["val_loss", "loss", "accuracy", "val_accuracy"])
def test_every_logged_name_can_be_monitored(digits, monitor):
    early, plateau = EarlyStopping(patience=2, monitor=monitor), Plateau(patience=2, monitor=monitor)
    objective = checked(digits, early_stopping=early, plateau=plateau)
    assert float(objective.model.optimizer.learning_rate) == pytest.approx(0.01)


def test_log_names_are_the_names_that_are_logged(digits):
    objective = checked(digits, objective=SupervisedOptions(metrics=["accuracy", "SparseTopKCategoricalAccuracy"]))
    batches = input_pipeline.ordered_batches(digits.validation, digits.spec, 64)
    logged = objective.model.evaluate(batches, verbose=0, return_dict=True)
    assert sorted(objective.log_names()) == sorted(logged)


def test_log_names_of_several_labels_are_the_names_that_are_logged(tmp_path):
    lines = [f"{row},{'ab'[row % 2]},{'xyz'[row % 3]}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,label", *lines]) + "\n")
    data = splits.load(Csv(path=str(tmp_path / "t.csv"), numeric=["size"], labels=["kind", "label"]))
    objective = checked(data, model=Tabular(hidden=[4]))
    batches = input_pipeline.ordered_batches(data.test, data.spec, 64)
    logged = objective.model.evaluate(batches, verbose=0, return_dict=True)
    assert sorted(objective.log_names()) == sorted(logged)


def test_check_changes_no_weight_and_no_metric(digits):
    objective = checked(digits)
    assert all(float(keras.ops.sum(keras.ops.abs(variable))) == 0 for variable in objective.model.metrics_variables)
    assert int(objective.model.optimizer.iterations) == 0


# ---- what does not ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key, callback", [("early_stopping", EarlyStopping), ("plateau", Plateau)])
def test_misspelt_monitor_is_refused_with_the_nearest_name(digits, key, callback):
    watching = {key: callback(patience=2, monitor="val_los")}
    refused([f"training.{key}.monitor", "val_los", "Did you mean val_loss"], digits, **watching)


def test_validation_monitor_without_validation_rows_is_refused(digits):
    refused(["val_loss"], replace(digits, validation=None), early_stopping=EarlyStopping(patience=2))


def test_monitor_that_no_callback_uses_is_not_checked(digits):
    checked(digits, early_stopping=EarlyStopping(monitor="nothing"))


@pytest.mark.slow
def test_metric_of_unknown_direction_needs_a_mode(tmp_path):
    lines = [f"{row},{'ab'[row % 2]},{'xyz'[row % 3]}" for row in range(40)]
    (tmp_path / "t.csv").write_text("\n".join(["size,kind,label", *lines]) + "\n")
    data = splits.load(Csv(path=str(tmp_path / "t.csv"), numeric=["size"], labels=["kind", "label"]))
    model, monitor = Tabular(hidden=[4]), "val_kind_accuracy"
    refused(["training.early_stopping.mode", monitor], data, model=model, early_stopping=EarlyStopping(2, monitor))
    checked(data, model=model, early_stopping=EarlyStopping(2, monitor, mode="max"))


def test_plateau_with_a_learning_rate_schedule_is_refused(digits):
    refused(["training.plateau", "schedule"], digits, optimizer=COSINE, plateau=Plateau(patience=2))


@pytest.mark.parametrize("units", [9, 11])
def test_output_of_another_width_than_the_label_is_refused(digits, units):
    layers = Layers(layers=["Flatten", {"class_name": "Dense", "config": {"units": units}}])
    refused(["10", f"{units}", "digit", "units: 10"], digits, model=layers)


def test_output_that_keeps_the_shape_of_the_input_is_refused(digits):
    refused(
        ["(8, 8, 10)", "units: 10"], digits, model=Layers(layers=[{"class_name": "Dense", "config": {"units": 10}}])
    )


@pytest.mark.parametrize("loss", ["categorical_crossentropy", "BinaryCrossentropy"])
def test_loss_that_does_not_fit_the_labels_is_refused(digits, loss):
    refused(["objective"], digits, objective=SupervisedOptions(loss=loss))


def test_metric_of_one_number_per_class_is_refused(digits):
    refused(["objective"], digits, objective=SupervisedOptions(metrics=["F1Score"]))


def test_metric_of_several_numbers_is_refused(tmp_path):
    rows = {"x": np.ones((20, 2), np.float32), "y": np.eye(3, dtype=np.float32)[np.arange(20) % 3]}
    np.savez(tmp_path / "one_hot.npz", **rows)
    data = splits.load(Npz(path=str(tmp_path / "one_hot.npz"), label_kind="one_hot"))
    refused(["F1Score", "average"], data, objective=SupervisedOptions(metrics=["F1Score"]))
    checked(data, objective=SupervisedOptions(metrics=[{"class_name": "F1Score", "config": {"average": "macro"}}]))


def test_xla_that_keras_would_not_use_is_refused(digits):
    refused(["training.jit", "determinism=relaxed"], digits, jit="always")


@pytest.mark.parametrize("weights", [[1.0], [1.0] * 11])
def test_wrong_number_of_class_weights_is_refused(digits, weights):
    with pytest.raises(ConfigError, match="expected 10 weights"):
        SupervisedOptions(class_weight=weights).class_weights(digits.spec, digits.train.labels)


def test_balanced_weights_give_every_class_the_same_total(digits):
    weights = SupervisedOptions(class_weight="balanced").class_weights(digits.spec, digits.train.labels)["digit"]
    totals = weights * np.bincount(digits.train.labels["digit"])
    np.testing.assert_allclose(totals, len(digits.train) / 10, rtol=1e-6)


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes, texts",
    [
        ({"model": Mlp(activation="rellu")}, ["model.activation", "relu"]),
        ({"model": Mlp(kernel_initializer="he_norml")}, ["model.kernel_initializer", "he_normal"]),
        ({"model": Gru(recurrent_activation="sigmod")}, ["model.recurrent_activation", "sigmoid"]),
        ({"model": Mlp(preprocessing=["Normalisation"])}, ["model.preprocessing", "Normalization"]),
        ({"model": Layers(layers=["Flaten"])}, ["model.layers", "Flatten"]),
        ({"optimizer": Optimizer("Adm")}, ["optimizer", "Adam"]),
        ({"optimizer": Optimizer("Adam", {"learning_rat": 1})}, ["learning_rat", "learning_rate"]),
        ({"objective": SupervisedOptions(loss="mean_sqared_error")}, ["objective.loss", "MeanSquaredError"]),
        ({"objective": SupervisedOptions(metrics=["AUCC"])}, ["objective.metrics", "AUC"]),
    ],
)
def test_name_that_keras_does_not_have_is_refused_with_the_nearest_name(changes, texts):
    config = Config(
        **{"data": Digits(), "model": Mlp(), "optimizer": ADAM, "objective": SupervisedOptions(), **changes}
    )
    with pytest.raises(ConfigError) as raised:
        names.check(config)
    for text in texts:
        assert text in str(raised.value)


def test_ignored_finding_must_exist():
    with pytest.raises(ConfigError, match="unscaled-inputs"):
        Preflight(["unscaled-input"])


@dataclass
class CustomModel(ModelOptions):
    """A model under custom/ whose options hold names of Keras objects."""

    head: Any = option("Dense", "the last layer", keras="layer")
    reduction: Any = option(None, "a metric of the features", keras="metric")
    inner_optimizer: Any = option(None, "of the head", keras="optimizer")


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"head": {"class_name": "Dens", "config": {"units": 3}}}, ["model.head", "Dense"]),
        ({"head": {"class_name": "Dense", "config": {"units": 3}}, "reduction": "AUCC"}, ["model.reduction", "AUC"]),
        ({"head": {"class_name": "Dense", "config": {"units": 3}}, "inner_optimizer": "Adm"},
         ["model.inner_optimizer", "Adam"]),
    ],
)  # fmt: skip
def test_wrong_name_in_the_options_of_a_custom_model_is_refused(options, texts):
    config = Config(Digits(), CustomModel(**options), ADAM, SupervisedOptions(), Fit())
    with pytest.raises(ConfigError) as raised:
        names.check(config)
    for text in texts:
        assert text in str(raised.value)


def test_custom_model_with_correct_names_is_accepted():
    head = {"class_name": "Dense", "config": {"units": 3}}
    schedule = {"learning_rate": {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1}}}
    inner = {"class_name": "Adam", "config": schedule}
    names.check(Config(Digits(), CustomModel(head=head, inner_optimizer=inner), ADAM, SupervisedOptions(), Fit()))


def test_name_check_does_not_change_the_names_of_later_layers():
    names.check(Config(Digits(), Layers(layers=["Flatten"]), ADAM, SupervisedOptions(), Fit()))
    assert keras.layers.Flatten().name == "flatten"
