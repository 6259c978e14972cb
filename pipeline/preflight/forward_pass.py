"""One batch through the model as in prediction: the values of its outputs, and what they depend on."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import tensorflow as tf

from pipeline.layer_names import by_layer_name
from pipeline.preflight import graph, state
from pipeline.preflight.setup import Setup
from pipeline.spec import Feature

WEIGHTS = "trainable weights"
MORE_STEPS = 3  # steps of padding that are added to see whether they change an output
DRAWS = 2  # draws of noise; each is added to the weights, and then subtracted from them
LINEAR = 1e-3  # distance of a linear output from half-way, as a share of its standard deviation; rounding is smaller
SMALL_NOISE = 0.1  # standard deviation of the noise in the padding check: biases that start at 0 hide a leak
DROPPED = "does not support masking"  # part of Keras's warning that a layer drops a mask


@dataclass(frozen=True)
class Output:
    """One output of the model for a batch.

    reading: The last operation of the output.
    values: (rows, ...).
    padding_shift: The largest change of a value when padding is added to the rows, or removed from the shortest, as a
        share of the largest value; 0 if all rows have one length.
    features: The names of the features that it depends on.
    is_constant: Whether different rows get the same values, with other weights too.
    stays_in_unit: Whether all values are between 0 and 1, with other weights too.
    is_linear: Whether it is linear in the features, apart from a softmax or sigmoid at its end.
    """

    reading: graph.Reading
    values: np.ndarray
    padding_shift: float
    features: frozenset[str]
    is_constant: bool
    stays_in_unit: bool
    is_linear: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape for one row."""
        return self.values.shape[1:]

    @property
    def width(self) -> int:
        """The number of units: the size of the last axis."""
        return self.shape[-1] if self.shape else 1

    @property
    def sums_to_one(self) -> bool:
        """Whether every row is a distribution over the last axis."""
        values = self.values.astype(np.float64)
        # a softmax may have been computed in 16 bits
        is_coarse = self.values.dtype.itemsize < 4 or self.reading.operation == "Softmax"
        slack = 1e-2 if is_coarse else 1e-4
        return bool(
            values.ndim > 1
            and np.isfinite(values).all()
            and (values >= -slack).all()
            and (np.abs(values.sum(-1) - 1) < slack).all()
        )

    @property
    def is_distribution(self) -> bool:
        """Whether every row is a distribution over several units."""
        return self.sums_to_one and self.shape[-1] > 1

    @property
    def is_probability(self) -> bool:
        """Whether every value is a probability."""
        return self.sums_to_one or self.stays_in_unit


class Traced(Protocol):
    """A traced function of a batch."""

    graph: tf.Graph

    def __call__(self, x: Any, /) -> Any:
        """Return the value for a batch."""


@dataclass(frozen=True)
class FirstInput:
    """The numbers that meet the weights of a layer first, in a sample of training rows.

    layer: The name of the layer.
    values: (numbers, columns): the last axis of the input of the layer, such as its channels, are the columns.
    varying: The indices of the columns that are those of a feature which differ between the rows.
    """

    layer: str
    values: np.ndarray
    varying: frozenset[int]


@dataclass(frozen=True)
class Prediction:
    """outputs: By label. dropped: Keras's warnings on layers that drop a mask."""

    outputs: dict[str, Output]
    first_inputs: tuple[FirstInput, ...]
    dropped: tuple[str, ...]


def predict(setup: Setup, x: Any, more: Iterable[Any] = ()) -> Prediction:
    """Return the prediction for a batch.

    Args:
        setup: The set-up.
        x: A tensor, or tensors by feature.
        more: The same of further batches, for the first inputs only.

    Raises:
        Exception: What Keras or a layer raises if the model cannot take the batch.
    """
    layers = {layer.name for layer in setup.layers}
    readings, features_of, first_layers, first_features = {}, {}, [], []

    def forward(x: Any) -> tuple[dict[str, tf.Tensor], list[tf.Tensor]]:
        features = setup.by_feature(x)
        outputs = setup.by_label(setup.model(x, training=False))
        here = tf.compat.v1.get_default_graph()
        sources = {name: [value] for name, value in features.items()} | {WEIGHTS: _weights(setup, here)}
        origins = graph.dependence(here, sources)
        for name, output in outputs.items():
            readings[name] = graph.read(output, layers)
            features_of[name] = origins(output) & set(features)
        first = graph.first_inputs(here, origins, WEIGHTS, set(features))
        consumers = [tensor.consumers() for tensor in first]
        first_layers.extend(graph.layer_of(users[0], layers) if users else "" for users in consumers)
        first_features.extend(origins(tensor) & set(features) for tensor in first)
        return outputs, first

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        function = tf.function(forward, autograph=False).get_concrete_function(_specs(setup))
    with state.variables_restored(function.graph):
        outputs, first = _numpy(function(x))
        linear = _linear(setup, function, x, readings)
        sample = [(x, first), *((batch, _numpy(function(batch))[1]) for batch in more)]
        shifts = dict.fromkeys(outputs, 0.0)
        if any(feature.variable_length for feature in setup.spec.features.values()):
            shifts = _largest_padding_shifts(setup, function, x, outputs)
    with state.variables_restored(function.graph):
        constant, in_unit = _with_all_weights(setup, function, x, outputs, readings)
    messages = [str(warning.message) for warning in caught]
    return Prediction(
        outputs={
            name: Output(
                reading=readings[name],
                values=values,
                padding_shift=shifts[name],
                features=features_of[name],
                is_constant=name in constant,
                stays_in_unit=name in in_unit,
                is_linear=name in linear,
            )
            for name, values in outputs.items()
        },
        first_inputs=tuple(
            _first_input(
                setup,
                layer,
                features,
                [(setup.by_feature(batch), tensors[position]) for batch, tensors in sample],
            )
            for position, (layer, features) in enumerate(zip(first_layers, first_features, strict=True))
        ),
        dropped=tuple(message.splitlines()[0] for message in messages if DROPPED in message),
    )


