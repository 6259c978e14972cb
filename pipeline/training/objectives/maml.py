"""Meta-learning: weights from which a few gradient steps on a task's first points fit its other points."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import ConfigError, DataError
from pipeline.models import architecture
from pipeline.spec import REAL, DataSpec, Feature, real_label
from pipeline.training.objectives.epoch_metrics import add_means, loss_mean
from pipeline.training.objectives.objective import Objective, Update


class Maml(Objective):
    """Model-agnostic meta-learning (Finn et al. 2017, algorithms 1 and 2): the gradient of the queries' loss after
    steps of gradient descent on the support, taken through these steps unless `first_order`. With more `inner_steps`
    than 1 it is the mean of the losses after each (multi-step loss, Antoniou et al. 2019, 4, with equal weights).

    A batch is (x (tasks, points, ...), y (tasks, points, ...)); a task's first `support` points are its support.

    config: a config.Maml. model: built for a point, one number out. The loss is the mean squared error.
    """

    def __init__(self, config, model):
        self.config = config
        self.support = config.support
        self.model = model
        self.loss = keras.losses.MeanSquaredError()

    def compile(self, optimizer, training):
        self.jit = training.jit == "always"  # never by itself: XLA made the nested steps twelve times slower on a CPU
        self.model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_execution, jit_compile=False)
        self.model.optimizer.build(self.model.trainable_variables)  # before a checkpoint is restored into it
        self.trackers = add_means(self.model, [name for name in self.log_names() if name != "loss"])
        self.architecture = architecture.digest(self.model)  # preflight holds what is trained against it

    def updates(self):
        return [Update("maml", self.losses, self.model.trainable_variables, self.model.optimizer)]

    def log_names(self):
        return ["loss", *(f"loss_after_{steps}" for steps in range(self.config.inner_steps + 1))]

    def losses(self, batch):
        """The queries' loss, meant over the steps, and (inner_steps + 1,) those before and after each; see Update."""
        after = tf.reduce_mean(self.query_losses(batch, self.config.inner_steps), axis=0)
        return {"loss": tf.reduce_mean(after[1:])}, after

    def measure(self, batch, losses, after):
        tasks = tf.shape(batch[1])[0]
        loss_mean(self.model).update_state(losses["loss"], sample_weight=tasks)
        for position, tracker in enumerate(self.trackers.values()):
            tracker.update_state(after[position], sample_weight=tasks)

    def evaluate(self, batches, callbacks):
        """The same losses on other tasks."""
        callbacks.on_test_begin()
        after = adapted(self, batches, self.config.inner_steps).mean(axis=0)
        logs = {"loss": float(after[1:].mean())}
        logs |= {f"loss_after_{steps}": float(loss) for steps, loss in enumerate(after)}
        callbacks.on_test_end(logs)
        return logs

    def query_losses(self, batch, steps):
        """(tasks, steps + 1): each task's loss on its queries after 0, 1, ... steps on its support.

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
        """(steps + 1,): the queries' loss of one task, x and y (points, ...), after 0, 1, ... steps."""
        weights = [variable.value for variable in self.model.trainable_variables]
        support, queries = (x[: self.support], y[: self.support]), (x[self.support :], y[self.support :])
        after = [self.loss_with(weights, *queries)]
        for _ in range(steps):
            weights = self.descend(weights, *support)
            after.append(self.loss_with(weights, *queries))
        return tf.stack(after)

    def descend(self, weights, x, y):
        """The weights after one step of gradient descent on one task's support."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = self.loss_with(weights, x, y)
        slopes = tape.gradient(loss, weights)
        if self.config.first_order:
            slopes = [tf.stop_gradient(slope) for slope in slopes]
        return [weight - self.config.inner_rate * slope for weight, slope in zip(weights, slopes, strict=True)]

    def loss_with(self, weights, x, y):
        """The loss of one task's points under other trainable weights than the model's own."""
        frozen = [variable.value for variable in self.model.non_trainable_variables]
        outputs, _ = self.model.stateless_call(weights, frozen, x, training=False)
        return self.loss(tf.reshape(y, tf.shape(outputs)) if y.dtype.is_floating else y, outputs)


def adapted(objective, batches, steps):
    """(tasks, steps + 1) float64: each task's loss on its queries after 0, 1, ... steps. batches: a tf.data.Dataset."""
    look = tf.function(lambda *batch: objective.query_losses(batch, steps), reduce_retracing=True)
    return np.concatenate([look(*batch).numpy() for batch in batches]).astype(np.float64)


def point_spec(config, spec):
    """The DataSpec of a point of a task. Raises ConfigError where the rows of the data are no tasks."""
    (name, feature), *more = spec.features.items()
    (label, kind), *others = spec.labels.items()
    points = feature.shape[0] if len(feature.shape) > 1 else None
    if more or others or kind.kind != REAL or points is None or kind.shape != (points,):
        raise ConfigError(
            "objective=maml: expected rows that are tasks, with one feature of (points, ...) and one real label of "
            f"(points,); found {name} {feature.shape} and {label}, {kind.kind} {kind.shape}. Take data=sinusoids, or "
            "tasks of your own."
        )
    if config.support >= points:
        raise ConfigError(
            f"objective.support: expected fewer than the {points} points of a task, so that some are left to judge by; "
            f"found {config.support}."
        )
    return DataSpec({name: Feature(feature.shape[1:], feature.dtype)}, {label: real_label()})
