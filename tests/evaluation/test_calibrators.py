"""Calibrators: the fitted temperature and monotone functions, and which configs are refused."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from pipeline.errors import ConfigError
from pipeline.evaluation import calibrators
from pipeline.evaluation.options import Evaluation
from pipeline.spec import DataSpec, class_label, real_label

ROWS = 5_000
SPEC = DataSpec({}, {"kind": class_label("abc")})


@pytest.fixture(scope="module")
def sure():
    """Logits that are three times too large, and the classes of their rows."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(ROWS, 3))
    classes = (softmax(logits, axis=1).cumsum(axis=1) > rng.random((ROWS, 1))).argmax(axis=1)
    return 3 * logits, np.eye(3, dtype=bool)[classes]


def test_temperature_undoes_a_scaling_of_the_logits(sure):
    logits, members = sure
    temperature = calibrators.fit_temperature(logits, members, exclusive=True).temperature
    assert temperature == pytest.approx(3, rel=0.1)

    def log_loss(divisor):
        return -log_softmax(logits / divisor, axis=1)[members].mean()

    assert log_loss(temperature) < min(log_loss(temperature * 0.999), log_loss(temperature * 1.001))


def test_one_unit_and_two_units_have_the_same_temperature(sure):
    logits, members = sure
    logits, members = logits[:, :2], np.stack([~members[:, 1], members[:, 1]], axis=1)
    two = calibrators.fit_temperature(logits, members, exclusive=True)
    one = calibrators.fit_temperature(logits[:, 1:] - logits[:, :1], members[:, 1:], exclusive=False)
    assert one.temperature == pytest.approx(two.temperature, rel=1e-4)


@pytest.mark.parametrize(("sign", "reason"), [(1, "predicted correctly"), (-1, "no minimum")])
def test_probabilities_stay_if_no_temperature_is_best(sign, reason):
    members = np.eye(2, dtype=bool)[[0, 1, 1]]
    calibrator = calibrators.fit_temperature(sign * (4.0 * members - 2), members, exclusive=True)
    assert calibrator.temperature is None and reason in calibrator.describe()


def test_isotonic_curve_holds_the_share_of_each_pool_of_rows():
    probabilities = np.array([0.1, 0.2, 0.2, 0.4, 0.6, 0.7, 0.9])
    positive = np.array([0, 1, 0, 1, 0, 1, 1], bool)
    x, y = calibrators.isotonic_curve(probabilities, positive)
    np.testing.assert_allclose(np.interp(probabilities, x, y), [1 / 9, 0.5, 0.5, 0.5, 0.5, 8 / 9, 8 / 9])
    assert x == (0.1, 0.2, 0.6, 0.7, 0.9)  # without the points inside a pool


def test_isotonic_curve_of_a_class_without_rows_is_constant():
    _, y = calibrators.isotonic_curve(np.array([0.1, 0.3, 0.5]), np.zeros(3, bool))
    assert y == (0.2, 0.2)


def test_calibrators_are_read_as_they_were_written(sure):
    fitted = {
        "t": calibrators.fit_temperature(*sure, exclusive=True),
        "i": calibrators.fit_isotonic(softmax(sure[0], axis=1), sure[1]),
    }
    assert calibrators.of_run({"calibrators": calibrators.to_json(fitted)}) == fitted
    assert calibrators.of_run({}) == {}


@pytest.mark.parametrize(
    ("spec", "validation", "objective", "message"),
    [
        (SPEC, None, None, "expected validation rows"),
        (DataSpec({}, {"price": real_label()}), object(), None, r"found price \(real\)"),
        (SPEC, object(), "maml", "found objective=maml"),
    ],
)
def test_run_that_cannot_be_calibrated_is_refused(spec, validation, objective, message):
    with pytest.raises(ConfigError, match=message):
        calibrators.check(Evaluation(calibrate="temperature"), spec, validation, objective=objective)
    calibrators.check(Evaluation(), spec, validation, objective=objective)


def test_command_cannot_change_the_calibration_of_a_run(sure):
    stored = {"kind": calibrators.fit_temperature(*sure, exclusive=True)}
    calibrators.check_command(stored, Evaluation(calibrate="temperature"))
    for method in ("none", "isotonic"):
        with pytest.raises(ConfigError, match="expected temperature"):
            calibrators.check_command(stored, Evaluation(calibrate=method))


def test_a_row_of_weight_2_counts_as_two_rows(sure):
    logits, members = sure
    logits, members, weights = logits[:500], members[:500], np.tile([1.0, 2.0], 250)
    twice = np.repeat(np.arange(500), weights.astype(int))
    weighted = calibrators.fit_temperature(logits, members, exclusive=True, weights=weights)
    repeated = calibrators.fit_temperature(logits[twice], members[twice], exclusive=True)
    assert weighted.temperature == pytest.approx(repeated.temperature, rel=1e-5)
    probabilities = softmax(logits, axis=1)[:, 0]
    x, y = calibrators.isotonic_curve(probabilities, members[:, 0], weights)
    at, share = calibrators.isotonic_curve(probabilities[twice], members[twice, 0])
    assert x == at
    inner = (np.array(share) > 0.01) & (np.array(share) < 0.99)  # the bounds of the ends depend on the number of rows
    np.testing.assert_allclose(np.array(y)[inner], np.array(share)[inner])
