"""Several tasks at once: a head a label over shared layers, their losses weighted by hand or by their uncertainty."""

import keras
import tensorflow as tf
from keras import ops

from pipeline.errors import ConfigError, message_of
from pipeline.spec import REAL
from pipeline.training.epoch_metrics import add_to_epoch
from pipeline.training.supervised import Supervised, check_label, loss


class MultiTask(Supervised):
    """The weighted sum of a loss a label, each a named loss of its own.

    Fixed weights w: the sum of w L. Learned ones: that of exp(-s) L + s / 2, for real labels exp(-s) L / 2 + s / 2,
    with s, the logarithm of a task's variance, trained along (Kendall, Gal and Cipolla 2018, equation 10).

    config: a config.MultiTask. Raises ConfigError where a weight has no label, a label no head, or there is one label.
    """

    def __init__(self, config, spec, model):
        super().__init__(config, spec, model)
        check_labels(config, spec)
        check_heads(spec, model)
        self.task_losses = {label: loss(config, label, kind) for label, kind in spec.labels.items()}
        learned = spec.labels if config.weighting == "learned" else {}
        self.log_variances = {label: keras.Variable(0.0, name=f"{label}_log_variance") for label in learned}
        self.weights = {label: config.weights.get(label, 1.0) for label in spec.labels}
        self.weights |= {label: TaskWeight(f"{label}_weight", scale_of(kind)) for label, kind in learned.items()}

    def compile(self, optimizer, training):
        optimizer.exclude_from_weight_decay(var_list=list(self.log_variances.values()))
        super().compile(optimizer, training)
        for label in self.log_variances:
            add_to_epoch(self.model, self.weights[label])

    def trained_variables(self):
        return [*super().trained_variables(), *self.log_variances.values()]

    def loss_weights(self):
        return {label: getattr(weight, "value", weight) for label, weight in self.weights.items()}

    def own_variables(self):
        return list(self.log_variances.values())

    def log_names(self):
        return [*super().log_names(), *(f"{label}_weight" for label in self.log_variances)]

    def validation_names(self):
        return super().log_names()

    def compare(self, x, y, outputs, sample_weights):
        """A weighted loss a label, and "regularization" where layers of the model bring losses along."""
        losses = {}
        for label, task_loss in self.task_losses.items():
            rows = sample_weights and sample_weights[label]
            losses[label] = self.weigh(label, loss_of_task(label, task_loss, y[label], outputs[label], rows))
        if self.model.losses:
            losses["regularization"] = tf.add_n(self.model.losses)
        return losses

    def weigh(self, label, value):
        """The loss of a task as its weight has it."""
        if label not in self.log_variances:
            return self.weights[label] * value
        s = self.log_variances[label]
        return scale_of(self.spec.labels[label]) * ops.exp(-s) * value + s / 2

    def measure(self, batch, losses, outputs):
        x, y, sample_weights = keras.utils.unpack_x_y_sample_weight(batch)
        super().measure(batch, {"loss": tf.add_n(list(losses.values()))}, outputs)
        self.model.compute_loss(x, y, outputs, sample_weights)  # Keras's own record of each task's loss, unweighted
        for label, s in self.log_variances.items():
            self.weights[label].update_state(scale_of(self.spec.labels[label]) * ops.exp(-s))

    def evaluate(self, batches, callbacks):
        scores = super().evaluate(batches, callbacks)
        scores["loss"] += sum(float(s.value) / 2 for s in self.log_variances.values())
        return {name: score for name, score in scores.items() if name.removesuffix("_weight") not in self.log_variances}


class TaskWeight(keras.metrics.Metric):
    """The weight of a task as it is now. Logged and checkpointed like the epoch's metrics, and not reset with them."""

    def __init__(self, name, initial):
        super().__init__(name=name)
        self.value = self.add_variable((), keras.initializers.Constant(initial), name="value")

    def update_state(self, weight):
        self.value.assign(weight)

    def reset_state(self):
        pass

    def result(self):
        return self.value + 0


def scale_of(label):
    """What stands before exp(-s): half for the squared error of real labels, one for likelihoods of classes."""
    return 0.5 if label.kind == REAL else 1.0


def loss_of_task(label, task_loss, targets, outputs, sample_weights):
    """A scalar. Raises ConfigError naming the task and the shapes where they do not go together."""
    try:
        return task_loss(targets, outputs, sample_weights)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"objective=multi_task: the loss of task {label!r} takes no outputs of shape {tuple(outputs.shape)} for "
            f"labels of shape {tuple(targets.shape)}. Keras says: {message_of(error)}"
        ) from error


def check_labels(config, spec):
    if len(spec.labels) < 2:
        raise ConfigError(
            f"objective=multi_task: expected several labels; the data has {', '.join(spec.labels)} alone. Name more in "
            "data.labels, or take objective=supervised."
        )
    for label in config.weights:
        check_label("objective.weights", label, spec)
    if not any(config.weights.get(label, 1.0) for label in spec.labels):
        raise ConfigError("objective.weights: expected a weight above 0; found 0 for every label.")


def check_heads(spec, model):
    """Raise ConfigError where the model has no output named after a label."""
    inputs = {name: keras.Input(feature.shape, dtype=feature.dtype) for name, feature in spec.features.items()}
    outputs = model(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    heads = list(outputs) if isinstance(outputs, dict) else []
    missing = [label for label in spec.labels if label not in heads]
    if missing:
        raise ConfigError(
            f"objective=multi_task: expected a head of the model for each label; found none for {', '.join(missing)}, "
            f"only {', '.join(heads) or 'one without a name'}. Take model=tabular or model=residual_cnn, or return a "
            "dict by label from a model of your own."
        )
