"""A generator of images of a class, and the critic it is trained against, as one Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import ops

SAMPLES_SEED = 0  # of the random numbers of images that are made to be shown or scored


@keras.saving.register_keras_serializable("pipeline")
class GenerativeAdversarialNetwork(keras.Model):
    """Generator and critic (Goodfellow et al. 2014), both conditioned on the class (Mirza and Osindero 2014).

    Calling the model calls the generator: {"latent": (batch, latent) normal random numbers, "label": (batch,) class}
    -> (batch, *image) float32, on the scale of the data.
    """

    def __init__(
        self, front: Sequence[keras.Layer], generator: keras.Model, critic: keras.Model, **arguments: Any
    ) -> None:
        """Join the two networks.

        Args:
            front: Layers from raw images to the critic's input.
            generator: [latent (batch, latent), one-hot class (batch, classes)] -> images.
            critic: [preprocessed images, one-hot class (batch, classes)] -> (batch, 1).
            arguments: Of keras.Model.
        """
        super().__init__(autocast=False, **{"name": "gan", **arguments})
        self.front = front
        self.generator = generator
        self.critic = critic
        self.latent, self.classes = (each.shape[-1] for each in generator.inputs)
        self.seed_generator = keras.random.SeedGenerator(name="latent_seed")

    def call(self, inputs: dict[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Return the images that the generator makes."""
        return self.generator([inputs["latent"], self.one_hot(inputs["label"])], training=training)

    def draw(self, classes: tf.Tensor) -> tf.Tensor:
        """Generate images from new random numbers, as in training: one-hot (batch, classes) -> (batch, *image)."""
        # the numbers of keras.random.normal without its conversion of the seed, 5 % of the step of a small network
        latent = tf.random.stateless_normal((ops.shape(classes)[0], self.latent), self.seed_generator.next())
        return self.generator([latent, classes], training=True)

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """Apply the layers between raw images and the critic."""
        for layer in self.front:
            images = layer(images)
        return images

    def criticise(self, preprocessed: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return (batch,) float32 for images and their one-hot classes: a logit, or the potential of Wasserstein."""
        return ops.squeeze(self.critic([preprocessed, classes], training=True), axis=-1)

    def one_hot(self, labels: tf.Tensor) -> tf.Tensor:
        """Return one-hot classes: (batch,) -> (batch, classes)."""
        return ops.one_hot(labels, self.classes)

    def samples(self, rows: int) -> np.ndarray:
        """Generate images from the same random numbers in every call, each row of numbers once per class.

        Returns:
            (rows, classes, *image) float32.
        """
        latent = sample_generator().standard_normal((rows, self.latent), np.float32).repeat(self.classes, axis=0)
        labels = np.tile(np.arange(self.classes), rows)
        images = ops.convert_to_numpy(self({"latent": latent, "label": labels}))
        return images.reshape(rows, self.classes, *images.shape[1:])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of a new model like this one."""
        nested = {
            "front": [keras.saving.serialize_keras_object(layer) for layer in self.front],
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
        }
        return {"name": self.name, "dtype": keras.saving.serialize_keras_object(self.dtype_policy)} | nested

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Return a new model from what get_config returned."""
        nested = {key: keras.saving.deserialize_keras_object(config[key]) for key in ("generator", "critic", "dtype")}
        front = [keras.saving.deserialize_keras_object(layer) for layer in config["front"]]
        return cls(**(config | nested | {"front": front}))


def sample_generator() -> np.random.Generator:
    """Return a generator of the random numbers of images that are shown or scored: the same numbers every time."""
    return np.random.Generator(np.random.Philox(SAMPLES_SEED))
