"""Checks that a loss fits the labels, the shape of the output and the last activation."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import losses

from pipeline.evaluation.metrics import true_classes
from pipeline.label_objects import SecondClassFocalCrossentropy, SparseCategoricalFocalCrossentropy
from pipeline.ordinal_loss import RankedProbabilityScore
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Output, Prediction
from pipeline.preflight.setup import Setup, is_binary
from pipeline.quantile_objects import QuantileLoss
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, Label

# the kinds of outputs that losses expect
DISTRIBUTION = "a distribution over the classes"
PROBABILITY = "one probability per unit"
NUMBER = "any number"
POSITIVE = "numbers above 0"
ABOVE_MINUS_ONE = "numbers above -1"
SCORE = "scores on both sides of 0"
MARGIN = "one score per class"
EMBEDDING = "a direction"
SEQUENCE = "logits of every step"

# argument of a loss -> (its range in words, whether a value lies in it)
ARGUMENTS: dict[str, tuple[str, Callable[[float], bool]]] = {
    "label_smoothing": ("from 0 to below 1", lambda value: 0 <= value < 1),
    "gamma": ("0 or more", lambda value: value >= 0),
    "delta": ("above 0", lambda value: value > 0),
    "q": ("above 0, at most 1", lambda value: 0 < value <= 1),
}
NARROW = 9.0  # range of logits below which no probability of two classes can be above 0.9999
ENOUGH = 0.02  # share of label values outside the range of the output that rounding cannot explain
FEW_VALUES = 20  # labels with at most this many different whole numbers look like classes
PRIME = 10_007  # a batch size that no other axis has


@dataclass(frozen=True)
class Demand:
    """The outputs and labels that a loss expects.

    Attributes:
        output: The kind of output, one of the constants above.
        labels: The kinds of labels that the loss compares with the output.
    """

    output: str
    labels: tuple[str, ...]


ROWS = (ONE_HOT, MULTI_LABEL, REAL)
DEMANDS: dict[type[keras.losses.Loss], Demand] = {
    losses.SparseCategoricalCrossentropy: Demand(DISTRIBUTION, (CLASS,)),
    SparseCategoricalFocalCrossentropy: Demand(DISTRIBUTION, (CLASS,)),
    SecondClassFocalCrossentropy: Demand(PROBABILITY, (CLASS,)),
    RankedProbabilityScore: Demand(DISTRIBUTION, (CLASS, ONE_HOT)),
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
    QuantileLoss: Demand(NUMBER, (REAL,)),
    losses.Huber: Demand(NUMBER, ROWS),
    losses.LogCosh: Demand(NUMBER, ROWS),
    losses.Poisson: Demand(POSITIVE, ROWS),
    losses.Hinge: Demand(SCORE, ROWS),
    losses.SquaredHinge: Demand(SCORE, ROWS),
    losses.CategoricalHinge: Demand(MARGIN, (ONE_HOT,)),
    losses.Circle: Demand(EMBEDDING, (CLASS,)),
    losses.CTC: Demand(SEQUENCE, ()),
}
# loss for class indices -> the loss of Keras that the config names
KERAS_NAMES: dict[type[losses.Loss], type[losses.Loss]] = {
    SparseCategoricalFocalCrossentropy: losses.CategoricalFocalCrossentropy,
    SecondClassFocalCrossentropy: losses.BinaryFocalCrossentropy,
}
CATEGORICAL = (DISTRIBUTION, MARGIN)
OVERLAPS = (losses.Dice, losses.Tversky)  # they compare areas, not likelihoods: a softmax works as well as a sigmoid


@dataclass(frozen=True, kw_only=True)
class LossChecks:
    """The checks of the loss between one label and its output.

    Attributes:
        setup: The set-up.
        name: The name of the label and the output.
        label: The spec of the label.
        output: The output of the model for a batch.
        loss: The loss.
        values: The labels of the training split, (rows, ...).
    """

    setup: Setup
    name: str
    label: Label
    output: Output
    loss: keras.losses.Loss
    values: np.ndarray

    @property
    def demand(self) -> Demand | None:
        """The outputs and labels that the loss expects; None for a loss that Keras does not have."""
        return next((DEMANDS[kind] for kind in type(self.loss).__mro__ if kind in DEMANDS), None)

    @property
    def loss_name(self) -> str:
        """The name of the class of the loss."""
        return type(self.loss).__name__

    @property
    def units(self) -> int:
        """The number of output units: one per class or number of the label, or one per quantile of each number."""
        return self.label.width * (len(self.loss.quantiles) if isinstance(self.loss, QuantileLoss) else 1)

    @property
    def from_logits(self) -> bool:
        """Whether the loss applies softmax or sigmoid itself."""
        return bool(getattr(self.loss, "from_logits", False))

    @property
    def over_activation(self) -> str:
        """The loss and the last operation of its output, for messages."""
        return f"{self.loss_name}{'(from_logits)' if self.from_logits else ''} over {self.output.reading}"

    @property
    def value_range(self) -> str:
        """The smallest and largest label, for messages."""
        return f"labels from {self.values.min():.4g} to {self.values.max():.4g}"

    def finding(self, code: str, found: str, **values: object) -> Finding:
        """Return a finding whose place is this label."""
        return finding(code, self.name, found, **values)

    def with_loss(self, loss: Any) -> dict[str, str]:
        """Return the value for a fix that sets another loss; {} if the objective has no such option."""
        return {"loss": self.setup.with_label("loss", self.name, loss)} if self.setup.is_supervised else {}

    def with_logits(self, from_logits: bool) -> dict[str, str]:
        """Return the value for a fix that changes only `from_logits`; {} if the loss has no such argument."""
        return self.with_arguments(from_logits=from_logits) if hasattr(self.loss, "from_logits") else {}

    def with_arguments(self, **arguments: object) -> dict[str, str]:
        """Return the value for a fix that changes only some arguments of the loss; {} if it is none of Keras."""
        kind = next((kind for kind in type(self.loss).__mro__ if kind in DEMANDS), None)
        if kind is None:
            return {}
        kind = KERAS_NAMES.get(kind, kind)
        defaults = kind().get_config()
        config = {**self.loss.get_config(), **arguments}
        changed = {name: value for name, value in config.items() if value != defaults.get(name)}
        return self.with_loss({"class_name": kind.__name__, "config": changed} if changed else kind.__name__)

    def check_labels(self) -> Iterator[Finding]:
        """Yield the findings on the labels alone."""
        values, label = self.values, self.label
        if values.dtype.kind not in ("iub" if label.kind == CLASS else "fiub"):
            fractions = values.dtype.kind == "f" and (values != np.floor(values)).any()
            found = f"{label.kind} labels of dtype {values.dtype}{', some of them fractions' if fractions else ''}."
            yield self.finding("label-dtype", found, dtype=label.dtype)
        elif label.kind == MULTI_LABEL and label.width > 1 and (values.sum(axis=-1) == 1).all():
            found = f"exactly one of {label.width} labels is true in each of {len(values):,} rows."
            yield self.finding("multi-label-looks-one-hot", found)

    def check_arguments(self) -> Iterator[Finding]:
        """Yield the findings on arguments of the loss that leave out the labels."""
        config: dict[str, Any] = self.loss.get_config()
        for name, (wanted, is_inside) in ARGUMENTS.items():
            value = config.get(name)
            if isinstance(value, (int, float)) and not is_inside(value):
                default = inspect.signature(type(self.loss)).parameters[name].default
                found = f"{self.loss_name} with {name} {value:g}; its range is {wanted}."
                yield self.finding("loss-argument", found, **self.with_arguments(**{name: default}))
        ignored = config.get("ignore_class")
        if ignored is not None and self.label.kind == CLASS and 0 <= ignored < self.label.width:
            count = class_counts(self.values, self.label.width)[ignored]
            found = f"ignore_class {ignored} is class {self.label.classes[ignored]!r}, which has {count:,} rows."
            yield self.finding("ignored-class", found, **self.with_arguments(ignore_class=None))

    def check_loss(self) -> Iterator[Finding]:
        """Yield the findings on the loss: its kind of labels, its shapes, its activation and its range."""
        demand = self.demand
        if demand is None:
            yield from self._check_shape()
            yield from self._check_pairs_of_rows()
        elif demand.output == SEQUENCE:
            if not (self.label.kind == CLASS and len(self.label.shape) == 1 and len(self.output.shape) == 2):
                found = f"{self.loss_name} with {self.label.kind} labels."
                yield self.finding("loss-needs-sequences", found, **self.with_loss(None))
        else:
            mismatch = [*self._check_kind(demand)] or [*self._check_shape()]
            yield from mismatch
            if not mismatch:
                yield from self._check_activation(demand.output)
                yield from self._check_values(demand.output)

    def _check_kind(self, demand: Demand) -> Iterator[Finding]:
        """Yield a finding if the loss is not made for labels of this kind."""
        label, output = self.label, self.output
        found = f"{self.loss_name} with {label.kind} labels of width {label.width} and {output.width} output units."
        if demand.output in CATEGORICAL and output.width == 1 and label.kind != REAL:
            values = {"units": label.width} if label.width > 1 else {}
            values |= self.with_loss("binary_crossentropy") if label.width <= 2 else {}
            yield self.finding("one-unit-categorical", found, **values)
        elif label.kind in demand.labels:
            return
        elif label.kind == CLASS:
            sparse = self.with_loss("sparse_categorical_crossentropy")
            if output.width == 1:
                if not is_binary(label):
                    yield self.finding("classes-as-numbers", found, units=label.width, **sparse)
            elif is_binary(label) and demand.output in (PROBABILITY, SCORE):
                yield self.finding("two-units-binary", found, **sparse)
            else:
                yield self.finding("integer-labels", found, **sparse)
        elif label.kind == REAL:
            # labels from 0 to 1, such as the pixels of an autoencoder
            are_shares = self.values.min() >= 0 and self.values.max() <= 1
            if demand.output != PROBABILITY or not are_shares:
                yield self.finding("real-labels", found, **self.with_loss("mean_squared_error"))
        elif label.kind == MULTI_LABEL:
            yield self.finding("multi-label-with-categorical", found, **self.with_loss("binary_crossentropy"))
        else:
            yield self.finding("one-hot-labels", found, **self.with_loss("categorical_crossentropy"))

    def _check_shape(self) -> Iterator[Finding]:
        """Yield a finding unless every number of the output has its own number, or class, in the label."""
        label, width, shape = self.label, self.output.width, self.output.shape
        if self.demand is not None and self.demand.output == EMBEDDING:
            return
        axes = label.shape if label.kind == CLASS else label.shape[:-1]  # for labels per step or pixel
        if shape[:-1] != axes:
            expected = ", ".join([*map(str, axes), "units"])
            found = f"the output of a row has the shape {shape}; {self.loss_name} takes ({expected})."
            yield self.finding("output-rank", found, units=self.units)
        elif isinstance(self.loss, QuantileLoss):
            if width != self.units:
                found = f"{width} output units for {len(self.loss.quantiles)} quantiles of {label.width} numbers."
                yield self.finding("output-width", found, units=self.units)
        elif width not in ((1, 2) if is_binary(label) else (label.width,)):
            found = f"{width} output units for {label.kind} labels of width {label.width}."
            broadcasts = label.kind != CLASS and 1 in (width, label.width)
            yield self.finding("broadcast" if broadcasts else "output-width", found, units=label.width)
        elif not shape and label.shape:
            found = f"outputs of shape (rows,) for labels of shape (rows, {label.width})."
            yield self.finding("broadcast", found, units=label.width)

    def _check_pairs_of_rows(self) -> Iterator[Finding]:
        """Yield a finding if a custom loss compares each row with other rows."""
        operation = pairs_of_rows(self.loss.call, self.label, self.output)
        if operation is not None:
            labels, outputs = _shape_of_rows(self.label.shape), _shape_of_rows(self.output.shape)
            found = f"{operation} in {self.loss_name} compares every row with every other: labels of shape {labels}, "
            found += f"outputs of shape {outputs}."
            yield self.finding("broadcast", found, shape=outputs)

    def _check_activation(self, demand: str) -> Iterator[Finding]:
        """Yield the findings on a last activation that does not fit the loss."""
        label, output, reading = self.label, self.output, self.output.reading
        found = f"{self.over_activation}."
        if reading.operation in ("Softmax", "LogSoftmax") and output.shape[-1:] == (1,):
            activation = "linear" if label.kind == REAL else "sigmoid"
            yield self.finding("softmax-of-one", f"{self.over_activation}, of one unit.", activation=activation)
            return
        if reading.operation == "Softmax" and not output.sums_to_one and np.isfinite(output.values).all():
            yield self.finding("softmax-axis", f"{self.over_activation}: the outputs of a row do not sum to 1.")
            return
        if label.kind == MULTI_LABEL and label.width > 1 and output.is_distribution:
            yield self.finding("softmax-on-multi-label", f"{self.over_activation}, and several labels can be true.")
            return
        if not self.from_logits:
            yield from self._check_input_of_activation()
        if demand in (DISTRIBUTION, PROBABILITY) and self.from_logits:
            # softmax does not change log-probabilities
            if not (reading.operation == "LogSoftmax" and demand == DISTRIBUTION):
                yield from self._check_logits()
        elif demand == DISTRIBUTION:
            yield from self._check_distribution()
        elif demand == PROBABILITY:
            yield from self._check_probability()
        elif demand == POSITIVE and reading.low < 0:
            yield self.finding("log-of-negative", f"{self.over_activation}, which can be negative.")
        elif demand == ABOVE_MINUS_ONE and reading.low < 0:
            yield self.finding("clipped-outputs", f"{self.over_activation}, which can be negative.")
        elif demand == SCORE and (reading.low >= 0 or reading.high <= 0):
            yield self.finding("hinge-one-sided", found)
        elif demand == EMBEDDING:
            lengths = np.linalg.norm(output.values.reshape(len(output.values), -1).astype(np.float64), axis=-1)
            if not np.allclose(lengths, 1, atol=1e-2):
                found = (
                    f"{self.over_activation}, whose rows have lengths from {lengths.min():.3g} to {lengths.max():.3g}."
                )
                yield self.finding("not-unit-length", found)
        if label.kind != REAL and demand not in (DISTRIBUTION, PROBABILITY):
            if demand in (NUMBER, POSITIVE, ABOVE_MINUS_ONE):
                found = f"{self.over_activation}, for {label.kind} labels."
                yield self.finding("distance-on-classes", found, **self.with_loss(None))
            if not output.is_probability:
                is_alone = output.shape[-1:] == (1,)  # a softmax of one unit is always 1
                activation = "sigmoid" if label.kind == MULTI_LABEL or is_alone else "softmax"
                found = f"{self.over_activation}, which leaves the range 0 to 1."
                yield self.finding("scores-not-probabilities", found, activation=activation)

    def _check_input_of_activation(self) -> Iterator[Finding]:
        """Yield a finding if the last softmax or sigmoid takes numbers of a narrow range, or of one sign."""
        reading = self.output.reading
        low, high = reading.input_low, reading.input_high
        found = f"{self.over_activation}, which takes numbers from {low:g} to {high:g}."
        if low >= 0 and high <= 1:
            yield self.finding("activation-twice", found)
        elif low >= 0 or high <= 0:
            yield self.finding("one-sided-logits", found)
        elif high - low < NARROW:
            yield self.finding("bounded-logits", found)

    def _check_logits(self) -> Iterator[Finding]:
        reading = self.output.reading
        if self.output.is_probability:
            found = f"{self.over_activation}."
            yield self.finding("probabilities-as-logits", found, **self.with_logits(False))
        elif reading.low >= 0 or reading.high <= 0:
            yield self.finding("one-sided-logits", f"{self.over_activation}.")
        elif max(-reading.low, reading.high) < np.inf:
            found = f"{self.over_activation}, from {reading.low:g} to {reading.high:g}."
            yield self.finding("bounded-logits", found)

    def _check_distribution(self) -> Iterator[Finding]:
        found = f"{self.over_activation}."
        if self.output.is_distribution:
            return
        if self.output.reading.high <= 0:
            yield self.finding("log-probabilities", found, activation="softmax", **self.with_logits(True))
        elif self.output.is_probability:
            yield self.finding("sigmoid-with-categorical", found)
        else:
            yield self.finding("logits-as-probabilities", found, activation="softmax", **self.with_logits(True))

    def _check_probability(self) -> Iterator[Finding]:
        found, cross_entropy = f"{self.over_activation}.", self.with_loss("categorical_crossentropy")
        if self.output.reading.high <= 0:
            yield self.finding("log-probabilities", found, activation="sigmoid")
        elif not self.output.is_probability:
            yield self.finding("logits-as-probabilities", found, activation="sigmoid", **self.with_logits(True))
        elif self.label.kind == ONE_HOT and not isinstance(self.loss, OVERLAPS):
            code = "binary-loss-over-softmax" if self.output.is_distribution else "one-hot-with-sigmoid"
            yield self.finding(code, found, **cross_entropy)

    def _check_values(self, demand: str) -> Iterator[Finding]:
        """Yield the findings on label values that the loss or the range of the output excludes.

        Args:
            demand: The kind of output that the loss expects.
        """
        label, values = self.label, self.values
        if values.dtype.kind not in "fiub":
            return
        found = f"{self.loss_name} with {self.value_range}."
        if demand in (POSITIVE, ABOVE_MINUS_ONE) and values.min() < 0:
            yield self.finding("negative-labels", found, **self.with_loss("mean_squared_error"))
        elif demand == SCORE and not (np.isin(values, (-1, 1)).all() or np.isin(values, (0, 1)).all()):
            yield self.finding("labels-not-signs", found, **self.with_loss("mean_squared_error"))
        elif demand in (NUMBER, POSITIVE, ABOVE_MINUS_ONE):
            yield from self._check_reachable()
        if isinstance(self.loss, losses.MeanAbsolutePercentageError) and (values == 0).any():
            found = f"{np.count_nonzero(values == 0):,} of {values.size:,} labels are 0."
            yield self.finding("zero-labels", found, **self.with_loss("mean_absolute_error"))
        if isinstance(self.loss, losses.CosineSimilarity) and self.output.width == 1:
            yield self.finding("cosine-of-one", "one output unit.", **self.with_loss("mean_squared_error"))
        if label.kind == REAL and demand == NUMBER and label.width == 1:
            different = np.unique(values)
            whole = (different == np.floor(different)).all()
            if whole and 1 < len(different) <= FEW_VALUES and len(values) >= 5 * len(different):
                found = f"{len(values):,} labels hold only {len(different)} values, all of them whole numbers."
                yield self.finding("real-labels-look-like-classes", found)

    def _check_reachable(self) -> Iterator[Finding]:
        reading = self.output.reading
        outside = np.mean((self.values < reading.low) | (self.values > reading.high))
        if outside > ENOUGH:
            found = f"{self.value_range}; {reading} gives {reading.low:g} to {reading.high:g}."
            yield self.finding("unreachable-labels", found)


def check(setup: Setup, prediction: Prediction) -> Iterator[Finding]:
    """Yield the findings on the losses.

    Outputs are those of one batch. Labels are those of the whole training split.
    """
    for name in dict.fromkeys([*setup.spec.labels, *prediction.outputs, *setup.losses]):
        label, output, loss = setup.spec.labels.get(name), prediction.outputs.get(name), setup.losses.get(name)
        if label is None or output is None:
            found = "the data has no such label." if label is None else "the model has no output for it."
            yield finding("output-without-label", name, found, labels=", ".join(setup.spec.labels))
        elif loss is not None:
            checks = LossChecks(
                setup=setup, name=name, label=label, output=output, loss=loss, values=setup.data.train.labels[name]
            )
            yield from checks.check_labels()
            yield from checks.check_arguments()
            yield from checks.check_loss()
    if setup.supervised is not None:
        yield from _check_class_weights(setup, setup.supervised.class_weight)


def class_counts(values: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of rows of each class, (classes,)."""
    return np.bincount(values.astype(int).reshape(-1), minlength=classes)


