"""Metrics of an objective's own, kept with its model's: logged each epoch, reset before it, held by checkpoints."""

import keras
from keras import ops


def add_to_epoch(model, metric):
    """Add a keras.metrics.Metric to those of a compiled model."""
    model._metrics.append(metric)  # an attribute would do, but a subclassed model that is built takes no more of these


class MeansOverRows(keras.metrics.Metric):
    """The means of some scalars a step, by the rows of each, read as a dict. Keras's own takes a dozen operations for
    each of them, which is felt in a step of a millisecond.

    names: of the scalars. A "loss" among them stands for the one that Keras keeps itself.
    """

    def __init__(self, names):
        super().__init__(name="means")
        self.names = names
        self.total = self.add_variable((len(names),), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, values, rows):
        """values: a scalar of each name, in their order. rows: how many they are means of."""
        rows = ops.cast(rows, self.dtype)
        self.total.assign_add(ops.stack([ops.cast(value, self.dtype) for value in values]) * rows)
        self.count.assign_add(rows)

    def result(self):
        means = ops.divide_no_nan(self.total, self.count)
        return {name: means[place] for place, name in enumerate(self.names)}


def add_means(model, names):
    """Add MeansOverRows of some names to the metrics of a compiled model, and return it."""
    means = MeansOverRows(names)
    add_to_epoch(model, means)
    return means


def loss_mean(model):
    """The metric that Keras keeps of the loss, of a compiled model."""
    return next(metric for metric in model.metrics if metric.name == "loss")
