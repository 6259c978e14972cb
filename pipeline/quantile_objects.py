"""The loss of predicted quantiles, and metrics of their median.

Outputs of a model of quantiles are (batch, width x quantiles): all quantiles of the first number of the label, in
increasing order, then those of the next.
"""

from collections.abc import Sequence
from typing import Any, override

import keras
from keras import ops

from pipeline.keras_internals import better_direction, set_better_direction
from pipeline.spec import MEDIAN


@keras.saving.register_keras_serializable("pipeline")
class QuantileLoss(keras.losses.Loss):
    """The pinball loss, averaged over the quantiles (Koenker and Bassett 1978, "Regression Quantiles").

    An error of 1 costs q if the label is above the quantile q, and 1 - q if it is below.
    """

    def __init__(self, quantiles: Sequence[float], **arguments: Any) -> None:
        """Create the loss.

        Args:
            quantiles: In increasing order, each between 0 and 1.
            **arguments: Arguments of keras.losses.Loss.
        """
        super().__init__(**{"name": "quantile_loss", **arguments})
        self.quantiles = [*quantiles]

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row, (batch,). Outputs (batch, width) count as every quantile.

        Raises:
            ValueError: The outputs have another width.
        """
        y_pred = ops.convert_to_tensor(y_pred)
        y_true = ops.cast(ops.convert_to_tensor(y_true), y_pred.dtype)
        width = y_true.shape[-1] if len(y_true.shape) > 1 else 1
        units = y_pred.shape[-1]
        if units not in (width, width * len(self.quantiles)):
            raise ValueError(
                f"expected {width * len(self.quantiles)} output units, one per quantile and number; found {units}."
            )
        errors = ops.reshape(y_true, (-1, width, 1)) - ops.reshape(y_pred, (-1, width, units // width))
        levels = ops.convert_to_tensor(self.quantiles, y_pred.dtype)
        return ops.mean(ops.maximum(levels * errors, (levels - 1) * errors), axis=(1, 2))

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "quantiles": self.quantiles}


@keras.saving.register_keras_serializable("pipeline")
class MedianMetric(keras.metrics.Metric):
    """A metric of Keras that gets the median of predicted quantiles as the prediction."""

    def __init__(
        self, metric: keras.metrics.Metric, quantiles: Sequence[float], *, name: str | None = None, dtype: Any = None
    ) -> None:
        """Create the metric.

        Args:
            metric: A new metric of real numbers.
            quantiles: As for `QuantileLoss`; MEDIAN is one of them.
            name: By default the name of the metric.
            dtype: The dtype of the sums; by default that of Keras.
        """
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric = metric
        self.quantiles = [*quantiles]
        set_better_direction(self, better_direction(metric))

    @override
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add the rows of a batch."""
        self.metric.update_state(y_true, median_of(ops.convert_to_tensor(y_pred), self.quantiles), sample_weight)

    @override
    def result(self) -> Any:
        return self.metric.result()

    @override
    def reset_state(self) -> None:
        self.metric.reset_state()

    @override
    def get_config(self) -> dict[str, Any]:
        metric = keras.saving.serialize_keras_object(self.metric)
        return {**super().get_config(), "metric": metric, "quantiles": self.quantiles}

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> "MedianMetric":
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})


def median_of(outputs: Any, quantiles: Sequence[float]) -> Any:
    """Return the medians, (batch, width), of an array or tensor of quantiles (batch, width x quantiles)."""
    return outputs[:, [*quantiles].index(MEDIAN) :: len(quantiles)]
