"""Restore the state that a forward pass or a training step changes: random generators and variables."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import tensorflow as tf

from pipeline.keras_internals import eager_seed_generator, forget_global_seed_generator, global_seed_generator


@contextmanager
def generators_restored() -> Iterator[None]:
    """Restore the global random generators of Python, NumPy, TensorFlow and Keras when the block ends."""
    python, numpy = random.getstate(), np.random.get_state()
    eager = eager_seed_generator()
    eager_state = eager.getstate() if eager else None
    shared = global_seed_generator()
    shared_state = None if shared is None else shared.state.numpy()
    try:
        yield
    finally:
        if shared is None:  # it must be created later from the same random number as without preflight
            forget_global_seed_generator()
        else:
            shared.state.assign(shared_state)
        if eager is not None and eager_state is not None:
            eager.setstate(eager_state)
        np.random.set_state(numpy)
        random.setstate(python)


@contextmanager
def variables_restored(graph: tf.Graph) -> Iterator[list[tuple[tf.Variable, np.ndarray]]]:
    """Restore every variable that the graph of a function reads or assigns when the block ends.

    Yields:
        Each variable and its value at the beginning.
    """
    before = [(variable, variable.numpy()) for variable in graph.variables]
    try:
        yield before
    finally:
        for variable, value in before:
            variable.assign(value)
