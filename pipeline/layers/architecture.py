"""One digest of what a model is made of, its weights apart."""

import hashlib
import json

from pipeline.keras_internals import all_layers


def digest(model):
    """The sha256, in hexadecimal, of the configs of a model and of all layers in it, and of what is trainable.

    The layers count by themselves too: a subclassed model's own config says nothing of what its layers became. What
    has no config counts by its class.
    """
    described = [_described(layer) for layer in all_layers(model)]
    described += [[variable.path, variable.shape, variable.trainable] for variable in model.variables]
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=_kind).encode()).hexdigest()


def _described(layer):
    try:
        return [type(layer).__name__, layer.get_config()]
    except (NotImplementedError, TypeError):
        return [type(layer).__name__]


def _kind(value):
    """What stands for an object that JSON does not know: its repr may hold an address, and differ from call to call."""
    return str(value) if isinstance(value, (bytes, set, complex)) else type(value).__name__
