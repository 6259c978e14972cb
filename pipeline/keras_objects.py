"""Keras objects by name: a name, or class_name and config as Keras serializes them, becomes an object.

Losses and metrics are looked up in custom/losses.py and custom/metrics.py too.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pipeline.custom_code import definitions
from pipeline.errors import ConfigError, nearest
from pipeline.lazy import keras

if TYPE_CHECKING:
    from keras.initializers import Initializer
    from keras.losses import Loss
    from keras.metrics import Metric
    from keras.optimizers import Optimizer

CODE = ("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")  # layers that run code from a config
LAYER_ARGUMENTS = ("name", "dtype", "trainable", "activity_regularizer", "autocast")  # taken by every layer's **kwargs


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
    """Return a new optimizer with its learning-rate schedule. Arguments and errors as for `layer`."""
    return _build(key, value, keras.optimizers, keras.optimizers.Optimizer)


def loss(key: str, value: Any) -> Loss:
    """Return a new loss, of keras.losses or of custom/losses.py. Arguments and errors as for `layer`.

    Always an object: keras.losses.get turns the name of a function into a function, which gives no loss per row.
    """
    custom = _custom("losses", keras.losses, keras.losses.Loss)
    if inspect.isfunction(function := _named(value, custom)):
        from pipeline.function_objects import FunctionLoss

        return FunctionLoss(function)
    return _build(key, _class_name(value, keras.losses.get, keras.losses), keras.losses, keras.losses.Loss, custom)


def metric(key: str, value: Any) -> Metric:
    """Return a new metric, of keras.metrics or of custom/metrics.py. Arguments and errors as for `layer`.

    It is named after its class unless the config names it: Keras would number the names (auc_1, auc_2).
    """
    custom = _custom("metrics", keras.metrics, keras.metrics.Metric)
    if inspect.isfunction(function := _named(value, custom)):
        from pipeline.function_objects import FunctionMetric

        return FunctionMetric(function)
    value = _class_name(value, keras.metrics.get, keras.metrics)
    spelled = {"class_name": value} if isinstance(value, str) else value
    named = {"name": _snake_case(spelled["class_name"]), **spelled.get("config", {})}
    return _build(key, {**spelled, "config": named}, keras.metrics, keras.metrics.Metric, custom)


def initializer(key: str, value: Any) -> Initializer:
    """Return a new initializer, never a shared one: with a seed it would repeat its numbers. Otherwise as `layer`."""
    name = _class_name(value, keras.initializers.get, keras.initializers)
    return _build(key, name, keras.initializers, keras.initializers.Initializer)


def activation(key: str, value: str) -> str:
    """Return the name of an activation function if Keras has it. Arguments and errors as for `layer`."""
    known = [name for name in dir(keras.activations) if inspect.isfunction(getattr(keras.activations, name))]
    known = [name for name in known if name not in ("get", "serialize", "deserialize")]
    if value not in known:
        raise ConfigError(f"{key}: Keras has no activation {value!r}. {nearest(str(value), known)}")
    return value


def _custom(kind: str, module: ModuleType, base: type) -> dict[str, Any]:
    """Return the user's own losses or metrics by name.

    Raises:
        ConfigError: One has the name of one of Keras's, or is a class of another kind.
    """
    found = definitions(kind)
    for name, item in found.items():
        if hasattr(module, name):
            raise ConfigError(f"custom/{kind}.py: {name} is a name of {_public(module)}. Rename it.")
        if inspect.isclass(item) and not issubclass(item, base):
            raise ConfigError(
                f"custom/{kind}.py: expected functions and classes derived from {_public(module)}.{base.__name__}; "
                f"found the class {name}. Begin its name with an underscore if it is only used inside the file."
            )
    return found


def _named(value: Any, custom: dict[str, Any]) -> Any:
    return custom.get(value) if isinstance(value, str) else None


def _build(key: str, value: Any, module: ModuleType, base: type, custom: dict[str, Any] | None = None) -> Any:
    spelled = {"class_name": value} if isinstance(value, str) else value
    known = _classes(module, base) | (custom or {})
    if spelled["class_name"] not in known:
        raise ConfigError(
            f"{key}: {_public(module)} has no {spelled['class_name']!r}. {nearest(spelled['class_name'], known)}"
        )
    return _construct(key, spelled, [known])


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
                raise ConfigError(f"{key}: {name} runs code that a config cannot hold. Write a model in custom/models.")
            return _call(key, name, owner, value.get("config", {}))
        case dict():
            return {name: _construct(key, entry, known) for name, entry in value.items()}
        case list() | tuple():
            return [_construct(key, entry, known) for entry in value]
    return value


def _call(key: str, name: str, owner: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return a new object of a class.

    Raises:
        ConfigError: An argument is unknown, missing or refused.
    """
    _check_arguments(key, owner, arguments)
    if missing := [item for item in _required(owner) if item not in arguments]:
        given = "".join(f"{item}: {entry}, " for item, entry in arguments.items())
        example = f"{{class_name: {name}, config: {{{given}{', '.join(f'{item}: ...' for item in missing)}}}}}"
        raise ConfigError(f"{key}: {name} needs {', '.join(missing)}. Give it as {example}")
    try:
        return owner(**{item: _construct(key, entry, _nested()) for item, entry in arguments.items()})
    except Exception as error:  # constructors of Keras raise TypeError, ValueError, AttributeError and others
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ConfigError(f"{key}: keras refuses {name} with {arguments}: {reason}") from None


def _required(owner: Callable[..., Any]) -> list[str]:
    """Return the names of the arguments that a class cannot be built without."""
    return [
        name
        for name, parameter in inspect.signature(owner).parameters.items()
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]


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
    """Return the value, the name of a function or an alias (mse, categorical_crossentropy) replaced by its class's."""
    if not isinstance(value, str):
        return value
    try:
        found = get(value)  # for an initializer this draws a seed: leaving it out would move the bits of every model
    except Exception:  # of a class that needs arguments; its own name is looked up then
        return value
    name = found.__name__ if inspect.isfunction(found) else type(found).__name__
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
