"""How good generated images are, in the eyes of a classifier of real ones."""

import numpy as np

from pipeline.evaluation.metrics import Score, ScoresOnly, averages, intervals

NOTE = (
    "A small classifier is trained on the real training images. accuracy: the share of generated images that it takes "
    "for the class asked for, and of the real ones beside it, the share that it gets right. frechet distance: between "
    "its features of real and generated images, Heusel et al. 2017; of real: between those of as many training images, "
    "as a yardstick. The distance has no interval, since a resample repeats rows, and "
    "that alone raises it."
)


def of_each_class(images, labels, classes, rows):
    """The first images of each class, as a grid: (rows, classes, *image); black where a class has none."""
    grid = np.zeros((rows, classes, *images.shape[1:]), images.dtype)
    for number in range(classes):
        found = images[labels == number][:rows]
        grid[: len(found), number] = found
    return grid


def evaluate(hits, real_hits, distance, real_distance, figures, config, seed):
    """The ScoresOnly of generated images.

    hits, real_hits: (rows,) bool, whether the classifier recognised each. distance, real_distance: Frechet distances to
    the real images, of the generated and of other real ones. config: a config.Evaluation.
    """
    shares = averages({"accuracy": hits, "accuracy_of_real": real_hits})
    scores = intervals([shares], len(hits), config, seed)
    scores |= {
        "frechet_distance": Score(distance, np.nan, np.nan),
        "frechet_distance_of_real": Score(real_distance, np.nan, np.nan),
    }
    order = ("accuracy", "frechet_distance", "accuracy_of_real", "frechet_distance_of_real")
    named = {name: scores[name] for name in order}
    return ScoresOnly("generated", len(hits), config.confidence, named, NOTE, tuple(figures))
