"""The loss against the last activation and the labels."""

import json
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from keras import losses

from pipeline.preflight.findings import Finding
from pipeline.preflight.setup import is_binary
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL

# what a loss takes for an output
DISTRIBUTION = "a distribution over the classes"
PROBABILITY = "a probability a unit"
NUMBER = "any number"
POSITIVE = "numbers above 0"
ABOVE_MINUS_ONE = "numbers above -1"
SCORE = "scores on both sides of 0"
MARGIN = "a score a class"
EMBEDDING = "a direction"
SEQUENCE = "logits of every step"

ENOUGH = 0.02  # share of label values outside the output's range that is more than rounding
FEW_VALUES = 20  # so many different whole numbers, or fewer, look like classes
PRIME = 10_007  # a batch size that no layer has for a width


@dataclass(frozen=True)
class Demand:
    """What a loss takes. output: one of the above. labels: the kinds it compares it with."""

    output: str
    labels: tuple[str, ...]


ROWS = (ONE_HOT, MULTI_LABEL, REAL)
DEMANDS = {
    losses.SparseCategoricalCrossentropy: Demand(DISTRIBUTION, (CLASS,)),
    losses.CategoricalGeneralizedCrossEntropy: Demand(DISTRIBUTION, (CLASS,)),
    losses.CategoricalCrossentropy: Demand(DISTRIBUTION, (ONE_HOT,)),
    losses.CategoricalFocalCrossentropy: Demand(DISTRIBUTION, (ONE_HOT,)),
    losses.KLDivergence: Demand(DISTRIBUTION, (ONE_HOT,)),
    losses.BinaryCrossentropy: Demand(PROBABILITY, (MULTI_LABEL, ONE_HOT)),
    losses.BinaryFocalCrossentropy: Demand(PROBABILITY, (MULTI_LABEL, ONE_HOT)),
    losses.Dice: Demand(PROBABILITY, (MULTI_LABEL, ONE_HOT)),
    losses.Tversky: Demand(PROBABILITY, (MULTI_LABEL, ONE_HOT)),
    losses.MeanSquaredError: Demand(NUMBER, ROWS),
    losses.MeanAbsoluteError: Demand(NUMBER, ROWS),
    losses.MeanAbsolutePercentageError: Demand(NUMBER, ROWS),
    losses.MeanSquaredLogarithmicError: Demand(ABOVE_MINUS_ONE, ROWS),
    losses.CosineSimilarity: Demand(NUMBER, ROWS),
    losses.Huber: Demand(NUMBER, ROWS),
    losses.LogCosh: Demand(NUMBER, ROWS),
    losses.Poisson: Demand(POSITIVE, ROWS),
    losses.Hinge: Demand(SCORE, (MULTI_LABEL, ONE_HOT, REAL)),
    losses.SquaredHinge: Demand(SCORE, (MULTI_LABEL, ONE_HOT, REAL)),
    losses.CategoricalHinge: Demand(MARGIN, (ONE_HOT,)),
    losses.Circle: Demand(EMBEDDING, (CLASS,)),
    losses.CTC: Demand(SEQUENCE, ()),
}
CATEGORICAL = (DISTRIBUTION, MARGIN)
OVERLAPS = (losses.Dice, losses.Tversky)  # of areas: no likelihood, so that a softmax fits as well


def check(setup, prediction):
    """Yield what is wrong between the compiled losses, the outputs on a batch, and all training labels."""
    for name in setup.losses.keys() | prediction.outputs.keys() | setup.spec.labels.keys():
        label, output, loss = (of.get(name) for of in (setup.spec.labels, prediction.outputs, setup.losses))
        if label is None or output is None:
            found = "the data has no such label." if label is None else "the model has no output for it."
            yield Finding("output-without-label", name, found, f"Name the outputs {', '.join(setup.spec.labels)}.")
        elif loss is not None:
            values = setup.data.train.labels[name]
            yield from _of_labels(name, label, output, values)
            yield from _of_loss(name, label, output, loss, values)
    if setup.is_supervised:
        yield from _class_weights(setup)


def from_logits(loss):
    return bool(getattr(loss, "from_logits", False))


def demand_of(loss):
    """The Demand of a loss, None for one of the user's own."""
    return next((DEMANDS[kind] for kind in type(loss).__mro__ if kind in DEMANDS), None)


def class_counts(values, classes):
    """(classes,) rows of each class; labels that are none count nowhere."""
    values = values[(values >= 0) & (values < classes)]
    return np.bincount(values.astype(int), minlength=classes)


