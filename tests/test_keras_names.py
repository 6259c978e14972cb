"""Every name that Keras exports, without arguments: it is built, or the message names what is missing."""

import inspect
import shlex

import keras
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from pipeline import keras_objects
from pipeline.errors import ConfigError
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.options import check_keras_form
from pipeline.training.optimizer import Optimizer


def within(argument):
    """Return a function that builds a Dense layer with an object as one of its arguments."""

    def build(key, value):
        config = {"units": 3, argument: {"class_name": value} if isinstance(value, str) else value}
        return keras_objects.layer(key, {"class_name": "Dense", "config": config})

    return build


def schedule(key, value):
    rate = {"class_name": value} if isinstance(value, str) else value
    return keras_objects.optimizer(key, {"class_name": "SGD", "config": {"learning_rate": rate}})


# module -> (its base classes, how one of its names is built)
MODULES = {
    keras.layers: (keras.layers.Layer, keras_objects.layer),
    keras.losses: (keras.losses.Loss, keras_objects.loss),
    keras.metrics: (keras.metrics.Metric, keras_objects.metric),
    keras.optimizers: (keras.optimizers.Optimizer, keras_objects.optimizer),
    keras.optimizers.schedules: (keras.optimizers.schedules.LearningRateSchedule, schedule),
    keras.initializers: (keras.initializers.Initializer, keras_objects.initializer),
    keras.regularizers: (keras.regularizers.Regularizer, within("kernel_regularizer")),
    keras.constraints: (keras.constraints.Constraint, within("kernel_constraint")),
}
NAMES = [
    (module, name)
    for module in MODULES
    for name, item in vars(module).items()
    if not name.startswith("_") and not inspect.ismodule(item)
]


def is_object(module, name):
    """Return whether a name is a class of this kind, not a function, a base class, or a class of another kind."""
    item, base = getattr(module, name), MODULES[module][0]
    return inspect.isclass(item) and issubclass(item, base) and item is not base


def needed(module, name):
    """Return the names of the arguments of a class that have no default."""
    parameters = inspect.signature(getattr(module, name)).parameters.values()
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    return [item.name for item in parameters if item.default is item.empty and item.kind not in variable]


def pasted(example):
    """Return the value of an example in a message, parsed as the shell and the command line parse it."""
    (word,) = shlex.split(example)
    (override,) = OverridesParser.create().parse_overrides([f"option={word}"])
    return override.value()


def test_every_bare_name_is_built_or_refused_with_its_missing_arguments():
    assert len(NAMES) > 350
    built = 0
    for module, name in NAMES:
        _, build = MODULES[module]
        try:
            build("the.key", name)
            built += 1
        except ConfigError as error:
            message = str(error)
            assert message.startswith("the.key: ")
            if is_object(module, name):
                assert f"{name} needs " in message, message
                assert all(argument in message for argument in needed(module, name)), message
                assert "..." not in message and "VALUE" not in message, message
    assert built > 200


def test_every_example_in_a_message_is_built_when_it_is_pasted():
    examples = 0
    for module, name in NAMES:
        _, build = MODULES[module]
        try:
            build("the.key", name)
        except keras_objects.MissingArgument as error:
            example = str(error).partition("Example: ")[2]
            value = pasted(example)
            check_keras_form("the.key", value)
            assert value == error.completed
            (keras_objects.optimizer if module is keras.optimizers.schedules else build)("the.key", value)
            examples += 1
        except ConfigError:
            pass
    assert examples > 90


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("InputLayer", "shape"),
        ("CategoryEncoding", "num_tokens"),
        ("Discretization", "num_bins"),
    ],
)
def test_argument_that_keras_needs_despite_a_default_is_named(name, argument):
    with pytest.raises(keras_objects.MissingArgument, match=f"{name} needs {argument}. Example: '{{class_name: {name}"):
        keras_objects.layer("the.key", name)
    keras_objects.layer("the.key", {"class_name": "Discretization", "config": {"bin_boundaries": [0.5]}})


def test_metric_of_a_function_names_it_and_the_file_to_write_it_in():
    with pytest.raises(ConfigError, match=r"MeanMetricWrapper needs fn, .* function in custom/metrics\.py"):
        keras_objects.metric("the.key", "MeanMetricWrapper")


def test_example_for_a_list_is_the_whole_option():
    with pytest.raises(ConfigError) as raised:
        keras_objects.check("model.layers", ["Flatten", "Dense", "ReLU"], keras_objects.layer)
    assert str(raised.value) == (
        "model.layers: Dense needs units. "
        "Example: model.layers='[Flatten, {class_name: Dense, config: {units: 32}}, ReLU]'"
    )


def test_example_keeps_the_arguments_that_are_given():
    inner = {"class_name": "TimeDistributed", "config": {"layer": {"class_name": "Conv2D", "config": {"filters": 8}}}}
    with pytest.raises(ConfigError) as raised:
        keras_objects.check("model.layers", [inner], keras_objects.layer)
    assert str(raised.value) == (
        "model.layers: Conv2D needs kernel_size. Example: model.layers='[{class_name: TimeDistributed, "
        "config: {layer: {class_name: Conv2D, config: {filters: 8, kernel_size: 3}}}}]'"
    )


def test_example_for_a_metric_of_one_label_names_the_label():
    options = SupervisedOptions(metrics={"digit": ["accuracy", "MeanIoU"]})
    with pytest.raises(ConfigError) as raised:
        options.check_names()
    assert "Example: objective.metrics.digit='[accuracy, {class_name: MeanIoU, config: {num_classes: 10}}]'" in str(
        raised.value
    )


@pytest.mark.parametrize(
    ("options", "example"),
    [
        (
            {"learning_rate": {"class_name": "CosineDecay"}},
            "optimizer.learning_rate='{class_name: CosineDecay, config: {initial_learning_rate: 0.01}}'",
        ),
        (
            {"config": {"learning_rate": {"class_name": "CosineDecay"}, "momentum": 0.9}},
            "optimizer.config.learning_rate='{class_name: CosineDecay, config: {initial_learning_rate: 0.01}}'",
        ),
        (
            {"class_name": "LossScaleOptimizer"},
            "optimizer.config='{inner_optimizer: {class_name: Adam}}'",
        ),
    ],
)
def test_example_for_the_optimizer_sets_the_option_that_lacks_an_argument(options, example):
    with pytest.raises(ConfigError) as raised:
        Optimizer(**{"class_name": "SGD", **options}).build(10)
    assert str(raised.value).endswith(f"Example: {example}")
