"""Metrics of an objective's own, kept with its model's: logged each epoch, reset before it, held by checkpoints."""


def add_to_epoch(model, metric):
    """Add a keras.metrics.Metric to those of a compiled model."""
    model._metrics.append(metric)  # an attribute would do, but a subclassed model that is built takes no more of these
