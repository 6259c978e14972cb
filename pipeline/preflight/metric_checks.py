"""Checks of the metrics: against the labels and the last activation."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import metrics

from pipeline.errors import message_of
from pipeline.function_objects import FunctionMetric
from pipeline.label_objects import (
    CONFUSION,
    EXCLUSIVE,
    HINGES,
    ORDERS,
    PROBABILITIES,
    TOP_K,
    LabelMetric,
    arguments_of,
    demand_of,
    inner,
)
from pipeline.layer_names import keras_log_name, layer_name
from pipeline.objectives.supervised import of_label
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Output, Prediction
from pipeline.preflight.loss_checks import class_counts, pairs_of_rows
from pipeline.preflight.setup import Setup
from pipeline.quantile_objects import MedianMetric
from pipeline.spec import CLASS, REAL, Label

RATIO = 10  # rows of the most frequent class / rows of the rarest; above it, plain accuracy is misleading

ALONG_AN_AXIS = (metrics.CosineSimilarity, metrics.PearsonCorrelation, metrics.ConcordanceCorrelation)
LIKELIHOODS = (metrics.BinaryCrossentropy, metrics.CategoricalCrossentropy, metrics.SparseCategoricalCrossentropy)
WITH_THRESHOLD = (*CONFUSION, metrics.BinaryAccuracy, metrics.BinaryIoU)
ACCURACIES = (*ORDERS, metrics.BinaryAccuracy)


@dataclass(frozen=True, kw_only=True)
class MetricChecks:
    """The checks of one metric of one label.

    index: The index of the metric among those of the label.
    converted: The metric that training uses: the one of the config, or a LabelMetric around it.
    """

    setup: Setup
    name: str
    label: Label
    output: Output
    converted: keras.metrics.Metric
    index: int

    @property
    def metric(self) -> keras.metrics.Metric:
        """The metric of the config, without a LabelMetric."""
        return inner(self.converted)

    @property
    def config(self) -> dict[str, Any]:
        """The arguments of the metric."""
        return arguments_of(self.metric)

    def finding(self, code: str, found: str, replacement: Any = None, **arguments: object) -> Finding:
        """Return a finding on this metric.

        Args:
            code: The code of the finding.
            found: What was found.
            replacement: The metric to use instead, in Keras's form; by default that for the kind of the label.
            **arguments: Other arguments for the same metric, instead of a replacement.
        """
        place = f"{self.name}, {type(self.metric).__name__}"
        if self.setup.supervised is None:  # its metrics are no options
            return finding(code, place, found)
        usual = "mean_absolute_error" if self.label.kind == REAL else "accuracy"
        given = of_label(self.setup.supervised.metrics, self.name) or [usual]
        entry = given[self.index]
        if arguments:
            form = entry if isinstance(entry, dict) else {"class_name": type(self.metric).__name__}
            replacement = form | {"config": form.get("config", {}) | arguments}
        replaced = [*given[: self.index], replacement or usual, *given[self.index + 1 :]]
        once = [entry for index, entry in enumerate(replaced) if entry not in replaced[:index]]
        value = self.setup.with_label("metrics", self.name, once)
        return finding(code, place, found, metrics=value)

    def check_labels(self) -> Iterator[Finding]:
        """Check that the metric takes such labels."""
        label, metric, width = self.label, self.metric, self.output.width
        found = f"{label.kind} labels of width {label.width}, {width} output units."
        if type(metric) in (metrics.Mean, metrics.Sum):
            yield self.finding("metric-not-of-predictions", found)
            return
        if label.kind == REAL and isinstance(metric, (metrics.Accuracy, *ACCURACIES)):
            yield self.finding("accuracy-on-regression", found)
            return
        if type(metric) is metrics.Accuracy:
            yield self.finding("exact-accuracy", found)
            return
        demand = demand_of(metric)
        if label.kind not in demand.kinds:
            yield self.finding("metric-labels", f"{found} It takes {demand.form}.")

    def check_output(self) -> Iterator[Finding]:
        """Check that the metric takes such outputs."""
        label, metric, output = self.label, self.metric, self.output
        if isinstance(self.converted, LabelMetric) and self.converted.scale != PROBABILITIES:
            pass  # it converts logits to probabilities
        elif isinstance(metric, (*LIKELIHOODS, metrics.AUC)):
            takes_logits = bool(self.config.get("from_logits"))
            if takes_logits and output.is_probability:
                found = f"takes logits; {output.reading} gives probabilities."
                yield self.finding("metric-on-logits", found, from_logits=False)
            elif not takes_logits and not output.is_probability:
                found = f"takes probabilities; {output.reading} gives other numbers."
                yield self.finding("metric-on-logits", found, from_logits=True)
        elif isinstance(metric, WITH_THRESHOLD) and not output.is_probability and 0 < self._threshold() < 1:
            found = f"has its threshold at {self._threshold():g}; {output.reading} gives logits."
            yield self.finding("metric-on-logits", found, **{self._threshold_name(): 0.0})
        if type(metric) is metrics.BinaryAccuracy and label.kind in EXCLUSIVE and label.width > 2:
            found = f"{label.width} classes: a model that predicts none of them scores {1 - 1 / label.width:.2f}."
            yield self.finding("binary-accuracy-on-classes", found)
        if isinstance(metric, TOP_K) and self.config["k"] >= output.width:
            found = f"k is {self.config['k']}, of {output.width} classes."
            yield self.finding("top-k-of-all", found, k=max(output.width // 3, 1))

    def check_pairs_of_rows(self) -> Iterator[Finding]:
        """Check that a metric of a function compares each row only with itself."""
        if isinstance(self.metric, FunctionMetric) and not isinstance(self.converted, MedianMetric):
            operation = pairs_of_rows(self.metric.values_of_rows, self.label, self.output)
            if operation is not None:
                found = f"{operation} in {self.metric.name} compares every row with every other."
                yield self.finding("metric-broadcast", found)

    def check_values(self) -> Iterator[Finding]:
        """Check that the metric depends on the predictions, for the labels of the training split."""
        values, output = self.setup.data.train.labels[self.name], self.output
        if isinstance(self.metric, metrics.MeanAbsolutePercentageError) and (values == 0).any():
            found = f"it divides by the label, and {np.count_nonzero(values == 0):,} of {values.size:,} labels are 0."
            yield self.finding("metric-tells-nothing", found, "mean_absolute_error")
        elif isinstance(self.metric, HINGES) and self.label.kind == REAL and not np.isin(values, (-1, 1)).all():
            found = f"it takes labels of -1 and 1; found labels from {values.min():.4g} to {values.max():.4g}."
            yield self.finding("metric-tells-nothing", found)
        elif isinstance(self.metric, ALONG_AN_AXIS) and output.width == 1 and self._is_along_a_row():
            found = "it compares the numbers of a row, and a row has one number."
            yield self.finding("metric-tells-nothing", found, axis=0)

    def try_update(self, targets: Any) -> Iterator[Finding]:
        """Check one update with the labels and outputs of a batch."""
        outputs = self.output.values
        try:
            self.converted.update_state(targets, outputs)
            result = self.converted.result()
        except Exception as error:  # a custom metric may raise anything
            yield self.finding("metric-fails", message_of(error))
            return
        if isinstance(result, dict):
            return
        if isinstance(result, keras.Variable):
            yield self.finding("metric-is-a-variable", f"its result is the variable {result.name!r} itself.")
        elif np.ndim(result):
            found = f"its result has the shape {tuple(np.shape(result))}."
            averaged = {"average": "macro"} if isinstance(self.metric, metrics.FBetaScore) else {}
            yield self.finding("metric-of-several-numbers", found, **averaged)
        elif np.isfinite(outputs).all() and not np.isfinite(result):
            yield self.finding("metric-tells-nothing", f"it is {float(result)} on the first batch.")

    def _is_along_a_row(self) -> bool:
        return self.config["axis"] in (-1, len(self.output.shape))

    def _threshold_name(self) -> str:
        return "thresholds" if "thresholds" in self.config else "threshold"

    def _threshold(self) -> float:
        """The threshold of the metric, or the middle one of several."""
        given = self.config.get(self._threshold_name())
        values = np.ravel(0.5 if given is None else given)
        return float(values[len(values) // 2])


def check(setup: Setup, prediction: Prediction, batch: tuple) -> Iterator[Finding]:
    """Yield the findings on each metric of each label.

    Args:
        setup: The set-up.
        prediction: The outputs for the batch.
        batch: A batch of the training split.
    """
    _, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    targets = setup.by_label(y)
    for name, label in setup.spec.labels.items():
        output = prediction.outputs.get(name)
        if output is None:
            continue
        for index, metric in enumerate(setup.metrics[name]):
            checks = MetricChecks(setup=setup, name=name, label=label, output=output, converted=metric, index=index)
            found = [*checks.check_labels()] or [*checks.check_output()]
            yield from found
            if not any(item.is_error for item in found):
                yield from checks.check_pairs_of_rows()
                yield from checks.check_values()
                yield from checks.try_update(targets[name])
    yield from _check_imbalance(setup)


def _check_imbalance(setup: Setup) -> Iterator[Finding]:
    """Check that plain accuracy is neither the only metric nor monitored by a callback if a class is rare."""
    if setup.supervised is None or setup.supervised.class_weight is not None or setup.config.data.oversample:
        return
    callbacks = [callback for callback in setup.callbacks.items() if callback[1].patience is not None]
    for name, label in setup.spec.labels.items():
        if label.kind != CLASS or label.width < 2:
            continue
        counts = class_counts(setup.data.train.labels[name], label.width)
        if counts.max() <= RATIO * counts.min():
            continue
        accuracies = {metric.name for metric in setup.metrics[name] if isinstance(inner(metric), ACCURACIES)}
        most, least = label.classes[int(counts.argmax())], label.classes[int(counts.argmin())]
        rare = f"class {most!r} has {counts.max():,} training rows, class {least!r} {counts.min():,}."
        if len(accuracies) == len(setup.metrics[name]):
            further = "AUC" if label.width == 2 else {"class_name": "F1Score", "config": {"average": "macro"}}
            given = of_label(setup.supervised.metrics, name) or ["accuracy"]
            yield finding(
                "rare-class-accuracy", name, rare, metrics=setup.with_label("metrics", name, [*given, further])
            )
        for key, callback in callbacks:
            monitor = keras_log_name(callback.monitor, setup.spec.labels).removeprefix("val_")
            if monitor.removeprefix(f"{layer_name(name)}_") in accuracies:
                found = f"{key} monitors {callback.monitor}, and {rare}"
                yield finding("imbalance-accuracy", name, found, callback=key)
