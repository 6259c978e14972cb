"""Build Keras objects from the config. A value is a name, or class_name and config as Keras serializes them.

Losses and metrics may also be defined in custom/losses.py and custom/metrics.py.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline import custom_code
from pipeline.errors import ConfigError, nearest
from pipeline.lazy import keras
from pipeline.overrides import shell_value

if TYPE_CHECKING:
    from keras.initializers import Initializer
    from keras.losses import Loss
    from keras.metrics import Metric
    from keras.optimizers import Optimizer

# classes that need code, which a config cannot hold -> advice where to write the code
CODE = {
    **dict.fromkeys(
        ("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper"), "Write a model in custom/models."
    ),
    "MeanMetricWrapper": "Write the function in custom/metrics.py, and give its name.",
}
# every layer accepts these through **kwargs
LAYER_ARGUMENTS = ("name", "dtype", "trainable", "activity_regularizer", "autocast")
# class -> arguments of which Keras needs at least one, although each has a default
ONE_OF = {
    "InputLayer": ("shape", "batch_shape", "input_tensor"),
    "CategoryEncoding": ("num_tokens",),
    "Discretization": ("num_bins", "bin_boundaries"),
}
# names that only Keras's compile knows, in addition to those of keras.losses.get and keras.metrics.get
COMPILED_NAMES = ("accuracy", "acc", "crossentropy", "ce")
RANKED_PROBABILITY_SCORE = ("ranked_probability_score", "RankedProbabilityScore")  # a loss of this package
DENSE = {"class_name": "Dense", "config": {"units": 32}}
GRU_CELL = {"class_name": "GRUCell", "config": {"units": 32}}
# argument, or "class.argument" -> example value for messages
EXAMPLES: dict[str, Any] = {
    "activation": "relu",
    "axes": 1,
    "boundaries": [1000, 2000],
    "cell": GRU_CELL,
    "cells": [GRU_CELL, GRU_CELL],
    "decay_rate": 0.9,
    "decay_steps": 1000,
    "dims": [2, 1],
    "equation": "ab,bc->ac",
    "factor": 0.1,
    "filters": 32,
    "first_decay_steps": 1000,
    "head_dim": 32,
    "height": 24,
    "height_factor": 0.1,
    "initial_learning_rate": 0.01,
    "inner_optimizer": {"class_name": "Adam"},
    "input_dim": 1000,
    "kernel_size": 3,
    "key_dim": 32,
    "layer": DENSE,
    "Bidirectional.layer": {"class_name": "GRU", "config": {"units": 32}},
    "RandomPosterization.factor": 4,
    "layers": [{"class_name": "Rescaling", "config": {"scale": 0.1}}],
    "max_number": 10,
    "n": 10,
    "num_bins": 10,
    "num_classes": 10,
    "num_heads": 4,
    "num_key_value_heads": 2,
    "num_query_heads": 4,
    "num_tokens": 10,
    "optimizer_map": {"class_name": "OptimizerMap", "config": {"default_optimizer": {"class_name": "Adam"}}},
    "output_dim": 32,
    "output_shape": 32,
    "output_size": 4,
    "pool_size": 2,
    "precision": 0.5,
    "rate": 0.5,
    "recall": 0.5,
    "scale": 0.1,
    "sensitivity": 0.5,
    "shape": [8],
    "specificity": 0.5,
    "stddev": 0.1,
    "target_class_ids": [0],
    "target_shape": [-1],
    "units": 32,
    "values": [0.01, 0.001, 0.0001],
    "width": 24,
    "width_factor": 0.1,
}


class MissingArgument(ConfigError):
    """The config leaves out arguments without which an object cannot be built.

    Attributes:
        reason: The object and its missing arguments, for messages.
        completed: The value of the config with an example of each missing argument.
    """

    def __init__(self, key: str, reason: str, completed: Any) -> None:
        super().__init__(f"{key}: {reason}. Example: {shell_value(completed)}")
        self.reason = reason
        self.completed = completed


def check(key: str, value: Any, build: Callable[[str, Any], object]) -> None:
    """Check an option by building its objects.

    Args:
        key: The option that holds the value, for messages.
        value: A name, a dict of class_name and config, a list of these, or None.
        build: The function of this module that builds one object, such as `layer`.

    Raises:
        ConfigError: Keras has no such object, or it cannot be built. If arguments are missing, the message contains the
            whole option with an example of each, as typed on the command line.
    """
    entries = value if isinstance(value, list) else [value]
    for index, entry in enumerate(entries):
        if entry is None:
            continue
        try:
            build(key, entry)
        except MissingArgument as error:
            completed = [*entries[:index], error.completed, *entries[index + 1 :]]
            example = shell_value(completed if isinstance(value, list) else error.completed)
            raise ConfigError(f"{key}: {error.reason}. Example: {key}={example}") from None


def custom_classes() -> dict[str, type]:
    """Return, by name, the classes under custom/ that a saved model may contain.

    Raises:
        ConfigError: A file cannot be imported, or two files define classes with the same name.
    """
    return custom_code.classes(
        keras.Layer,
        keras.losses.Loss,
        keras.metrics.Metric,
        keras.initializers.Initializer,
        keras.regularizers.Regularizer,
        keras.constraints.Constraint,
    )


def layer(key: str, value: Any) -> keras.Layer:
    """Return a new layer.

    Args:
        key: The option that holds the value, for messages.
        value: A name, or a dict of class_name and config.

    Raises:
        ConfigError: Keras has no such layer, or it refuses the arguments.
    """
    return _build(key, value, keras.layers, keras.layers.Layer)


def optimizer(key: str, value: Any) -> Optimizer:
    """Return a new optimizer with its learning-rate schedule. Arguments and errors are those of `layer`."""
    return _build(key, value, keras.optimizers, keras.optimizers.Optimizer)


def loss(key: str, value: Any) -> Loss:
    """Return a new loss of keras.losses, custom/losses.py or pipeline/ordinal_loss.py. Arguments as of `layer`.

    The result is always an object. For the name of a function, keras.losses.get returns a function, which does not give
    one loss per row.
    """
    custom = _custom("losses", keras.losses, keras.losses.Loss)
    if inspect.isfunction(function := _named(value, custom)):
        from pipeline.function_objects import FunctionLoss

        return FunctionLoss(function)
    name = value if isinstance(value, str) else value["class_name"]
    if name in RANKED_PROBABILITY_SCORE:
        from pipeline import ordinal_loss

        description = {"class_name": RANKED_PROBABILITY_SCORE[1]} if isinstance(value, str) else value
        return _build(key, description, ordinal_loss, keras.losses.Loss)
    value = _class_name(value, keras.losses.get, keras.losses)
    return _build(key, value, keras.losses, keras.losses.Loss, custom=custom, file="custom/losses.py")


def metric(key: str, value: Any) -> Metric:
    """Return a new metric of keras.metrics or of custom/metrics.py. Arguments and errors are those of `layer`.

    The default name is that of the class in snake case. Keras itself would number the names (auc_1, auc_2).
    """
    custom = _custom("metrics", keras.metrics, keras.metrics.Metric)
    if inspect.isfunction(function := _named(value, custom)):
        from pipeline.function_objects import FunctionMetric

        return FunctionMetric(function)
    value = _class_name(value, keras.metrics.get, keras.metrics)
    name = _snake_case(value if isinstance(value, str) else value["class_name"])
    return _build(
        key,
        value,
        keras.metrics,
        keras.metrics.Metric,
        custom=custom,
        file="custom/metrics.py",
        defaults={"name": name},
    )


def initializer(key: str, value: Any) -> Initializer:
    """Return a new initializer. Arguments and errors are those of `layer`.

    An initializer is never shared: with a seed, it would return the same numbers again.
    """
    name = _class_name(value, keras.initializers.get, keras.initializers)
    return _build(key, name, keras.initializers, keras.initializers.Initializer)


def activation(key: str, value: str) -> str:
    """Return the name of an activation function after checking it. Arguments and errors are those of `layer`."""
    known = [name for name in dir(keras.activations) if inspect.isfunction(getattr(keras.activations, name))]
    known = [name for name in known if name not in ("get", "serialize", "deserialize")]
    if value not in known:
        raise ConfigError(f"{key}: Keras has no activation {value!r}. {nearest(str(value), known)}")
    return value


def _custom(kind: str, module: ModuleType, base: type) -> dict[str, Any]:
    """Return the user's own losses or metrics by name.

    Raises:
        ConfigError: A name is also a name in Keras, or a class has the wrong base class.
    """
    by_name = custom_code.definitions(kind)
    for name, item in by_name.items():
        if name in COMPILED_NAMES or hasattr(module, name) or _is_known(module, name):
            raise ConfigError(
                f"{custom_code.location_of(item)}: expected a name that Keras does not use; found {name}, which "
                f"{_public(module)} has too. Rename it."
            )
        if inspect.isclass(item) and not issubclass(item, base):
            raise ConfigError(
                f"{custom_code.location_of(item)}: expected functions and classes derived from "
                f"{_public(module)}.{base.__name__}; found the class {name}. Begin its name with an underscore if it "
                "is only used inside the file."
            )
    return by_name


def _is_known(module: ModuleType, name: str) -> bool:
    """Return whether keras.losses or keras.metrics has an object of this name, which may be an alias such as mse."""
    try:
        return module.get(name) is not None
    except TypeError:  # the name is a class that needs arguments
        return True
    except ValueError:
        return False


def _named(value: Any, custom: dict[str, Any]) -> Any:
    return custom.get(value) if isinstance(value, str) else None


def _build(
    key: str,
    value: Any,
    module: ModuleType,
    base: type,
    *,
    custom: dict[str, Any] | None = None,
    file: str = "",
    defaults: dict[str, Any] | None = None,
) -> Any:
    """Return a new object.

    Args:
        key: The option that holds the value.
        value: A name, or a dict of class_name and config.
        module: The module of Keras with the known classes.
        base: The base class of the known classes.
        custom: The user's own classes by name.
        file: The file that defines the user's own classes, for messages.
        defaults: Arguments that are used if the value does not give them.
    """
    description: dict[str, Any] = {"class_name": value} if isinstance(value, str) else value
    known = _classes(module, base) | (custom or {})
    if description["class_name"] not in known:
        own = f" {_own_names(file, custom or {})}" if file else ""
        raise ConfigError(
            f"{key}: {_public(module)}{f' and {file} have' if file else ' has'} no {description['class_name']!r}. "
            f"{nearest(description['class_name'], known)}{own}"
        )
    try:
        return _construct(key, {**description, "config": (defaults or {}) | description.get("config", {})}, [known])
    except _Missing as error:
        raise MissingArgument(key, str(error), _completed(description, [known])) from None


def _own_names(file: str, custom: dict[str, Any]) -> str:
    """Return a sentence that lists the names in the user's own file."""
    if custom:
        return f"{file} defines {', '.join(sorted(custom))}."
    return f"{file} defines none." if (custom_code.PROJECT / file).is_file() else f"There is no {file}."


