"""The callbacks of Keras that the options of a training ask for."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, override

import keras

from pipeline.layer_names import keras_log_name
from pipeline.training.options import TrainingOptions


class EpochTensorBoard(keras.callbacks.TensorBoard):
    """TensorBoard without the summaries of each step: with one write per epoch they are dropped, but take time."""

    @override
    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        super().on_train_batch_end(batch)


def from_options(
    training: TrainingOptions, tensorboard_folder: Path, labels: Collection[str] = ()
) -> list[keras.callbacks.Callback]:
    """Return new callbacks of Keras, in the order in which they are called.

    Args:
        training: The options.
        tensorboard_folder: Where the logs for TensorBoard go.
        labels: The names of the labels, by which `monitor` may name a loss or metric.
    """
    early, plateau = training.early_stopping, training.plateau
    callbacks: list[keras.callbacks.Callback] = []
    if plateau.patience is not None:
        callbacks.append(
            keras.callbacks.ReduceLROnPlateau(
                keras_log_name(plateau.monitor, labels),
                plateau.factor,
                plateau.patience,
                mode=plateau.mode,
                min_lr=plateau.min_lr,
                min_delta=0,
            )
        )
    if early.patience is not None:
        callbacks.append(
            keras.callbacks.EarlyStopping(
                keras_log_name(early.monitor, labels),
                early.min_delta,
                early.patience,
                mode=early.mode,
                restore_best_weights=early.restore_best_weights,
            )
        )
    if training.tensorboard:
        callbacks.append(EpochTensorBoard(str(tensorboard_folder), write_graph=False))
    return callbacks


def restored_epoch(callbacks: Sequence[keras.callbacks.Callback]) -> int | None:
    """Return the epoch, counted from 1, whose weights early stopping restored; None if the last epoch's stayed."""
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.EarlyStopping) and callback.restore_best_weights:
            return callback.best_epoch + 1
    return None
