"""The `tape` engine: a loop of our own around tf.GradientTape, for what `fit` cannot express.

It drives Keras's callbacks as `fit` does, and a supervised objective comes out with the same weights.
"""

import keras
import tensorflow as tf

from pipeline.training.callbacks import EpochClock, epoch_variable

LOOK_EVERY = 32  # calls between two looks at the metrics for the progress bar


def run(objective, feed, validation, epochs, callbacks, checkpointer, verbose):
    """Train an objective's model, from the checkpointer's state to the end. Arguments as for fit.run."""
    model = objective.model
    epoch_now = epoch_variable()
    whole_epoch = feed.batches(epoch_now)
    execute = make_execution(objective, whole_epoch.element_spec)
    callbacks = keras.callbacks.CallbackList(
        [EpochClock(epoch_now), *callbacks, checkpointer],
        add_progbar=verbose != 0,
        model=model,
        epochs=epochs,
        steps=feed.steps,
        verbose=verbose,
    )
    model.stop_training = False
    callbacks.on_train_begin()
    start = checkpointer.state
    logs = {}
    for epoch in range(start.epoch, start.epoch if start.finished else epochs):
        model.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        first = start.step if epoch == start.epoch else 0
        batches = iter(feed.batches(epoch_now, first) if first else whole_epoch)
        train_epoch(execute, batches, feed.steps - first, model, callbacks)
        logs = end_epoch(epoch, model, validation, callbacks)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    callbacks.on_train_end(logs)


def train_epoch(execute, batches, steps, model, callbacks):
    """Run the steps of one epoch, `steps_per_execution` inside each call."""
    stride = model.steps_per_execution
    for begin in range(0, steps, stride):
        end = min(begin + stride, steps)
        callbacks.on_train_batch_begin(begin)
        execute(batches, tf.constant(end - begin))
        callbacks.on_train_batch_end(end - 1, metrics(model) if (begin // stride) % LOOK_EVERY == 0 else None)


def end_epoch(epoch, model, validation, callbacks):
    """Validate an epoch whose steps are done, and tell the callbacks of it. Returns its logs."""
    logs = metrics(model)
    if validation is not None:
        scores = model.evaluate(validation, callbacks=callbacks, verbose=0, return_dict=True)
        logs |= {f"val_{name}": value for name, value in scores.items()}
    callbacks.on_epoch_end(epoch, logs)
    return logs


def metrics(model):
    """The metrics so far, as floats; reading them waits for the device."""
    return {name: float(value) for name, value in model.get_metrics_result().items()}


def make_execution(objective, element_spec):
    """A compiled function (iterator, number of steps) that trains so many steps.

    It is traced here, so that every variable is there before a checkpoint is restored.
    """
    model = objective.model
    strategy = tf.distribute.get_strategy()
    step = tf.function(make_step(objective), jit_compile=model.jit_compile, reduce_retracing=True)

    @tf.function
    def execute(batches, steps):
        for _ in tf.range(steps):
            strategy.run(step, args=(next(batches),))

    execute.get_concrete_function(tf.data.IteratorSpec(element_spec), tf.TensorSpec([], tf.int32))
    return execute


def make_step(objective):
    """One step: losses of the batch, their gradients, the update."""
    model, optimizer = objective.model, objective.model.optimizer

    def step(batch):
        with tf.GradientTape() as tape:
            losses, outputs = objective.losses(batch)
            total = optimizer.scale_loss(tf.add_n(list(losses.values())))
        variables = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(total, variables), variables, strict=True))
        objective.measure(batch, losses, outputs)

    return step
