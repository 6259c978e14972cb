"""A training loop as one writes it by hand: TensorFlow and Keras, and nothing of this project."""

import time

import keras
import tensorflow as tf


def paces(x, y, layers, batch_size, epochs, stride, learning_rate=0.001):
    """(steps a second, steps a CPU second) of each epoch of a classifier. x: (rows, ...). y: (rows,) of indices."""
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), *layers])
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    loss_mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()
    steps = -(-len(x) // batch_size)
    dataset = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x)).batch(batch_size).prefetch(tf.data.AUTOTUNE)

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = loss_of(labels, outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        loss_mean.update_state(loss, sample_weight=tf.shape(images)[0])
        accuracy.update_state(labels, outputs)

    @tf.function
    def several(batches, count):
        for _ in tf.range(count):
            step(*next(batches))

    found = []
    for _ in range(epochs):
        began = time.perf_counter(), time.process_time()
        batches = iter(dataset)
        for first in range(0, steps, stride):
            several(batches, tf.constant(min(stride, steps - first)))
        float(loss_mean.result()), float(accuracy.result())
        loss_mean.reset_state()
        accuracy.reset_state()
        found.append((steps / (time.perf_counter() - began[0]), steps / (time.process_time() - began[1])))
    return found
