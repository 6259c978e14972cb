"""Determinism: the same seed gives the same numbers, and a late change of threads is refused."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import determinism


def random_numbers():
    return random.random(), np.random.rand(), float(keras.random.uniform(())), float(tf.random.uniform(()))


def test_seed_repeats_the_numbers_of_every_generator_and_zero_is_a_seed():
    numbers = []
    for seed in (0, 0, 1):
        determinism.prepare("strict", seed=seed, threads=2)
        numbers.append(random_numbers())
    assert numbers[0] == numbers[1]
    assert all(one != other for one, other in zip(numbers[0], numbers[2]))


def test_strict_makes_kernels_deterministic_and_returns_the_settings():
    assert determinism.prepare("strict", seed=3, threads=2) == {"determinism": "strict", "seed": 3, "threads": 2}
    assert is_op_determinism_enabled()


def test_threads_cannot_change_after_tensorflow_has_started():
    tf.constant(1) + 1
    with pytest.raises(EnvironmentMismatch, match=r"expected 3.* runs with 2"):
        determinism.prepare("strict", seed=0, threads=3)
