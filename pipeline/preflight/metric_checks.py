"""The metrics against the labels and the last activation."""

import keras
import numpy as np
from keras import metrics

from pipeline.errors import message_of
from pipeline.preflight.findings import Finding
from pipeline.preflight.loss_checks import class_counts
from pipeline.preflight.setup import is_binary
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL

RATIO = 10  # rows of the most frequent class to those of the rarest, beyond which plain accuracy says little

# what a metric compares, told by base class, so that one of the user's own counts too
SPARSE = (metrics.SparseCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy,
          metrics.SparseCategoricalCrossentropy)  # fmt: skip
ROWS = (metrics.CategoricalAccuracy, metrics.TopKCategoricalAccuracy, metrics.CategoricalCrossentropy,
        metrics.CategoricalHinge, metrics.KLDivergence, metrics.OneHotIoU, metrics.OneHotMeanIoU)  # fmt: skip
SCORES = (metrics.FBetaScore,)
CONFUSION = (metrics.AUC, metrics.Precision, metrics.Recall, metrics.TruePositives, metrics.TrueNegatives,
             metrics.FalsePositives, metrics.FalseNegatives, metrics.SensitivityAtSpecificity,
             metrics.SpecificityAtSensitivity, metrics.PrecisionAtRecall, metrics.RecallAtPrecision)  # fmt: skip
BINARY = (*CONFUSION, metrics.BinaryAccuracy, metrics.BinaryCrossentropy, metrics.BinaryIoU)
INDICES = (metrics.IoU, metrics.MeanIoU)
ACCURACIES = (metrics.BinaryAccuracy, metrics.CategoricalAccuracy, metrics.SparseCategoricalAccuracy,
              metrics.TopKCategoricalAccuracy, metrics.SparseTopKCategoricalAccuracy)  # fmt: skip
HINGES = (metrics.Hinge, metrics.SquaredHinge)
ALONG_AN_AXIS = (metrics.CosineSimilarity, metrics.PearsonCorrelation, metrics.ConcordanceCorrelation)
LIKELIHOODS = (metrics.BinaryCrossentropy, metrics.CategoricalCrossentropy, metrics.SparseCategoricalCrossentropy)


def check(setup, prediction, batch):
    """Yield what is wrong with each metric of each label. batch: as the feed gives it."""
    _, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    targets = y if isinstance(y, dict) else {next(iter(setup.spec.labels)): y}
    for name, label in setup.spec.labels.items():
        output = prediction.outputs.get(name)
        if output is None:
            continue
        for metric in setup.metrics[name]:
            place = f"{name}, {type(metric).__name__}"
            found = [*_labels(place, label, output, metric)] or [*_output(place, label, output, metric)]
            yield from found
            if not any(finding.is_error for finding in found):
                yield from _values(place, label, output, metric, setup.data.train.labels[name])
                yield from _tried(place, metric, targets[name], output.values)
    yield from _imbalance(setup)


def _labels(place, label, output, metric):
    """Whether the metric is for such labels."""
    mend = _usual(label)
    found = f"{label.kind} labels of width {label.width}, {output.width} output units."
    one_unit = is_binary(label) and output.width == 1
    if type(metric) in (metrics.Mean, metrics.Sum):
        yield Finding("metric-not-of-predictions", place, found, mend)
    elif label.kind == REAL and isinstance(metric, (metrics.Accuracy, *ACCURACIES)):
        yield Finding("accuracy-on-regression", place, found, mend)
    elif type(metric) is metrics.Accuracy:
        yield Finding("exact-accuracy", place, found, mend)
    elif isinstance(metric, INDICES) and not isinstance(metric, (metrics.BinaryIoU, *ROWS)):
        if getattr(metric, "sparse_y_pred", True) or label.kind != CLASS:
            yield Finding("metric-labels", place, f"{found} It compares class indices with class indices.", mend)
    elif isinstance(metric, SPARSE):
        if label.kind != CLASS or one_unit:
            instead = "'objective.metrics=[BinaryAccuracy]'" if one_unit else mend
            yield Finding("metric-labels", place, f"{found} It takes class indices and a unit a class.", instead)
    elif isinstance(metric, ROWS):
        if label.kind != ONE_HOT:
            yield Finding("metric-labels", place, f"{found} It takes a row of numbers, one a class.", mend)
    elif isinstance(metric, SCORES):
        if label.kind not in (ONE_HOT, MULTI_LABEL):
            yield Finding("metric-labels", place, f"{found} It takes a row of zeros and ones.", mend)
    elif isinstance(metric, BINARY):
        if label.kind == REAL or (label.kind == CLASS and not one_unit):
            yield Finding("metric-labels", place, f"{found} It takes zeros and ones, a number a unit.", mend)
    elif label.kind == CLASS and not one_unit and type(metric).__module__.startswith("keras."):
        yield Finding("metric-labels", place, f"{found} It takes a number a unit.", mend)


