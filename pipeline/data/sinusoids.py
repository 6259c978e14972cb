"""Regression tasks: sine waves of their own amplitude and phase, a few points of each (Finn et al. 2017, 5.1)."""

import numpy as np

AMPLITUDE, PHASE, RANGE = (0.1, 5.0), (0.0, np.pi), (-5.0, 5.0)


def draw(tasks, points, seed):
    """Tasks as (x (tasks, points, 1) float32, y (tasks, points) float32), a pure function of the arguments.

    seed: a number from 0 on, or a list of such.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    amplitude = generator.uniform(*AMPLITUDE, (tasks, 1))
    phase = generator.uniform(*PHASE, (tasks, 1))
    x = generator.uniform(*RANGE, (tasks, points))
    return x[..., np.newaxis].astype(np.float32), (amplitude * np.sin(x - phase)).astype(np.float32)
