"""Hand-written training loops, the peers of the `tape` engine: TensorFlow and Keras, and nothing of this project.

Each returns an iterator that trains one epoch per item.
"""

import keras
import tensorflow as tf


def classifier(x, y, layers, batch_size, stride, learning_rate=0.001):
    """A classifier. x: (rows, ...). y: (rows,) of indices. stride: steps a call."""
    model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype), *layers])
    optimizer = keras.optimizers.Adam(learning_rate)
    optimizer.build(model.trainable_variables)
    loss_of = keras.losses.SparseCategoricalCrossentropy()
    loss_mean, accuracy = keras.metrics.Mean(), keras.metrics.SparseCategoricalAccuracy()

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = loss_of(labels, outputs)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        loss_mean.update_state(loss, sample_weight=tf.shape(images)[0])
        accuracy.update_state(labels, outputs)

    return epochs(step, [loss_mean, accuracy], (x, y), batch_size, stride)


def gan(x, y, front, generator, critic, batch_size, stride, optimizers, iterators):
    """A non-saturating GAN that is told the class. x: (rows, height, width, channels). y: (rows,) of indices.

    front: a layer from images to what the critic takes. generator, critic: models of [numbers or image, one-hot class].
    optimizers: of the generator and of the critic. iterators: `one_each` or `one_for_all`.
    """
    of_generator, of_critic = optimizers
    of_generator.build(generator.trainable_variables)
    of_critic.build(critic.trainable_variables)
    latent, classes = (each.shape[-1] for each in generator.inputs)
    means = [keras.metrics.Mean() for _ in range(2)]

    @tf.function(reduce_retracing=True)
    def step(images, labels):
        labels = tf.one_hot(labels, classes)
        rows = tf.shape(images)[0]
        with tf.GradientTape() as tape:
            made = front(generator([tf.random.normal((rows, latent)), labels], training=True))
            on_real = critic([front(images), labels], training=True)
            on_made = critic([made, labels], training=True)
            critic_loss = tf.reduce_mean(tf.nn.softplus(-on_real)) + tf.reduce_mean(tf.nn.softplus(on_made))
        gradients = tape.gradient(critic_loss, critic.trainable_variables)
        of_critic.apply_gradients(zip(gradients, critic.trainable_variables, strict=True))
        with tf.GradientTape() as tape:
            made = front(generator([tf.random.normal((rows, latent)), labels], training=True))
            generator_loss = tf.reduce_mean(tf.nn.softplus(-critic([made, labels], training=True)))
        gradients = tape.gradient(generator_loss, generator.trainable_variables)
        of_generator.apply_gradients(zip(gradients, generator.trainable_variables, strict=True))
        for mean, loss in zip(means, (critic_loss, generator_loss), strict=True):
            mean.update_state(loss, sample_weight=rows)

    return epochs(step, means, (x, y), batch_size, stride, iterators)


def maml(x, y, layers, support, inner_rate, inner_steps, batch_size, stride, optimizer):
    """MAML of second order for regression, its loss the mean of those after each inner step.

    x: (tasks, points, ...). y: (tasks, points). layers: from a point to a number.
    """
    model = keras.Sequential([keras.Input(x.shape[2:], dtype=x.dtype), *layers])
    optimizer.build(model.trainable_variables)
    means = [keras.metrics.Mean() for _ in range(inner_steps + 1)]

    def loss_with(weights, points, targets):
        outputs, _ = model.stateless_call(weights, [], points)
        return tf.reduce_mean(tf.square(outputs[:, 0] - targets))

    def of_task(task):
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
    def step(points, targets):
        with tf.GradientTape() as tape:
            losses = tf.reduce_mean(tf.vectorized_map(of_task, (points, targets)), axis=0)
            loss = tf.reduce_mean(losses[1:])
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        for position, mean in enumerate(means):
            mean.update_state(losses[position], sample_weight=tf.shape(points)[0])

    return epochs(step, means, (x, y), batch_size, stride)


def one_each(dataset):
    """An iterator for each epoch, as most loops have it."""
    while True:
        yield iter(dataset.prefetch(tf.data.AUTOTUNE))


def one_for_all(dataset):
    """The same iterator for all epochs, which is cheaper."""
    batches = iter(dataset.repeat().prefetch(tf.data.AUTOTUNE))
    while True:
        yield batches


def epochs(step, metrics, arrays, batch_size, stride, iterators=one_for_all):
    """Yield after each epoch on batches of arrays, rows first. step: a tf.function of a batch."""
    rows = len(arrays[0])
    steps = -(-rows // batch_size)

    @tf.function
    def several(batches, count):
        for _ in tf.range(count):
            step(*next(batches))

    for batches in iterators(tf.data.Dataset.from_tensor_slices(arrays).shuffle(rows).batch(batch_size)):
        for first in range(0, steps, stride):
            several(batches, tf.constant(min(stride, steps - first)))
        for metric in metrics:
            float(metric.result())
            metric.reset_state()
        yield
