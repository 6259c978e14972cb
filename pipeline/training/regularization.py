"""Regularisers as wrappers of an objective: what one batch teaches, plus a penalty, or on rows mixed in pairs."""

from abc import abstractmethod
from dataclasses import replace
from fnmatch import fnmatchcase

import keras
import tensorflow as tf
from keras import ops

from pipeline.errors import ConfigError, nearest
from pipeline.training.epoch_metrics import add_to_epoch
from pipeline.training.objective import Objective
from pipeline.training.supervised import Blend


class Wrapper(Objective):
    """Another objective, whose losses a subclass changes in `updates`. Wrappers go around each other in any order."""

    def __init__(self, objective):
        self.objective = objective

    @property
    def model(self):
        return self.objective.model

    @property
    def architecture(self):
        return self.objective.architecture

    @property
    def jit(self):
        return self.objective.jit

    def compile(self, optimizer, training):
        self.objective.compile(optimizer, training)

    def updates(self):
        return self.objective.updates()

    def log_names(self):
        return self.objective.log_names()

    def validation_names(self):
        return self.objective.validation_names()

    def measure(self, batch, losses, seen):
        self.objective.measure(batch, losses, seen)

    def evaluate(self, batches, callbacks):
        return self.objective.evaluate(batches, callbacks)

    def class_weights(self, labels):
        return self.objective.class_weights(labels)

    def callbacks(self, folder):
        return self.objective.callbacks(folder)

    def own_variables(self):
        return self.objective.own_variables()


class Penalty(Wrapper):
    """One more named loss in every update. The epoch logs it by `name`; "loss" stays what the objective makes of it.

    Where there are several updates, each one's loss is named after it: "critic_weight_decay".
    """

    name: str

    @abstractmethod
    def penalized(self, update, name):
        """The losses of an Update, a function as it has, with the penalty among them by this name."""

    def compile(self, optimizer, training):
        super().compile(optimizer, training)
        self.mean = keras.metrics.Mean(name=self.name)
        add_to_epoch(self.model, self.mean)

    def updates(self):
        updates = super().updates()
        names = [self.name if len(updates) == 1 else f"{update.name}_{self.name}" for update in updates]
        return [replace(update, losses=self.penalized(update, name)) for update, name in zip(updates, names)]

    def log_names(self):
        return [*super().log_names(), self.name]

    def measure(self, batch, losses, seen):
        penalties = {name: loss for name, loss in losses.items() if name.endswith(self.name)}
        self.mean.update_state(tf.add_n(list(penalties.values())), sample_weight=rows_of(batch))
        super().measure(batch, {name: loss for name, loss in losses.items() if name not in penalties}, seen)

    def evaluate(self, batches, callbacks):
        return {name: score for name, score in super().evaluate(batches, callbacks).items() if name != self.name}


class GradientPenalty(Penalty):
    """weight times the mean over the rows of the squared norm of a row's loss's gradient by its float inputs, so that
    a small change of the input changes the loss little (double backpropagation, Drucker and Le Cun 1992).

    A row's loss has the gradient of the batch's mean loss, times the rows: exact where no layer mixes rows.
    """

    name = "gradient_penalty"

    def __init__(self, objective, weight):
        super().__init__(objective)
        self.weight = weight

    def penalized(self, update, name):
        def losses(batch):
            x, *rest = batch
            x = keras.tree.map_structure(lambda values: ops.cast(values, "float32") if can_mix(values) else values, x)
            floats = [values for values in keras.tree.flatten(x) if can_mix(values)]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(floats)
                found, seen = update.losses((x, *rest))
                total = tf.add_n(list(found.values()))
            grads = [grad for grad in tape.gradient(total, floats) if grad is not None]
            if not grads:
                raise ConfigError(
                    f"regularization.gradient_penalty: the losses of the update {update.name!r} do not depend on "
                    "numbers of the batch's inputs. Expected a model that takes them as floats."
                )
            squares = tf.add_n([tf.reduce_sum(tf.square(grad)) for grad in grads])
            return found | {name: self.weight * tf.cast(rows_of(batch), squares.dtype) * squares}, seen

        return losses


