"""Metrics of an objective's own, kept with its model's: logged each epoch, reset before it, held by checkpoints."""

import keras


def add_to_epoch(model, metric):
    """Add a keras.metrics.Metric to those of a compiled model."""
    model._metrics.append(metric)  # an attribute would do, but a subclassed model that is built takes no more of these


def add_means(model, names):
    """Add a mean of each name to the metrics of a compiled model. Returns name -> keras.metrics.Mean."""
    means = {name: keras.metrics.Mean(name) for name in names}
    for mean in means.values():
        add_to_epoch(model, mean)
    return means


def loss_mean(model):
    """The metric that Keras keeps of the loss, of a compiled model."""
    return next(metric for metric in model.metrics if metric.name == "loss")