def _of_labels(name, label, output, values):
    """The labels by themselves, and against the output's width."""
    if label.kind == CLASS:
        if values.dtype.kind not in "iub":
            fractions = values.dtype.kind == "f" and (values != np.floor(values)).any()
            found = f"class labels of dtype {values.dtype}{', some of them fractions' if fractions else ''}."
            yield Finding("label-dtype", name, found, "Store them as integers, or data.label_kind=real.")
            return
        low, high = int(values.min()), int(values.max())
        if low < 0 or high >= label.width:
            found = f"labels from {low} to {high}; the label has classes 0 to {label.width - 1}."
            yield Finding("label-out-of-range", name, found, "Count the classes from 0; data.classes where it is set.")
    elif values.dtype.kind not in "fiub":
        yield Finding("label-dtype", name, f"labels of dtype {values.dtype}.", "Store them as numbers.")
    elif label.kind == MULTI_LABEL and label.width > 1 and (values.sum(axis=-1) == 1).all():
        found = f"each of {len(values):,} rows holds exactly one of {label.width} labels."
        yield Finding("multi-label-looks-one-hot", name, found, "data.label_kind=one_hot")


def _of_loss(name, label, output, loss, values):
    demand = demand_of(loss)
    kind = type(loss).__name__
    if demand is None:
        yield from _shape(name, label, output, kind)
        yield from _pairs_rows(name, label, output, loss)
        return
    if demand.output == SEQUENCE:
        if not (label.kind == CLASS and len(label.shape) == 1 and len(output.shape) == 2):
            yield Finding("loss-needs-sequences", name, f"{kind} with {label.kind} labels.", "objective.loss=null")
        return
    mismatch = [*_kinds(name, label, output, demand, kind, values)]
    yield from mismatch
    if mismatch:
        return  # what follows takes it for granted that the loss is for such labels
    mismatch = [*_shape(name, label, output, kind)] if demand.output != EMBEDDING else []
    yield from mismatch
    if mismatch:
        return
    yield from _activation(name, label, output, demand, loss)
    yield from _values(name, label, output, demand, loss, values)


def _kinds(name, label, output, demand, loss, values):
    """Whether the loss is for labels of this kind."""
    found = f"{loss} with {label.kind} labels of width {label.width} and {output.width} output units."
    categorical = demand.output in CATEGORICAL
    if categorical and output.width == 1 and label.kind in (CLASS, ONE_HOT, MULTI_LABEL):
        binary = "binary_crossentropy with a sigmoid" if label.width <= 2 else f"units: {label.width}"
        yield Finding("one-unit-categorical", name, found, f"objective.loss=null with {binary} in the last layer.")
    elif label.kind in demand.labels:
        return
    elif label.kind == CLASS:
        if output.width == 1 and is_binary(label):
            return
        if output.width == 1:
            yield Finding("classes-as-numbers", name, found, f"units: {label.width}, and objective.loss=null")
        elif is_binary(label) and demand.output in (PROBABILITY, SCORE):
            yield Finding("two-units-binary", name, found, "units: 1 in the last layer, or objective.loss=null")
        else:
            yield Finding("integer-labels", name, found, "objective.loss=sparse_categorical_crossentropy")
    elif label.kind == REAL and demand.output == PROBABILITY and values.min() >= 0 and values.max() <= 1:
        return  # shares, such as the pixels that an autoencoder gives back
    elif label.kind == REAL:
        yield Finding("real-labels", name, found, "objective.loss=mean_squared_error")
    elif label.kind == MULTI_LABEL:
        yield Finding("multi-label-with-categorical", name, found, "objective.loss=binary_crossentropy")
    else:
        yield Finding("one-hot-labels", name, found, "objective.loss=categorical_crossentropy")


def _shape(name, label, output, loss):
    """Whether every number of a row's output has its own in the label."""
    shape, widths = output.shape, (1, 2) if is_binary(label) else (label.width,)
    axes = label.shape if label.kind == CLASS else label.shape[:-1]  # none, but for a label a step or a pixel
    mend = f"units: {label.width} in the last layer."
    if shape[:-1] != axes:
        taken = ", ".join([*map(str, axes), "units"])
        yield Finding("output-rank", name, f"a row's output has the shape {shape}; {loss} takes ({taken}).", mend)
    elif output.width not in widths:
        found = f"{output.width} output units for {label.kind} labels of width {label.width}."
        spread = label.kind != CLASS and 1 in (output.width, label.width)
        yield Finding("broadcast" if spread else "output-width", name, found, mend)
    elif not shape and label.shape:
        found = f"outputs of shape (rows,) for labels of shape (rows, {label.width})."
        yield Finding("broadcast", name, found, mend)


