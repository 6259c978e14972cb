"""One batch through the model as in prediction: what its outputs are, and what they depend on."""

import itertools
import warnings
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.preflight import graph, state
from pipeline.spec import PADDING

WEIGHTS = "trainable weights"
MORE_STEPS = 3  # of padding, to see whether it changes what the model says
OTHER_WEIGHTS = 2  # draws of noise, each put on all weights and taken off them, before it is said what they never do
SMALL_NOISE = 0.1  # deviation of that under which padding is looked for again: it moves what starts at 0
DROPPED = "does not support masking"  # Keras's warning where a layer drops a mask


@dataclass(frozen=True)
class Output:
    """One output of the model on a batch.

    reading: what it is made by. values: (rows, ...) on the batch. padding_shift: the largest change of a value, as a
    share of the largest value, when rows are filled up further, or the shortest not at all; 0 where all rows are of
    one length. features: the names of those it depends on. is_constant: whether rows that differ all get the same,
    under other weights too. stays_in_unit: whether no number leaves 0 to 1, under other weights either.
    """

    reading: graph.Reading
    values: np.ndarray
    padding_shift: float
    features: frozenset
    is_constant: bool
    stays_in_unit: bool

    @property
    def shape(self):
        return self.values.shape[1:]

    @property
    def width(self):
        """Units: numbers along the last axis."""
        return self.shape[-1] if self.shape else 1

    @property
    def sums_to_one(self):
        """Whether every row is a distribution over the last axis."""
        values = self.values.astype(np.float64)
        is_coarse = self.values.dtype.itemsize < 4 or self.reading.operation == "Softmax"  # perhaps of 16 bits
        slack = 1e-2 if is_coarse else 1e-4
        return bool(
            values.ndim > 1
            and np.isfinite(values).all()
            and (values >= -slack).all()
            and (np.abs(values.sum(-1) - 1) < slack).all()
        )

    @property
    def is_distribution(self):
        return self.sums_to_one and self.shape[-1] > 1

    @property
    def is_probability(self):
        return self.sums_to_one or self.stays_in_unit


@dataclass(frozen=True)
class Prediction:
    """outputs: by label. first_inputs: (layer, mean, deviation, largest) of what meets weights first.
    dropped: Keras's words on layers that drop a mask."""

    outputs: dict[str, Output]
    first_inputs: tuple
    dropped: tuple


def predict(setup, x):
    """A Prediction of the batch x: a tensor, or tensors by feature. Raises what Keras raises of a wrong shape."""
    names = {layer.name for layer in setup.layers}
    readings, features_of, met = {}, {}, []

    def forward(x):
        features = x if isinstance(x, dict) else {next(iter(setup.spec.features)): x}
        outputs = setup.by_label(setup.model(x, training=False))
        here = tf.compat.v1.get_default_graph()
        origins = graph.dependence(here, {name: [value] for name, value in features.items()} | _weights(setup, here))
        for name, output in outputs.items():
            readings[name] = graph.read(output, names)
            features_of[name] = origins(output) & set(features)
        first = graph.first_inputs(here, origins, WEIGHTS, set(features))
        met.extend(graph.layer_of(tensor.consumers()[0], names) if tensor.consumers() else "" for tensor in first)
        return outputs, [_summary(tensor) for tensor in first]

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        function = tf.function(forward, autograph=False)
        concrete = function.get_concrete_function(_specs(setup))
    with state.variables_restored(concrete.graph):
        outputs, summaries = _numpy(concrete(x))
        shifts = dict.fromkeys(outputs, 0.0)
        if any(feature.variable_length for feature in setup.spec.features.values()):
            shifts = _most_padding_shifts(setup, concrete, x, outputs)
    with state.variables_restored(concrete.graph):
        constant, in_unit = _under_all_weights(setup, concrete, x, outputs, readings)
    return Prediction(
        {
            name: Output(
                readings[name], outputs[name], shifts[name], features_of[name], name in constant, name in in_unit
            )
            for name in outputs
        },
        tuple((layer, *(float(number) for number in numbers)) for layer, numbers in zip(met, summaries)),
        tuple(str(warning.message).splitlines()[0] for warning in said if DROPPED in str(warning.message)),
    )


def _specs(setup):
    specs = {name: (feature.shape, feature.dtype) for name, feature in setup.spec.features.items()}
    specs = {name: tf.TensorSpec((None, *shape), dtype) for name, (shape, dtype) in specs.items()}
    return specs if len(specs) > 1 else next(iter(specs.values()))


