"""The `tape` engine: this project's loop around tf.GradientTape, for objectives that `fit` cannot train.

It calls Keras's callbacks as `fit` does. A supervised objective gives the same weights in both engines.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, override

from pipeline.errors import ConfigError
from pipeline.lazy import keras, tf
from pipeline.options import Options, option, section
from pipeline.training.options import TrainingOptions, end_epoch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np

    from pipeline.data.input_pipeline import TrainingFeed
    from pipeline.training.checkpointer import Checkpointer
    from pipeline.training.gradients import GradientRecorder
    from pipeline.training.objective import Objective
    from pipeline.training.steps import Steps

PROGRESS_CALLS = 32  # calls of the compiled graph between two updates of the progress bar


@dataclass
class GradientLog(Options):
    """Statistics of gradients: norms per layer, updates relative to weights, conflicts between losses."""

    key: ClassVar[str] = "training.gradients"

    every: int | None = option(
        None, "steps between two records, kept in gradients.jsonl and the report; null: none", min=1, max=10**9
    )
    histograms: bool = option(True, "also write the gradients of each record as histograms for TensorBoard")


@dataclass
class Tape(TrainingOptions):
    """This project's loop: GradientTape inside one tf.function, for what `fit` cannot express."""

    steps_per_execution: int = option(32, "steps in one call of the compiled graph", min=1)
    gradients: GradientLog = section(GradientLog, "statistics of gradients", changes_result=False)

    @property
    @override
    def compiles_own_step(self) -> bool:
        return True

    @override
    def compiles_with_xla(self, model: keras.Model) -> bool:
        from pipeline.training import xla

        return xla.is_faster(model, self.steps_per_execution) if self.jit == "auto" else self.jit == "always"

    def train(
        self,
        objective: Objective,
        feed: TrainingFeed,
        *,
        validation: tf.data.Dataset | None,
        callbacks: Sequence[keras.callbacks.Callback],
        checkpointer: Checkpointer,
        verbose: int,
        folder: Path,
    ) -> None:
        """Train from the state of the checkpointer to the last epoch. See TrainingOptions.train."""
        from pipeline.training.gradients import GradientRecorder
        from pipeline.training.steps import Steps

        model = objective.model
        steps = Steps(objective, feed.batches(0).element_spec, feed.full_steps)
        every = self.gradients.every
        recorder = None if every is None else GradientRecorder(every, folder, histograms=self.gradients.histograms)
        callback_list = keras.callbacks.CallbackList(
            [*callbacks, checkpointer],
            add_progbar=verbose != 0,
            model=model,
            epochs=self.epochs,
            steps=feed.steps,
            verbose=verbose,
        )
        model.stop_training = False
        callback_list.on_train_begin()
        start = checkpointer.state
        batches = iter(feed.stream(first_epoch=start.epoch, first_step=start.step, epochs=self.epochs))
        if recorder is not None:
            recorder.start_after(start.epoch * feed.steps + start.step)
        logs: dict[str, float] = {}
        for epoch in range(start.epoch, start.epoch if start.finished else self.epochs):
            steps.reset_metrics()
            callback_list.on_epoch_begin(epoch)
            train_epoch(
                steps,
                batches,
                epoch=epoch,
                first_step=start.step if epoch == start.epoch else 0,
                steps_per_epoch=feed.steps,
                callbacks=callback_list,
                recorder=recorder,
                shows_progress=verbose == 1,
            )
            logs = end_epoch(objective, validation, epoch, steps.metrics(), callback_list)
            if model.stop_training:
                break
        for update in objective.updates():
            update.optimizer.finalize_variable_values(update.variables)
        callback_list.on_train_end(logs)


def train_epoch(
    steps: Steps,
    batches: Iterator[Any],
    *,
    epoch: int,
    first_step: int,
    steps_per_epoch: int,
    callbacks: keras.callbacks.CallbackList,
    recorder: GradientRecorder | None = None,
    shows_progress: bool = False,
) -> None:
    """Train the steps of an epoch from `first_step` on, `steps_per_execution` in each call.

    Args:
        steps: The compiled steps of an objective.
        batches: An iterator of a tf.data.Dataset.
        epoch: The number of the epoch, counted from 0.
        first_step: The number of the step to start from, counted from 0 in the epoch.
        steps_per_epoch: The number of batches of a whole epoch.
        callbacks: Keras callbacks. The end of a batch is reported once per call, as by Model.fit.
        recorder: Records the gradients of the steps that are due, at most one step per call.
        shows_progress: Whether the callbacks get the metrics inside the epoch. Reading them waits for the device.

    Raises:
        ConfigError: A loss or a gradient is not finite.
    """
    step, calls = first_step, 0
    while step < steps_per_epoch:
        callbacks.on_train_batch_begin(step - first_step)
        steps_so_far = epoch * steps_per_epoch + step
        count = min(steps.per_execution, steps_per_epoch - step)
        until_record = math.inf if recorder is None else recorder.steps_until_due(steps_so_far)
        if recorder is not None and until_record < count:
            count = min(count, int(until_record) + recorder.every)
            finite, statistics = steps.train_and_record(batches, count, int(until_record))
            recorder.write(steps_so_far + int(until_record), epoch, statistics)
        elif 0 < steps.stack <= min(count, steps.full_steps - step):
            count, finite = steps.stack, steps.train_stack(batches)
        else:
            finite = steps.train(batches, count)
        require_finite(steps.names, finite, epoch, step)
        step += count
        calls += 1
        is_due = shows_progress and calls % PROGRESS_CALLS == 1
        callbacks.on_train_batch_end(step - first_step - 1, steps.metrics() if is_due else None)


def require_finite(names: Sequence[str], finite: np.ndarray, epoch: int, first_step: int) -> None:
    """Raise an error if a loss or gradient of some steps of an epoch is not finite.

    Args:
        names: The names of the columns of `finite`.
        finite: (steps, names) bool.
        epoch: The number of the epoch, counted from 0.
        first_step: The number of the first of the steps, counted from 0 in the epoch.

    Raises:
        ConfigError: A step had NaN or infinity; the message names the first one.
    """
    if finite.all():
        return
    row = int((~finite).any(axis=1).argmax())
    wrong = [name for name, is_finite in zip(names, finite[row], strict=True) if not is_finite]
    others = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    raise ConfigError(
        f"training: epoch {epoch + 1}, step {first_step + row + 1}: expected finite numbers; found NaN or infinity in "
        f"{', '.join(wrong[:3])}{others}. Lower optimizer.learning_rate, or clip gradients: optimizer.clip_norm=1.0."
    )
