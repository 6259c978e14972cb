"""Private names of Keras and TensorFlow that have no public equivalent, one function each.

An upgrade may rename or remove any of them; tests/test_keras_internals.py shows which one. No other module uses a
private name of theirs.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import keras
import tensorflow as tf
from keras.src.backend import get_keras_mask
from keras.src.backend.common import global_state
from keras.src.models.functional import Functional
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from tensorflow.python.client import device_lib
from tensorflow.python.eager import context

FUNCTIONAL = Functional  # the class of keras.Model(inputs, outputs)


def all_layers(model: keras.Layer) -> list[keras.layers.Layer]:
    """Return a model, or a layer, and every layer in it; `keras.Model.layers` holds the first level only."""
    return list(model._flatten_layers())


def last_layers(model: keras.Model) -> list[list[keras.Layer]]:
    """Return for each output of a model the layers in a row that end in it, the last one first; [] if subclassed."""
    chains = []
    for tensor in keras.tree.flatten(getattr(model, "outputs", None) or []):
        layers: list[keras.Layer] = []
        while tensor is not None:
            layer, index, _ = tensor._keras_history
            inside = last_layers(layer) if isinstance(layer, keras.Model) else []
            layers += inside[0] if len(inside) == 1 else [layer]
            sources = layer._inbound_nodes[index].input_tensors if layer._inbound_nodes else []
            tensor = sources[0] if len(sources) == 1 and not isinstance(layer, keras.layers.InputLayer) else None
        chains.append(layers)
    return chains


def add_metric(model: keras.Model, metric: keras.metrics.Metric) -> None:
    """Add a metric to those that a compiled model resets, reports and saves.

    A built subclassed model refuses a metric that is set as an attribute.
    """
    model._metrics.append(metric)


def better_direction(metric: keras.metrics.Metric) -> str | None:
    """Return "max" or "min", the better direction of a metric; None if it is not known.

    Keras's callbacks know the direction of all metrics of Keras except counts of rows.
    """
    if isinstance(metric, (keras.metrics.TruePositives, keras.metrics.TrueNegatives)):
        return "max"
    if isinstance(metric, (keras.metrics.FalsePositives, keras.metrics.FalseNegatives)):
        return "min"
    return {"up": "max", "down": "min"}.get(getattr(metric, "_direction", ""))


def set_better_direction(metric: keras.metrics.Metric, direction: str | None) -> None:
    """Set the better direction of a metric for Keras's callbacks: "max", "min", or None if it is not known."""
    metric._direction = {"max": "up", "min": "down"}.get(direction or "")


def learning_rate_schedule(
    optimizer: keras.optimizers.Optimizer,
) -> keras.optimizers.schedules.LearningRateSchedule | None:
    """Return the learning-rate schedule of an optimizer; None if its learning rate is a number."""
    rate = optimizer._learning_rate
    return rate if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule) else None


@contextmanager
def limited_variables(most: int) -> Iterator[None]:
    """Limit the variables that the block creates. The size is compared before memory is taken.

    Args:
        most: The largest number of bytes of all new variables together.

    Raises:
        MemoryError: In the block: the next variable would exceed the limit.
    """
    original, total = keras.Variable._initialize_with_initializer, 0

    def initialize(variable: Any, initializer: Any) -> None:
        nonlocal total
        total += math.prod(variable._shape) * tf.as_dtype(variable._dtype).size
        if total > most:
            raise MemoryError(
                f"expected variables of at most {most:,} bytes; found {variable.path} of shape {tuple(variable._shape)}"
            )
        original(variable, initializer)

    keras.Variable._initialize_with_initializer = initialize
    try:
        yield
    finally:
        keras.Variable._initialize_with_initializer = original


def mask_of(outputs: Any) -> tf.Tensor | None:
    """Return the mask that a layer attached to its outputs, (batch,) or (batch, steps); None if there is none."""
    return get_keras_mask(outputs)


def global_seed_generator() -> keras.random.SeedGenerator | None:
    """Return the generator that Keras's layers and functions share; None before it is first used."""
    return global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)


def forget_global_seed_generator() -> None:
    """Let Keras make its shared seed generator again at its next use."""
    global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)


def eager_seed_generator() -> Random | None:
    """Return the generator of the seeds that TensorFlow gives to stateful operations; None before a seed is set."""
    return getattr(context.context(), "_rng", None)


def called_function(graph: tf.Graph, name: str) -> tf.Graph | None:
    """Return the graph of a function that an operation of `graph` calls by name; None if it has none."""
    return getattr(graph._get_function(name), "graph", None)


def gpu_memory() -> list[int]:
    """Return the bytes that TensorFlow may use of each visible GPU."""
    return [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