def _weights(setup, here):
    """The reads of trainable variables in a graph, as a source of `dependence`."""
    handles = {id(variable.value.handle) for variable in setup.model.trainable_variables}
    return {WEIGHTS: [inner for outer, inner in here.captures if id(outer) in handles]}


def _summary(tensor):
    values = tf.cast(tensor, tf.float32)
    return tf.stack([tf.reduce_mean(values), tf.math.reduce_std(values), tf.reduce_max(tf.abs(values))])


def _under_all_weights(setup, concrete, x, outputs, readings):
    """The names of the outputs that are the same for all rows, and of those that stay within 0 and 1.

    What a reading does not show is looked for: on the batch, then under other weights, since a last layer that starts
    at 0 makes its output look like either at first. The caller puts the weights back.
    """
    known = {name for name in outputs if readings[name].low >= 0 and readings[name].high <= 1}
    in_unit = {name for name, values in outputs.items() if name not in known and _in_unit(values)}
    constant = set()
    if not all(_rows_alike(value) for value in _numpy(tf.nest.flatten(x))):
        constant = {name for name, values in outputs.items() if _rows_alike(values)}
    if constant or in_unit:
        for _ in _other_weights(setup, concrete.graph, deviation=1.0):
            others, _ = _numpy(concrete(x))
            constant = {name for name in constant if _rows_alike(others[name])}
            in_unit = {name for name in in_unit if _in_unit(others[name])}
    return constant, known | in_unit


def _other_weights(setup, here, deviation):
    """Yield each time that other weights have been put into the model: noise on all that the graph reads, which the
    caller puts back."""
    read = {id(variable) for variable in here.variables}
    weights = [variable for variable in setup.model.trainable_variables if id(variable.value) in read]
    first = [tf.identity(variable) for variable in weights]
    for draw, sign in itertools.product(range(OTHER_WEIGHTS), (1, -1)):
        for place, (variable, value) in enumerate(zip(weights, first, strict=True)):
            noise = sign * tf.random.stateless_normal(variable.shape, (draw, place), stddev=deviation)
            variable.assign(value + tf.cast(noise, value.dtype))
        yield


def _rows_alike(values):
    return bool((values == values[:1]).all())


def _in_unit(values):
    return bool(np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1)


def _most_padding_shifts(setup, concrete, x, outputs):
    """Output name -> how far its values move with the padding; also once biases are no longer 0, as they start: what
    they add to padding is no padding any more. The caller puts the weights back."""
    shifts = _padding_shifts(setup, concrete, x, outputs)
    next(_other_weights(setup, concrete.graph, SMALL_NOISE))
    others, _ = _numpy(concrete(x))
    later = _padding_shifts(setup, concrete, x, others)
    return {name: max(shift, later[name]) for name, shift in shifts.items()}


def _padding_shifts(setup, concrete, x, outputs):
    """Output name -> how far its values move with the padding."""
    features = x if isinstance(x, dict) else {next(iter(setup.spec.features)): x}
    variable = {name for name in features if setup.spec.features[name].variable_length}
    steps = _steps(features[next(iter(variable))])
    shortest = int(tf.argmin(steps))

    def shifts(change, rows):
        changed = {name: change(value, name in variable) for name, value in features.items()}
        others, _ = _numpy(concrete(changed if isinstance(x, dict) else next(iter(changed.values()))))
        return {name: _shift(outputs[name][rows], others[name]) for name in outputs}

    def longer(value, is_variable):
        more = [[0, 0], [0, MORE_STEPS]] + [[0, 0]] * (value.shape.rank - 2)
        return tf.pad(value, more, constant_values=PADDING) if is_variable else value

    def alone(value, is_variable):
        row = value[shortest : shortest + 1]
        return row[:, : steps[shortest]] if is_variable else row

    found = shifts(longer, slice(None))
    try:
        bare = shifts(alone, slice(shortest, shortest + 1))
    except tf.errors.OpError:  # too short for the model without padding, which is no leak
        return found
    return {name: max(found[name], bare[name]) for name in found}


def _steps(value):
    """(rows,) steps of each row before its padding."""
    is_step = tf.reduce_any(tf.reshape(value != PADDING, (tf.shape(value)[0], tf.shape(value)[1], -1)), axis=-1)
    return tf.reduce_max(tf.where(is_step, tf.range(tf.shape(value)[1]) + 1, 0), axis=-1)


def _shift(values, others):
    if values.shape != others.shape:  # an output for every step: its own steps are compared
        others = others[tuple(slice(size) for size in values.shape)]
    values, others = values.astype(np.float64), others.astype(np.float64)
    return float(np.max(np.abs(values - others)) / max(np.max(np.abs(values)), 1e-6))


def _numpy(structure):
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), structure)
