"""The sha256 of a model's weights, by which two trainings are compared."""

import hashlib
import json
from typing import Any

import keras
import numpy as np


def weights_digest(model: keras.Model) -> str:
    """Return the sha256 over the names, shapes, dtypes and bytes of all weights.

    The digest does not depend on a file format.
    """
    digest = hashlib.sha256()
    for weight in model.weights:
        for content in _as_bytes(weight):
            digest.update(content)
    return digest.hexdigest()


def digest_per_weight(model: keras.Model) -> list[dict[str, str]]:
    """Return {"path", "sha256"} of each weight, in the order of `model.weights`."""
    return [
        {"path": weight.path, "sha256": hashlib.sha256(b"".join(_as_bytes(weight))).hexdigest()}
        for weight in model.weights
    ]


def _as_bytes(weight: Any) -> tuple[bytes, bytes]:
    array = np.ascontiguousarray(keras.ops.convert_to_numpy(weight))
    return json.dumps([weight.path, array.shape, str(array.dtype)]).encode(), array.tobytes()
