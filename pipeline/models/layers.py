"""Any stack of Keras layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.options import ModelOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

HE_NORMAL = {"kernel_initializer": "he_normal", "bias_initializer": "zeros"}
GLOROT_UNIFORM = {"kernel_initializer": "glorot_uniform", "bias_initializer": "zeros"}


@dataclass
class Layers(ModelOptions):
    """Sequential: any stack of Keras layers; the last one is the output."""

    layers: list[Any] = option(
        [
            "Flatten",
            {"class_name": "Dense", "config": {"units": 64, "activation": "relu"} | HE_NORMAL},
            {"class_name": "Dropout", "config": {"rate": 0.2}},
            {"class_name": "Dense", "config": {"units": 10, "activation": "softmax"} | GLOROT_UNIFORM},
        ],
        "the layers in order: a name, or class_name and config; the default is an example for 10 classes",
        required=True,
        keras="layer",
    )

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import sequential

        return sequential.stack(self, spec, values_of)
