"""Metrics that an objective adds to its model. They are logged every epoch and saved in checkpoints."""

from typing import Any, override

import keras
from keras import ops

from pipeline.keras_internals import add_metric


class MeansOverRows(keras.metrics.Metric):
    """The means of several scalars per step, weighted by the rows of each step. `result` returns a dict.

    One keras.metrics.Mean per scalar would add a dozen operations each, a measurable part of a step of a millisecond.
    """

    def __init__(self, names: list[str]) -> None:
        """Create the metric.

        Args:
            names: The names of the scalars. If "loss" is one of them, its mean replaces the loss metric of Keras.
        """
        super().__init__(name="means")
        self.names = names
        self.total = self.add_variable((len(names),), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values: list[Any], rows: Any) -> None:
        """Add one step.

        Args:
            values: One scalar per name, in the order of `names`.
            rows: The number of rows that each scalar is a mean over.
        """
        rows = ops.cast(rows, self.dtype)
        self.total.assign_add(ops.stack([ops.cast(value, self.dtype) for value in values]) * rows)
        self.count.assign_add(rows)

    @override
    def result(self) -> dict[str, Any]:
        means = ops.divide_no_nan(self.total, self.count)
        return {name: means[position] for position, name in enumerate(self.names)}


class LatestValue(keras.metrics.Metric):
    """The latest value of a scalar. It is logged and saved like a mean, but not reset when an epoch begins."""

    def __init__(self, name: str, initial: float) -> None:
        """Create the metric with its first value."""
        super().__init__(name=name)
        self.value = self.add_variable((), keras.initializers.Constant(initial), name="value")

    @override
    def update_state(self, value: Any) -> None:
        self.value.assign(value)

    def reset_state(self) -> None:
        """Keep the value when an epoch begins."""

    @override
    def result(self) -> Any:
        return self.value + 0


def add_means(model: keras.Model, names: list[str]) -> MeansOverRows:
    """Add MeansOverRows of some names to the metrics of a compiled model, and return it."""
    means = MeansOverRows(names)
    add_metric(model, means)
    return means


def loss_mean(model: keras.Model) -> keras.metrics.Metric:
    """Return the metric in which a compiled model collects the mean of its loss."""
    return next(metric for metric in model.metrics if metric.name == "loss")