def _pairs_rows(name, label, output, loss):
    """Whether a loss of the user's own compares each row with itself alone: its values at a prime batch size."""

    def of(shape, dtype):
        return tf.TensorSpec((PRIME, *shape), dtype)

    specs = of(label.shape, label.dtype), of(output.shape, tf.float32)
    try:
        graph = tf.function(loss.call, autograph=False).get_concrete_function(*specs).graph
    except Exception:  # a loss of the user's own may raise anything; the step that is tried tells what
        return
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            if tensor.shape.rank is not None and tensor.shape.as_list().count(PRIME) > 1:
                found = f"{type(loss).__name__} compares labels {('rows', *label.shape)} with outputs "
                found += f"{('rows', *output.shape)} by {operation.type}: every row with every other."
                yield Finding("broadcast", name, found, "Reshape the labels to the outputs in the loss.")
                return


def _activation(name, label, output, demand, loss):
    """The last activation against what the loss takes."""
    reading = output.reading
    made = f"{type(loss).__name__}{'(from_logits)' if from_logits(loss) else ''} over the {reading.operation} of "
    made += f"{reading.layer!r}"
    if reading.operation in ("Softmax", "LogSoftmax") and output.shape[-1:] == (1,):
        yield Finding("softmax-of-one", name, f"{made}, of one unit.", "activation: sigmoid in the last layer")
        return
    if reading.operation == "Softmax" and not output.sums_to_one and np.isfinite(output.values).all():
        yield Finding("softmax-axis", name, f"{made}: the outputs of a row do not sum to 1.", "axis: -1")
        return
    if label.kind == MULTI_LABEL and label.width > 1 and output.is_distribution:
        yield Finding("softmax-on-multi-label", name, f"{made}, for labels that do not exclude each other.",
                      "activation: sigmoid in the last layer")  # fmt: skip
        return
    if demand.output in (DISTRIBUTION, PROBABILITY) and from_logits(loss):
        if reading.operation == "LogSoftmax" and demand.output == DISTRIBUTION:
            return  # softmax leaves log-probabilities what they are
        yield from _logits(name, output, loss, made)
    elif demand.output == DISTRIBUTION:
        yield from _distribution(name, output, loss, made)
    elif demand.output == PROBABILITY:
        yield from _probability(name, label, output, loss, made)
    elif demand.output in (POSITIVE, ABOVE_MINUS_ONE):
        if demand.output == POSITIVE and reading.low < 0:
            yield Finding("log-of-negative", name, f"{made}, which can be negative.", "activation: softplus")
        elif demand.output == ABOVE_MINUS_ONE and reading.low < 0:
            yield Finding("clipped-outputs", name, f"{made}, which can be negative.", "activation: softplus")
    elif demand.output == SCORE and (reading.low >= 0 or reading.high <= 0):
        yield Finding("hinge-one-sided", name, f"{made}, which stays on one side of 0.", "activation: tanh, or none")
    elif demand.output == EMBEDDING:
        lengths = np.linalg.norm(output.values.reshape(len(output.values), -1).astype(np.float64), axis=-1)
        if not np.allclose(lengths, 1, atol=1e-2):
            found = f"{made}, whose rows have lengths from {lengths.min():.3g} to {lengths.max():.3g}."
            yield Finding("not-unit-length", name, found, "End model.layers in UnitNormalization.")
    if label.kind != REAL and demand.output not in (DISTRIBUTION, PROBABILITY):
        if demand.output in (NUMBER, POSITIVE, ABOVE_MINUS_ONE):
            found = f"{made}, for {label.kind} labels."
            yield Finding("distance-on-classes", name, found, "objective.loss=null, which picks the cross-entropy.")
        if not output.is_probability:
            found = f"{made} leaves 0 to 1."
            yield Finding("scores-not-probabilities", name, found, "activation: softmax or sigmoid, if it matters")


def _on_logits(activation, loss):
    """What mends a loss of probabilities over others: the activation, or the same loss on logits, if it has that."""
    line = f", or {_line(loss, from_logits=True)}" if hasattr(loss, "from_logits") else ""
    return f"activation: {activation} in the last layer{line}"


def _line(loss, **changed):
    """The config line of a loss of Keras's with some of its arguments changed."""
    kind = next(kind for kind in type(loss).__mro__ if kind in DEMANDS)
    usual = kind().get_config()
    config = {name: value for name, value in (loss.get_config() | changed).items() if value != usual.get(name)}
    spelled = ", ".join(f"{name}: {json.dumps(value)}" for name, value in config.items())
    if not config:
        return f"objective.loss={kind.__name__}"
    return f"'objective.loss={{class_name: {kind.__name__}, config: {{{spelled}}}}}'"


