"""The callback that restores the state of a run, writes checkpoints, and stops the run between two steps."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, override

import keras
import numpy as np

from pipeline.errors import Interrupted, RunError
from pipeline.runtime.signals import StopRequest
from pipeline.training import checkpoints
from pipeline.training.checkpoints import State
from pipeline.training.objective import Objective
from pipeline.training.options import Checkpoints

logger = logging.getLogger(__name__)


class Checkpointer(keras.callbacks.Callback):
    """Restores the state to start from, writes checkpoints, and stops the run if that was requested.

    It must be the last of the callbacks. Its checkpoints then hold the state of the other callbacks at the end of the
    epoch, and no other callback resets the state that it restores.

    A stop that is requested during validation takes effect at the next validation batch. The checkpoint then holds the
    state after the last step of the epoch, with the metrics of the training split. The resumed run repeats the whole
    validation.

    Attributes:
        state: The state that was captured last; at the beginning, the state to start from.
    """

    def __init__(
        self,
        *,
        objective: Objective,
        folder: Path,
        options: Checkpoints,
        epochs: int,
        steps_per_epoch: int,
        stop: StopRequest,
        callbacks: Sequence[keras.callbacks.Callback],
        state: State,
        start_time: float,
    ) -> None:
        """Create the callback.

        Args:
            objective: The objective, whose model is compiled.
            folder: The folder of the checkpoints.
            options: When checkpoints are written, and how many are kept.
            epochs: The number of epochs of the run.
            steps_per_epoch: The number of steps of each epoch.
            stop: Holds the stop request, if one was received.
            callbacks: The other callbacks, whose state the checkpoints hold.
            state: The state to start from.
            start_time: `time.monotonic()` at the start, minus the seconds spent in earlier processes of the run.
        """
        super().__init__()
        self.objective = objective
        self.folder = folder
        self.options = options
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.stop = stop
        self.callbacks = callbacks
        self.state = state
        self.start_time = start_time

    @override
    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.step = self.first_step = self.state.step
        self.best = self.state.best
        self.checked_step = self.state.epoch * self.steps_per_epoch + self.state.step
        self.save_time = time.monotonic()
        self.training_metrics: dict[str, np.ndarray] | None = None
        if self.state.arrays:
            checkpoints.restore(self.state, self.objective, self.callbacks)

    @override
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch = epoch
        if self.first_step:  # resumed inside an epoch: the engine has just reset its metrics
            checkpoints.restore(self.state, self.objective, self.callbacks)

    @override
    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self.step = min(self.first_step + batch + 1, self.steps_per_epoch)
        if self.step == self.steps_per_epoch:
            return  # on_test_begin or on_epoch_end comes next and handles the stop
        if self.stop.received:
            self._stop()
        if self._is_due(self.epoch, self.step):
            self._save(self.epoch, self.step)

    @override
    def on_test_begin(self, logs: dict[str, Any] | None = None) -> None:
        if self.stop.received:
            self._stop()
        self.training_metrics = checkpoints.metric_values(self.objective)

    @override
    def on_test_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if self.stop.received:
            self._stop()

    @override
    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        started_inside = self.first_step > 0
        self.first_step = self.step = 0
        self.training_metrics = None
        done = epoch + 1
        finished = bool(self.objective.model.stop_training)
        is_last = finished or done == self.epochs
        due = self._is_due(done, 0) or (self.options.epochs is not None and done % self.options.epochs == 0)
        if due or is_last or self.stop.received:
            score = self._score(logs or {})
            if self.best is None or score < self.best[0]:
                self.best = score, done
            saved = self._save(done, 0, finished=finished)
            if self.stop.received and not is_last:
                raise self._interrupted(f"epoch {done} of {self.epochs}", saved)
        elif started_inside:  # the next call of Model.fit starts from this state
            self.state = self._capture(done, 0, finished=finished)

    def _is_due(self, epoch: int, step: int) -> bool:
        """Return whether a checkpoint is due by the number of steps or by the time since the last one.

        Each call updates `checked_step`, so that one crossing of a multiple of `options.steps` counts once.
        """
        before, self.checked_step = self.checked_step, epoch * self.steps_per_epoch + step
        every, minutes = self.options.steps, self.options.minutes
        return (every is not None and self.checked_step // every > before // every) or (
            minutes is not None and time.monotonic() - self.save_time >= 60 * minutes
        )

    def _score(self, logs: dict[str, Any]) -> float:
        """Return the score of an epoch; smaller is better.

        With early stopping it is the monitored value, negated if larger is better. Otherwise it is the validation loss,
        or the training loss if there is no validation.
        """
        for callback in self.callbacks:
            if isinstance(callback, keras.callbacks.EarlyStopping):
                return float(logs[callback.monitor]) * (1 if callback.monitor_op == keras.ops.less else -1)
        return float(logs.get("val_loss", logs["loss"]))

    def _capture(self, epoch: int, step: int, *, finished: bool) -> State:
        return checkpoints.capture(
            self.objective,
            self.callbacks,
            epoch=epoch,
            step=step,
            finished=finished,
            best=self.best,
            metrics=self.training_metrics,
            seconds=time.monotonic() - self.start_time,
            run=self.state.run,
        )

    def _save(self, epoch: int, step: int, *, finished: bool = False) -> bool:
        """Write a checkpoint and return whether the write succeeded.

        Raises:
            RunError: The write failed, and training.checkpoints.on_error=stop.
        """
        self.state = self._capture(epoch, step, finished=finished)
        try:
            checkpoints.write(self.folder, self.state, self.options.keep)
        except OSError as error:
            problem = f"{self.folder}: expected to write a checkpoint; {error.strerror}"
            if self.options.on_error == "stop":
                raise RunError(
                    f"{problem}. The earlier checkpoints are unchanged. Make room: the same command then resumes from "
                    "the last one. To train without checkpoints: training.checkpoints.on_error=continue."
                ) from None
            logger.warning("%s; the run continues", problem)
            return False
        self.save_time = time.monotonic()
        return True

    def _stop(self) -> None:
        saved = self._save(self.epoch, self.step)
        raise self._interrupted(f"epoch {self.epoch + 1}, step {self.step} of {self.steps_per_epoch}", saved)

    def _interrupted(self, position: str, saved: bool) -> Interrupted:
        outcome = (
            "checkpoint saved. The same command resumes the run"
            if saved
            else "no checkpoint could be saved. The same command resumes from the last one"
        )
        return Interrupted(f"{self.stop.received}: stopped after {position}, {outcome}.")
