"""Picks the engine that the config names."""

from pipeline import config as c
from pipeline.training import fit, gradients, tape


def run(config, folder, objective, feed, validation, callbacks, checkpointer, verbose):
    """Train with the engine of a config.Config, in the folder of the run. The other arguments as for fit.run."""
    epochs = config.training.epochs
    match config.training:
        case c.Tape(gradients=c.Gradients(every=None)):
            tape.run(objective, feed, validation, epochs, callbacks, checkpointer, verbose, gradients.Unwatched())
        case c.Tape(gradients=looks):
            watch = gradients.Watch(looks.every, folder, looks.histograms)
            tape.run(objective, feed, validation, epochs, callbacks, checkpointer, verbose, watch)
        case _:
            fit.run(objective, feed, validation, epochs, callbacks, checkpointer, verbose)
