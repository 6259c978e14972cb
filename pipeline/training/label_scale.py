"""Real labels of any size: the model predicts normalized values, and the gradient of the loss is scaled alike.

The outputs of the model, the losses and the metrics stay in the unit of the label. Training is that of normalized
labels: for the mean squared error, the gradient is divided by the variance of the label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from pipeline.errors import ConfigError
from pipeline.keras_internals import all_layers
from pipeline.layers import heads
from pipeline.quantile_objects import QuantileLoss
from pipeline.spec import REAL, DataSpec, Label, ModelLabel
from pipeline.training.baselines import columns_of, compares_numbers, loss_of_constant, mean_and_deviation

if TYPE_CHECKING:
    from pipeline.config import Config

AUTO = "auto"


@dataclass(frozen=True)
class LossScale:
    """How the loss of a label is scaled so that labels of any size are learned alike.

    weight: The weight of the loss among those of several labels: 1 / loss of predicting the mean.
    columns: (width,) float64, the same for the loss of each column alone.
    """

    weight: float
    columns: np.ndarray


def with_normalized_labels(config: Config, spec: DataSpec, labels: Mapping[str, np.ndarray]) -> DataSpec:
    """Return the spec that the model is built for, with the statistics of the real labels that it normalizes.

    Args:
        config: The config of the run.
        spec: As the objective has it.
        labels: The labels of the training split, by name.

    Raises:
        ConfigError: data.normalize_labels is true, and no label can be normalized.
    """
    wanted = config.data.normalize_labels
    if not wanted:
        return spec
    chosen = {}
    if config.objective.predicts_labels:
        losses = config.objective.label_losses(spec)
        for name, label in spec.labels.items():
            if label.kind != REAL or label.shape not in ((), (label.width,)):
                continue
            columns = columns_of(label, labels[name])
            if wanted != AUTO or compares_numbers(losses[name], columns):
                chosen[name] = normalized_label(label, columns)
    if wanted != AUTO and not chosen:
        kinds = ", ".join(f"{name} ({label.kind})" for name, label in spec.labels.items())
        raise ConfigError(
            f"data.normalize_labels: expected a real label of a supervised objective, one row each; found {kinds} with "
            f"objective={config.objective.choice}. Set data.normalize_labels=auto."
        )
    return replace(spec, labels=spec.labels | chosen)


def normalized_label(label: Label, columns: np.ndarray) -> ModelLabel:
    """Return a real label with the statistics of its training values, (rows, width)."""
    mean, deviation = (tuple(map(float, values)) for values in mean_and_deviation(columns))
    return ModelLabel(**vars(label) | {"mean": mean, "deviation": deviation})


def loss_scales(
    model: keras.Model, losses: Mapping[str, keras.losses.Loss], spec: DataSpec, labels: Mapping[str, np.ndarray]
) -> dict[str, LossScale]:
    """Return the scale of the loss of each label that a model normalizes, by label.

    Args:
        model: The built model.
        losses: By label.
        spec: The spec of the data.
        labels: The labels of the training split, by name.
    """
    normalized = statistics(model, spec)
    return {
        name: loss_scale(losses[name], columns_of(label, labels[name]))
        for name, label in spec.labels.items()
        if name in normalized and name in labels
    }


def statistics(model: keras.Model, spec: DataSpec) -> dict[str, dict[str, Any]]:
    """Return the mean and the standard deviation by which a model normalizes labels, by label, ready for JSON."""
    layers = {layer.name: layer for layer in all_layers(model) if isinstance(layer, keras.layers.Rescaling)}
    units = {name: layers.get(heads.unit_layer_name(name)) for name in spec.labels}
    return {
        name: {
            "mean": per_number(unit.offset, spec.labels[name]),
            "deviation": per_number(unit.scale, spec.labels[name]),
        }
        for name, unit in units.items()
        if unit is not None
    }


def per_number(values: Any, label: Label) -> Any:
    """Return the statistic of each number of a label, from that of each output unit, which may be a quantile."""
    return values[:: len(values) // label.width] if isinstance(values, list) else values


def loss_scale(loss: keras.losses.Loss, targets: np.ndarray) -> LossScale:
    """Return the scale of a loss for the training values of a label, (rows, width)."""
    mean, _ = mean_and_deviation(targets)
    weight = inverse(loss_of_constant(loss, targets, mean))
    alone = [loss_of_constant(loss, targets[:, [index]], mean[[index]]) for index in range(len(mean))]
    if None in alone:  # a loss of one's own that takes all columns together
        return LossScale(weight, np.full(len(mean), weight))
    return LossScale(weight, np.array([inverse(value) for value in alone]))


def inverse(loss: float | None) -> float:
    """Return 1 / loss; 1 for a loss that is not above 0, as that of a constant label."""
    with np.errstate(over="ignore"):
        value = np.inf if loss is None or loss <= 0 else float(np.float32(1 / loss))
    return value if np.isfinite(value) and value > 0 else 1.0


def scale_gradient(loss: keras.losses.Loss, factors: np.ndarray) -> None:
    """Make a loss scale its gradient with respect to the outputs. Its value stays the same, and so does its class.

    Preflight and the saved model know it as the loss of Keras that it is.

    Args:
        loss: The loss, which is changed.
        factors: (width,), of the gradient with respect to the output units of each number.
    """
    if (factors == 1).all():
        return
    if isinstance(loss, QuantileLoss):
        factors = np.repeat(factors, len(loss.quantiles))
    call: Callable[[Any, Any], Any] = loss.call
    constant = factors.astype(np.float32)

    def call_with_scaled_gradient(y_true: Any, y_pred: Any) -> Any:
        value = keras.ops.stop_gradient(y_pred)
        factor = keras.ops.cast(constant, y_pred.dtype)
        return call(y_true, value + factor * (y_pred - value))  # the difference is 0, its gradient is the factor

    loss.call = call_with_scaled_gradient
