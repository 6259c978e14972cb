"""A generator of images and its critic, both conditioned on a class."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.models.model import ConfigError, DataSpec, ModelOptions, TrainingValues, inputs, keras, option
from pipeline.spec import CLASS

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass
class Gan(ModelOptions):
    """Subclassed: a generator of images of a class from random numbers, and its critic. For objective=adversarial."""

    generates_images: ClassVar[bool] = True

    latent: int = option(32, "random numbers per image", min=1)
    generator: list[int] = option([128, 128], "units of each dense layer of the generator", required=True, min=1)
    critic: list[int] = option([128, 128], "units of each dense layer of the critic", required=True, min=1)
    slope: float = option(0.2, "slope of the leaky ReLU below 0, in both", min=0, below=1)

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a GenerativeAdversarialNetwork for data with one feature that holds images, and one class label."""
        from pipeline.layers.generative_adversarial_network import GenerativeAdversarialNetwork

        name, feature = inputs.only_feature(self, spec)
        if len(feature.shape) not in (2, 3) or feature.variable_length or feature.dtype == "string":
            raise ConfigError(
                f"model=gan: expected images (height, width, channels); found {name} {feature.shape} {feature.dtype}."
            )
        if [label.kind for label in spec.labels.values()] != [CLASS]:
            labels = ", ".join(f"{name} ({label.kind})" for name, label in spec.labels.items())
            raise ConfigError(
                f"model=gan: expected one class label, which decides what is generated; found {labels}. Name one class "
                "label in data.labels."
            )
        classes = next(iter(spec.labels.values())).width
        values = values_of(name)
        front = inputs.preprocessing(self, feature, values)
        image = keras.Input(feature.shape, dtype=feature.dtype)
        for layer in front:
            image = layer(image)
        model = GenerativeAdversarialNetwork(
            front=front,
            generator=self._generator(feature.fixed_shape, classes, *value_range(values)),
            critic=self._critic(image.shape[1:], classes),
        )
        model({"latent": keras.Input((self.latent,)), "label": keras.Input((), dtype="int64")})
        return model

    def _generator(self, shape: Sequence[int], classes: int, low: float, high: float) -> keras.Model:
        """Return dense layers from random numbers and a one-hot class to an image with values from low to high."""
        layers = keras.layers
        latent, label = keras.Input((self.latent,), name="latent"), keras.Input((classes,), name="label")
        x = layers.Concatenate(name="latent_and_class")([latent, label])
        x = self._hidden("generator", self.generator, x)
        x = layers.Dense(math.prod(shape), "sigmoid", name="generator_pixels", dtype="float32", **self.initializers())(
            x
        )
        x = layers.Reshape(shape, dtype="float32", name="image")(x)
        x = layers.Rescaling(high - low, low, dtype="float32", name="range")(x)
        return keras.Model([latent, label], x, name="generator")

    def _critic(self, shape: Sequence[int], classes: int) -> keras.Model:
        """Return dense layers from a preprocessed image and a one-hot class to a logit, which is higher if real."""
        layers = keras.layers
        image, label = keras.Input(shape, name="image"), keras.Input((classes,), name="label")
        x = layers.Concatenate(name="image_and_class")([layers.Flatten(name="flat")(image), label])
        x = self._hidden("critic", self.critic, x)
        x = layers.Dense(1, name="critic_logit", dtype="float32", **self.initializers())(x)
        return keras.Model([image, label], x, name="critic")

    def _hidden(self, prefix: str, units: list[int], x: keras.KerasTensor) -> keras.KerasTensor:
        for number, width in enumerate(units, start=1):
            x = keras.layers.Dense(width, name=f"{prefix}_{number}", **self.initializers())(x)
            x = keras.layers.LeakyReLU(self.slope, name=f"{prefix}_{number}_activation")(x)
        return x


def value_range(values: tf.data.Dataset) -> tuple[float, float]:
    """Return the smallest and the largest number in batches of values."""
    extremes = [(float(keras.ops.min(batch)), float(keras.ops.max(batch))) for batch in values]
    return min(low for low, _ in extremes), max(high for _, high in extremes)
