"""Calibrate probabilities by monotone functions inside a model."""

from collections.abc import Sequence
from typing import Any, override

import keras
from keras import ops


@keras.saving.register_keras_serializable("pipeline")
class IsotonicCalibration(keras.layers.Layer):
    """Replace probabilities by those on a curve per class, linear between its points and constant beyond its ends."""

    def __init__(self, curves: Sequence[Sequence[Sequence[float]]], *, exclusive: bool, **arguments: Any) -> None:
        """Create the layer.

        Args:
            curves: For each class, the predicted probabilities in increasing order and the calibrated ones. Two
                exclusive classes, or one unit, have a single curve: that of the second class.
            exclusive: Whether the probabilities of a row are those of exclusive classes, which sum to 1.
            **arguments: Arguments of keras.layers.Layer.
        """
        super().__init__(**arguments)
        self.curves, self.exclusive = curves, exclusive

    @override
    def call(self, inputs: Any) -> Any:
        """Return calibrated probabilities: (batch, units)."""
        if self.exclusive and len(self.curves) == 1:
            second = self._on_curve(self.curves[0], inputs[:, 1])
            return ops.stack([1 - second, second], axis=1)
        columns = [self._on_curve(curve, inputs[:, index]) for index, curve in enumerate(self.curves)]
        calibrated = ops.stack(columns, axis=1)
        return calibrated / ops.sum(calibrated, axis=1, keepdims=True) if self.exclusive else calibrated

    def _on_curve(self, curve: Sequence[Sequence[float]], values: Any) -> Any:
        """Return the values (batch,) of a curve."""
        x, y = (ops.convert_to_tensor(points, values.dtype) for points in curve)
        if len(curve[0]) == 1:
            return ops.zeros_like(values) + y[0]
        right = ops.clip(ops.searchsorted(x, values), 1, len(curve[0]) - 1)
        x0, x1, y0, y1 = (ops.take(points, right + shift) for points in (x, y) for shift in (-1, 0))
        share = ops.clip((values - x0) / (x1 - x0), 0.0, 1.0)
        return y0 + share * (y1 - y0)

    @override
    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "curves": self.curves, "exclusive": self.exclusive}
