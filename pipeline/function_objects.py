"""A loss and a metric made from a function."""

from collections.abc import Callable
from typing import Any

import keras


class FunctionLoss(keras.losses.Loss):
    """The loss of a function (y_true, y_pred) -> (batch,) or (batch, ...); the mean of a row is the loss of the row.

    Labels get the axis that outputs have in addition, (batch,) -> (batch, 1), so that a function that subtracts them
    compares each row with itself.
    """

    def __init__(self, function: Callable[[Any, Any], Any], **arguments: Any) -> None:
        super().__init__(**{"name": function.__name__, **arguments})
        self.function = function

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row: (batch,)."""
        if len(y_true.shape) == len(y_pred.shape) - 1 and y_pred.shape[-1] == 1:
            y_true = keras.ops.expand_dims(y_true, -1)
        values = self.function(y_true, y_pred)
        return keras.ops.mean(values, axis=tuple(range(1, len(values.shape)))) if len(values.shape) > 1 else values


class FunctionMetric(keras.metrics.MeanMetricWrapper):
    """The mean of a function (y_true, y_pred) -> (batch,) over the rows of an epoch, named after the function."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        super().__init__(function, name=function.__name__)
