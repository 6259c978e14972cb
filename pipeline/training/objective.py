"""What every objective is: a model, the updates that one step makes, and how the epoch is measured."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Update:
    """One move of some variables, down the gradient of some losses.

    name: for messages and logs. losses: batch -> (loss name -> scalar, what `Objective.measure` is to see), called
    inside a gradient tape; the total is the losses' sum. variables: the Keras variables it moves. optimizer: a Keras
    optimizer that was built for them.
    """

    name: str
    losses: Callable
    variables: list[keras.Variable]
    optimizer: keras.optimizers.Optimizer


class Objective(ABC):
    """What one batch teaches.

    model: a built keras.Model that holds every weight the run's digest covers. It is what callbacks see and what is
    saved; `model.optimizer` is the optimizer whose learning rate they may change. jit: whether XLA compiles the step.
    architecture: models.architecture.digest of the model as it was compiled, which preflight holds the model against;
    None where `compile` takes none.
    """

    model: keras.Model
    jit = False
    architecture = None

    @abstractmethod
    def compile(self, optimizer, training):
        """Compile the model with a Keras optimizer, and build every optimizer. training: a config.Training."""

    @abstractmethod
    def updates(self):
        """The Updates of one step, in the order they are made; the objective is compiled. The same objects each time
        are not promised, the same variables and optimizers are."""

    @abstractmethod
    def log_names(self):
        """What every epoch logs of its training; "loss" is among them."""

    def validation_names(self):
        """What `evaluate` returns, which an epoch logs with val_ before it."""
        return self.log_names()

    @abstractmethod
    def measure(self, batch, losses, seen):
        """Add one step to the metrics of the epoch.

        losses: of all updates together, by name. seen: what the last update's `losses` returned beside them.
        """

    def evaluate(self, batches, callbacks):
        """Validate on a tf.data.Dataset. callbacks: a keras.callbacks.CallbackList. Returns name -> float."""
        return self.model.evaluate(batches, callbacks=callbacks, verbose=0, return_dict=True)

    def class_weights(self, labels):
        """Label name -> (classes,) float32, the weight of a row of each, or None. labels: of the training rows."""
        return None

    def callbacks(self, folder):
        """Keras callbacks of the objective's own, for a run in a folder."""
        return []

    def own_variables(self):
        """Keras variables that advance and that neither the model nor an optimizer holds, such as learned weights of
        tasks."""
        return []

    def optimizers(self):
        """Every optimizer once, in the order of the updates."""
        return list({id(update.optimizer): update.optimizer for update in self.updates()}.values())

    def variables(self):
        """Everything that advances, by a name that holds its place: "0003/dense/kernel"."""
        every = [*self.model.variables, *self.own_variables()]
        for optimizer in self.optimizers():
            every += optimizer.variables
        every += self.model.metrics_variables
        return {f"{place:04d}/{variable.path}": variable for place, variable in enumerate(every)}


def with_batch_callbacks(batches, callbacks):
    """The batches of a validation, its callbacks told of each, so that a stop that is asked for need not wait for the
    last. callbacks: a keras.callbacks.CallbackList."""
    for number, batch in enumerate(batches):
        callbacks.on_test_batch_begin(number)
        yield batch
        callbacks.on_test_batch_end(number)
