"""A loss and a metric made from a function of custom/losses.py or custom/metrics.py."""

from collections.abc import Callable
from typing import Any, override

import keras
from keras import ops

from pipeline import custom_code
from pipeline.errors import ConfigError
from pipeline.keras_internals import mask_of

Function = Callable[[Any, Any], Any]


@keras.saving.register_keras_serializable("pipeline")
class FunctionLoss(keras.losses.Loss):
    """A loss whose values come from a function (y_true, y_pred) -> (batch,) or (batch, ...).

    The loss of a row is the mean of its values. If the outputs have a mask over steps, only the steps that the mask
    keeps count.
    """

    def __init__(self, function: Function, **arguments: Any) -> None:
        """Create the loss.

        Args:
            function: A function that returns one value per row, or one per number of a row.
            **arguments: The arguments of keras.losses.Loss. The default name is that of the function.
        """
        super().__init__(**{"name": function.__name__, **arguments})
        self.function = function

    def __call__(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Return the loss of a batch: the weighted mean over its rows, or over the steps that a mask keeps."""
        mask = mask_of(y_pred)
        if mask is None:
            return super().__call__(y_true, y_pred, sample_weight)
        steps = _StepLoss(self.function, len(mask.shape), name=self.name, reduction=self.reduction, dtype=self.dtype)
        return steps(y_true, y_pred, _with_rank(sample_weight, len(mask.shape)))

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Return the loss of each row: (batch,)."""
        return _reduced(_values(self.function, y_true, y_pred), 1)

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.function.__name__}

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> "FunctionLoss":
        return cls(**{**config, "function": _find("losses", config["function"])})


class _StepLoss(keras.losses.Loss):
    """A loss per step, (batch, steps): Keras applies a mask over steps only to losses of the same rank."""

    def __init__(self, function: Function, rank: int, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.function = function
        self.rank = rank

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        return _reduced(_with_rank(_values(self.function, y_true, y_pred), self.rank), self.rank)


@keras.saving.register_keras_serializable("pipeline")
class FunctionMetric(keras.metrics.Mean):
    """The mean of a function (y_true, y_pred) -> (batch,) or (batch, ...) over the rows of an epoch.

    If the outputs have a mask over steps, the mean is taken over the steps that the mask keeps.
    """

    def __init__(self, function: Function, **arguments: Any) -> None:
        """Create the metric.

        Args:
            function: A function that returns one value per row, or one per number of a row.
            **arguments: The arguments of keras.metrics.Mean. The default name is that of the function.
        """
        super().__init__(**{"name": function.__name__, **arguments})
        self.function = function

    @override  # Mean takes (values, sample_weight); keras.metrics.MeanMetricWrapper overrides it in the same way
    def update_state(  # pyrefly: ignore[bad-override]
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add the rows of a batch."""
        mask = mask_of(y_pred)
        if mask is None:
            super().update_state(self.values_of_rows(y_true, y_pred), sample_weight)
            return
        rank = len(mask.shape)
        values = _reduced(_with_rank(_values(self.function, y_true, y_pred), rank), rank)
        weights = ops.cast(mask, self.dtype)
        if sample_weight is not None:
            weights = weights * ops.cast(_with_rank(sample_weight, rank), self.dtype)
        super().update_state(ops.broadcast_to(values, ops.shape(weights)), weights)

    def values_of_rows(self, y_true: Any, y_pred: Any) -> Any:
        """Return the value of each row: (batch,)."""
        return _reduced(_values(self.function, y_true, y_pred), 1)

    @override
    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "function": self.function.__name__}

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> "FunctionMetric":
        return cls(**{**config, "function": _find("metrics", config["function"])})


def _find(kind: str, name: str) -> Function:
    """Return the function of custom/KIND.py that a saved model names.

    Raises:
        ConfigError: The file has no such function.
    """
    function = custom_code.definitions(kind).get(name)
    if function is None:
        raise ConfigError(f"custom/{kind}.py: expected the function {name}, which the saved model names; found none.")
    return function


def _values(function: Function, y_true: Any, y_pred: Any) -> Any:
    """Call a function so that either both arguments or neither have an axis of one unit. Return its values.

    Otherwise labels (batch,) and outputs (batch, 1) would broadcast to (batch, batch), which compares every row with
    every other row.

    Raises:
        ConfigError: The function does not return one value per row.
    """
    y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
    ranks = len(y_true.shape), len(y_pred.shape)
    if ranks[0] == ranks[1] - 1 and y_pred.shape[-1] == 1:
        values = function(ops.expand_dims(y_true, -1), y_pred)
    elif ranks[1] == ranks[0] - 1 and y_true.shape[-1] == 1:
        values = function(y_true, ops.expand_dims(y_pred, -1))
    else:
        values = function(y_true, y_pred)
    values = ops.convert_to_tensor(values)
    shape = tuple(values.shape)
    if not shape or (shape[0] is not None and shape[0] not in (y_true.shape[0], y_pred.shape[0])):
        raise ConfigError(
            f"{custom_code.location_of(function)}: expected {function.__name__} to return one value per row, (batch,) "
            f"or (batch, ...); found the shape {shape}. Take no mean or sum over the rows: Keras does, with weights "
            "and masks."
        )
    return values


def _reduced(values: Any, rank: int) -> Any:
    """Return the means of values over all axes except the first `rank` ones."""
    axes = tuple(range(rank, len(values.shape)))
    return ops.mean(values, axis=axes) if axes else values


def _with_rank(values: Any, rank: int) -> Any:
    """Append axes of length 1 to values or weights until they have this rank. Return None for None."""
    missing = () if values is None else tuple(range(len(values.shape), rank))
    return ops.expand_dims(values, missing) if missing else values
