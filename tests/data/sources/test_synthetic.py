"""Synthetic data."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.synthetic import Synthetic


@pytest.mark.parametrize("lengths", [[], [2, 6]])
def test_synthetic_data_is_a_function_of_its_seed(lengths):
    def made(seed):
        table = splits.read(Synthetic(rows=50, shape=[3], lengths=lengths, seed=seed)).splits["train"]
        x = table.features["x"]
        return (x.values if lengths else x).tobytes(), table.labels["y"].tobytes()

    assert made(4) == made(4)
    assert made(4) != made(5)


def test_synthetic_sequences_have_lengths_from_shortest_to_longest():
    source = splits.read(Synthetic(rows=500, shape=[3], lengths=[2, 6]))
    assert set(source.splits["train"].lengths) == {2, 3, 4, 5, 6}
    assert source.spec.lengths == (2, 6)


def test_synthetic_numbers_without_noise_are_a_linear_function_of_the_input():
    table = splits.read(Synthetic(rows=100, shape=[2, 4], classes=0, noise=0)).splits["train"]
    x, y = table.features["x"].reshape(100, 8), table.labels["y"]
    rule, *_ = np.linalg.lstsq(x, y)
    np.testing.assert_allclose(x @ rule, y, atol=1e-5)


def test_synthetic_data_holds_every_class():
    labels = splits.read(Synthetic(rows=2000, classes=10)).splits["train"].labels["y"]
    assert np.bincount(labels, minlength=10).min() > 50
