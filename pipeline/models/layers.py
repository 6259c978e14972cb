"""Any stack of Keras layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.models.model import DataSpec, ModelOptions, TrainingValues, heads, inputs, keras, keras_objects, option

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

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model of these layers, the output layer among them.

        If the output is linear and the data has one real label, it is the normalized label, and a last layer returns
        it in its unit. With `objective.quantiles`, a layer before it orders the quantiles.
        """
        name, feature = inputs.only_feature(self, spec)
        body = [keras_objects.layer("model.layers", value) for value in self.layers]
        front = inputs.preprocessing(self, feature, values_of(name))
        if len(spec.labels) == 1:
            (label,) = spec.labels.items()
            unit = heads.unit_layers(*label) if is_linear(body) else []
            body += [*heads.quantile_layers(label[1]), *unit]
        return keras.Sequential([inputs.raw_input(name, feature), *front, *body], name="layers")


def is_linear(layers: list[keras.Layer]) -> bool:
    """Return whether the output of layers in a row takes any value: the last one with an activation is linear."""
    activations = [layer.activation for layer in layers if getattr(layer, "activation", None) is not None]
    return bool(activations) and activations[-1] is keras.activations.linear