def _linear(setup: Setup, function: Traced, x: Any, readings: dict[str, graph.Reading]) -> set[str]:
    """Return the names of the outputs whose value half-way between two rows is half-way between theirs.

    Of integers, even numbers are used, so that half-way between them lies an integer.
    """
    features = setup.by_feature(x)
    rows = min(len(value) for value in features.values()) // 2
    specs = setup.spec.features.values()
    if not rows or any(spec.variable_length or spec.dtype == "string" for spec in specs):
        return set()
    values = {name: value.numpy() for name, value in features.items()}
    even = {name: array if array.dtype.kind == "f" else array // 2 * 2 for name, array in values.items()}
    points = {}
    for name, array in even.items():
        one, other = array[:rows], array[rows : 2 * rows]
        middle = one / 2 + other / 2 if array.dtype.kind == "f" else one // 2 + other // 2
        points[name] = tf.constant(np.concatenate([one, other, middle]).astype(array.dtype))
    outputs, _ = _numpy(function(by_layer_name(points) if isinstance(x, dict) else next(iter(points.values()))))
    linear = set()
    for name, output in outputs.items():
        one, other, middle = np.split(_before_squash(output.astype(np.float64), readings[name].operation), 3)
        spread = np.std(np.concatenate([one, other]), axis=0).max()  # NaN and infinity are not linear
        if 0 < spread < np.inf and np.abs(middle - (one + other) / 2).max() <= LINEAR * spread:
            linear.add(name)
    return linear


def _before_squash(values: np.ndarray, operation: str) -> np.ndarray:
    """Return the numbers that a last softmax, up to the mean of a row, or sigmoid took; else the values."""
    with np.errstate(all="ignore"):
        if operation == "Softmax":
            logs = np.log(values)
            return logs - logs.mean(axis=-1, keepdims=True)
        return np.log(values / (1 - values)) if operation == "Sigmoid" else values


def _specs(setup: Setup) -> Any:
    """Return the TensorSpec of a batch of any number of rows; a dict of them if there are several features."""
    specs = {
        name: tf.TensorSpec((None, *feature.shape), feature.dtype) for name, feature in setup.spec.features.items()
    }
    return by_layer_name(specs) if len(specs) > 1 else next(iter(specs.values()))


def _weights(setup: Setup, here: tf.Graph) -> list[tf.Tensor]:
    """Return the captured handles of the trainable variables in a graph."""
    handles = {id(variable.value.handle) for variable in setup.model.trainable_variables}
    return [inner for outer, inner in here.captures if id(outer) in handles]


def _first_input(
    setup: Setup, layer: str, features: frozenset[str], sample: list[tuple[dict[str, tf.Tensor], np.ndarray]]
) -> FirstInput:
    """Return the numbers that meet weights in some batches, without the steps that are padding.

    Args:
        setup: The set-up.
        layer: The layer that meets them.
        features: The names of the features that they depend on.
        sample: Batches of (x by feature, the tensor that the layer meets).
    """
    name = next(iter(features), None)
    padded = name if name is not None and setup.spec.features[name].variable_length else None
    values = np.concatenate(
        [
            _rows(tensor if padded is None else _without_padding(setup.spec.features[padded], x[padded], tensor))
            for x, tensor in sample
        ]
    ).astype(np.float32, copy=False)
    varying: frozenset[int] = frozenset()
    if len(features) == 1 and name is not None and setup.spec.features[name].dtype != "string":
        raw = [x[name].numpy() for x, _ in sample]
        for columns in (lambda batch: batch.reshape(len(batch), -1), _rows):
            if padded is None and columns(raw[0]).shape[1] == values.shape[1]:
                data = np.concatenate([columns(batch) for batch in raw])
                varying = frozenset(np.flatnonzero((data != data[:1]).any(axis=0)).tolist())
                break
    return FirstInput(layer, values, varying)


def _rows(values: np.ndarray) -> np.ndarray:
    """Return values as (numbers, size of the last axis)."""
    return values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)


def _without_padding(feature: Feature, x: tf.Tensor, values: np.ndarray) -> np.ndarray:
    """Return (steps, columns) without the padding; all numbers if the first axes are not those of the steps."""
    is_step = _are_steps(feature, x).numpy()
    for mask in (is_step, is_step.T):  # a recurrent layer takes the steps first
        if values.ndim == 3 and values.shape[:2] == mask.shape:
            return values[mask]
    return values


