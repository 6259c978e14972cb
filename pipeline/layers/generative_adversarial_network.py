"""A generator of images and its critic, both conditioned on a class, as one Keras model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import keras
import numpy as np
import tensorflow as tf
from keras import ops

SAMPLES_SEED = 0  # seed of the random inputs of images for reports and scores


@keras.saving.register_keras_serializable("pipeline")
class GenerativeAdversarialNetwork(keras.Model):
    """Generator and critic (Goodfellow et al. 2014), both conditioned on the class (Mirza and Osindero 2014).

    Calling the model calls the generator. It maps {"latent": (batch, latent) standard normal, "label": (batch,) class
    indices} to images (batch, *image) float32 in the value range of the data.
    """

    def __init__(
        self, *, front: Sequence[keras.Layer], generator: keras.Model, critic: keras.Model, **arguments: Any
    ) -> None:
        """Join the two networks.

        Args:
            front: Layers from raw images to the critic's input.
            generator: [latent (batch, latent), one-hot class (batch, classes)] -> images.
            critic: [preprocessed images, one-hot class (batch, classes)] -> (batch, 1).
            arguments: The arguments of keras.Model.
        """
        super().__init__(autocast=False, **{"name": "gan", **arguments})
        self.front = front
        self.generator = generator
        self.critic = critic
        self.latent, self.classes = (tensor.shape[-1] for tensor in generator.inputs)
        self.seed_generator = keras.random.SeedGenerator(name="latent_seed")

    def call(self, inputs: dict[str, keras.KerasTensor], training: bool = False) -> keras.KerasTensor:
        """Return the images that the generator makes."""
        return self.generator([inputs["latent"], self.one_hot(inputs["label"])], training=training)

    def draw(self, classes: tf.Tensor) -> tf.Tensor:
        """Generate images (batch, *image) from new random numbers, as in training.

        Args:
            classes: (batch, classes), one-hot.
        """
        # the numbers of keras.random.normal without its conversion of the seed, 5 % of the step of a small network
        latent = tf.random.stateless_normal((ops.shape(classes)[0], self.latent), self.seed_generator.next())
        return self.generator([latent, classes], training=True)

    def preprocess(self, images: tf.Tensor) -> tf.Tensor:
        """Apply the layers between raw images (batch, *image) and the critic."""
        for layer in self.front:
            images = layer(images)
        return images

    def criticize(self, preprocessed: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return the critic's score of images, (batch,) float32: a logit, or the potential of a Wasserstein GAN.

        Args:
            preprocessed: Images from `preprocess`.
            classes: (batch, classes), one-hot.
        """
        return ops.squeeze(self.critic([preprocessed, classes], training=True), axis=-1)

    def one_hot(self, labels: keras.KerasTensor | tf.Tensor) -> tf.Tensor:
        """Return (batch, classes) float32, one-hot, for class indices (batch,)."""
        return ops.one_hot(labels, self.classes)

    def samples(self, rows: int) -> np.ndarray:
        """Generate one image per class from each of `rows` random vectors, which are the same in every call.

        Returns:
            (rows, classes, *image) float32.
        """
        latent = sample_generator().standard_normal((rows, self.latent), np.float32).repeat(self.classes, axis=0)
        labels = np.tile(np.arange(self.classes), rows)
        images = ops.convert_to_numpy(self({"latent": latent, "label": labels}))
        return images.reshape(rows, self.classes, *images.shape[1:])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of a new model like this one."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "dtype": serialize(self.dtype_policy),
            "front": [serialize(layer) for layer in self.front],
            "generator": serialize(self.generator),
            "critic": serialize(self.critic),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Return a new model from the result of get_config.

        Args:
            config: The result of get_config.
            custom_objects: Name -> class, for layers that are not registered.
        """
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects))


def sample_generator() -> np.random.Generator:
    """Return the random number generator of images for reports and scores, which starts the same every time."""
    return np.random.Generator(np.random.Philox(SAMPLES_SEED))
