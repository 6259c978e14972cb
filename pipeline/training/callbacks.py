"""The callbacks both engines drive: the journal of epochs, checkpoints with the stop between two steps, and Keras's."""

import json
import math

import keras
import tensorflow as tf

from pipeline.errors import ConfigError, Stopped
from pipeline.files import whole_file
from pipeline.training import checkpoints


class Journal(keras.callbacks.Callback):
    """Keeps every epoch's logs, in `history` and as lines of metrics.jsonl. Stops the run at a loss that is no number.

    history: list of {"epoch": counted from 1, name: value, ...}.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.history = []

    def on_epoch_end(self, epoch, logs=None):
        row = {name: float(value) for name, value in (logs or {}).items()}
        row.setdefault("learning_rate", float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.history = [*self.history, {"epoch": epoch + 1, **row}]
        with whole_file(self.path) as file:
            for line in self.history:
                file.write(json.dumps(line).encode() + b"\n")
        if not math.isfinite(row["loss"]):
            raise ConfigError(
                f"training: the loss became {row['loss']} in epoch {epoch + 1}. Expected a finite number. Lower "
                "optimizer.config.learning_rate, or clip gradients: +optimizer.config.global_clipnorm=1.0."
            )


class Checkpointer(keras.callbacks.Callback):
    """Restores the state a run goes on from, writes checkpoints, and ends the run between two steps when asked to.

    Comes last in the list: what it writes holds what the others made of the epoch, and what it restores is not reset
    by them. state: a checkpoints.State to start from. stop: a runtime.signals.StopRequest.
    """

    def __init__(self, folder, config, epochs, steps, stop, others, state):
        super().__init__()
        self.folder = folder
        self.config = config
        self.epochs = epochs
        self.steps = steps
        self.stop = stop
        self.others = others
        self.state = state

    def on_train_begin(self, logs=None):
        self.step = self.first_step = self.state.step
        if self.state.arrays:
            checkpoints.restore(self.state, self.model, self.others)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.first_step:  # inside an epoch: its metrics go on, which the engine has just reset
            checkpoints.restore(self.state, self.model, self.others)

    def on_train_batch_end(self, batch, logs=None):
        self.step = min(self.first_step + batch + 1, self.steps)
        if self.stop.received and self.step < self.steps:
            self.state = checkpoints.capture(self.model, self.others, self.epoch, self.step, False)
            checkpoints.write(self.folder, self.state, self.config.keep)
            raise self._stopped(f"epoch {self.epoch + 1}, step {self.step} of {self.steps}")

    def on_epoch_end(self, epoch, logs=None):
        self.first_step = self.step = 0
        done = epoch + 1
        last = bool(self.model.stop_training) or done == self.epochs
        self.state = checkpoints.capture(self.model, self.others, done, 0, bool(self.model.stop_training))
        if last or self.stop.received or done % self.config.epochs == 0:
            checkpoints.write(self.folder, self.state, self.config.keep)
        if self.stop.received and not last:
            raise self._stopped(f"epoch {done} of {self.epochs}")

    def _stopped(self, place):
        return Stopped(f"{self.stop.received}: stopped after {place}, checkpoint saved. The same command goes on.")


class EpochClock(keras.callbacks.Callback):
    """Tells the data which epoch it is. epoch: a tf.Variable that the dataset reads when an iteration starts."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch_variable = epoch

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_variable.assign(epoch)


class EpochTensorBoard(keras.callbacks.TensorBoard):
    """Keras's, less the summaries of each step: with one write an epoch no writer takes them, yet each costs time."""

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch)


def of_config(training, tensorboard_folder):
    """Keras's own callbacks that a config.Training asks for."""
    early, plateau = training.early_stopping, training.plateau
    chosen = []
    if plateau.patience is not None:
        chosen.append(
            keras.callbacks.ReduceLROnPlateau(
                plateau.monitor, plateau.factor, plateau.patience, mode=plateau.mode, min_lr=plateau.min_lr, min_delta=0
            )
        )
    if early.patience is not None:
        chosen.append(
            keras.callbacks.EarlyStopping(
                early.monitor,
                early.min_delta,
                early.patience,
                mode=early.mode,
                restore_best_weights=early.restore_best_weights,
            )
        )
    if training.tensorboard:
        chosen.append(EpochTensorBoard(tensorboard_folder, write_graph=False))
    return chosen


def kept_epoch(used):
    """The epoch, counted from 1, whose weights early stopping went back to; None where the last epoch's stayed."""
    for callback in used:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights:
            return callback.best_epoch + 1
    return None


def epoch_variable():
    """The variable of an EpochClock, in main memory beside the data that reads it."""
    with tf.device("CPU"):
        return tf.Variable(0, dtype=tf.int64, trainable=False)
