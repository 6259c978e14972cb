"""Determinism: prepared once, the same numbers follow; prepared too late, it says so."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import determinism


def drawn():
    return random.random(), np.random.rand(), float(keras.random.uniform(())), float(tf.random.uniform(()))


def test_a_seed_repeats_every_generator_and_zero_is_a_seed_like_any_other():
    numbers = []
    for seed in (0, 0, 1):
        determinism.prepare("strict", seed, 2)
        numbers.append(drawn())
    assert numbers[0] == numbers[1]
    assert all(one != other for one, other in zip(numbers[0], numbers[2]))


def test_strict_makes_kernels_deterministic_and_returns_what_was_set():
    assert determinism.prepare("strict", 3, 2) == {"determinism": "strict", "seed": 3, "threads": 2}
    assert is_op_determinism_enabled()


def test_threads_cannot_change_once_tensorflow_works():
    tf.constant(1) + 1
    with pytest.raises(EnvironmentMismatch, match=r"expected 3.* runs with 2"):
        determinism.prepare("strict", 0, 3)
