"""Keras objects by name: what Keras ships is reachable, nothing else is, and a slip is answered with the nearest."""

import keras
import pytest

from pipeline.errors import ConfigError
from pipeline.models import named


def dense(**config):
    return {"class_name": "Dense", "config": {"units": 3, **config}}


def test_a_layer_comes_with_its_arguments_and_what_they_hold():
    regularizer = {"class_name": "L2", "config": {"l2": 0.5}}
    layer = named.layer("k", dense(activation="gelu", kernel_regularizer=regularizer))
    assert layer.units == 3 and layer.activation is keras.activations.gelu
    assert layer.kernel_regularizer.l2 == 0.5


def test_a_layer_may_hold_a_layer():
    inner = {"class_name": "GRU", "config": {"units": 4}}
    layer = named.layer("k", {"class_name": "Bidirectional", "config": {"layer": inner}})
    assert isinstance(layer.forward_layer, keras.layers.GRU) and layer.forward_layer.units == 4


def test_an_optimizer_comes_with_its_schedule():
    rate = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.5, "decay_steps": 10}}
    optimizer = named.optimizer("optimizer", {"class_name": "SGD", "config": {"learning_rate": rate}})
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize(
    "make, value, words",
    [
        (named.layer, "Dens", ["keras.layers", "Dense"]),
        (named.layer, {"class_name": "Dense", "config": {"unit": 3}}, ["Dense has no argument 'unit'", "units"]),
        (named.layer, dense(activation="rellu"), ["rellu", "relu"]),
        (named.layer, dense(kernel_initializer="he_norml"), ["he_norml"]),
        (named.layer, dense(kernel_initializer={"class_name": "HeNorml"}), ["HeNormal"]),
        (named.layer, dense(kernel_initializer={"class_name": "HeNormal", "config": {"sed": 1}}), ["sed", "seed"]),
        (named.layer, "Dense", ["Dense", "units"]),
        (named.optimizer, "Adm", ["keras.optimizers", "Adam"]),
        (named.optimizer, {"class_name": "Adam", "config": {"epsilom": 1}}, ["epsilom", "epsilon"]),
        (named.loss, "mean_squared_eror", ["keras.losses", "MeanSquaredError"]),
        (named.metric, "AUCC", ["keras.metrics", "AUC"]),
        (named.initializer, "glorot_unifrm", ["keras.initializers", "glorot_uniform"]),
        (named.activation, "rellu", ["rellu", "relu"]),
    ],
)
def test_what_keras_does_not_have_is_refused_naming_the_key_and_the_nearest(make, value, words):
    with pytest.raises(ConfigError) as raised:
        make("the.key", value)
    for word in ["the.key", *words]:
        assert word in str(raised.value)


@pytest.mark.parametrize(
    "value",
    [
        {"class_name": "Lambda", "config": {"function": "relu"}},
        {
            "class_name": "Lambda",
            "config": {"function": {"class_name": "function", "config": "system", "module": "os"}},
        },
        {"class_name": "TFSMLayer", "config": {"filepath": "somewhere"}},
        {"class_name": "Dense", "config": {"units": 3}, "module": "my.layers"},
        dense(activation={"class_name": "function", "config": "system", "module": "os"}),
        dense(kernel_initializer={"class_name": "system", "module": "os", "config": {}}),
        {
            "class_name": "TimeDistributed",
            "config": {"layer": {"class_name": "Lambda", "config": {"function": "relu"}}},
        },
    ],
)
def test_a_config_cannot_bring_code(value):
    with pytest.raises(ConfigError):
        named.layer("model.layers", value)


@pytest.mark.parametrize("name, found", [("mse", "mean_squared_error"), ("MeanSquaredError", "mean_squared_error")])
def test_losses_and_metrics_go_by_class_by_function_and_by_short_name(name, found):
    assert named.metric("k", name).name == found
    assert isinstance(named.loss("k", name), keras.losses.MeanSquaredError)


def test_two_metrics_of_one_class_have_the_name_of_the_class():
    assert [named.metric("k", "AUC").name for _ in range(2)] == ["auc", "auc"]


def test_each_initializer_is_one_of_its_own():
    first, second = (named.initializer("k", "glorot_uniform") for _ in range(2))
    assert (keras.ops.convert_to_numpy(first((3, 3))) != keras.ops.convert_to_numpy(second((3, 3)))).any()