class WeightDecay(Penalty):
    """rate times the sum of squares of the weight matrices of some layers; their biases and scales are left alone.

    rates: a layer's path or one name in it, or a pattern of either -> rate. The first that a layer matches counts.
    Raises ConfigError where one matches no layer.
    """

    name = "weight_decay"

    def __init__(self, objective, rates):
        super().__init__(objective)
        self.rates = rates
        paths = {layer_of(variable) for variable in objective.model.trainable_variables if is_matrix(variable)}
        for pattern in rates:
            if not any(matches(path, pattern) for path in paths):
                names = {name for path in paths for name in path.split("/")}
                raise ConfigError(
                    f"regularization.weight_decay: no layer with a weight matrix is named {pattern!r}, of "
                    f"{', '.join(sorted(paths))}. {nearest(pattern, names)}"
                )

    def penalized(self, update, name):
        def losses(batch):
            found, seen = update.losses(batch)
            decayed = [(self.rate(variable), variable) for variable in update.variables if is_matrix(variable)]
            terms = [rate * ops.sum(ops.square(variable)) for rate, variable in decayed if rate]
            return found | {name: tf.add_n(terms) if terms else tf.zeros([])}, seen

        return losses

    def rate(self, variable):
        """The rate of the first pattern that a variable's layer matches; 0 where none does."""
        path = layer_of(variable)
        return next((rate for pattern, rate in self.rates.items() if matches(path, pattern)), 0.0)


class Mixup(Wrapper):
    """Every row mixed with another of its batch: share x + (1 - share) x', and the loss as much of each's label, with
    share drawn from Beta(alpha, alpha) once a batch (Zhang et al. 2018).

    The larger of share and 1 - share is taken, which leaves the distribution of the pairs what it is: what an epoch
    logs compares a mixed row with the label it has most of. objective: wraps a Supervised. seed: of the draws.
    """

    def __init__(self, objective, alpha, seed):
        super().__init__(objective)
        self.alpha = alpha
        self.generator = keras.random.SeedGenerator(seed)

    def own_variables(self):
        return [*super().own_variables(), self.generator.state]

    def updates(self):
        return [replace(update, losses=self.mixed(update)) for update in super().updates()]

    def mixed(self, update):
        return lambda batch: update.losses(self.mix(batch))

    def mix(self, batch):
        """A batch (x, y) or (x, y, weights) as (mixed x, Blend)."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        share = keras.random.beta((), self.alpha, self.alpha, seed=self.generator)
        share = ops.maximum(share, 1 - share)
        partners = keras.random.shuffle(ops.arange(rows_of(batch)), seed=self.generator)

        def of_partners(values):
            return keras.tree.map_structure(lambda column: ops.take(column, partners, axis=0), values)

        x = keras.tree.map_structure(lambda values: ops.cast(values, "float32"), x)
        mixed = keras.tree.map_structure(lambda one, other: share * one + (1 - share) * other, x, of_partners(x))
        second = of_partners(y), None if weights is None else of_partners(weights)
        return mixed, Blend((y, weights), second, share)


def rows_of(batch):
    """The number of rows of a batch, a scalar."""
    return ops.shape(keras.tree.flatten(batch[0])[0])[0]


def can_mix(values):
    """Whether a column of a batch holds measurements, which may lie in between, and not text or numbers of words."""
    return is_measured(keras.backend.standardize_dtype(values.dtype))


def is_measured(dtype):
    return dtype.startswith("float") or dtype == "uint8"


def is_matrix(variable):
    """Kernels and embeddings, not biases or the scales of a normalisation."""
    return len(variable.shape) > 1


def layer_of(variable):
    """The path of the layer that holds a variable: "transformer/encoder_block/attention/query"."""
    return variable.path.rpartition("/")[0]


def matches(path, pattern):
    """Whether a layer's path, or a name in it, fits a pattern."""
    return any(fnmatchcase(name, pattern) for name in (path, *path.split("/")))


def check_mixable(spec):
    """Raise ConfigError where two rows of a DataSpec have no mixture."""
    for name, feature in spec.features.items():
        if feature.variable_length or not is_measured(feature.dtype):
            found = "rows of different lengths" if feature.variable_length else feature.dtype
            raise ConfigError(
                f"regularization.mixup: expected features of numbers, all rows of one shape; found {name!r}, {found}, "
                "of which there is no mixture. Set regularization.mixup=0."
            )


def with_float_inputs(spec):
    """The spec of a model that takes whole measurements, such as pixels, as floats: a loss has a slope only there."""
    return replace(
        spec,
        features={
            name: replace(feature, dtype="float32") if feature.dtype == "uint8" else feature
            for name, feature in spec.features.items()
        },
    )