def _logits(name, output, loss, made):
    reading = output.reading
    if output.is_probability:
        yield Finding("probabilities-as-logits", name, f"{made}.", _line(loss, from_logits=False))
    elif reading.low >= 0 or reading.high <= 0:
        yield Finding("one-sided-logits", name, f"{made}.", "activation: linear in the last layer")
    elif max(-reading.low, reading.high) < np.inf:
        yield Finding("bounded-logits", name, f"{made}, from {reading.low:g} to {reading.high:g}.",
                      "activation: linear in the last layer")  # fmt: skip


def _distribution(name, output, loss, made):
    reading = output.reading
    if output.is_distribution:
        return
    if reading.high <= 0:
        yield Finding("log-probabilities", name, f"{made}.", _on_logits("softmax", loss))
    elif output.is_probability:
        yield Finding("sigmoid-with-categorical", name, f"{made}.", "activation: softmax in the last layer")
    else:
        yield Finding("logits-as-probabilities", name, f"{made}.", _on_logits("softmax", loss))


def _probability(name, label, output, loss, made):
    if output.reading.high <= 0:
        yield Finding("log-probabilities", name, f"{made}.", "activation: sigmoid in the last layer")
    elif not output.is_probability:
        yield Finding("logits-as-probabilities", name, f"{made}.", _on_logits("sigmoid", loss))
    elif isinstance(loss, OVERLAPS):
        return
    elif label.kind == ONE_HOT and output.is_distribution:
        yield Finding("binary-loss-over-softmax", name, f"{made}.", "objective.loss=categorical_crossentropy")
    elif label.kind == ONE_HOT:
        yield Finding("one-hot-with-sigmoid", name, f"{made}.", "activation: softmax, and objective.loss=null")


def _values(name, label, output, demand, loss, values):
    """The label values against the loss and the output's range."""
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        return
    low, high = float(values.min()), float(values.max())
    shown = f"labels from {low:.4g} to {high:.4g}"
    if demand.output == DISTRIBUTION and label.kind == ONE_HOT:
        sums = values.sum(axis=-1)
        if low < 0 or not np.allclose(sums, 1, atol=1e-2):
            found = f"{shown}, rows that sum to {sums.min():.4g} to {sums.max():.4g}."
            yield Finding("labels-not-distributions", name, found, "data.label_kind=multi_label or real")
    if demand.output in (POSITIVE, ABOVE_MINUS_ONE) and low < 0:
        yield Finding("negative-labels", name, f"{type(loss).__name__} with {shown}.",
                      "objective.loss=mean_squared_error")  # fmt: skip
    elif demand.output == SCORE and not (np.isin(values, (-1, 1)).all() or np.isin(values, (0, 1)).all()):
        yield Finding("labels-not-signs", name, f"{type(loss).__name__} with {shown}.", "Scale them to -1 and 1.")
    elif demand.output in (NUMBER, POSITIVE, ABOVE_MINUS_ONE):
        yield from _reachable(name, output.reading, values, shown)
    if isinstance(loss, losses.MeanAbsolutePercentageError) and (values == 0).any():
        found = f"{np.count_nonzero(values == 0):,} of {values.size:,} labels are 0."
        yield Finding("zero-labels", name, found, "objective.loss=mean_absolute_error")
    if isinstance(loss, losses.CosineSimilarity) and output.width == 1:
        yield Finding("cosine-of-one", name, "one output unit.", "objective.loss=mean_squared_error")
    if label.kind == REAL and demand.output == NUMBER and label.width == 1:
        different = np.unique(values)
        whole = (different == np.floor(different)).all()
        if whole and 1 < len(different) <= FEW_VALUES and len(values) >= 5 * len(different):
            found = f"{len(values):,} labels hold only {len(different)} values, all whole."
            yield Finding("real-labels-look-like-classes", name, found, "data.label_kind=class")


def _reachable(name, reading, values, shown):
    outside = np.mean((values < reading.low) | (values > reading.high))
    if outside > ENOUGH:
        found = f"{shown}; the {reading.operation} of {reading.layer!r} gives {reading.low:g} to {reading.high:g}."
        yield Finding("unreachable-labels", name, found, "activation: linear in the last layer")


def _class_weights(setup):
    given = setup.config.objective.class_weight
    for name, label in setup.spec.labels.items():
        if label.kind != CLASS or not isinstance(given, list):
            continue
        counts = class_counts(setup.data.train.labels[name], len(given))
        for index, (weight, count) in enumerate(zip(given, counts)):
            place = f"objective.class_weight[{index}]"
            if weight and not count:
                found = f"class {index} of {name!r} has no training row."
                yield Finding("class-weight-absent", place, found, "objective.class_weight=balanced")
            elif not weight and count:
                found = f"0 for class {label.classes[index]!r}, which has {count:,} training rows."
                yield Finding("class-weight-zero", place, found, "objective.class_weight=balanced")
