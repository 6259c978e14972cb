"""Quantiles that never cross: each is the one below it plus a number above 0."""

from typing import Any, override

import keras
from keras import ops


@keras.saving.register_keras_serializable("pipeline")
class OrderedQuantiles(keras.layers.Layer):
    """Turn any numbers into increasing quantiles: the first stays, each other is its softplus plus the one before."""

    def __init__(self, *, width: int, count: int, **arguments: Any) -> None:
        """Create the layer.

        Args:
            width: How many numbers the label has.
            count: How many quantiles each number has.
            **arguments: Arguments of keras.layers.Layer.
        """
        super().__init__(**arguments)
        self.width, self.count = width, count

    @override
    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Check the number of units.

        Raises:
            ValueError: It is another one.
        """
        units = self.width * self.count
        if tuple(input_shape[1:]) != (units,):  # a list if the layer is loaded
            raise ValueError(
                f"expected {units} output units for objective.quantiles, one per quantile of each number of the label; "
                f"found the shape {tuple(input_shape[1:])}. Set units: {units} in the last layer."
            )

    @override
    def call(self, inputs: Any) -> Any:
        """Return quantiles (batch, width x count) from numbers of this shape."""
        numbers = ops.reshape(inputs, (-1, self.width, self.count))
        steps = ops.concatenate([numbers[..., :1], ops.softplus(numbers[..., 1:])], axis=-1)
        return ops.reshape(ops.cumsum(steps, axis=-1), (-1, self.width * self.count))

    @override
    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "width": self.width, "count": self.count}