def _output(place, label, output, metric):
    """Whether the metric is for such outputs."""
    reading = output.reading
    made = f"the {reading.operation} of {reading.layer!r}"
    if isinstance(metric, (*LIKELIHOODS, metrics.AUC)):
        takes_logits = metric.get_config().get("from_logits", False)
        if takes_logits and output.is_probability:
            yield Finding("metric-on-logits", place, f"takes logits; {made} gives probabilities.",
                          "from_logits: false in the config of the metric")  # fmt: skip
        elif not takes_logits and not output.is_probability:
            yield Finding("metric-on-logits", place, f"takes probabilities; {made} gives others.",
                          _with(metric, "from_logits: true"))  # fmt: skip
    elif isinstance(metric, (*CONFUSION, metrics.BinaryAccuracy, metrics.BinaryIoU)):
        threshold = _threshold(metric)
        if not output.is_probability and 0 < threshold < 1:
            yield Finding("metric-on-logits", place, f"has its threshold at {threshold:g}; {made} gives logits.",
                          "a threshold of 0 in the metric's config")  # fmt: skip
    if type(metric) is metrics.BinaryAccuracy and label.kind == ONE_HOT and label.width > 2:
        found = f"{label.width} classes: answering none of them scores {1 - 1 / label.width:.2f}."
        yield Finding("binary-accuracy-on-classes", place, found, "objective.metrics=[accuracy]")
    k = metric.get_config().get("k")
    if k is not None and k >= output.width:
        yield Finding("top-k-of-all", place, f"k is {k}, of {output.width} classes.", f"k: {max(output.width // 3, 1)}")


def _values(place, label, output, metric, values):
    """Whether the metric says anything of such values."""
    mend = _usual(label)
    if isinstance(metric, metrics.MeanAbsolutePercentageError) and (values == 0).any():
        found = f"{np.count_nonzero(values == 0):,} of {values.size:,} labels are 0, which it divides by."
        yield Finding("metric-tells-nothing", place, found, mend)
    elif isinstance(metric, HINGES) and label.kind == REAL and not np.isin(values, (-1, 1)).all():
        yield Finding("metric-tells-nothing", place, f"labels from {values.min():.4g} to {values.max():.4g}; it takes "
                      "-1 and 1.", mend)  # fmt: skip
    elif isinstance(metric, ALONG_AN_AXIS) and output.width == 1 and _axis(metric) in (-1, len(output.shape)):
        found = "it compares the numbers of a row, of which there is one."
        yield Finding("metric-tells-nothing", place, found, _with(metric, "axis: 0"))


def _usual(label):
    """The config line of the metric that fits a label's kind."""
    return f"'objective.metrics=[{'accuracy' if label.kind != REAL else 'mean_absolute_error'}]'"


def _axis(metric):
    return getattr(metric, "axis", metric.get_config().get("axis"))


def _with(metric, argument):
    """A metric as it stands in objective.metrics, with one argument more."""
    return f"{{class_name: {type(metric).__name__}, config: {{{argument}}}}} in objective.metrics"


def _threshold(metric):
    kept = getattr(metric, "thresholds", metric.get_config().get("threshold"))
    kept = getattr(metric, "threshold", kept)
    first = np.ravel(0.5 if kept is None else kept)
    return float(first[len(first) // 2])


def _tried(place, metric, targets, outputs):
    """What Keras says of one update with a real batch."""
    try:
        metric.update_state(targets, outputs)
        result = metric.result()
        if not isinstance(result, dict) and np.ndim(result):
            found = f"its result has the shape {tuple(np.shape(result))}."
            mend = "{class_name: F1Score, config: {average: macro}}"
            yield Finding("metric-of-several-numbers", place, found, mend)
        elif not isinstance(result, dict) and np.isfinite(outputs).all() and not np.isfinite(result):
            found = f"it is {float(result)} on the first batch."
            yield Finding("metric-tells-nothing", place, found, "Take another metric, or another last activation.")
    except Exception as error:  # a metric of the user's own may raise anything
        yield Finding("metric-fails", place, message_of(error), "Take another metric, or reshape the output.")


def _imbalance(setup):
    for name, label in setup.spec.labels.items():
        if label.kind != CLASS or label.width < 2 or setup.config.objective.class_weight is not None:
            continue
        counts = class_counts(setup.data.train.labels[name], label.width)
        if counts.min() == 0 or counts.max() <= RATIO * counts.min():
            continue
        accuracies = {metric.name for metric in setup.metrics[name] if isinstance(metric, ACCURACIES)}
        for watched in _watched(setup):
            if watched.removeprefix("val_").removeprefix(f"{name}_") in accuracies:
                most, least = label.classes[int(counts.argmax())], label.classes[int(counts.argmin())]
                times = counts.max() / counts.min()
                found = f"{watched} is watched; class {most!r} has {times:.0f} times the rows of class {least!r}."
                yield Finding("imbalance-accuracy", name, found, "objective.class_weight=balanced")


def _watched(setup):
    """What callbacks watch, once each."""
    training = setup.config.training
    return {part.monitor: None for part in (training.early_stopping, training.plateau) if part.patience is not None}
