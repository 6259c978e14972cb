"""The compiled training step of an objective: one step, several in one call, or with gradient statistics."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.training import gradients
from pipeline.training.gradients import GradientStatistics
from pipeline.training.objective import Objective, Update


class Steps:
    """The compiled training steps of an objective. The batches come from an iterator.

    Each method that trains returns whether each loss and gradient was finite, (steps, names) bool. The step is traced
    when the object is created, so that every variable exists before a checkpoint is restored.

    Attributes:
        names: The names of the columns of those arrays.
        per_execution: The number of steps in one call.
        full_steps: The number of batches at the start of an epoch that have the same shape.
        stack: The number of batches that `train_stack` trains; 0 if it must not be called.
        reset_metrics: A function that resets the metrics of the model.
    """

    def __init__(self, objective: Objective, element_spec: Any, full_steps: int) -> None:
        """Trace the steps.

        Args:
            objective: The objective, whose model is compiled.
            element_spec: The tf.TypeSpec structure of one batch.
            full_steps: The number of batches at the start of an epoch that have the same shape.
        """
        self.per_execution = objective.model.steps_per_execution
        self.full_steps = full_steps
        self.stack = min(self.per_execution, full_steps) if objective.jit else 0
        self.names = [name for update in objective.updates() for name in checked_names(update)]
        jit = objective.jit
        step = make_step(objective)
        compiled = tf.function(step, jit_compile=jit, reduce_retracing=True)
        recorded = tf.function(make_recorded_step(objective), jit_compile=jit, reduce_retracing=True)
        self._several = _several(compiled)
        self._stacked = _stacked(step, self.stack)
        self._recording = _recording(compiled, recorded)
        self._several.get_concrete_function(tf.data.IteratorSpec(element_spec), tf.TensorSpec([], tf.int32))
        # Traced, since the dozen operations of a metric, run one by one, take as long as steps of a small model.
        # Traced here and not at the first call, which makes TensorFlow warn of retracing after several short runs.
        self._read_metrics = tf.function(objective.model.get_metrics_result, autograph=False).get_concrete_function()
        self.reset_metrics = tf.function(objective.model.reset_metrics, autograph=False).get_concrete_function()

    def train(self, batches: Iterator[Any], count: int) -> np.ndarray:
        """Train `count` steps."""
        return self._several(batches, tf.constant(count)).numpy()

    def train_stack(self, batches: Iterator[Any]) -> np.ndarray:
        """Train `stack` steps in one call that XLA compiles as a whole. Their batches must have the same shape."""
        return self._stacked(batches).numpy()

    def train_and_record(
        self, batches: Iterator[Any], count: int, recorded: int
    ) -> tuple[np.ndarray, dict[str, GradientStatistics]]:
        """Train `count` steps, and return the gradient statistics of one of them.

        Args:
            batches: An iterator of a tf.data.Dataset.
            count: The number of steps.
            recorded: The number of the step whose gradients are recorded, counted from 0 in this call.

        Returns:
            Whether each loss and gradient was finite, (steps, names) bool; and update's name -> statistics.
        """
        finite, statistics = self._recording(batches, tf.constant(count), tf.constant(recorded))
        return finite.numpy(), statistics

    def metrics(self) -> dict[str, float]:
        """Return the current metrics by name. The call waits until the device has finished."""
        return {name: float(value) for name, value in self._read_metrics().items()}


def _several(step: Callable) -> tf.types.experimental.PolymorphicFunction:
    strategy = tf.distribute.get_strategy()

    @tf.function
    def several(batches: Iterator[Any], count: tf.Tensor) -> tf.Tensor:
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(count):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        return finite.stack()

    return several


def _stacked(step: Callable, count: int) -> Callable:
    """Compile a loop over `count` stacked batches as one XLA function, steps included."""
    strategy = tf.distribute.get_strategy()

    @tf.function(jit_compile=True)
    def loop(stack: Any) -> tf.Tensor:
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(count):
            finite = finite.write(position, step(tf.nest.map_structure(lambda values: values[position], stack)))  # noqa: B023
        return finite.stack()

    @tf.function
    def stacked(batches: Iterator[Any]) -> tf.Tensor:
        each = [next(batches) for _ in range(count)]
        return strategy.run(loop, args=(tf.nest.map_structure(lambda *values: tf.stack(values), *each),))

    return stacked


def _recording(step: Callable, recorded_step: Callable) -> Callable:
    """Compile the recorded step into the same call as the steps around it.

    A separate call for the recorded step would take longer than the statistics themselves.
    """
    strategy = tf.distribute.get_strategy()

    @tf.function
    def recording(batches: Iterator[Any], count: tf.Tensor, recorded: tf.Tensor) -> tuple[tf.Tensor, Any]:
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(recorded):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        is_finite, statistics = strategy.run(recorded_step, args=(next(batches),))
        finite = finite.write(recorded, is_finite)
        for position in tf.range(recorded + 1, count):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        return finite.stack(), statistics

    return recording


def make_step(objective: Objective) -> Callable[[Any], tf.Tensor]:
    """Return a function that trains one step on a batch: losses, gradients and update, for each Update in turn.

    It returns whether each loss and gradient was finite, (names,) bool.
    """
    updates = objective.updates()

    # without AutoGraph, like the step of Keras and that of preflight: converting it takes a second of CPU
    @tf.autograph.experimental.do_not_convert
    def step(batch: Any) -> tf.Tensor:
        finite, all_losses, auxiliary = [], {}, None
        for update in updates:
            losses, auxiliary, grads = compute_gradients(update, batch, tf.GradientTape())
            apply_gradients(update, grads)
            finite.append(are_finite(update, losses, grads))
            all_losses |= losses
        objective.measure(batch, all_losses, auxiliary)
        return tf.concat(finite, axis=0)

    return step


def make_recorded_step(objective: Objective) -> Callable[[Any], tuple[tf.Tensor, dict[str, GradientStatistics]]]:
    """Return the same step, which also returns update's name -> statistics of its gradients."""
    updates = objective.updates()

    @tf.autograph.experimental.do_not_convert
    def step(batch: Any) -> tuple[tf.Tensor, dict[str, GradientStatistics]]:
        finite, all_losses, statistics, auxiliary = [], {}, {}, None
        for update in updates:
            tape = tf.GradientTape(persistent=True)
            losses, auxiliary, grads = compute_gradients(update, batch, tape)
            before = [tf.identity(variable) for variable in update.variables]
            apply_gradients(update, grads)
            statistics[update.name] = gradients.statistics_of(update, tape, losses, grads, before)
            finite.append(are_finite(update, losses, grads))
            all_losses |= losses
        objective.measure(batch, all_losses, auxiliary)
        return tf.concat(finite, axis=0), statistics

    return step


