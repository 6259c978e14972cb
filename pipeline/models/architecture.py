"""One digest of what a model is made of, its weights apart."""

import hashlib
import json


def digest(model):
    """The sha256, in hexadecimal, of a model's get_config() and of which of its layers are trainable.

    A model without a get_config counts by its layers' classes and shapes of weights.
    """
    try:
        described = model.get_config()
    except (NotImplementedError, TypeError):
        described = [type(layer).__name__ for layer in model._flatten_layers()]
    described = [described, [[variable.path, variable.shape, variable.trainable] for variable in model.variables]]
    return hashlib.sha256(json.dumps(described, sort_keys=True, default=_kind).encode()).hexdigest()


def _kind(value):
    """What stands for an object that JSON does not know: its repr may hold an address, and differ from call to call."""
    return str(value) if isinstance(value, (bytes, set, complex)) else type(value).__name__
