"""The digest of a model's architecture, without the values of its weights."""

import hashlib
import json
from typing import Any

import keras

from pipeline.keras_internals import all_layers


def digest(model: keras.Model) -> str:
    """Return the sha256, in hexadecimal, of the configs of all layers of a model, and of what is trainable.

    Every layer counts by itself: the config of a subclassed model does not describe the layers that it made. A layer
    without a config counts by its class.
    """
    description = [_description(layer) for layer in all_layers(model)]
    description += [[variable.path, variable.shape, variable.trainable] for variable in model.variables]
    return hashlib.sha256(json.dumps(description, sort_keys=True, default=_to_json).encode()).hexdigest()


def _description(layer: keras.Layer) -> list[Any]:
    try:
        return [type(layer).__name__, layer.get_config()]
    except (NotImplementedError, TypeError):
        return [type(layer).__name__]


def _to_json(value: object) -> str:
    """Return a string for an object that JSON does not have. Its repr could hold an address, which always differs."""
    return str(value) if isinstance(value, (bytes, set, complex)) else type(value).__name__
