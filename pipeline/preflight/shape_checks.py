"""Checks of the data against the model: shapes of its inputs, padding without a mask, small batches."""

import inspect
from collections.abc import Iterator

import keras
import numpy as np

from pipeline.data.input_pipeline import bucket_boundaries
from pipeline.layer_names import by_original_name
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Prediction
from pipeline.preflight.setup import Setup, input_shape
from pipeline.spec import Feature

SMALL = 8  # values per mean and variance, below which they are mostly noise
LEAK = 1e-3  # change of an output, as a share of its largest value, that is more than rounding
LEAK_16_BIT = 3e-2
CHANNELS = (1, 2, 3, 4)  # usual numbers of channels of an image


def check_inputs(setup: Setup) -> Iterator[Finding]:
    """Yield the differences between the features of the data and the inputs that the model was built for."""
    if not getattr(setup.model, "inputs", None):
        return  # a subclassed model takes what its call takes, which the forward pass tries
    inputs = keras.tree.flatten(setup.model.inputs)
    features = setup.spec.features
    if len(features) == 1 and len(inputs) == 1:
        named = {next(iter(features)): inputs[0]}
    elif hasattr(setup.model, "input_names"):
        named = dict(zip(setup.model.input_names, inputs, strict=True))
    else:
        named = {tensor.name: tensor for tensor in inputs}
    named = by_original_name(named, features)
    for name in sorted(features.keys() ^ named.keys()):
        found = "the model has no input for it." if name in features else "the data has no such feature."
        yield finding("input-names", name, found, features=", ".join(features))
    for name in [name for name in named if name in features]:
        yield from _check_input(name, features[name], named[name])


def _check_input(name: str, feature: Feature, tensor: keras.KerasTensor) -> Iterator[Finding]:
    expected, given = tuple(tensor.shape[1:]), feature.shape
    if (feature.dtype == "string") != (tensor.dtype == "string"):
        yield finding("input-dtype", name, f"{feature.dtype} data for an input of {tensor.dtype}.")
    if len(expected) != len(given):
        found = f"an example has {len(given)} axes, {given}; the model's input has {len(expected)}, {expected}."
        yield finding("input-shape", name, found, shape=given)
        return
    for axis, (size, wanted) in enumerate(zip(given, expected, strict=True)):
        if wanted is not None and size != wanted:
            found = f"axis {axis} of an example has size {'any' if size is None else size}; the model takes {wanted}."
            yield finding("input-shape", f"{name}, axis {axis}", found, shape=given)


def check_channels(setup: Setup) -> Iterator[Finding]:
    """Yield the image features whose channels are in another axis than the convolutions expect."""
    convolutions = [layer for layer in setup.layers if len(getattr(layer, "kernel_size", None) or ()) == 2]
    for name, feature in setup.spec.features.items():
        sizes = [size for size in feature.shape if size is not None]
        if len(feature.shape) != 3 or len(sizes) != 3:
            continue
        first, middle, last = sizes
        if middle <= 4 or (first in CHANNELS) == (last in CHANNELS):
            continue
        order = "channels_first" if first in CHANNELS else "channels_last"
        expected = {layer.data_format for layer in convolutions if input_shape(layer)[1:] == feature.shape}
        if expected and order not in expected:
            found = f"images of shape {feature.shape} seem to be {order}; the convolutions take {', '.join(expected)}."
            yield finding("channel-order", name, found)


def check_masks(setup: Setup, prediction: Prediction) -> Iterator[Finding]:
    """Yield a finding for each output that changes with the padding of rows of different lengths."""
    if not any(feature.variable_length for feature in setup.spec.features.values()):
        return
    takers = [layer.name for layer in setup.layers if _takes_mask(layer)]
    is_16_bit = any("16" in str(layer.compute_dtype) for layer in setup.layers)
    for name, output in prediction.outputs.items():
        shift = output.padding_shift  # NaN if the padding makes the output NaN
        if shift <= (LEAK_16_BIT if is_16_bit else LEAK):
            continue
        by = f"by {shift:.1%}" if shift <= 1 else "completely"
        found = f"three more steps of padding change the output {by}. "
        if prediction.dropped and takers:
            yield finding("mask-lost", name, found + f"Keras: {prediction.dropped[0]}")
        elif takers:
            yield finding("mask-missing", name, found + f"{', '.join(takers[:3])} would take a mask, and gets none.")
        else:
            yield finding("padding-leaks", name, found + "No layer takes a mask.")


def _takes_mask(layer: keras.layers.Layer) -> bool:
    """Return whether a layer uses a mask in its computation, rather than only passing it on."""
    if isinstance(layer, (keras.Model, keras.layers.BatchNormalization, keras.layers.Softmax)):
        return False
    return any("mask" in name for name in inspect.signature(layer.call).parameters)


def check_batches(setup: Setup) -> Iterator[Finding]:
    """Yield the findings on the number of rows in a batch."""
    batch_size, last_batches = setup.config.training.batch_size, last_batch_sizes(setup)
    rows = len(setup.data.train)
    larger = {"batch_size": 2 * SMALL} if batch_size < 2 * SMALL else {}
    for layer in setup.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            values = min(batch_size, rows) * _values_per_row(layer)
            if values == 1:
                yield finding("batch-norm-of-one", layer.name, "training.batch_size is 1.", **larger)
            elif values < SMALL:
                yield finding("batch-norm-small", layer.name, f"{values} values per batch and channel.", **larger)
    if batch_size > 1 and 1 in last_batches:
        found = f"{rows:,} rows in batches of {batch_size}: {last_batches.count(1)} batch of an epoch has one row."
        yield finding("last-batch-of-one", "training.batch_size", found, batch_size=_batch_size_without_one(setup))


def last_batch_sizes(setup: Setup, batch_size: int | None = None) -> list[int]:
    """Return the rows of the last batch of an epoch, or of the last batch of each length bucket."""
    split, batch_size = setup.data.train, batch_size or setup.config.training.batch_size
    lengths, boundaries = split.lengths, bucket_boundaries(split, setup.config.data)
    counts = [len(split)] if lengths is None else np.bincount(np.searchsorted(boundaries, lengths)).tolist()
    return [count % batch_size or batch_size for count in counts if count]


def _batch_size_without_one(setup: Setup) -> int:
    """Return the nearest smaller batch size whose last batches have more than one row, or else twice the size."""
    given = setup.config.training.batch_size
    return next((size for size in range(given - 1, 1, -1) if 1 not in last_batch_sizes(setup, size)), 2 * given)


def _values_per_row(layer: keras.layers.BatchNormalization) -> int:
    """Return the number of values of one row that a batch normalization averages: all axes but that of the channels."""
    shape = input_shape(layer)
    if not shape:
        return 1
    channels = layer.axis % len(shape)
    others = [size for axis, size in enumerate(shape) if axis not in (0, channels)]
    return int(np.prod([size or SMALL for size in others], dtype=int))
