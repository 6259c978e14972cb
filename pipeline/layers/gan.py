"""A generator of images of a class, and the critic that it is trained against, as one Keras model."""

import math

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from pipeline.errors import ConfigError
from pipeline.layers import blocks
from pipeline.spec import CLASS

SAMPLES_SEED = 0  # of the random numbers behind the images that are looked at


def gan(config, spec, values_of):
    """A GenerativeAdversarialNetwork for one feature that holds images and one class label.

    Raises ConfigError naming what the data lacks.
    """
    name, feature = blocks.only_feature(spec, config)
    if len(feature.shape) not in (2, 3) or feature.variable_length or feature.dtype == "string":
        raise ConfigError(
            f"model=gan: expected images (height, width, channels); found {name} {feature.shape} {feature.dtype}."
        )
    found = ", ".join(f"{label} ({kind.kind})" for label, kind in spec.labels.items())
    if [label.kind for label in spec.labels.values()] != [CLASS]:
        raise ConfigError(f"model=gan: expected one class label, which says what to generate; the data has {found}.")
    classes = next(iter(spec.labels.values())).width
    values = values_of(name)
    front = blocks.preprocessing(config, feature, values)
    darkest, brightest = value_range(values)
    image = keras.Input(feature.shape, dtype=feature.dtype)
    for layer in front:
        image = layer(image)
    model = GenerativeAdversarialNetwork(
        front, generator(config, feature.shape, classes, darkest, brightest), critic(config, image.shape[1:], classes)
    )
    model({"latent": keras.Input((config.latent,)), "label": keras.Input((), dtype="int64")})
    return model


def generator(config, shape, classes, darkest, brightest):
    """Dense layers from random numbers and a one-hot class to an image, its values in the range of the data."""
    latent, label = keras.Input((config.latent,), name="latent"), keras.Input((classes,), name="label")
    x = layers.Concatenate(name="asked_for")([latent, label])
    x = hidden(config, "generator", config.generator, x)
    x = layers.Dense(
        math.prod(shape), "sigmoid", name="generator_pixels", dtype="float32", **blocks.initializers(config)
    )(x)
    x = layers.Reshape(shape, dtype="float32", name="image")(x)
    x = layers.Rescaling(brightest - darkest, darkest, dtype="float32", name="range")(x)
    return keras.Model([latent, label], x, name="generator")


def critic(config, shape, classes):
    """Dense layers from a preprocessed image and a one-hot class to one number: the larger, the more real it looks."""
    image, label = keras.Input(shape, name="image"), keras.Input((classes,), name="label")
    x = layers.Concatenate(name="shown")([layers.Flatten(name="flat")(image), label])
    x = hidden(config, "critic", config.critic, x)
    x = layers.Dense(1, name="critic_verdict", dtype="float32", **blocks.initializers(config))(x)
    return keras.Model([image, label], x, name="critic")


def hidden(config, prefix, units, x):
    for place, width in enumerate(units, start=1):
        x = layers.Dense(width, name=f"{prefix}_{place}", **blocks.initializers(config))(x)
        x = layers.LeakyReLU(config.slope, name=f"{prefix}_{place}_activation")(x)
    return x


def value_range(values):
    """(smallest, largest) number of a tf.data.Dataset of batches, as floats."""
    extremes = [(float(ops.min(batch)), float(ops.max(batch))) for batch in values]
    return min(low for low, _ in extremes), max(high for _, high in extremes)


@keras.saving.register_keras_serializable("pipeline")
class GenerativeAdversarialNetwork(keras.Model):
    """Generator and critic (Goodfellow et al. 2014), both told the class (Mirza and Osindero 2014).

    front: layers from raw images to what the critic takes. The model itself is the generator:
    {"latent": (batch, latent) normal random numbers, "label": (batch,) class} -> (batch, *image) float32, on the scale
    of the data.
    """

    def __init__(self, front, generator, critic, **arguments):
        super().__init__(autocast=False, **{"name": "gan", **arguments})
        self.front = front
        self.generator = generator
        self.critic = critic
        self.latent, self.classes = (each.shape[-1] for each in generator.inputs)
        self.seed_generator = keras.random.SeedGenerator(name="latent_seed")

    def call(self, inputs, training=False):
        return self.generator([inputs["latent"], self.one_hot(inputs["label"])], training=training)

    def draw(self, asked):
        """Images of these classes from new random numbers, as in training: one-hot (batch, classes) ->
        (batch, *image)."""
        # as keras.random.normal draws them, less the seed's way to 32 bits: a twentieth of a small network's step
        latent = tf.random.stateless_normal((ops.shape(asked)[0], self.latent), self.seed_generator.next())
        return self.generator([latent, asked], training=True)

    def preprocess(self, images):
        """What the critic takes, of raw images."""
        for layer in self.front:
            images = layer(images)
        return images

    def criticise(self, preprocessed, asked):
        """(batch,) float32: how real images of these one-hot classes look; a logit, or Wasserstein's potential."""
        return ops.squeeze(self.critic([preprocessed, asked], training=True), axis=-1)

    def one_hot(self, labels):
        return ops.one_hot(labels, self.classes)

    def samples(self, rows):
        """(rows, classes, *image) float32, the same random numbers for each class of a row, and at every call."""
        latent = latent_numbers().standard_normal((rows, self.latent), np.float32).repeat(self.classes, axis=0)
        labels = np.tile(np.arange(self.classes), rows)
        images = ops.convert_to_numpy(self({"latent": latent, "label": labels}))
        return images.reshape(rows, self.classes, *images.shape[1:])

    def get_config(self):
        nested = {
            "front": [keras.saving.serialize_keras_object(layer) for layer in self.front],
            "generator": keras.saving.serialize_keras_object(self.generator),
            "critic": keras.saving.serialize_keras_object(self.critic),
        }
        return {"name": self.name, "dtype": keras.saving.serialize_keras_object(self.dtype_policy)} | nested

    @classmethod
    def from_config(cls, config):
        nested = {key: keras.saving.deserialize_keras_object(config[key]) for key in ("generator", "critic", "dtype")}
        front = [keras.saving.deserialize_keras_object(layer) for layer in config["front"]]
        return cls(**(config | nested | {"front": front}))


def latent_numbers():
    """The generator of the random numbers behind images that are looked at: the same ones each time."""
    return np.random.Generator(np.random.Philox(SAMPLES_SEED))
