"""Leaves no trace: what a trial draws, assigns or counts is afterwards as it was, bit for bit."""

import random
from contextlib import contextmanager

import numpy as np
from keras.src.backend.common import global_state
from keras.src.random.seed_generator import GLOBAL_SEED_GENERATOR
from tensorflow.python.eager import context


@contextmanager
def generators_restored():
    """Put back, at the end, the generators of random numbers that Python, NumPy, TensorFlow and Keras share."""
    python, numpy = random.getstate(), np.random.get_state()
    eager = getattr(context.context(), "_rng", None)  # not there before a seed is set
    eager_state = eager.getstate() if eager else None
    shared = global_state.get_global_attribute(GLOBAL_SEED_GENERATOR)
    shared_state = None if shared is None else shared.state.numpy()
    try:
        yield
    finally:
        if shared is None:  # made only now, it would not be made from the draw it will be made from
            global_state.set_global_attribute(GLOBAL_SEED_GENERATOR, None)
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
