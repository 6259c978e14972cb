"""Keras losses and metrics for labels of any kind: labels and outputs are converted to the expected form."""

from dataclasses import dataclass
from typing import Any, override

import keras
from keras import losses, metrics, ops

from pipeline.keras_internals import better_direction, set_better_direction
from pipeline.quantile_objects import MedianMetric, QuantileLoss
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, Label

# ---- outputs as probabilities ----------------------------------------------------------------------------------------

# losses whose outputs have the scale of the labels, although they may lie outside 0 to 1
DISTANCES = (
    losses.MeanSquaredError,
    losses.MeanAbsoluteError,
    losses.MeanAbsolutePercentageError,
    losses.MeanSquaredLogarithmicError,
    losses.CosineSimilarity,
    losses.Huber,
    losses.LogCosh,
    losses.Poisson,
)
PROBABILITIES, LOGITS, SCORES, NUMBERS = "probabilities", "logits", "scores", "numbers"
SMALLEST, SMALLEST_OF_SIGMOID = 1e-30, 1e-7  # probabilities of which a logarithm in float32 is taken


def scale_of(loss: keras.losses.Loss) -> str:
    """Return the scale of the outputs that a loss for classes expects: PROBABILITIES, LOGITS, SCORES or NUMBERS."""
    if loss.get_config().get("from_logits") or isinstance(loss, losses.CategoricalHinge):
        return LOGITS
    if isinstance(loss, (losses.Hinge, losses.SquaredHinge)):
        return SCORES
    return NUMBERS if isinstance(loss, DISTANCES) else PROBABILITIES


def to_probabilities(outputs: Any, scale: str, kind: str) -> Any:
    """Convert outputs for classes, (batch, units), to probabilities.

    Logits are passed through softmax or sigmoid, and the scores of a hinge loss through sigmoid. The sigmoid keeps the
    order of scores, and their side of the threshold. Numbers are clipped to the range from 0 to 1.

    Args:
        outputs: The outputs of the model.
        scale: As returned by `scale_of`.
        kind: The kind of the label.
    """
    if scale == LOGITS:
        return ops.softmax(outputs) if is_softmax(outputs, kind) else ops.sigmoid(outputs)
    if scale == SCORES:
        return ops.sigmoid(outputs)
    return ops.clip(outputs, 0.0, 1.0) if scale == NUMBERS else outputs


def to_logits(outputs: Any, scale: str, kind: str) -> Any:
    """Convert outputs for classes, (batch, units), to logits: numbers whose softmax or sigmoid gives the probabilities.

    Probabilities below SMALLEST are raised to it; of a sigmoid, also those above 1 - SMALLEST_OF_SIGMOID are lowered.

    Args:
        outputs: The outputs of the model.
        scale: As returned by `scale_of`.
        kind: The kind of the label.
    """
    if scale in (LOGITS, SCORES):
        return outputs
    probabilities = to_probabilities(outputs, scale, kind)
    if is_softmax(outputs, kind):
        return ops.log(ops.maximum(probabilities, SMALLEST))
    probabilities = ops.clip(probabilities, SMALLEST_OF_SIGMOID, 1 - SMALLEST_OF_SIGMOID)
    return ops.log(probabilities) - ops.log(1 - probabilities)


def from_logits(logits: Any, scale: str, kind: str) -> Any:
    """Convert logits, (batch, units), to outputs of a scale: the inverse of `to_logits`. Arguments as there."""
    return logits if scale in (LOGITS, SCORES) else to_probabilities(logits, LOGITS, kind)


def from_probabilities(probabilities: Any, scale: str, kind: str) -> Any:
    """Convert probabilities, (batch, units), to outputs of a scale. Arguments as for `to_logits`."""
    return to_logits(probabilities, PROBABILITIES, kind) if scale in (LOGITS, SCORES) else probabilities


def is_softmax(outputs: Any, kind: str) -> bool:
    """Return whether the units of outputs are exclusive classes. A single unit belongs to the second of two classes."""
    return kind != MULTI_LABEL and outputs.shape[-1] > 1


# ---- the labels and outputs that metrics take ------------------------------------------------------------------------

