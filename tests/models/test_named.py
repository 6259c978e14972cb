"""Keras objects by name: every public one is found, no other, and a misspelt name gets a suggestion."""

import keras
import pytest

from pipeline import keras_objects
from pipeline.errors import ConfigError


def dense(**config):
    return {"class_name": "Dense", "config": {"units": 3, **config}}


def test_a_layer_has_its_arguments_and_the_objects_in_them():
    regularizer = {"class_name": "L2", "config": {"l2": 0.5}}
    layer = keras_objects.layer("k", dense(activation="gelu", kernel_regularizer=regularizer))
    assert layer.units == 3 and layer.activation is keras.activations.gelu
    assert layer.kernel_regularizer.l2 == 0.5


def test_a_layer_can_contain_a_layer():
    inner = {"class_name": "GRU", "config": {"units": 4}}
    layer = keras_objects.layer("k", {"class_name": "Bidirectional", "config": {"layer": inner}})
    assert isinstance(layer.forward_layer, keras.layers.GRU) and layer.forward_layer.units == 4


def test_an_optimizer_has_its_schedule():
    rate = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.5, "decay_steps": 10}}
    optimizer = keras_objects.optimizer("optimizer", {"class_name": "SGD", "config": {"learning_rate": rate}})
    assert float(optimizer.learning_rate) == 0.5


@pytest.mark.parametrize(
    "make, value, messages",
    [
        (keras_objects.layer, "Dens", ["keras.layers", "Dense"]),
        (
            keras_objects.layer,
            {"class_name": "Dense", "config": {"unit": 3}},
            ["Dense has no argument 'unit'", "units"],
        ),
        (keras_objects.layer, dense(activation="rellu"), ["rellu", "relu"]),
        (keras_objects.layer, dense(kernel_initializer="he_norml"), ["he_norml"]),
        (keras_objects.layer, dense(kernel_initializer={"class_name": "HeNorml"}), ["HeNormal"]),
        (
            keras_objects.layer,
            dense(kernel_initializer={"class_name": "HeNormal", "config": {"sed": 1}}),
            ["sed", "seed"],
        ),
        (keras_objects.layer, "Dense", ["Dense", "units"]),
        (keras_objects.optimizer, "Adm", ["keras.optimizers", "Adam"]),
        (keras_objects.optimizer, {"class_name": "Adam", "config": {"epsilom": 1}}, ["epsilom", "epsilon"]),
        (keras_objects.loss, "mean_squared_eror", ["keras.losses", "MeanSquaredError"]),
        (keras_objects.metric, "AUCC", ["keras.metrics", "AUC"]),
        (keras_objects.initializer, "glorot_unifrm", ["keras.initializers", "glorot_uniform"]),
        (keras_objects.activation, "rellu", ["rellu", "relu"]),
    ],
)
def test_an_unknown_name_is_refused_with_the_key_and_the_nearest_name(make, value, messages):
    with pytest.raises(ConfigError) as raised:
        make("the.key", value)
    for message in ["the.key", *messages]:
        assert message in str(raised.value)


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
def test_a_config_cannot_run_code(value):
    with pytest.raises(ConfigError):
        keras_objects.layer("model.layers", value)


@pytest.mark.parametrize("name, found", [("mse", "mean_squared_error"), ("MeanSquaredError", "mean_squared_error")])
def test_losses_and_metrics_are_found_by_class_function_and_short_name(name, found):
    assert keras_objects.metric("k", name).name == found
    assert isinstance(keras_objects.loss("k", name), keras.losses.MeanSquaredError)


def test_two_metrics_of_one_class_have_the_name_of_the_class():
    assert [keras_objects.metric("k", "AUC").name for _ in range(2)] == ["auc", "auc"]


def test_each_initializer_is_a_new_object():
    first, second = (keras_objects.initializer("k", "glorot_uniform") for _ in range(2))
    assert (keras.ops.convert_to_numpy(first((3, 3))) != keras.ops.convert_to_numpy(second((3, 3)))).any()