def pairs_of_rows(function: Callable[[Any, Any], Any], label: Label, output: Output) -> str | None:
    """Return the first operation of a function (y_true, y_pred) that compares rows with each other, or None.

    The function is traced with a large prime batch size. A tensor that has this size on two axes compares rows.
    """
    labels = tf.TensorSpec((PRIME, *label.shape), label.dtype)
    outputs = tf.TensorSpec((PRIME, *output.shape), tf.float32)
    try:
        graph = tf.function(function, autograph=False).get_concrete_function(labels, outputs).graph
    except Exception:  # a custom function may raise anything; the first update reports it
        return None
    for operation in graph.get_operations():
        for tensor in operation.outputs:
            if tensor.shape.rank is not None and tensor.shape.as_list().count(PRIME) > 1:
                return str(operation.type)
    return None


def _shape_of_rows(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['rows', *map(str, shape)])}{'' if shape else ','})"


def _check_class_weights(setup: Setup, given: Any) -> Iterator[Finding]:
    """Yield a finding for each class with the weight 0 that has training rows.

    Args:
        setup: The set-up.
        given: objective.class_weight.
    """
    for name, label in setup.spec.labels.items():
        if label.kind not in (CLASS, ONE_HOT) or not isinstance(given, list):
            continue
        counts = class_counts(true_classes(label, setup.data.train.labels[name]), len(given))
        for index, (weight, count) in enumerate(zip(given, counts, strict=True)):
            if not weight:
                found = f"0 for class {label.classes[index]!r}, which has {count:,} training rows."
                yield finding("class-weight-zero", f"objective.class_weight[{index}]", found)