# by base class, so that custom subclasses are included
CONFUSION = (
    *(metrics.AUC, metrics.Precision, metrics.Recall),
    *(metrics.TruePositives, metrics.TrueNegatives, metrics.FalsePositives, metrics.FalseNegatives),
    *(metrics.SensitivityAtSpecificity, metrics.SpecificityAtSensitivity),
    *(metrics.PrecisionAtRecall, metrics.RecallAtPrecision),
)
TOP_K = (metrics.TopKCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy)
HINGES = (metrics.Hinge, metrics.SquaredHinge, metrics.CategoricalHinge)
# metrics of the order of the outputs only: equal for logits and probabilities
ORDERS = (*TOP_K, metrics.CategoricalAccuracy, metrics.SparseCategoricalAccuracy)

INDICES = "class indices, and one unit per class"
ROWS = "one number per class, and one unit per class"
UNITS = "zeros and ones, one per unit"
NUMBERS_OF_UNITS = "one number per unit"
DECISIONS = "class indices, and the predicted class indices"
ANYTHING = "any label"  # custom metrics get labels and outputs as they are

EXCLUSIVE = (CLASS, ONE_HOT)


@dataclass(frozen=True)
class Demand:
    """The labels and outputs that a metric expects.

    Attributes:
        form: One of the constants above, such as INDICES.
        kinds: The kinds of labels that can be converted to this form.
    """

    form: str
    kinds: tuple[str, ...]


# (base classes, demand): the first entry that matches the class of a metric applies
DEMANDS = (
    (
        (
            metrics.SparseCategoricalAccuracy,
            metrics.SparseTopKCategoricalAccuracy,
            metrics.SparseCategoricalCrossentropy,
        ),
        Demand(INDICES, EXCLUSIVE),
    ),
    (
        (
            metrics.CategoricalAccuracy,
            metrics.TopKCategoricalAccuracy,
            metrics.CategoricalCrossentropy,
            metrics.CategoricalHinge,
            metrics.KLDivergence,
            metrics.OneHotIoU,
            metrics.OneHotMeanIoU,
        ),
        Demand(ROWS, EXCLUSIVE),
    ),
    ((metrics.FBetaScore,), Demand(ROWS, (*EXCLUSIVE, MULTI_LABEL))),
    (
        (*CONFUSION, metrics.BinaryAccuracy, metrics.BinaryCrossentropy, metrics.BinaryIoU),
        Demand(UNITS, (*EXCLUSIVE, MULTI_LABEL)),
    ),
)


def demand_of(metric: keras.metrics.Metric) -> Demand:
    """Return the labels and outputs that a metric itself expects, without the conversions of LabelMetric."""
    if not type(metric).update_state.__module__.startswith("keras."):  # a custom class
        return Demand(ANYTHING, (CLASS, ONE_HOT, MULTI_LABEL, REAL))
    for classes, demand in DEMANDS:
        if isinstance(metric, classes):
            return demand
    if isinstance(metric, metrics.IoU):
        forms = {(True, True): DECISIONS, (True, False): INDICES, (False, False): ROWS}
        form = forms.get((metric.sparse_y_true, metric.sparse_y_pred))
        return Demand(form, EXCLUSIVE) if form else Demand(DECISIONS, ())
    return Demand(NUMBERS_OF_UNITS, (*EXCLUSIVE, MULTI_LABEL, REAL))


def takes_scores(metric: keras.metrics.Metric) -> bool:
    """Return whether the class or the arguments of a metric show that it expects outputs other than probabilities."""
    config = arguments_of(metric)
    thresholds = config.get("thresholds", config.get("threshold"))
    if isinstance(metric, metrics.AUC) or thresholds is None:
        thresholds = 0.5
    values = thresholds if isinstance(thresholds, (list, tuple)) else [thresholds]
    return isinstance(metric, HINGES) or bool(config.get("from_logits")) or not 0 < max(values) < 1


def arguments_of(metric: keras.metrics.Metric) -> dict[str, Any]:
    """Return the arguments of a metric, with those that only the config of Keras's MeanMetricWrapper contains."""
    config = metric.get_config()
    if isinstance(metric, metrics.MeanMetricWrapper):
        config = metrics.MeanMetricWrapper.get_config(metric) | config
    return config


