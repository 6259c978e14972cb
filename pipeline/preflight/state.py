"""Leaves no trace: what a trial draws, assigns or counts is afterwards as it was, bit for bit."""

import random
from contextlib import contextmanager

import numpy as np

from pipeline.keras_internals import eager_seed_generator, forget_global_seed_generator, global_seed_generator


@contextmanager
def generators_restored():
    """Put back, at the end, the generators of random numbers that Python, NumPy, TensorFlow and Keras share."""
    python, numpy = random.getstate(), np.random.get_state()
    eager = eager_seed_generator()
    eager_state = eager.getstate() if eager else None
    shared = global_seed_generator()
    shared_state = None if shared is None else shared.state.numpy()
    try:
        yield
    finally:
        if shared is None:  # made only now, it would not be made from the draw it will be made from
            forget_global_seed_generator()
        else:
            shared.state.assign(shared_state)
        if eager_state:
            eager.setstate(eager_state)
        np.random.set_state(numpy)
        random.setstate(python)


@contextmanager
def variables_restored(graph):
    """Put back, at the end, every variable that a function's graph reads or assigns, whoever made it.

    Yields [(tf.Variable, its value before)].
    """
    before = [(variable, variable.numpy()) for variable in graph.variables]
    try:
        yield before
    finally:
        for variable, value in before:
            variable.assign(value)