def compute_gradients(
    update: Update, batch: Any, tape: tf.GradientTape
) -> tuple[dict[str, tf.Tensor], Any, list[tf.Tensor | tf.IndexedSlices]]:
    """Compute the losses of a batch and the gradients of their sum.

    Returns:
        Loss name -> scalar; the auxiliary values for `Objective.measure`; and the gradients of the variables, scaled as
        the optimizer scales losses.
    """
    with tape:
        losses, auxiliary = update.losses(batch)
        total = update.optimizer.scale_loss(tf.add_n(list(losses.values())))
    return losses, auxiliary, tape.gradient(total, update.variables)


def apply_gradients(update: Update, grads: Sequence[tf.Tensor | tf.IndexedSlices]) -> None:
    """Apply the gradients of an update with its optimizer, which changes the variables."""
    update.optimizer.apply_gradients(zip(grads, update.variables, strict=True))


def checked_names(update: Update) -> list[str]:
    """Return the names of the values that `are_finite` checks, in the same order."""
    paths = [variable.path for variable in update.variables] if _gradients_must_be_finite(update) else []
    return [f"{update.name}'s loss", *(f"the gradient of {path}" for path in paths)]


def are_finite(
    update: Update, losses: dict[str, tf.Tensor], grads: Sequence[tf.Tensor | tf.IndexedSlices]
) -> tf.Tensor:
    """Return whether the sum of the losses, and each gradient, is finite: (names,) bool.

    Each gradient is checked by the sum of its numbers, which is finite only if every number is.
    """
    sums = [tf.add_n(list(losses.values()))]
    if _gradients_must_be_finite(update):
        sums += [tf.reduce_sum(gradients.values(grad)) for grad in grads]
    return tf.math.is_finite(tf.stack([tf.cast(each, tf.float32) for each in sums]))


def _gradients_must_be_finite(update: Update) -> bool:
    """Return whether a gradient that is not finite is an error.

    It is not with a LossScaleOptimizer, which skips a step whose gradients overflow and lowers the scale.
    """
    return not isinstance(update.optimizer, keras.optimizers.LossScaleOptimizer)
