"""The `fit` engine: Keras's own compiled loop."""

import keras
import tensorflow as tf

from pipeline.training.callbacks import EpochClock, epoch_variable
from pipeline.training.steps import floats
from pipeline.training.tape_loop import end_epoch


def run(objective, feed, validation, epochs, callbacks, checkpointer, verbose):
    """Train a compiled model with model.fit, from the checkpointer's state to the end.

    objective: its `model` is compiled. feed: a data.feed.TrainingFeed. validation: a tf.data.Dataset or None.
    callbacks: Keras callbacks, the checkpointer's not among them.
    """
    model = objective.model
    common = {"validation_data": validation, "verbose": verbose, "shuffle": False}  # the feed has its own order
    start = checkpointer.state
    if start.arrays:
        make_metrics(objective, feed.batches(0).element_spec)
    # fit cannot begin inside an epoch: what is left of it is a call of its own, whose end the next starts from
    if start.step == feed.steps:
        validate(start.epoch, objective, validation, [*callbacks, checkpointer])
    elif start.step:
        rest = feed.batches(start.epoch, start.step)
        model.fit(
            rest, initial_epoch=start.epoch, epochs=start.epoch + 1, callbacks=[*callbacks, checkpointer], **common
        )
    epoch = epoch_variable()
    start = checkpointer.state
    model.fit(
        feed.batches(epoch),
        initial_epoch=start.epoch,
        epochs=start.epoch if start.finished else epochs,
        callbacks=[EpochClock(epoch), *callbacks, checkpointer],
        **common,
    )


def make_metrics(objective, element_spec):
    """Make the variables of the metrics, which Keras makes in the first step it traces: too late to restore them."""

    def measured(batch):
        objective.measure(batch, *objective.losses(batch))

    tf.function(measured, autograph=False).get_concrete_function(element_spec)


def validate(epoch, objective, validation, callbacks):
    """What fit does of an epoch once its steps are done: the run was stopped before or in its validation."""
    model = objective.model
    callbacks = keras.callbacks.CallbackList(callbacks, model=model)
    model.stop_training = False
    callbacks.on_train_begin()
    model.reset_metrics()
    callbacks.on_epoch_begin(epoch)
    logs = floats(model.get_metrics_result())
    callbacks.on_train_end(end_epoch(epoch, logs, objective, validation, callbacks))