class _Missing(Exception):
    """Arguments of an object are missing. The message names them."""


def _completed(value: Any, known: list[dict[str, Any]]) -> Any:
    """Return a value with an example of every missing argument. The arguments are those of `_construct`."""
    match value:
        case {"class_name": name}:
            owner = next((classes[name] for classes in known if name in classes), None)
            given = {item: _completed(entry, _nested()) for item, entry in value.get("config", {}).items()}
            missing = [] if owner is None else _missing(owner, given)
            examples = {item: EXAMPLES.get(f"{name}.{item}", EXAMPLES.get(item, "VALUE")) for item in missing}
            return {"class_name": name, "config": given | examples} if given or examples else {"class_name": name}
        case dict():
            return {name: _completed(entry, known) for name, entry in value.items()}
        case list() | tuple():
            return [_completed(entry, known) for entry in value]
    return value


def _construct(key: str, value: Any, known: list[dict[str, Any]]) -> Any:
    """Return the value with every description of an object (class_name and config) replaced by the object.

    Args:
        key: The option that holds the value.
        value: Any value of a config.
        known: The classes that the value may name, in order of precedence.
    """
    match value:
        case {"class_name": name}:
            owner = next((classes[name] for classes in known if name in classes), None)
            if owner is None or set(value) - {"class_name", "config"}:
                raise ConfigError(
                    f"{key}: expected class_name and config of a class that Keras ships; found {value}. "
                    f"{nearest(str(name), {each for classes in known for each in classes})}"
                )
            if name in CODE:
                arguments = ", ".join(_missing(owner, {}))
                raise ConfigError(
                    f"{key}: {name} needs {arguments}, which is code. A config cannot hold code. {CODE[name]}"
                )
            return _call(key, name, owner, value.get("config", {}))
        case dict():
            return {name: _construct(key, entry, known) for name, entry in value.items()}
        case list() | tuple():
            return [_construct(key, entry, known) for entry in value]
    return value


