"""The interface of an objective: the model, the updates of one step, and the metrics of an epoch."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf

    from pipeline.training.options import TrainingOptions

type Batch = tuple[Any, ...]  # (x, y) or (x, y, sample weights), as the input pipeline makes it
type Losses = dict[str, Any]  # name -> scalar tensor


@dataclass(frozen=True)
class Update:
    """One step of an optimizer. It changes some variables to reduce the sum of some losses.

    Attributes:
        name: The name in messages and logs.
        losses: Batch -> (losses by name, auxiliary values for `Objective.measure`). Called inside a gradient tape.
        variables: The Keras variables that the optimizer changes.
        optimizer: A Keras optimizer that was built for `variables`.
    """

    name: str
    losses: Callable[[Batch], tuple[Losses, Any]]
    variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer


class Objective(ABC):
    """Defines the training step: which losses of a batch change which variables, and which metrics are logged.

    `losses` of an update and `measure` are traced without AutoGraph. A branch or loop that depends on a tensor must be
    `keras.ops.cond` or `keras.ops.while_loop`. Random numbers must come from a `keras.random.SeedGenerator`. Every
    value that changes during training must be a Keras variable. `own_variables` returns those that neither the model
    nor an optimizer holds. Then a resumed run gives the same bits.

    Attributes:
        model: A built Keras model that holds every weight of the run. Callbacks get this model, and the run saves it.
            Callbacks may change the learning rate of `model.optimizer`.
        jit: Whether XLA compiles the step.
        architecture: The digest of the model when it was compiled (`pipeline.layers.architecture.digest`), which
            preflight compares with the model; None if `compile` does not set it.
    """

    model: keras.Model
    jit: bool = False
    architecture: str | None = None

    def weigh_rows(self, class_weights: Mapping[str, np.ndarray] | None) -> None:
        """Prepare for batches whose sample weights are those of the rows; called before `compile`.

        Losses and metrics use the row weights. In the losses of training, they are multiplied by the class weights.

        Args:
            class_weights: Label name -> (classes,) float32, the weight of a row of each class; None: all count alike.

        Raises:
            ConfigError: The losses of this objective do not use row weights.
        """
        raise ConfigError(
            f"data.weight: expected an objective whose losses use row weights; found {type(self).__name__}. Set "
            "data.weight=''."
        )

    @abstractmethod
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        """Compile the model with an optimizer, and build every optimizer for its variables."""

    @abstractmethod
    def updates(self) -> list[Update]:
        """Return the updates of one step, in their order.

        The objective must be compiled. Each call may return new objects with the same variables and optimizers.
        """

    @abstractmethod
    def log_names(self) -> list[str]:
        """Return the names of the metrics of the training split that every epoch logs; "loss" is one of them."""

    def validation_names(self) -> list[str]:
        """Return the names that `evaluate` returns. An epoch logs them with the prefix val_."""
        return self.log_names()

    @abstractmethod
    def measure(self, batch: Batch, losses: Losses, auxiliary: Any) -> None:
        """Add one step to the metrics of the epoch.

        Args:
            batch: The batch of the step.
            losses: The losses of all its updates, by name.
            auxiliary: The auxiliary values that `losses` of the last update returned.
        """

    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        """Return metric name -> value over the batches of the validation split."""
        return self.model.evaluate(batches, callbacks=callbacks, verbose=0, return_dict=True)

    def callbacks(self, folder: Path) -> list[keras.callbacks.Callback]:
        """Return the Keras callbacks that this objective adds to every run.

        Args:
            folder: The run folder.
        """
        return []

    def own_variables(self) -> list[keras.Variable]:
        """Return the variables that change during training and that neither the model nor an optimizer holds."""
        return []

    def optimizers(self) -> list[keras.optimizers.Optimizer]:
        """Return every optimizer once, in the order of the updates."""
        return list({id(update.optimizer): update.optimizer for update in self.updates()}.values())

    def variables(self) -> dict[str, keras.Variable]:
        """Return every variable that changes during training, by a name with its position: "0003/dense/kernel"."""
        every = [*self.model.variables, *self.own_variables()]
        for optimizer in self.optimizers():
            every += optimizer.variables
        every += self.model.metrics_variables
        return {f"{position:04d}/{variable.path}": variable for position, variable in enumerate(every)}


def with_batch_callbacks(batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> Iterator[Batch]:
    """Yield the batches of a validation, and call the batch callbacks before and after each.

    A stop request then takes effect after the current batch.
    """
    for index, batch in enumerate(batches):
        callbacks.on_test_batch_begin(index)
        yield batch
        callbacks.on_test_batch_end(index)
