"""The layer that orders quantiles."""

import numpy as np
import pytest

from pipeline.layers.ordered_quantiles import OrderedQuantiles


def test_quantiles_of_each_number_increase_from_the_first_unit():
    numbers = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32) * 5
    quantiles = np.reshape(OrderedQuantiles(width=2, count=3)(numbers), (20, 2, 3))
    np.testing.assert_array_equal(quantiles[..., 0], numbers[:, ::3])
    assert (np.diff(quantiles, axis=-1) > 0).all()


def test_another_number_of_units_is_refused():
    with pytest.raises(ValueError, match="expected 6 output units"):
        OrderedQuantiles(width=2, count=3)(np.zeros((4, 3), np.float32))
