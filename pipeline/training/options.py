"""Options that both training engines have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.options import Options, option, section

if TYPE_CHECKING:
    from collections.abc import Sequence

    import keras
    import tensorflow as tf

    from pipeline.data.input_pipeline import TrainingFeed
    from pipeline.training.checkpointer import Checkpointer
    from pipeline.training.objective import Objective

MODES = ("auto", "min", "max")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass
class EarlyStopping(Options):
    """Options of keras.callbacks.EarlyStopping."""

    key: ClassVar[str] = "training.early_stopping"

    patience: int | None = option(None, "epochs without improvement before the run ends; null: never", min=0)
    monitor: str = option("val_loss", "a loss or metric in the logs of an epoch")
    mode: str = option("auto", "which direction of the monitored value is better", choices=MODES)
    min_delta: float = option(0.0, "smallest change that is an improvement", min=0)
    restore_best_weights: bool = option(True, "end with the weights of the best epoch")


@dataclass
class Plateau(Options):
    """Options of keras.callbacks.ReduceLROnPlateau."""

    key: ClassVar[str] = "training.plateau"

    patience: int | None = option(
        None, "epochs without improvement before the learning rate is reduced; null: never", min=1
    )
    monitor: str = option("val_loss", "a loss or metric in the logs of an epoch")
    mode: str = option("auto", "which direction of the monitored value is better", choices=MODES)
    factor: float = option(0.1, "factor of a reduction", min=0, below=1)
    min_lr: float = option(0.0, "the smallest learning rate", min=0)


@dataclass
class Checkpoints(Options):
    """When checkpoints are written: at whichever comes first, at the end, and when a stop is requested."""

    key: ClassVar[str] = "training.checkpoints"

    epochs: int | None = option(1, "epochs between two checkpoints; null: not by epochs", min=1)
    steps: int | None = option(
        None, "steps between two checkpoints, counted over the whole run; null: not by steps", min=1, max=10**9
    )
    minutes: float | None = option(None, "minutes between two checkpoints; null: not by time", min=0)
    keep: int = option(2, "number of newest checkpoints to keep, besides that of the best epoch", min=1)
    on_error: str = option(
        "stop",
        "if a checkpoint cannot be written, on a full disk: stop ends the run, continue trains on",
        choices=("stop", "continue"),
    )


@dataclass
class TrainingOptions(Options):
    """Base class of the training engines."""

    key: ClassVar[str] = "training"

    epochs: int = option(30, "passes over the training split", min=1, changes_result=False)
    batch_size: int = option(64, "examples per step", min=1)
    steps_per_execution: int = option(1, "steps in one call of the compiled graph", min=1)
    precision: str = option("float32", "the dtype policy of the layers", choices=PRECISIONS)
    jit: str = option(
        "never",
        "compile the step with XLA, which changes the bits; auto: if it is faster for the device and the layers",
        choices=("never", "always", "auto"),
    )
    early_stopping: EarlyStopping = section(EarlyStopping, "keras.callbacks.EarlyStopping")
    plateau: Plateau = section(Plateau, "keras.callbacks.ReduceLROnPlateau")
    checkpoints: Checkpoints = section(Checkpoints, "states from which a stopped run resumes", changes_result=False)
    resume: str = option(
        "auto",
        "an unfinished run of this name: auto resumes it, never refuses it",
        choices=("auto", "never"),
        changes_result=False,
    )
    tensorboard: bool = option(True, "write logs for `make tensorboard`", changes_result=False)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Return the number of steps of the whole run."""
        return self.epochs * steps_per_epoch

    @property
    def compiles_own_step(self) -> bool:
        """Whether the engine compiles the training step itself instead of leaving that to Keras."""
        raise NotImplementedError(f"{type(self).__name__}.compiles_own_step")

    def compiles_with_xla(self, model: keras.Model) -> bool:
        """Return whether XLA compiles the training step of a model, as `jit` and the engine decide."""
        raise NotImplementedError(f"{type(self).__name__}.compiles_with_xla")

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
        """Train from the state of the checkpointer to the last epoch.

        Args:
            objective: The objective, whose model is compiled.
            feed: The batches of the training split.
            validation: The batches of the validation split, if there is one.
            callbacks: Keras callbacks, without the checkpointer.
            checkpointer: Holds the state to start from, and writes the next ones.
            verbose: 0 prints nothing, 1 a progress bar, 2 one line per epoch, as for Model.fit.
            folder: The run folder.

        Raises:
            Interrupted: A stop was requested; a checkpoint is saved.
            ConfigError: A loss or a gradient is not finite.
        """
        raise NotImplementedError(f"{type(self).__name__}.train")


def end_epoch(
    objective: Objective,
    validation: tf.data.Dataset | None,
    epoch: int,
    logs: dict[str, float],
    callbacks: keras.callbacks.CallbackList,
) -> dict[str, float]:
    """Validate after the last step of an epoch, and call `on_epoch_end`.

    Args:
        objective: The objective, whose model is compiled.
        validation: The batches of the validation split, if there is one.
        epoch: The number of the epoch, counted from 0.
        logs: Metric name -> value over the steps of the epoch.
        callbacks: The callbacks of the training.

    Returns:
        The logs and the metrics of the validation, whose names start with val_.
    """
    if validation is not None:
        scores = objective.evaluate(validation, callbacks)
        logs = logs | {f"val_{name}": value for name, value in scores.items()}
    callbacks.on_epoch_end(epoch, logs)
    return logs
