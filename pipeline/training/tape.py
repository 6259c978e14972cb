"""The `tape` engine: this project's loop around tf.GradientTape."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.options import Options, option, section
from pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pipeline.data.input_pipeline import TrainingFeed
    from pipeline.training.callbacks import Checkpointer
    from pipeline.training.objective import Objective


@dataclass
class GradientLog(Options):
    """What is recorded of gradients: norms per layer, updates relative to weights, conflicts between losses."""

    key: ClassVar[str] = "training.gradients"

    every: int | None = option(
        None, "steps between two records, kept in gradients.jsonl and the report; null: none", min=1
    )
    histograms: bool = option(True, "also write the gradients of each record as histograms for TensorBoard")


@dataclass
class Tape(TrainingOptions):
    """This project's loop: GradientTape inside one tf.function, for what `fit` cannot express."""

    steps_per_execution: int = option(32, "steps in one call of the compiled graph", min=1)
    gradients: GradientLog = section(GradientLog, "statistics of gradients", changes_result=False)

    def train(
        self,
        objective: Objective,
        feed: TrainingFeed,
        *,
        validation: tf.data.Dataset | None,
        callbacks: list[keras.callbacks.Callback],
        checkpointer: Checkpointer,
        verbose: int,
        folder: Path,
    ) -> None:
        """Train from the state of the checkpointer to the last epoch. Arguments as for TrainingOptions.train."""
        from pipeline.training import gradients, tape_loop

        every = self.gradients.every
        watch = gradients.Unwatched() if every is None else gradients.Watch(every, folder, self.gradients.histograms)
        tape_loop.run(objective, feed, validation, self.epochs, callbacks, checkpointer, verbose, watch)

    @property
    def compiles_own_step(self) -> bool:
        return True
