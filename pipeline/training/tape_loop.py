"""The `tape` engine: a loop of our own around tf.GradientTape, for what `fit` cannot express.

It drives Keras's callbacks as `fit` does, and a supervised objective comes out with the same weights.
"""

import math

import keras

from pipeline.errors import ConfigError
from pipeline.training.steps import Steps

LOOK_EVERY = 32  # calls between two looks at the metrics, where a progress bar shows them


def run(objective, feed, validation, epochs, callbacks, checkpointer, verbose, watch):
    """Train an objective, from the checkpointer's state to the end. Arguments as for fit.run.

    watch: a gradients.Watch or Unwatched. Raises ConfigError at the first loss or gradient that is not finite.
    """
    model = objective.model
    steps = Steps(objective, feed.batches(0).element_spec, feed.full_steps)
    callbacks = keras.callbacks.CallbackList(
        [*callbacks, checkpointer],
        add_progbar=verbose != 0,
        model=model,
        epochs=epochs,
        steps=feed.steps,
        verbose=verbose,
    )
    model.stop_training = False
    callbacks.on_train_begin()
    start = checkpointer.state
    batches = iter(feed.stream(start.epoch, start.step, epochs))
    watch.begin(start.epoch * feed.steps + start.step)
    logs = {}
    for epoch in range(start.epoch, start.epoch if start.finished else epochs):
        steps.reset_metrics()
        callbacks.on_epoch_begin(epoch)
        first = start.step if epoch == start.epoch else 0
        look_every = LOOK_EVERY if verbose == 1 else math.inf
        train_epoch(steps, batches, epoch, first, feed, model, callbacks, look_every, watch)
        logs = end_epoch(epoch, steps.metrics(), objective, validation, callbacks)
        if model.stop_training:
            break
    for update in objective.updates():
        update.optimizer.finalize_variable_values(update.variables)
    callbacks.on_train_end(logs)


def train_epoch(steps, batches, epoch, first, feed, model, callbacks, look_every, watch):
    """Train an epoch from its step `first` on, `steps_per_execution` in each call, at most one of them watched."""
    step, calls = first, 0
    while step < feed.steps:
        callbacks.on_train_batch_begin(step - first)
        so_far = epoch * feed.steps + step
        count = min(model.steps_per_execution, feed.steps - step)
        until_look = watch.until_due(so_far)
        if until_look < count:
            count = min(count, until_look + watch.every)
            finite, looks = steps.take_looking(batches, count, until_look)
            watch.keep(so_far + until_look, epoch, looks)
        elif 0 < steps.stack <= min(count, feed.full_steps - step):
            count, finite = steps.stack, steps.take_stack(batches)
        else:
            finite = steps.take(batches, count)
        refuse_not_finite(steps.names, finite, epoch, step)
        step += count
        calls += 1
        callbacks.on_train_batch_end(step - first - 1, steps.metrics() if calls % look_every == 1 else None)


def end_epoch(epoch, logs, objective, validation, callbacks):
    """Validate an epoch whose steps are done, and tell the callbacks of it. Returns its logs.

    logs: metric name -> float, of its steps.
    """
    if validation is not None:
        scores = objective.evaluate(validation, callbacks)
        logs = logs | {f"val_{name}": value for name, value in scores.items()}
    callbacks.on_epoch_end(epoch, logs)
    return logs


def refuse_not_finite(names, finite, epoch, step):
    """Raise ConfigError with the first step that had NaN or infinity, and in what.

    finite: (steps, names) bool, of the steps of an epoch from `step` on.
    """
    if finite.all():
        return
    bad = int((~finite).any(axis=1).argmax())
    found = [name for name, is_finite in zip(names, finite[bad], strict=True) if not is_finite]
    others = f" and {len(found) - 3} more" if len(found) > 3 else ""
    raise ConfigError(
        f"training: epoch {epoch + 1}, step {step + bad + 1}: expected finite numbers; found NaN or infinity in "
        f"{', '.join(found[:3])}{others}. Lower optimizer.learning_rate, or clip gradients: "
        "optimizer.clip_norm=1.0."
    )