def for_label(metric: keras.metrics.Metric, label: Label, loss: keras.losses.Loss) -> keras.metrics.Metric:
    """Return a metric for a label: the given one, or one around it that converts labels and outputs for it.

    Args:
        metric: A new metric of Keras, or a custom one.
        label: The label.
        loss: The loss of the label. It defines whether outputs are probabilities.
    """
    if isinstance(loss, QuantileLoss):
        return MedianMetric(metric, loss.quantiles)
    demand, scale = demand_of(metric), scale_of(loss)
    if label.kind == REAL or label.kind not in demand.kinds or demand.form == ANYTHING:
        return metric
    if label.kind == CLASS and label.shape:  # one class per point of a row
        return metric
    if isinstance(metric, metrics.FBetaScore) and (label.kind == MULTI_LABEL or is_of_positive(metric, label)):
        metric = with_threshold(metric)
    takes = INDICES if label.kind == CLASS else ROWS
    converts = label.kind != MULTI_LABEL and (label.width == 2 or demand.form not in (takes, *_forms_of_rows(label)))
    scale = PROBABILITIES if scale == NUMBERS or takes_scores(metric) else scale
    if not converts and (scale == PROBABILITIES or isinstance(metric, ORDERS)):
        return metric
    return LabelMetric(metric, kind=label.kind, width=label.width, scale=scale)


def _forms_of_rows(label: Label) -> tuple[str, ...]:
    return (ROWS, UNITS, NUMBERS_OF_UNITS) if label.kind == ONE_HOT else ()


def is_of_positive(metric: keras.metrics.Metric, label: Label) -> bool:
    """Return whether a metric of two classes scores the second class only: its arguments must not name classes."""
    config = metric.get_config()
    names_classes = config.get("class_id") is not None or config.get("multi_label") or config.get("average")
    form = UNITS if isinstance(metric, metrics.FBetaScore) else demand_of(metric).form
    return label.kind in EXCLUSIVE and label.width == 2 and form in (UNITS, NUMBERS_OF_UNITS) and not names_classes


def with_threshold(metric: keras.metrics.FBetaScore) -> keras.metrics.FBetaScore:
    """Return an F score with a threshold: its own, or 0.5. Each unit above the threshold counts as predicted.

    Without a threshold, Keras counts the largest unit of a row as predicted.
    """
    config = metric.get_config()
    return metric if config["threshold"] is not None else type(metric).from_config(config | {"threshold": 0.5})


