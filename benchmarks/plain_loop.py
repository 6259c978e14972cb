"""Training loops written by hand with TensorFlow and Keras only, to compare the `tape` engine with.

Each returns an iterator that trains one epoch per item.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

type Step = Callable[[tf.Tensor, tf.Tensor], None]
"""Trains on one batch of features and labels."""

type Iterators = Callable[[tf.data.Dataset], Iterator[Iterator[Any]]]
"""Yields, for each epoch, the iterator over batches to take the batches of the epoch from."""


def one_each(dataset: tf.data.Dataset) -> Iterator[Iterator[Any]]:
    """Yield a new iterator for each epoch, as most loops have it."""
    while True:
        yield iter(dataset.prefetch(tf.data.AUTOTUNE))


def one_for_all(dataset: tf.data.Dataset) -> Iterator[Iterator[Any]]:
    """Yield the same iterator for all epochs, which takes less time."""
    batches = iter(dataset.repeat().prefetch(tf.data.AUTOTUNE))
    while True:
        yield batches


def classifier(
    x: np.ndarray,
    y: np.ndarray,
    layers: Sequence[keras.Layer],
    *,
    batch_size: int,
    steps_per_call: int,
    learning_rate: float = 0.001,
) -> Iterator[None]:
    """Train a classifier.

    Args:
        x: (rows, ...) features.
        y: (rows,) class indices.
        layers: From a row to the probabilities of the classes.
        batch_size: Rows per step.
        steps_per_call: Steps per call of a tf.function.
        learning_rate: Of Adam.
    """
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), *layers])
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    loss_mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = loss_of(labels, outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        loss_mean.update_state(loss, sample_weight=tf.shape(images)[0])
        accuracy.update_state(labels, outputs)

    batches = batched(x, y, batch_size)
    return epochs(step, [loss_mean, accuracy], batches, steps_per_call=steps_per_call, iterators=one_for_all)


def gan(
    x: np.ndarray,
    y: np.ndarray,
    front: keras.Layer,
    *,
    generator: keras.Model,
    critic: keras.Model,
    generator_optimizer: keras.optimizers.Optimizer,
    critic_optimizer: keras.optimizers.Optimizer,
    batch_size: int,
    steps_per_call: int,
    iterators: Iterators,
) -> Iterator[None]:
    """Train a non-saturating GAN that is conditioned on the class.

    Args:
        x: (rows, height, width, channels) images.
        y: (rows,) class indices.
        front: From images to the input of the critic.
        generator: [random numbers (batch, latent), one-hot class (batch, classes)] -> images.
        critic: [preprocessed images, one-hot class] -> (batch, 1).
        generator_optimizer: Of the generator.
        critic_optimizer: Of the critic.
        batch_size: Rows per step.
        steps_per_call: Steps per call of a tf.function.
        iterators: `one_each` or `one_for_all`.
    """
    generator_optimizer.build(generator.trainable_variables)
    critic_optimizer.build(critic.trainable_variables)
    latent, classes = (each.shape[-1] for each in generator.inputs)
    means = [keras.metrics.Mean() for _ in range(2)]

    @tf.function(reduce_retracing=True)
    def step(images: tf.Tensor, labels: tf.Tensor) -> None:
        labels = tf.one_hot(labels, classes)
        rows = tf.shape(images)[0]
        with tf.GradientTape() as tape:
            generated = front(generator([tf.random.normal((rows, latent)), labels], training=True))
            on_real = critic([front(images), labels], training=True)
            on_generated = critic([generated, labels], training=True)
            critic_loss = tf.reduce_mean(tf.nn.softplus(-on_real)) + tf.reduce_mean(tf.nn.softplus(on_generated))
        gradients = tape.gradient(critic_loss, critic.trainable_variables)
        critic_optimizer.apply_gradients(zip(gradients, critic.trainable_variables, strict=True))
        with tf.GradientTape() as tape:
            generated = front(generator([tf.random.normal((rows, latent)), labels], training=True))
            generator_loss = tf.reduce_mean(tf.nn.softplus(-critic([generated, labels], training=True)))
        gradients = tape.gradient(generator_loss, generator.trainable_variables)
        generator_optimizer.apply_gradients(zip(gradients, generator.trainable_variables, strict=True))
        for mean, loss in zip(means, (critic_loss, generator_loss), strict=True):
            mean.update_state(loss, sample_weight=rows)

    return epochs(step, means, batched(x, y, batch_size), steps_per_call=steps_per_call, iterators=iterators)


def maml(
    x: np.ndarray,
    y: np.ndarray,
    layers: Sequence[keras.Layer],
    optimizer: keras.optimizers.Optimizer,
    *,
    support: int,
    inner_rate: float,
    inner_steps: int,
    batch_size: int,
    steps_per_call: int,
) -> Iterator[None]:
    """Train by second-order MAML for regression. The loss is the mean of the losses after each inner step.

    Args:
        x: (tasks, points, ...) features.
        y: (tasks, points) targets.
        layers: From a point to a number.
        optimizer: Of the outer steps.
        support: The number of points that an inner step learns from. The others are the queries.
        inner_rate: Learning rate of the inner steps.
        inner_steps: Inner steps per task.
        batch_size: Tasks per step.
        steps_per_call: Steps per call of a tf.function.
    """
    model = keras.Sequential([keras.Input(x.shape[2:], dtype=x.dtype), *layers])
    optimizer.build(model.trainable_variables)
    means = [keras.metrics.Mean() for _ in range(inner_steps + 1)]

    def loss_with(weights: Sequence[tf.Tensor], points: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        outputs, _ = model.stateless_call(weights, [], points)
        return tf.reduce_mean(tf.square(outputs[:, 0] - targets))

    def task_losses(task: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        points, targets = task
        weights = [variable.value for variable in model.trainable_variables]
        losses = [loss_with(weights, points[support:], targets[support:])]
        for _ in range(inner_steps):
            with tf.GradientTape() as tape:
                tape.watch(weights)
                loss = loss_with(weights, points[:support], targets[:support])
            grads = tape.gradient(loss, weights)
            weights = [weight - inner_rate * grad for weight, grad in zip(weights, grads, strict=True)]
            losses.append(loss_with(weights, points[support:], targets[support:]))
        return tf.stack(losses)

    @tf.function(reduce_retracing=True)
    def step(points: tf.Tensor, targets: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean(tf.vectorized_map(task_losses, (points, targets)), axis=0)
            loss = tf.reduce_mean(losses[1:])
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for index, mean in enumerate(means):
            mean.update_state(losses[index], sample_weight=tf.shape(points)[0])

    return epochs(step, means, batched(x, y, batch_size), steps_per_call=steps_per_call, iterators=one_for_all)


def batched(x: np.ndarray, y: np.ndarray, batch_size: int) -> tf.data.Dataset:
    """Return shuffled batches of rows."""
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(batch_size)


def epochs(
    step: Step,
    metrics: Sequence[keras.metrics.Metric],
    dataset: tf.data.Dataset,
    *,
    steps_per_call: int,
    iterators: Iterators,
) -> Iterator[None]:
    """Train epoch after epoch, and yield after each.

    Args:
        step: A tf.function of one batch.
        metrics: Read and reset after each epoch.
        dataset: The batches of one epoch.
        steps_per_call: Steps per call of a tf.function.
        iterators: `one_each` or `one_for_all`.
    """
    steps = int(dataset.cardinality())

    @tf.function
    def several(batches: Iterator[Any], count: tf.Tensor) -> None:
        for _ in tf.range(count):
            step(*next(batches))

    for batches in iterators(dataset):
        for first in range(0, steps, steps_per_call):
            several(batches, tf.constant(min(steps_per_call, steps - first)))
        for metric in metrics:
            float(metric.result())
            metric.reset_state()
        yield
