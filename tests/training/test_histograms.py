"""Histograms of gradients: counted as NumPy counts them, in a file that TensorBoard reads."""

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from pipeline.training import histograms

NORMAL = np.random.default_rng(0).normal(size=(50, 20)).astype(np.float32)


def test_buckets_count_every_number_as_numpy_does():
    found = histograms.buckets(NORMAL)
    counts, edges = np.histogram(NORMAL.astype(np.float64), histograms.BUCKETS)
    np.testing.assert_allclose(found[:, 0], edges[:-1], rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], edges[1:], rtol=1e-6)
    assert np.abs(found[:, 2] - counts).sum() <= 2 and found[:, 2].sum() == NORMAL.size  # on an edge, rounding decides


@pytest.mark.parametrize(
    ("values", "counted"),
    [([0.0] * 5, 5), ([], 0), ([np.nan, np.inf, 1.0, 2.0], 2), ([np.nan], 0), ([3.0], 1), ([-1e30, 1e30, 0.0], 3)],
    ids=str,
)
def test_buckets_count_the_finite_numbers_of_any_array(values, counted):
    found = histograms.buckets(np.array(values, np.float32))
    assert np.isfinite(found).all() and found[:, 2].sum() == counted


def test_tensorboard_reads_the_histogram_of_each_step(tmp_path):
    file = histograms.HistogramFile(tmp_path / "new")
    for step in (1, 51):
        file.add(step, {"gradients/kernel": NORMAL * step, "gradients/bias": NORMAL[0]})
    reader = EventAccumulator(str(tmp_path / "new"))
    reader.Reload()
    assert set(reader.Tags()["tensors"]) == {"gradients/kernel", "gradients/bias"}
    assert reader.SummaryMetadata("gradients/kernel").plugin_data.plugin_name == "histograms"
    events = reader.Tensors("gradients/kernel")
    assert [event.step for event in events] == [1, 51]
    np.testing.assert_array_equal(make_ndarray(events[1].tensor_proto), histograms.buckets(NORMAL * 51))