def _call(key: str, name: str, owner: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return a new object of a class.

    Raises:
        ConfigError: An argument is unknown or refused.
        _Missing: An argument is missing.
    """
    _check_arguments(key, owner, arguments)
    if missing := _missing(owner, arguments):
        raise _Missing(f"{name} needs {', '.join(missing)}")
    try:
        return owner(**{item: _construct(key, entry, _nested()) for item, entry in arguments.items()})
    except (_Missing, ConfigError):  # raised for an object in the arguments
        raise
    except Exception as error:  # constructors of Keras raise TypeError, ValueError, AttributeError and others
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"{key}: Keras refuses {name} with {arguments}: {reason}") from None


def _missing(owner: Callable[..., Any], arguments: dict[str, Any]) -> list[str]:
    """Return the names of the required arguments of a class that are not given."""
    alternatives = ONE_OF.get(owner.__name__, ())
    needed = list(alternatives[:1]) if not set(alternatives) & set(arguments) else []
    needed += [
        name
        for name, parameter in inspect.signature(owner).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    return [name for name in needed if name not in arguments]


def _nested() -> list[dict[str, Any]]:
    """Return the classes that objects inside the config of another object may name."""
    modules = (
        keras.layers,
        keras.initializers,
        keras.regularizers,
        keras.constraints,
        keras.optimizers.schedules,
        keras.optimizers,
        keras.losses,
    )
    return [_classes(module) for module in modules]


def _classes(module: ModuleType, base: type = object) -> dict[str, Any]:
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isclass(member) and issubclass(member, base) and member is not base
    }


def _public(module: ModuleType) -> str:
    return module.__name__.replace("keras._tf_keras.", "").replace("keras.api.", "keras.")


def _class_name(value: Any, get: Callable[[str], Any], module: ModuleType) -> Any:
    """Return the name of the class for a function name or an alias (mse). Return other values unchanged."""
    if not isinstance(value, str):
        return value
    try:
        # `get` draws a seed for an initializer: without this call, the bits of every model would change
        item = get(value)
    except Exception:  # a class that needs arguments, or a function that `get` does not know
        item = getattr(module, value, None)
        if not inspect.isfunction(item):
            return value
    name = item.__name__ if inspect.isfunction(item) else type(item).__name__
    return next((known for known in _classes(module) if known.lower() == name.replace("_", "").lower()), value)


def _check_arguments(key: str, owner: Any, arguments: dict[str, Any]) -> None:
    parameters = inspect.signature(owner.__init__).parameters
    known = {
        name
        for name, parameter in parameters.items()
        if name != "self" and parameter.kind not in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL)
    }
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        known |= set(LAYER_ARGUMENTS)
        for base in owner.__mro__[1:]:
            if base.__init__ is not object.__init__:
                known |= set(inspect.signature(base.__init__).parameters) - {"self", "args", "kwargs"}
    for name, value in arguments.items():
        if name not in known:
            raise ConfigError(f"{key}: {owner.__name__} has no argument {name!r}. {nearest(name, known)}")
        if name.endswith("activation") and isinstance(value, str):
            activation(f"{key}, {owner.__name__}.{name}", value)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
