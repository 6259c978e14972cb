"""Change points: agreement with river on its documented stream, and false alarms on noise."""

import random

import numpy as np
import pytest
from river import drift as river
from scipy.stats import binom

from pipeline.evaluation import change_points


def documented_stream():
    rng = random.Random(12345)
    return rng.choices([0, 1], k=1000) + rng.choices(range(4, 8), k=1000)


def alarms(detector, values):
    found = []
    for index, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            found.append(index)
    return found


def streams():
    """Series with a shift of 1 to 4 standard deviations in the middle."""
    rng = np.random.default_rng(0)
    return [np.r_[rng.normal(0, 1, 300), rng.normal(rng.uniform(1, 4), 1, 300)] for _ in range(100)]


def test_adwin_finds_the_change_in_the_documentation_of_river():
    (change,) = change_points.adwin(documented_stream(), clock=32)
    assert (change.alarm, change.index) == (1023, 1000)
    assert alarms(river.ADWIN(), documented_stream()) == [1023]


def test_page_hinkley_finds_the_change_in_the_documentation_of_river():
    (change,) = change_points.page_hinkley(documented_stream())
    assert (change.alarm, change.index) == (1006, 1000)
    assert alarms(river.PageHinkley(), documented_stream()) == [1006]


def test_page_hinkley_has_the_alarms_of_river_on_every_stream():
    for values in streams():
        expected = alarms(river.PageHinkley(threshold=20, delta=0.5, min_instances=10), values)
        assert [
            change.alarm for change in change_points.page_hinkley(values, threshold=20, slack=0.5, min_values=10)
        ] == expected


@pytest.mark.slow
def test_adwin_is_never_later_than_that_of_river_which_tests_fewer_cuts():
    errors = []
    for values in streams():
        expected = alarms(river.ADWIN(clock=1), values)
        found = change_points.adwin(values)
        assert found[0].alarm <= expected[0]
        errors.append(abs(found[0].index - 300))
    assert np.median(errors) <= 2 and np.quantile(errors, 0.95) <= 20


@pytest.mark.slow
def test_noise_rarely_is_a_change_point():
    rng = np.random.default_rng(1)
    found = [
        (
            len(change_points.adwin(values)),
            len(change_points.page_hinkley(values, threshold=8, slack=change_points.SLACK, min_values=10)),
        )
        for values in rng.normal(size=(500, 100))
    ]
    most = binom.ppf(0.99, 500, 0.01)
    assert (np.count_nonzero(found, axis=0) <= most).all()


@pytest.mark.parametrize("shift", [-0.02, 0.02])
def test_noise_level_does_not_depend_on_a_shift_of_the_level(shift):
    values = np.random.default_rng(2).normal(0.9, 0.004, 400)
    values[200:] += shift
    assert change_points.noise_level(values) == pytest.approx(0.004, rel=0.2)


def test_a_series_without_noise_has_a_change_point_at_its_jump():
    values = np.array([0.9] * 20 + [0.8] * 20)
    scaled = values / change_points.noise_level(values)
    assert [change.index for change in change_points.adwin(scaled)] == [20]


def test_a_constant_series_has_no_noise_and_no_change():
    assert change_points.noise_level(np.ones(50)) == 0
    assert change_points.adwin(np.zeros(50)) == change_points.page_hinkley(np.zeros(50)) == []


def test_a_level_shift_has_its_size_and_a_p_value():
    values = np.r_[np.random.default_rng(3).normal(0, 1, 50), np.random.default_rng(4).normal(2, 1, 50)]
    effect, p_value = change_points.level_shift(values, 50)
    assert effect == pytest.approx(2, abs=0.5) and p_value < 1e-6