def _with_all_weights(
    setup: Setup, function: Traced, x: Any, outputs: dict[str, np.ndarray], readings: dict[str, graph.Reading]
) -> tuple[set[str], set[str]]:
    """Return the names of the outputs that are the same for all rows, and of those between 0 and 1.

    If the graph alone cannot decide, test on the batch, then with other weights: a last layer that starts at 0 makes
    its output look like either. The caller restores the weights.
    """
    known = {name for name in outputs if readings[name].low >= 0 and readings[name].high <= 1}
    in_unit = {name for name, values in outputs.items() if name not in known and _in_unit(values)}
    constant = set()
    if not all(_rows_equal(value) for value in _numpy(tf.nest.flatten(x))):
        constant = {name for name, values in outputs.items() if _rows_equal(values)}
    if constant or in_unit:
        for _ in _other_weights(setup, function.graph, deviation=1.0):
            others, _ = _numpy(function(x))
            constant = {name for name in constant if _rows_equal(others[name])}
            in_unit = {name for name in in_unit if _in_unit(others[name])}
    return constant, known | in_unit


def _other_weights(setup: Setup, here: tf.Graph, deviation: float) -> Iterator[None]:
    """Yield each time that noise has been added to all weights that a graph reads. The caller restores them."""
    read = {id(variable) for variable in here.variables}
    weights = [variable for variable in setup.model.trainable_variables if id(variable.value) in read]
    first = [tf.identity(variable) for variable in weights]
    for draw, sign in itertools.product(range(DRAWS), (1, -1)):
        for index, (variable, value) in enumerate(zip(weights, first, strict=True)):
            noise = sign * tf.random.stateless_normal(variable.shape, (draw, index), stddev=deviation)
            variable.assign(value + tf.cast(noise, value.dtype))
        yield


def _rows_equal(values: np.ndarray) -> bool:
    return bool((values == values[:1]).all())


def _in_unit(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)


def _largest_padding_shifts(setup: Setup, function: Traced, x: Any, outputs: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how far each output changes with the padding, with the initial weights or others.

    Biases start at 0: only other biases change the padding before a mask is computed from it. The caller restores the
    weights.
    """
    shifts = _padding_shifts(setup, function, x, outputs)
    next(_other_weights(setup, function.graph, SMALL_NOISE))
    others, _ = _numpy(function(x))
    later = _padding_shifts(setup, function, x, others)
    return {name: max(shift, later[name]) for name, shift in shifts.items()}


def _padding_shifts(setup: Setup, function: Traced, x: Any, outputs: dict[str, np.ndarray]) -> dict[str, float]:
    """Return how far each output changes when padding is added to all rows, or removed from the shortest row."""
    features = setup.by_feature(x)
    variable = {name: feature for name, feature in setup.spec.features.items() if feature.variable_length}
    first = next(iter(variable))
    steps = tf.reduce_sum(tf.cast(_are_steps(variable[first], features[first]), tf.int32), axis=-1)
    shortest = int(tf.argmin(steps))

    def shifts(change: Callable[[tf.Tensor, Feature | None], tf.Tensor], rows: slice) -> dict[str, float]:
        changed = {name: change(value, variable.get(name)) for name, value in features.items()}
        others, _ = _numpy(function(by_layer_name(changed) if isinstance(x, dict) else next(iter(changed.values()))))
        return {name: _shift(outputs[name][rows], others[name]) for name in outputs}

    def longer(value: tf.Tensor, feature: Feature | None) -> tf.Tensor:
        more = [[0, 0], [0, MORE_STEPS]] + [[0, 0]] * (value.shape.rank - 2)
        return tf.pad(value, more, constant_values=feature.padding) if feature else value

    def alone(value: tf.Tensor, feature: Feature | None) -> tf.Tensor:
        row = value[shortest : shortest + 1]
        return row[:, : steps[shortest]] if feature else row

    added = shifts(longer, slice(None))
    try:
        removed = shifts(alone, slice(shortest, shortest + 1))
    except tf.errors.OpError:  # without padding the row is too short for the model, which is no leak
        return added
    return {name: max(added[name], removed[name]) for name in added}


def _are_steps(feature: Feature, x: tf.Tensor) -> tf.Tensor:
    """Return whether each step of a feature is data, not padding: (rows, steps) bool."""
    padding = tf.constant(feature.padding, x.dtype)
    return tf.reduce_any(tf.reshape(x != padding, (*x.shape[:2], -1)), axis=-1)


def _shift(values: np.ndarray, others: np.ndarray) -> float:
    """Return the largest difference, as a share of the largest value."""
    if values.shape != others.shape:  # with an output for each step, the steps that both have
        others = others[tuple(slice(size) for size in values.shape)]
    values, others = values.astype(np.float64), others.astype(np.float64)
    return float(np.max(np.abs(values - others)) / max(np.max(np.abs(values)), 1e-6))


def _numpy(structure: Any) -> Any:
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), structure)
