"""Metrics of an objective's own, kept with its model's: logged each epoch, reset before it, held by checkpoints."""

import keras
from keras import ops


def add_to_epoch(model, metric):
    """Add a keras.metrics.Metric to those of a compiled model."""
    model._metrics.append(metric)  # an attribute would do, but a subclassed model that is built takes no more of these


class MeanOverRows(keras.metrics.Mean):
    """The mean of a scalar a step, by the rows of each. Keras's own gets the same by a dozen operations for any shape,
    which several of them make felt in a step of a millisecond."""

    def update_state(self, value, sample_weight):
        rows = ops.cast(sample_weight, self.dtype)
        self.total.assign_add(ops.cast(value, self.dtype) * rows)
        self.count.assign_add(rows)


def add_means(model, names):
    """Add a mean of each name to the metrics of a compiled model. Returns name -> MeanOverRows."""
    means = {name: MeanOverRows(name) for name in names}
    for mean in means.values():
        add_to_epoch(model, mean)
    return means


def loss_mean(model):
    """The metric that Keras keeps of the loss, of a compiled model."""
    return next(metric for metric in model.metrics if metric.name == "loss")
