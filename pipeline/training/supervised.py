"""Supervised learning: a loss between the model's outputs and the labels of a batch."""

from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from pipeline import keras_objects
from pipeline.errors import ConfigError, nearest
from pipeline.layers import architecture
from pipeline.objectives.supervised import is_by_label, of_label
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL
from pipeline.training import jit
from pipeline.training.epoch_metrics import loss_mean
from pipeline.training.objective import Objective, Update

LOSSES = {
    CLASS: "sparse_categorical_crossentropy",
    ONE_HOT: "categorical_crossentropy",
    MULTI_LABEL: "binary_crossentropy",
    REAL: "mean_squared_error",
}
ACCURACY = {CLASS: "SparseCategoricalAccuracy", ONE_HOT: "CategoricalAccuracy", MULTI_LABEL: "BinaryAccuracy"}


@dataclass(frozen=True)
class Blend:
    """Two labels for each row, which counts as so much of the first, a scalar `share`, and else of the second.

    first, second: (labels, weights of the rows) as a batch holds them; a loss is linear in both.
    """

    first: tuple
    second: tuple
    share: tf.Tensor


class Supervised(Objective):
    """Any Keras loss and metrics, the same under both engines: the model is compiled with them.

    config: a config.Supervised. spec: a DataSpec. model: built; its outputs are bare for one label, a dict for several.
    Raises ConfigError where a loss or metrics are given for a label that is not there.
    """

    def __init__(self, config, spec, model):
        check_labels_given(config, spec)
        self.config = config
        self.spec = spec
        self.model = model

    def compile(self, optimizer, training):
        losses = {name: loss(self.config, name, label) for name, label in self.spec.labels.items()}
        metrics = {name: label_metrics(self.config, name, label) for name, label in self.spec.labels.items()}
        if len(self.spec.labels) == 1:
            losses, metrics = next(iter(losses.values())), next(iter(metrics.values()))
        self.jit = jit.chosen(training, self.model)
        self.model.compile(
            optimizer=optimizer,
            loss=losses,
            loss_weights=self.loss_weights(),
            metrics=metrics,
            steps_per_execution=training.steps_per_execution,
            jit_compile=self.jit and not training.compiles_own_step,
        )
        if not training.compiles_own_step:
            self.jit = self.model.jit_compile  # Keras drops it where it thinks that it must
        self.model.optimizer.build(self.trained_variables())  # before a checkpoint is restored into it
        self.architecture = architecture.digest(self.model)  # preflight holds what is trained against it

    def updates(self):
        return [Update("supervised", self.losses, self.trained_variables(), self.model.optimizer)]

    def trained_variables(self):
        """The Keras variables that a step moves."""
        return self.model.trainable_variables

    def loss_weights(self):
        """Label name -> weight of its loss in Keras's total, or None where all have the same."""
        return None

    def class_weights(self, labels):
        return class_weights(self.config, self.spec, labels)

    def log_names(self):
        """Losses and metrics, by label where there are several."""
        per_label = {name: label_metrics(self.config, name, label) for name, label in self.spec.labels.items()}
        if len(per_label) == 1:
            return ["loss", *(metric.name for metrics in per_label.values() for metric in metrics)]
        names = [f"{label}_{metric.name}" for label, metrics in per_label.items() for metric in metrics]
        return ["loss", *(f"{label}_loss" for label in per_label), *names]

    def losses(self, batch):
        """The losses of one batch, and the outputs; see Update. The labels may be a Blend."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        outputs = self.model(x, training=True)
        if not isinstance(y, Blend):
            return self.compare(x, y, outputs, weights), outputs
        first, second = (self.compare(x, labels, outputs, rows) for labels, rows in (y.first, y.second))
        return {name: y.share * first[name] + (1 - y.share) * second[name] for name in first}, outputs

    def compare(self, x, y, outputs, weights):
        """The named losses between the labels of a batch and the outputs."""
        return {"loss": self.model.compute_loss(x, y, outputs, weights, training=True)}

    def measure(self, batch, losses, outputs):
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        loss_mean(self.model).update_state(losses["loss"], sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
        self.model.compute_metrics(x, y, outputs, weights)


def class_weights(config, spec, labels):
    """Label name -> (classes,) float32, or None where the config asks for none.

    labels: name -> (rows,) of the training split. "balanced" gives rows / (classes * rows of the class).
    Raises ConfigError where the label has no classes, or another number of them.
    """
    if config.class_weight is None:
        return None
    weights = {}
    for name, label in spec.labels.items():
        if label.kind != CLASS:
            raise ConfigError(f"objective.class_weight: expected a class label; {name!r} is {label.kind}.")
        if config.class_weight == "balanced":
            weights[name] = len(labels[name]) / (label.width * np.bincount(labels[name], minlength=label.width))
        elif len(config.class_weight) == label.width:
            weights[name] = np.array(config.class_weight)
        else:
            raise ConfigError(
                f"objective.class_weight: expected {label.width} weights, one a class of {name!r} "
                f"({', '.join(label.classes)}); found {len(config.class_weight)}."
            )
    return {name: values.astype(np.float32) for name, values in weights.items()}


def check_labels_given(config, spec):
    for key, value in (("loss", config.loss), ("metrics", config.metrics)):
        for name in value if is_by_label(value) else ():
            check_label(f"objective.{key}", name, spec)


def check_label(key, name, spec):
    """Raise ConfigError where a config names a label that the data does not have."""
    if name not in spec.labels:
        raise ConfigError(
            f"{key}.{name}: the data has no such label, only {', '.join(spec.labels)}. {nearest(name, spec.labels)}"
        )


def loss(config, name, label):
    """The loss object of one label: the config's, for it or for all, or the usual one for its kind."""
    return keras_objects.loss("objective.loss", of_label(config.loss, name) or LOSSES[label.kind])


def label_metrics(config, name, label):
    """The metric objects of one label: the config's, for it or for all, or accuracy for classes and mean absolute error
    for real labels.

    Raises ConfigError for an accuracy of real labels.
    """
    asked = of_label(config.metrics, name)
    usual = ["accuracy" if label.kind in ACCURACY else "mean_absolute_error"]
    return [_metric(value, label) for value in (usual if asked is None else asked)]


def _metric(value, label):
    if value != "accuracy":
        return keras_objects.metric("objective.metrics", value)
    if label.kind not in ACCURACY:
        raise ConfigError(
            "objective.metrics: expected a metric of real numbers, such as mean_absolute_error; found accuracy."
        )
    # Keras's class Accuracy compares labels with outputs for equality: "accuracy" means the one that fits the label
    return keras_objects.metric(
        "objective.metrics", {"class_name": ACCURACY[label.kind], "config": {"name": "accuracy"}}
    )
