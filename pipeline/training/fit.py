"""The `fit` engine: Keras's own compiled loop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.training.options import TrainingOptions

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from pipeline.data.input_pipeline import TrainingFeed
    from pipeline.training.callbacks import Checkpointer
    from pipeline.training.objective import Objective


@dataclass
class Fit(TrainingOptions):
    """Keras's own compiled loop: compile + model.fit."""

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
        from pipeline.training import fit_loop

        fit_loop.run(objective, feed, validation, self.epochs, callbacks, checkpointer, verbose)

    @property
    def compiles_own_step(self) -> bool:
        return False
