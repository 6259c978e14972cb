"""Few-shot tasks: a few images of a few classes each, told apart by what the first of them show."""

import numpy as np


def draw(classes, tasks, ways, each, seed):
    """Tasks as (x (tasks, each * ways, *image), y (tasks, each * ways) int64), a pure function of the arguments.

    classes: the images of each, arrays of (rows, *image). A task takes `ways` of them, numbered anew from 0, and `each`
    different images of every one, in turn: its first k * ways points show each class k times. seed: a number from 0 on,
    or a list of such.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    chosen = shuffled(generator, tasks, len(classes))[:, :ways]
    x = np.empty((tasks, ways, each, *classes[0].shape[1:]), classes[0].dtype)
    for number, images in enumerate(classes):
        here = chosen == number
        x[here] = images[shuffled(generator, np.count_nonzero(here), len(images))[:, :each]]
    y = np.tile(np.arange(ways, dtype=np.int64), (tasks, each))
    return x.swapaxes(1, 2).reshape(tasks, each * ways, *x.shape[3:]), y


def shuffled(generator, rows, count):
    """(rows, count): the numbers from 0 to count - 1, in an order of its own in each row."""
    return generator.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)


def moved(x, seed):
    """The tasks, each turned by right angles and mirrored as a whole: one of eight ways, a pure function of the seed.

    x: (tasks, points, size, size, channels).
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    turns, mirrored = generator.integers(4, size=len(x)), generator.integers(2, size=len(x)).astype(bool)
    x = np.where(mirrored[:, None, None, None, None], x[:, :, :, ::-1], x)
    return np.select(
        [turns[:, None, None, None, None] == number for number in range(4)],
        [np.rot90(x, number, axes=(2, 3)) for number in range(4)],
    )
