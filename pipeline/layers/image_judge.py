"""A small classifier of real images that judges generated ones: by what it takes them for, and by its features."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

WIDTH = 32  # of the features; few enough for the covariance of some hundred rows
STEPS_A_CALL = 50  # a step takes little longer than its call


class ImageJudge:
    """A trained classifier.

    epoch: a tf.data.Dataset of (images, classes), each row once. epochs: one of all batches to learn from, gone through
    once. shape: of an image. Its weights come from seeds of its own, so that training one draws no random number of
    anybody else's, and gives the same one each time.
    """

    def __init__(self, epoch, epochs, shape, classes):
        image = keras.Input(shape)
        normalization = layers.Normalization(axis=None, dtype="float32")
        normalization.adapt(epoch.map(lambda images, _: images))
        x = normalization(image)
        if len(shape) == 2:
            x = layers.Reshape((*shape, 1), dtype="float32")(x)
        for place, filters in enumerate((16, 32)):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", **settings(place))(x)
            x = layers.MaxPooling2D(padding="same", dtype="float32")(x)
        features = layers.Dense(WIDTH, "relu", **settings(2))(layers.Flatten(dtype="float32")(x))
        probabilities = layers.Dense(classes, "softmax", **settings(3))(features)
        classifier = keras.Model(image, probabilities)
        classifier.compile(
            keras.optimizers.Adam(1e-3, epsilon=1e-7),
            "sparse_categorical_crossentropy",
            steps_per_execution=STEPS_A_CALL,
        )
        classifier.fit(epochs, shuffle=False, verbose=0)
        self._see = tf.function(keras.Model(image, [features, probabilities]), reduce_retracing=True)

    def see(self, images):
        """(features (rows, WIDTH), class taken for (rows,)) of a batch of raw images, as NumPy arrays."""
        features, probabilities = self._see(tf.cast(images, tf.float32))
        return features.numpy(), probabilities.numpy().argmax(axis=1)


def settings(seed):
    return {
        "dtype": "float32",
        "kernel_initializer": keras.initializers.HeNormal(seed=seed),
        "bias_initializer": "zeros",
    }


def frechet_distance(features, others):
    """The squared Frechet distance between two normal distributions with the means and covariances of two samples.

    features, others: (rows, width), of at least two rows. Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update
    Rule", equation 6: |m - n|^2 + trace(C + D - 2 (C D)^(1/2)). It is biased upwards by few rows: compare only what
    was computed from as many.
    """
    one, other = (np.asarray(sample, np.float64) for sample in (features, others))
    apart = one.mean(axis=0) - other.mean(axis=0)
    c, d = (np.cov(sample, rowvar=False) for sample in (one, other))
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.linalg.eigvalsh(root @ d @ root)  # the eigenvalues of C D, of a matrix that is symmetric
    distance = apart @ apart + np.trace(c) + np.trace(d) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return max(float(distance), 0.0)  # rounding
