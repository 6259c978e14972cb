"""The `fit` engine: Keras's own compiled loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, override

from pipeline.lazy import keras, tf
from pipeline.training.options import TrainingOptions, end_epoch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.data.input_pipeline import TrainingFeed
    from pipeline.training.checkpointer import Checkpointer
    from pipeline.training.objective import Objective


@dataclass
class Fit(TrainingOptions):
    """Keras's own compiled loop: compile + model.fit."""

    @property
    @override
    def compiles_own_step(self) -> bool:
        return False

    @override
    def compiles_with_xla(self, model: keras.Model) -> bool:
        return self.jit == "always"  # not by auto: Model.fit drops XLA under strict determinism

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
        """Train with Model.fit, from the state of the checkpointer to the last epoch. See TrainingOptions.train."""
        from pipeline.training.epoch_clock import EpochClock

        model = objective.model
        shared = {"validation_data": validation, "verbose": verbose, "shuffle": False}  # the feed orders the rows
        start = checkpointer.state
        if start.arrays:
            create_metric_variables(objective, feed.batches(0).element_spec)
        # Model.fit cannot start inside an epoch: one call trains the rest of it, and the next call starts after it
        if start.step == feed.steps:
            validate(objective, validation, start.epoch, [*callbacks, checkpointer])
        elif start.step:
            rest = feed.batches(start.epoch, start.step)
            model.fit(
                rest, initial_epoch=start.epoch, epochs=start.epoch + 1, callbacks=[*callbacks, checkpointer], **shared
            )
        clock = EpochClock()
        start = checkpointer.state
        model.fit(
            feed.batches(clock.epoch),
            initial_epoch=start.epoch,
            epochs=start.epoch if start.finished else self.epochs,
            callbacks=[clock, *callbacks, checkpointer],
            **shared,
        )


def create_metric_variables(objective: Objective, element_spec: Any) -> None:
    """Create the variables of the metrics, so that a checkpoint can be restored into them.

    Keras itself creates them when it traces the first step, which is after the checkpoint is restored.

    Args:
        objective: The objective, whose model is compiled.
        element_spec: The tf.TypeSpec structure of one batch.
    """
    (update,) = objective.updates()

    def measure(batch: Any) -> None:
        objective.measure(batch, *update.losses(batch))

    tf.function(measure, autograph=False).get_concrete_function(element_spec)


def validate(
    objective: Objective, validation: tf.data.Dataset | None, epoch: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Validate and end an epoch as Model.fit does, for a run that was stopped between its last step and its end."""
    model = objective.model
    callback_list = keras.callbacks.CallbackList(callbacks, model=model)
    model.stop_training = False
    callback_list.on_train_begin()
    model.reset_metrics()
    callback_list.on_epoch_begin(epoch)  # the checkpointer restores the metrics of the steps of the epoch
    logs = {name: float(value) for name, value in model.get_metrics_result().items()}
    callback_list.on_train_end(end_epoch(objective, validation, epoch, logs, callback_list))
