"""The last layers of a model: one output layer per label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.errors import ConfigError
from pipeline.layer_names import layer_name
from pipeline.lazy import keras
from pipeline.spec import CLASS, ONE_HOT, REAL, DataSpec, Label, ModelLabel

if TYPE_CHECKING:
    from pipeline.models.model import ModelOptions

UNIT = "_unit"  # ends the name of a layer that returns values in the unit of a label
ACTIVATIONS = {CLASS: "softmax", ONE_HOT: "softmax", REAL: "linear"}  # multi-label: sigmoid


def heads(model: ModelOptions, spec: DataSpec) -> dict[str, keras.Layer]:
    """Return one dense output layer per label, by the name of the label. The name of the layer is `layer_name` of it.

    The activation is softmax over classes, sigmoid for multi-label and linear for real labels. With
    `objective.quantiles`, a real label has one unit per quantile of each number, and a layer that orders them. The head
    of a normalized label ends in a Rescaling into the unit of the label. Outputs are float32 whatever the precision of
    the run, so that small probabilities do not become 0.
    """
    return {
        name: with_last_layers(
            name,
            label,
            keras.layers.Dense(
                label.units,
                activation=ACTIVATIONS.get(label.kind, "sigmoid"),
                dtype="float32",
                name=layer_name(name),
                **model.initializers(),
            ),
        )
        for name, label in spec.labels.items()
    }


def with_last_layers(name: str, label: Label, head: keras.Layer) -> keras.Layer:
    """Return the head of a label, or both it and the layers that order quantiles and return the unit of the label."""
    last = [*quantile_layers(label), *unit_layers(name, label)]
    return keras.Sequential([head, *last], name=layer_name(name)) if last else head


def quantile_layers(label: Label) -> list[keras.Layer]:
    """Return the layer that orders the quantiles of each number; [] if the model predicts no quantiles."""
    if not isinstance(label, ModelLabel) or not label.quantiles:
        return []
    from pipeline.layers.ordered_quantiles import OrderedQuantiles

    return [OrderedQuantiles(width=label.width, count=len(label.quantiles), dtype="float32")]


def unit_layers(name: str, label: Label) -> list[keras.layers.Rescaling]:
    """Return the layer from normalized values to the unit of a label; [] if the label is not normalized.

    It is not the inverse of a Normalization, which takes no standard deviation below 1e-7.
    """
    if not isinstance(label, ModelLabel) or not label.mean:
        return []
    each = max(1, len(label.quantiles))
    scale, offset = (
        values[0] if label.width == 1 else [value for value in values for _ in range(each)]
        for values in (label.deviation, label.mean)
    )
    return [keras.layers.Rescaling(scale, offset, dtype="float32", name=unit_layer_name(name))]


def unit_layer_name(label: str) -> str:
    """Return the name of the layer that returns the values of a label in its unit."""
    return f"{layer_name(label)}{UNIT}"


def only_head(model: ModelOptions, spec: DataSpec) -> keras.Layer:
    """Return the output layer of a model with one output.

    Raises:
        ConfigError: The data has several labels.
    """
    if len(spec.labels) > 1:
        raise ConfigError(
            f"model={model.choice}: expected data with one label; found {len(spec.labels)}: {', '.join(spec.labels)}. "
            "model=tabular and model=residual_cnn have one output per label."
        )
    return next(iter(heads(model, spec).values()))


def outputs(
    model: ModelOptions, spec: DataSpec, x: keras.KerasTensor
) -> keras.KerasTensor | dict[str, keras.KerasTensor]:
    """Return the outputs of a functional model from its last tensor (batch, units).

    They are a tensor if there is one label, since Keras then expects a single target; otherwise a dict by layer name.
    """
    tensors = {layer_name(name): head(x) for name, head in heads(model, spec).items()}
    return tensors if len(tensors) > 1 else next(iter(tensors.values()))
