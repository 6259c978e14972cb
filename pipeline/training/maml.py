"""Meta-learning: weights from which a few gradient steps on a task's first points fit its other points."""

from dataclasses import replace
from math import prod

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError, DataError
from pipeline.layers import architecture
from pipeline.spec import CLASS, REAL, DataSpec, real_label
from pipeline.training.epoch_metrics import add_means
from pipeline.training.objective import Objective, Update, with_batch_callbacks
from pipeline.training.supervised import LOSSES


class Maml(Objective):
    """Model-agnostic meta-learning (Finn et al. 2017, algorithms 1 and 2): the gradient of the queries' loss after
    steps of gradient descent on the support, taken through these steps unless `first_order`. With more `inner_steps`
    than 1 it is the mean of the losses after each (multi-step loss, Antoniou et al. 2019, 4, with equal weights).

    A batch is (x (tasks, points, ...), y (tasks, points, ...)); a task's first `support` points are its support.

    config: a config.Maml. label: the spec.Label of a point, whose kind decides the loss and what else is measured.
    model: built for a point.
    """

    def __init__(self, config, label, model):
        self.config = config
        self.support = config.support
        self.model = model
        self.measures = measures_of(label)

    def compile(self, optimizer, training):
        self.jit = training.jit == "always"  # never by itself: XLA made the nested steps twelve times slower on a CPU
        self.model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_execution, jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)  # before a checkpoint is restored into it
        self.means = add_means(self.model, self.log_names())
        self.architecture = architecture.digest(self.model)  # preflight holds what is trained against it

    def updates(self):
        return [Update("maml", self.losses, self.model.trainable_variables, self.model.optimizer)]

    def log_names(self):
        after = range(self.config.inner_steps + 1)
        return ["loss", *(f"{measure}_after_{steps}" for measure in self.measures for steps in after)]

    def losses(self, batch):
        """The queries' loss, meant over the steps, and what is measured before and after each; see Update."""
        after = self.after_steps(batch, self.config.inner_steps)
        after = {measure: tf.reduce_mean(values, axis=0) for measure, values in after.items()}
        return {"loss": tf.reduce_mean(after["loss"][1:])}, after

    def measure(self, batch, losses, after):
        values = [losses["loss"], *tf.unstack(tf.concat(list(after.values()), axis=0))]
        self.means.update_state(values, rows=tf.shape(batch[1])[0])

    def evaluate(self, batches, callbacks):
        """The same measures on other tasks."""
        callbacks.on_test_begin()
        after = adapted(self, with_batch_callbacks(batches, callbacks), self.config.inner_steps)
        after = {measure: values.mean(axis=0) for measure, values in after.items()}
        logs = {"loss": float(after["loss"][1:].mean())}
        for measure, values in after.items():
            logs |= {f"{measure}_after_{steps}": float(value) for steps, value in enumerate(values)}
        callbacks.on_test_end(logs)
        return logs

    def after_steps(self, batch, steps):
        """Measure -> (tasks, steps + 1): of each task's queries, after 0, 1, ... steps on its support.

        Raises DataError where a task has no queries.
        """
        x, y = batch[:2]
        if y.shape.rank < 2 or (y.shape[1] is not None and y.shape[1] <= self.support):
            raise DataError(
                f"objective maml, label: expected tasks of more than {self.support} points, whose first "
                f"{self.support} are the support; found shape {tuple(y.shape)}."
            )
        return tf.vectorized_map(lambda task: self.adapt(*task, steps), (x, y))

    def adapt(self, x, y, steps):
        """Measure -> (steps + 1,): of the queries of one task, x and y (points, ...), after 0, 1, ... steps."""
        weights = [variable.value for variable in self.model.trainable_variables]
        support, queries = (x[: self.support], y[: self.support]), (x[self.support :], y[self.support :])
        after = [self.measured(weights, *queries)]
        for _ in range(steps):
            weights = self.descend(weights, *support)
            after.append(self.measured(weights, *queries))
        return {measure: tf.stack([values[measure] for values in after]) for measure in self.measures}

    def descend(self, weights, x, y):
        """The weights after one step of gradient descent on one task's support."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = self.measured(weights, x, y)["loss"]
        grads = tape.gradient(loss, weights)
        if self.config.first_order:
            grads = [tf.stop_gradient(grad) for grad in grads]
        return [weight - self.config.inner_rate * grad for weight, grad in zip(weights, grads, strict=True)]

    def measured(self, weights, x, y):
        """Measure -> scalar: of one task's points under other trainable weights than the model's own."""
        frozen = [variable.value for variable in self.model.non_trainable_variables]
        outputs, _ = self.model.stateless_call(weights, frozen, x, training=False)
        targets = tf.reshape(y, tf.shape(outputs)) if y.dtype.is_floating else y
        return {name: measure(targets, outputs) for name, measure in self.measures.items()}


def measures_of(label):
    """Name -> function of (targets, outputs) of some points: the loss that fits the label's kind, and what people
    look at beside it."""
    loss = keras.losses.get(LOSSES[label.kind])
    measures = {"loss": lambda targets, outputs: tf.reduce_mean(loss(targets, outputs))}
    return measures | ({"accuracy": accuracy} if label.kind == CLASS else {})


def accuracy(classes, outputs):
    """The share of points whose class has the largest output. Keras's own takes apart the bits of floats, which
    tf.vectorized_map can only do point by point."""
    return tf.reduce_mean(tf.cast(tf.argmax(outputs, axis=-1) == classes, tf.float32))


def adapted(objective, batches, steps):
    """What `Maml.after_steps` gives, of all tasks, as float64 arrays. batches: of (x, y)."""
    look = tf.function(lambda *batch: objective.after_steps(batch, steps), autograph=False, reduce_retracing=True)
    looks = [look(*batch) for batch in batches]
    return {measure: np.concatenate([seen[measure] for seen in looks]).astype(np.float64) for measure in looks[0]}


def point_spec(config, spec):
    """The DataSpec of a point of a task. Raises ConfigError where the rows of the data are no tasks."""
    (name, feature), *more = spec.features.items()
    (label, kind), *others = spec.labels.items()
    points = feature.shape[0] if len(feature.shape) > 1 else None
    if more or others or points is None or kind.shape[:1] != (points,):
        raise ConfigError(
            "objective=maml: expected rows that are tasks, with one feature of (points, ...) and one label of "
            f"(points,); found {name} {feature.shape} and {label}, {kind.kind} {kind.shape}. Take data=sinusoids, "
            "data=digit_tasks, or tasks of your own."
        )
    if config.support >= points:
        raise ConfigError(
            f"objective.support: expected fewer than the {points} points of a task, so that some are left to judge by; "
            f"found {config.support}."
        )
    if config.support < len(kind.classes):
        raise ConfigError(
            f"objective.support: expected at least {len(kind.classes)} points, one of each class of {label!r} to learn "
            f"from; found {config.support}."
        )
    return DataSpec({name: replace(feature, shape=feature.shape[1:])}, {label: point_label(kind)})


def point_label(label):
    """The Label of one point of a task."""
    shape = label.shape[1:]
    return real_label(prod(shape)) if label.kind == REAL else replace(label, shape=shape)
