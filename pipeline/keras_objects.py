"""Keras objects from their names in the config: a name, or class_name and config, as Keras serialises them."""

import inspect
import re

from pipeline.errors import ConfigError, nearest
from pipeline.lazy import keras

CODE = ("Lambda", "TFSMLayer", "JaxLayer", "FlaxLayer", "TorchModuleWrapper")  # a config runs no code
LAYER_ARGUMENTS = ("name", "dtype", "trainable", "activity_regularizer", "autocast")  # taken by every layer's **kwargs


def layer(key, value):
    """A new layer. Raises ConfigError naming the key and the nearest layers or arguments Keras has."""
    return _build(key, value, keras.layers, keras.layers.Layer)


def optimizer(key, value):
    """A new optimizer, its learning-rate schedule with it."""
    return _build(key, value, keras.optimizers, keras.optimizers.Optimizer)


def loss(key, value):
    """A loss object: keras.losses.get turns a function's name into a function, which cannot give per-row losses."""
    return _build(key, _class_name(value, keras.losses.get, keras.losses), keras.losses, keras.losses.Loss)


def metric(key, value):
    """A new metric, named by its class where the config gives no name: Keras's own would count up (auc_1, auc_2)."""
    value = _class_name(value, keras.metrics.get, keras.metrics)
    spelled = {"class_name": value} if isinstance(value, str) else value
    named = {"name": _snake_case(spelled["class_name"]), **spelled.get("config", {})}
    return _build(key, {**spelled, "config": named}, keras.metrics, keras.metrics.Metric)


def initializer(key, value):
    """A new initializer; each call gives one of its own, since an initializer with a seed repeats its numbers."""
    return _build(
        key,
        _class_name(value, keras.initializers.get, keras.initializers),
        keras.initializers,
        keras.initializers.Initializer,
    )


def activation(key, value):
    """The name of an activation function, checked."""
    known = [name for name in dir(keras.activations) if inspect.isfunction(getattr(keras.activations, name))]
    known = [name for name in known if name not in ("get", "serialize", "deserialize")]
    if value not in known:
        raise ConfigError(f"{key}: Keras has no activation {value!r}. {nearest(str(value), known)}")
    return value


def _build(key, value, module, base):
    spelled = {"class_name": value} if isinstance(value, str) else value
    known = _classes(module, base)
    if spelled["class_name"] not in known:
        raise ConfigError(
            f"{key}: {_public(module)} has no {spelled['class_name']!r}. {nearest(spelled['class_name'], known)}"
        )
    return _construct(key, spelled, [module])


def _construct(key, value, modules):
    """The value with every object in it, described by class_name and config, made by its class's constructor."""
    match value:
        case {"class_name": name}:
            owner = next((classes[name] for classes in map(_classes, modules) if name in classes), None)
            if owner is None or set(value) - {"class_name", "config"}:
                raise ConfigError(
                    f"{key}: expected class_name and config of a class that Keras ships; found {value}. "
                    f"{nearest(str(name), {known for module in modules for known in _classes(module)})}"
                )
            if name in CODE:
                raise ConfigError(
                    f"{key}: {name} runs code that the config cannot hold. Write a layer in pipeline/models."
                )
            arguments = value.get("config", {})
            _check_arguments(key, owner, arguments)
            try:
                return owner(**{name: _construct(key, entry, _nested()) for name, entry in arguments.items()})
            except (TypeError, ValueError) as error:
                reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
                raise ConfigError(f"{key}: keras refuses {name} with {arguments}: {reason}") from None
        case dict():
            return {name: _construct(key, entry, modules) for name, entry in value.items()}
        case list() | tuple():
            return [_construct(key, entry, modules) for entry in value]
    return value


def _nested():
    """The modules that objects inside another's config come from."""
    return [
        keras.layers,
        keras.initializers,
        keras.regularizers,
        keras.constraints,
        keras.optimizers.schedules,
        keras.optimizers,
        keras.losses,
    ]


def _classes(module, base=object):
    return {
        name: member
        for name, member in vars(module).items()
        if inspect.isclass(member) and issubclass(member, base) and member is not base
    }


def _public(module):
    return module.__name__.replace("keras._tf_keras.", "").replace("keras.api.", "keras.")


def _class_name(value, get, module):
    """The value with a function's or alias's name (mse, categorical_crossentropy) put as its class's."""
    if not isinstance(value, str):
        return value
    try:
        found = get(value)
    except ValueError:
        return value
    name = found.__name__ if inspect.isfunction(found) else type(found).__name__
    return next((known for known in _classes(module) if known.lower() == name.replace("_", "").lower()), value)


def _check_arguments(key, owner, arguments):
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


def _snake_case(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
