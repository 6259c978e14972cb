"""The callbacks both engines drive: the journal of epochs, checkpoints with the stop between two steps, and Keras's."""

import json
import logging
import math
import time

import keras
import tensorflow as tf

from pipeline.errors import ConfigError, Interrupted, RunError
from pipeline.files import atomic_write
from pipeline.training import checkpoints

logger = logging.getLogger(__name__)


class Journal(keras.callbacks.Callback):
    """Keeps every epoch's logs, in `history` and as lines of metrics.jsonl. Stops the run at a loss that is no number.

    history: list of {"epoch": counted from 1, name: value, ...}, which checkpoints hold too. So the file is written
    whole at its first epoch here and at the end, and has a line added in between, without waiting for the disk.
    """

    def __init__(self, path):
        super().__init__()
        self.path = path
        self.history = []
        self.added_to = False

    def on_epoch_end(self, epoch, logs=None):
        row = {name: float(value) for name, value in (logs or {}).items()}
        row.setdefault("learning_rate", float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)))
        self.history = [*self.history, {"epoch": epoch + 1, **row}]
        logger.debug("epoch %d: %s", epoch + 1, ", ".join(f"{name} {value:.6g}" for name, value in row.items()))
        self._keep(self._add if self.added_to else self._write)
        if not math.isfinite(row["loss"]):
            raise ConfigError(
                f"training: the loss became {row['loss']} in epoch {epoch + 1}. Expected a finite number. Lower "
                "optimizer.learning_rate, or clip gradients: optimizer.clip_norm=1.0."
            )

    def on_train_end(self, logs=None):
        if self.history:
            self._keep(self._write)

    def _keep(self, how):
        try:
            how()
            self.added_to = True
        except OSError as error:  # whether the run goes on without is for its checkpoints to say
            self.added_to = False
            logger.warning("%s: %s; all epochs are written again after the next one", self.path, error.strerror)

    def _add(self):
        with self.path.open("ab") as file:
            file.write(json.dumps(self.history[-1]).encode() + b"\n")

    def _write(self):
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in self.history)


class Checkpointer(keras.callbacks.Callback):
    """Restores the state a run goes on from, writes checkpoints, and ends the run between two steps when asked to.

    Comes last in the list: what it writes holds what the others made of the epoch, and what it restores is not reset
    by them. objective: compiled. state: a checkpoints.State to start from. stop: a runtime.signals.StopRequest. began:
    the run, as time.monotonic() tells it, had its processes followed each other without a break.

    A run that is asked to stop while it validates does not wait for that: its checkpoint is that of the epoch's last
    step, with the metrics of training, and the validation is done again, whole.
    """

    def __init__(self, objective, folder, config, epochs, steps, stop, others, state, began):
        super().__init__()
        self.objective = objective
        self.folder = folder
        self.config = config
        self.epochs = epochs
        self.steps = steps
        self.stop = stop
        self.others = others
        self.state = state
        self.began = began

    def on_train_begin(self, logs=None):
        self.step = self.first_step = self.state.step
        self.best = self.state.best
        self.looked_at = self.state.epoch * self.steps + self.state.step
        self.saved_at = time.monotonic()
        self.trained = None
        if self.state.arrays:
            checkpoints.restore(self.state, self.objective, self.others)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch
        if self.first_step:  # inside an epoch: its metrics go on, which the engine has just reset
            checkpoints.restore(self.state, self.objective, self.others)

    def on_train_batch_end(self, batch, logs=None):
        self.step = min(self.first_step + batch + 1, self.steps)
        if self.step == self.steps:
            return  # what comes next decides: a validation, or the epoch's end
        if self.stop.received:
            self._stop_here()
        if self._is_due(self.epoch, self.step):
            self._save(self.epoch, self.step)

    def on_test_begin(self, logs=None):
        if self.stop.received:
            self._stop_here()
        self.trained = checkpoints.metrics_of(self.objective)

    def on_test_batch_end(self, batch, logs=None):
        if self.stop.received:
            self._stop_here()

    def on_epoch_end(self, epoch, logs=None):
        began_inside = self.first_step > 0
        self.first_step = self.step = 0
        self.trained = None
        done = epoch + 1
        ended = bool(self.model.stop_training)
        last = ended or done == self.epochs
        due = self._is_due(done, 0) or (self.config.epochs is not None and done % self.config.epochs == 0)
        if due or last or self.stop.received:
            score = self._score(logs)
            if self.best is None or score < self.best[0]:
                self.best = score, done
            saved = self._save(done, 0, ended)
            if self.stop.received and not last:
                raise self._stopped(f"epoch {done} of {self.epochs}", saved)
        elif began_inside:  # the call of fit that follows starts from here
            self.state = self._capture(done, 0, ended)

    def _is_due(self, epoch, step):
        """Whether a checkpoint is to be written here for the steps or the minutes since the last."""
        before, self.looked_at = self.looked_at, epoch * self.steps + step
        every, minutes = self.config.steps, self.config.minutes
        return (every is not None and self.looked_at // every > before // every) or (
            minutes is not None and time.monotonic() - self.saved_at >= 60 * minutes
        )

    def _score(self, logs):
        """What tells the best epoch, the smaller the better: early stopping's monitor, else the validation's loss."""
        for callback in self.others:
            if isinstance(callback, keras.callbacks.EarlyStopping):
                return float(logs[callback.monitor]) * (1 if callback.monitor_op == keras.ops.less else -1)
        return float(logs.get("val_loss", logs["loss"]))

    def _capture(self, epoch, step, ended):
        seconds = time.monotonic() - self.began
        return checkpoints.capture(self.objective, self.others, epoch, step, ended, self.best, self.trained, seconds)

    def _save(self, epoch, step, ended=False):
        """Write a checkpoint. Returns whether that was possible; raises RunError where it was not and was to be."""
        self.state = self._capture(epoch, step, ended)
        try:
            checkpoints.write(self.folder, self.state, self.config.keep)
        except OSError as error:
            found = f"{self.folder}: expected to write a checkpoint; {error.strerror}"
            if self.config.on_error == "stop":
                raise RunError(
                    f"{found}. Those before it are as they were: mend it, and the same command goes on from the last. "
                    "To train on without: training.checkpoints.on_error=continue."
                ) from None
            logger.warning("%s; the run continues", found)
            return False
        self.saved_at = time.monotonic()
        return True

    def _stop_here(self):
        saved = self._save(self.epoch, self.step)
        raise self._stopped(f"epoch {self.epoch + 1}, step {self.step} of {self.steps}", saved)

    def _stopped(self, place, saved):
        how = "checkpoint saved. The same command goes on" if saved else "the same command goes on from the last one"
        return Interrupted(f"{self.stop.received}: stopped after {place}, {how}.")


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
