"""The loss of quantiles, and metrics of their median."""

import keras
import numpy as np
import pytest

from pipeline.quantile_objects import MedianMetric, QuantileLoss, median_of

LEVELS = (0.1, 0.5, 0.9)
TARGETS = np.array([[10.0, 1.0], [20.0, 2.0]], np.float32)


def test_loss_is_the_mean_pinball_loss_of_every_quantile_and_number():
    outputs = np.array([[8, 10, 11, 1, 1, 1], [20, 20, 30, 4, 4, 4]], np.float32)
    losses = QuantileLoss(LEVELS).call(TARGETS, outputs)
    first = (2 * 0.1 + 0 + 1 * 0.1) / 6
    second = (10 * 0.1 + 2 * 0.9 + 2 * 0.5 + 2 * 0.1) / 6
    np.testing.assert_allclose(losses, [first, second], rtol=1e-6)


def test_one_output_per_number_counts_as_every_quantile():
    outputs = np.array([[9.0], [25.0]], np.float32)
    loss = QuantileLoss(LEVELS)
    alike = loss.call(TARGETS[:, 0], np.repeat(outputs, 3, axis=1))  # labels (rows,), as of one real number
    np.testing.assert_allclose(loss.call(TARGETS[:, :1], outputs), alike)


def test_outputs_of_another_width_are_refused():
    with pytest.raises(ValueError, match="expected 6 output units, one per quantile and number; found 4"):
        QuantileLoss(LEVELS).call(TARGETS, np.zeros((2, 4), np.float32))


def test_metric_gets_the_medians():
    outputs = np.array([[0, 12, 99, 0, 2, 99], [0, 20, 99, 0, 2, 99]], np.float32)
    np.testing.assert_array_equal(median_of(outputs, LEVELS), [[12, 2], [20, 2]])
    metric = MedianMetric(keras.metrics.MeanAbsoluteError(), LEVELS)
    metric.update_state(TARGETS, outputs)
    assert metric.name == "mean_absolute_error" and float(metric.result()) == pytest.approx(0.75)
    metric.reset_state()
    metric.update_state(TARGETS, np.repeat(TARGETS, 3, axis=1))
    assert float(metric.result()) == 0


def test_loss_and_metric_are_saved_with_their_quantiles():
    metric = MedianMetric(keras.metrics.MeanAbsoluteError(), LEVELS)
    for each in (QuantileLoss(LEVELS), metric):
        again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(each))
        assert again.quantiles == [*LEVELS] and again.name == each.name
