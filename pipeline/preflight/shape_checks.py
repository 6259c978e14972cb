"""The data's shapes against the model's, the mask that variable lengths need, and batches too small for a layer."""

import inspect

import keras
import numpy as np

from pipeline.data.input_pipeline import bucket_boundaries
from pipeline.preflight.findings import Finding
from pipeline.preflight.setup import built_for

SMALL = 8  # values behind a mean and variance, below which they are mostly noise
LEAK = 1e-3  # change of an output, as a share of it, that is no rounding
LEAK_16_BIT = 3e-2


def check_inputs(setup):
    """Yield what differs between the data's features and the inputs the model was built for."""
    if not getattr(setup.model, "inputs", None):
        return  # subclassed: it takes whatever its call takes, and a trial call tells
    inputs = keras.tree.flatten(setup.model.inputs)
    features = setup.spec.features
    if len(features) == 1 and len(inputs) == 1:
        pairs = [(next(iter(features)), inputs[0])]
    else:
        named = dict(zip(setup.model.input_names, inputs)) if hasattr(setup.model, "input_names") else {}
        named = named or {tensor.name: tensor for tensor in inputs}
        for name in sorted(features.keys() ^ named.keys()):
            found = "the model has no input for it." if name in features else "the data has no such feature."
            yield Finding("input-names", name, found, f"Name the inputs {', '.join(features)}.")
        pairs = [(name, tensor) for name, tensor in named.items() if name in features]
    for name, tensor in pairs:
        yield from _axes(name, features[name], tensor)


def _axes(name, feature, tensor):
    taken, given = tuple(tensor.shape[1:]), feature.shape
    mend = f"Build the model's input with the shape {given}."
    if (feature.dtype == "string") != (tensor.dtype == "string"):
        yield Finding("input-dtype", name, f"{feature.dtype} data for an input of {tensor.dtype}.", mend)
    if len(taken) != len(given):
        found = f"an example has {len(given)} axes, {given}; the model's input has {len(taken)}, {taken}."
        yield Finding("input-shape", name, found, mend)
        return
    for axis, (size, expected) in enumerate(zip(given, taken)):
        if expected is not None and size != expected:
            found = f"axis {axis} of an example has size {'any' if size is None else size}; the model takes {expected}."
            yield Finding("input-shape", f"{name}, axis {axis}", found, mend)


def check_masks(setup, prediction):
    """Yield a finding where rows of different lengths are filled up and the filling changes what the model says."""
    if not any(feature.variable_length for feature in setup.spec.features.values()):
        return
    takers = [layer.name for layer in setup.layers if _takes_mask(layer)]
    for name, output in prediction.outputs.items():
        if output.padding_shift <= (LEAK_16_BIT if _is_16_bit(setup) else LEAK):
            continue
        found = f"three more steps of padding change the output by {output.padding_shift:.1%}. "
        if prediction.dropped and takers:
            yield Finding("mask-lost", name, found + f"Keras: {prediction.dropped[0]}",
                          "Mask again behind that layer, or take one that hands the mask on.")  # fmt: skip
        elif takers:
            found += f"{', '.join(takers[:3])} would take a mask, and none arrives."
            yield Finding("mask-missing", name, found, "Put {class_name: Masking} or mask_zero: true in front.")
        else:
            yield Finding("padding-leaks", name, found + "No layer takes a mask.",
                          "Take GlobalAveragePooling1D behind a mask.")  # fmt: skip


def _takes_mask(layer):
    """Whether a layer's call takes a mask for what it computes, not only to hand it on."""
    if isinstance(layer, (keras.Model, keras.layers.BatchNormalization, keras.layers.Softmax)):
        return False
    return any("mask" in name for name in inspect.signature(layer.call).parameters)


def _is_16_bit(setup):
    return any("16" in str(layer.compute_dtype) for layer in setup.layers)


def check_batches(setup):
    """Yield what is wrong with the number of rows in a batch."""
    batch_size, lasts = setup.config.training.batch_size, last_batches(setup)
    full = min(batch_size, len(setup.data.train))
    for layer in setup.layers:
        if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
            values = full * _values_per_row(layer)
            mend = f"training.batch_size={max(2 * SMALL, batch_size)}"
            if values == 1:
                yield Finding("batch-norm-of-one", layer.name, "training.batch_size is 1.", mend)
            elif values < SMALL:
                yield Finding("batch-norm-small", layer.name, f"{values} values a batch and channel.", mend)
    if batch_size > 1 and 1 in lasts:
        yield Finding(
            "last-batch-of-one",
            "training.batch_size",
            f"{len(setup.data.train):,} rows in batches of {batch_size}: {lasts.count(1)} batch of an epoch holds one.",
            f"training.batch_size={_without_one(setup)}",
        )


def last_batches(setup, batch_size=None):
    """Rows of the last batch of an epoch; of each length bucket's last, where there are buckets."""
    part, batch_size = setup.data.train, batch_size or setup.config.training.batch_size
    boundaries = bucket_boundaries(part, setup.config.data)
    counts = np.bincount(np.searchsorted(boundaries, part.lengths)) if boundaries else [len(part)]
    return [int(count) % batch_size or batch_size for count in counts if count]


def _without_one(setup):
    """The nearest smaller batch size whose last batches hold more than one row; else twice the size."""
    given = setup.config.training.batch_size
    return next((size for size in range(given - 1, 1, -1) if 1 not in last_batches(setup, size)), 2 * given)


def _values_per_row(layer):
    """Numbers that a batch normalisation averages of one row: those of all axes but the channels'."""
    shape = built_for(layer)
    if not shape:
        return 1
    axis = layer.axis % len(shape)
    others = [size for place, size in enumerate(shape) if place not in (0, axis)]
    return int(np.prod([size or SMALL for size in others], dtype=int))