@keras.saving.register_keras_serializable("pipeline")
class LabelMetric(keras.metrics.Metric):
    """A metric of Keras whose labels and outputs are converted to the form that it expects.

    A metric of zeros and ones, such as AUC, gets 1 for the rows of the second of two classes, and the probability of
    that class. With more classes it gets one-hot labels, and counts all classes alike.
    """

    def __init__(
        self,
        metric: keras.metrics.Metric,
        *,
        kind: str,
        width: int,
        scale: str,
        name: str | None = None,
        dtype: Any = None,
    ) -> None:
        """Create the metric.

        Args:
            metric: A new metric.
            kind: The kind of the label: CLASS, ONE_HOT or MULTI_LABEL.
            width: The number of classes of the label.
            scale: The scale of the outputs, as returned by `scale_of`. They are converted to probabilities.
            name: By default the name of the metric.
            dtype: The dtype of the sums; by default that of Keras.
        """
        super().__init__(name=name or metric.name, dtype=dtype)
        self.metric = metric
        self.label = Label(kind, ("",) * width, width, () if kind == CLASS else (width,), "")
        self.scale = scale
        self.form = UNITS if is_of_positive(metric, self.label) else demand_of(metric).form
        set_better_direction(self, better_direction(metric))

    @override
    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        """Add the rows of a batch."""
        outputs = to_probabilities(ops.convert_to_tensor(y_pred), self.scale, self.label.kind)
        self.metric.update_state(*self.convert(ops.convert_to_tensor(y_true), outputs), sample_weight)

    def convert(self, labels: Any, outputs: Any) -> tuple[Any, Any]:
        """Return labels and outputs in the form that the metric expects.

        Args:
            labels: (batch,) class indices, or (batch, classes).
            outputs: (batch, classes), or (batch, 1) for the second of two classes.
        """
        if self.label.kind == MULTI_LABEL:
            return labels, outputs
        if is_of_positive(self.metric, self.label):
            return self._positive(labels), self._output_of_positive(outputs)
        outputs = self._one_per_class(outputs)
        if self.form in (INDICES, DECISIONS):
            indices = ops.reshape(labels, (-1,)) if self.label.kind == CLASS else ops.argmax(labels, axis=-1)
            return indices, ops.argmax(outputs, axis=-1) if self.form == DECISIONS else outputs
        if self.label.kind == CLASS:
            labels = ops.one_hot(ops.reshape(labels, (-1,)), self.label.width, dtype=outputs.dtype)
        return labels, outputs

    def _positive(self, labels: Any) -> Any:
        """Return 1 for each row of the second class, otherwise 0: (batch, 1)."""
        return ops.reshape(labels, (-1, 1)) if self.label.kind == CLASS else labels[:, 1:]

    def _output_of_positive(self, outputs: Any) -> Any:
        """Return the output of the second class, (batch, 1). Two logits give one: their difference."""
        if outputs.shape[-1] == 1:
            return outputs
        return outputs[:, 1:] - outputs[:, :1] if takes_scores(self.metric) else outputs[:, 1:]

    def _one_per_class(self, outputs: Any) -> Any:
        """Return one output per class. For two classes and one unit, the first output is computed from the second."""
        if outputs.shape[-1] == self.label.width:
            return outputs
        first = ops.zeros_like(outputs) if arguments_of(self.metric).get("from_logits") else 1 - outputs
        return ops.concatenate([first, outputs], axis=-1)

    @override
    def result(self) -> Any:
        value = self.metric.result()
        return value[0] if tuple(getattr(value, "shape", ())) == (1,) else value

    @override
    def reset_state(self) -> None:
        self.metric.reset_state()

    @override
    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "metric": keras.saving.serialize_keras_object(self.metric),
            "kind": self.label.kind,
            "width": self.label.width,
            "scale": self.scale,
        }

    @classmethod
    @override
    def from_config(cls, config: dict[str, Any]) -> "LabelMetric":
        return cls(**{**config, "metric": keras.saving.deserialize_keras_object(config["metric"])})


def inner(metric: keras.metrics.Metric) -> keras.metrics.Metric:
    """Return the metric inside a LabelMetric or MedianMetric, or the metric itself."""
    return metric.metric if isinstance(metric, (LabelMetric, MedianMetric)) else metric


# ---- losses ----------------------------------------------------------------------------------------------------------


@keras.saving.register_keras_serializable("pipeline")
class SparseCategoricalFocalCrossentropy(losses.CategoricalFocalCrossentropy):
    """The categorical focal loss for class indices."""

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        indices = ops.reshape(ops.cast(y_true, "int32"), (-1,))
        return super().call(ops.one_hot(indices, y_pred.shape[-1], dtype=y_pred.dtype), y_pred)


@keras.saving.register_keras_serializable("pipeline")
class SecondClassFocalCrossentropy(losses.BinaryFocalCrossentropy):
    """The binary focal loss of the second of two classes, for class indices and one or two units."""

    @override
    def call(self, y_true: Any, y_pred: Any) -> Any:
        if y_pred.shape[-1] == 2:
            y_pred = y_pred[:, 1:] - y_pred[:, :1] if self.get_config()["from_logits"] else y_pred[:, 1:]
        return super().call(ops.reshape(ops.cast(y_true, y_pred.dtype), (-1, 1)), y_pred)


def loss_for_label(loss: keras.losses.Loss, label: Label) -> keras.losses.Loss:
    """Return a loss for a label. Focal losses of Keras are replaced by versions that take class indices."""
    if label.kind != CLASS:
        return loss
    if type(loss) is losses.CategoricalFocalCrossentropy:
        return SparseCategoricalFocalCrossentropy.from_config(loss.get_config())
    if type(loss) is losses.BinaryFocalCrossentropy and label.width == 2:
        return SecondClassFocalCrossentropy.from_config(loss.get_config())
    return loss
