"""Drift between two samples: statistics without drift, and detection of known shifts."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom, chi2, chi2_contingency, fisher_exact, ks_2samp, norm

from pipeline.data.blocks import blocks
from pipeline.evaluation import data_columns, drift_detection, prediction_profiles, profiles
from pipeline.evaluation.drift_detection import DriftKind, DriftVerdict
from pipeline.evaluation.options import Drift, Evaluation
from pipeline.spec import class_label, real_label

SIMULATIONS = 100_000


def compared(reference, new, config=None):
    """The results of comparing two blocks: column name -> values."""
    before = profiles.build_profile([reference])
    config = config or Drift()
    return drift_detection.with_verdicts(
        drift_detection.compare_data(reference=before, new=profiles.count_rows(before.columns, [new]), options=config),
        config.rate,
    )


def verdicts(results):
    return {result.verdict for result in results}


# ---- the population stability index ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n, m, bins", [(1_000, 1_000, 20), (1_000, 1_000, 10), (5_000, 1_000, 20)])
def test_the_index_has_the_stated_null_mean_and_critical_values(n, m, bins):
    rng, shares = np.random.default_rng(0), np.full(bins, 1 / bins)
    one = rng.multinomial(n, shares, SIMULATIONS).astype(float)
    other = rng.multinomial(m, shares, SIMULATIONS).astype(float)
    p, q = one / n, other / m
    values = ((p - q) * np.log(p / q)).sum(axis=1)
    assert drift_detection.stability_index(one[0], other[0]) == pytest.approx(values[0])
    scale, freedom = drift_detection.stability_index_null(one[0], other[0])
    assert values.mean() == pytest.approx(scale * freedom, rel=0.02)
    for rate in (0.05, 0.01):
        assert np.quantile(values, 1 - rate) == pytest.approx(scale * chi2.isf(rate, freedom), rel=0.05)


@pytest.mark.parametrize("bins", [20, 30, 100])
def test_the_index_of_two_normals_is_their_j_divergence(bins):
    edges = norm.ppf(np.arange(1, bins) / bins)
    one, other = (np.diff([0, *norm.cdf(edges - shift), 1]) * 1e9 for shift in (0, 0.5))
    assert drift_detection.stability_index(one, other) == pytest.approx(0.25, rel=0.05)


def test_an_empty_bin_gives_a_finite_index():
    assert np.isfinite(drift_detection.stability_index(np.array([100.0, 0.0]), np.array([50.0, 50.0])))


# ---- the tests against SciPy's --------------------------------------------------------------------------------------


def test_chi_square_agrees_with_scipy():
    one, other = np.array([30.0, 50, 20]), np.array([100.0, 70, 60])
    test = drift_detection.chi_square_test(one, other, rate=0.01, minimum=0.1)
    expected = chi2_contingency(np.stack([one, other]), correction=False)
    assert test.p_value == pytest.approx(expected.pvalue)
    assert test.effect == pytest.approx(np.sqrt(expected.statistic * (1 / 100 + 1 / 230)))


def test_the_binned_distance_is_near_that_of_scipy_and_never_exceeds_it():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=5_000), rng.normal(0.3, size=2_000)
    before = profiles.build_profile([{"x": one}])
    after = profiles.count_rows(before.columns, [{"x": other}])
    counts = (np.array(found.columns["x"].counts, float) for found in (before, after))
    test = drift_detection.kolmogorov_smirnov_test(*counts, rate=0.01, minimum=0.05)
    expected = ks_2samp(one, other)
    assert 0.95 * expected.statistic <= test.effect <= expected.statistic
    assert test.p_value >= expected.pvalue


def test_the_largest_change_of_a_share_is_fishers_test_of_one_name_times_the_names():
    one, other = np.array([30.0, 50, 20, 0]), np.array([100.0, 70, 60, 0])
    test = drift_detection.share_change_test(["a", "b", "c", "never"], reference=one, new=other, options=Drift())
    sides = [fisher_exact([[50, 50], [70, 160]], alternative=side).pvalue for side in ("less", "greater")]
    assert test.p_value == pytest.approx(3 * 2 * min(sides))
    assert test.effect == pytest.approx(2 * np.arcsin(np.sqrt(70 / 230)) - 2 * np.arcsin(np.sqrt(0.5)))
    assert test.detail == "b: 50 % before, 30.43 % now"


def test_a_single_comparison_weighs_as_much_as_a_group_of_many():
    single = drift_detection.DriftResult(
        kind=DriftKind.INPUT,
        subject="label y",
        method="m",
        reference_rows=1_000,
        rows=1_000,
        effect=1.0,
        p_value=0.003,
        threshold=0.1,
    )
    many = [replace(single, subject="x", p_value=0.5)] * 200
    assert drift_detection.with_verdicts([many, [single]], 0.01)[-1].verdict == DriftVerdict.DRIFT
    assert drift_detection.with_verdicts([[*many, single]], 0.01)[-1].verdict == DriftVerdict.NONE


def test_neighboring_bins_are_joined_until_enough_rows_can_be_expected():
    one, other = np.array([1.0, 1, 1, 1, 96, 0, 0, 900]), np.array([0.0, 0, 0, 0, 10, 0, 0, 90])
    p, q = drift_detection.merge_sparse_bins(one, other)
    assert p.sum() == one.sum() and q.sum() == other.sum()
    assert ((p + q) * min(one.sum(), other.sum()) / (p + q).sum() >= drift_detection.MIN_EXPECTED_ROWS).all()


# ---- verdicts -------------------------------------------------------------------------------------------------------


def test_a_negligible_shift_is_no_drift_with_any_number_of_rows():
    rng = np.random.default_rng(0)
    results = compared({"x": rng.normal(size=500_000)}, {"x": rng.normal(0.02, size=500_000)})
    assert min(result.p_value for result in results) < 1e-6  # and yet
    assert verdicts(results) == {DriftVerdict.NONE}


def test_a_shift_of_half_a_standard_deviation_is_drift():
    rng = np.random.default_rng(0)
    assert verdicts(compared({"x": rng.normal(size=5_000)}, {"x": rng.normal(0.5, size=1_000)})) == {DriftVerdict.DRIFT}


def test_a_hundred_equal_columns_have_no_drift_although_some_p_values_are_small():
    rng = np.random.default_rng(0)
    blocks_ = [{str(column): rng.normal(size=rows) for column in range(100)} for rows in (5_000, 1_000)]
    assert verdicts(compared(*blocks_)) == {DriftVerdict.NONE}


def test_too_few_rows_have_their_own_verdict():
    rng = np.random.default_rng(0)
    assert verdicts(compared({"x": rng.normal(size=5_000)}, {"x": rng.normal(9, size=99)})) == {
        DriftVerdict.TOO_FEW_ROWS
    }
    assert verdicts(compared({"x": rng.normal(size=5_000)}, {"x": rng.normal(9, size=100)})) == {DriftVerdict.DRIFT}


def test_a_constant_column_that_begins_to_vary_is_drift():
    assert DriftVerdict.DRIFT in verdicts(compared({"x": np.zeros(1_000)}, {"x": np.r_[np.zeros(500), np.ones(500)]}))
    assert verdicts(compared({"x": np.zeros(1_000)}, {"x": np.zeros(1_000)})) == {DriftVerdict.NONE}


def test_new_missing_values_are_drift():
    rng = np.random.default_rng(0)
    new = rng.normal(size=1_000)
    new[:200] = np.nan
    assert DriftVerdict.DRIFT in verdicts(compared({"x": rng.normal(size=5_000)}, {"x": new}))
    assert DriftVerdict.DRIFT in verdicts(compared({"x": rng.normal(size=5_000)}, {"x": np.full(1_000, np.nan)}))


def test_a_new_category_is_drift():
    rng = np.random.default_rng(0)
    names = [rng.choice(np.array(known, dtype=object), 1_000) for known in (["a", "b"], ["a", "b", "new"])]
    assert DriftVerdict.DRIFT in verdicts(compared({"x": names[0]}, {"x": names[1]}))


# ---- digits: false alarms, and shifts of the kinds of Rabanser et al. 2019, "Failing Loudly" -------------------------


@pytest.fixture(scope="module")
def all_digits(digits):
    """(images, labels) of all 1,797 rows, and their spec."""
    data_splits = (digits.train, digits.validation, digits.test)
    images = np.concatenate([split.features["image"] for split in data_splits])
    return images, np.concatenate([split.labels["digit"] for split in data_splits]), digits.spec


def columns(spec, images, labels):
    return data_columns.data_columns(spec, {"image": images}, {"digit": labels})


def by_nearest_centre(images, labels):
    """Probabilities of a simple model that takes each image for the class whose mean image is nearest."""
    flat = images.reshape(len(images), -1) / 16
    centres = np.stack([flat[labels == digit].mean(axis=0) for digit in range(10)])
    return softmax(-np.square(flat[:, None] - centres).sum(axis=2), axis=1)


@pytest.mark.slow
def test_equal_digits_raise_no_more_false_alarms_than_the_stated_rate(all_digits):
    images, labels, spec = all_digits
    rng, block, alarms = np.random.default_rng(0), columns(spec, images, labels), 0
    label, outputs = spec.labels["digit"], by_nearest_centre(images, labels)
    config = Drift(rate=0.05, psi=0, distance=0, effect=0)  # chance alone
    for _ in range(500):
        halves = np.array_split(rng.permutation(len(labels)), 2)
        before, after = ({name: values[half] for name, values in block.items()} for half in halves)
        reference = profiles.build_profile([before])
        groups = drift_detection.compare_data(
            reference=reference, new=profiles.count_rows(reference.columns, [after]), options=config
        )
        reference_predictions = prediction_profiles.profile_predictions(
            label, targets=labels[halves[0]], outputs=outputs[halves[0]]
        )
        new_predictions = prediction_profiles.profile_predictions(
            label, targets=labels[halves[1]], outputs=outputs[halves[1]], columns=reference_predictions.profile.columns
        )
        of_model = drift_detection.compare_predictions(
            reference={"digit": reference_predictions}, new={"digit": new_predictions}, options=config
        )
        alarms += DriftVerdict.DRIFT in verdicts(drift_detection.with_verdicts([*groups, of_model], config.rate))
    assert alarms <= binom.ppf(0.99, 500, config.rate)


def noisy(rng, images, labels, hit):
    changed = images.astype(float)
    changed[hit] += rng.normal(0, 4, changed[hit].shape)
    return np.clip(changed, 0, 16).astype(images.dtype), labels


def rotated(rng, images, labels, hit):
    from scipy.ndimage import rotate

    changed = images.copy()
    angles = rng.uniform(20, 40, len(hit)) * rng.choice([-1, 1], len(hit))
    for row, angle in zip(hit, angles, strict=True):
        changed[row] = np.clip(rotate(images[row], angle, reshape=False, order=1), 0, 16)
    return changed, labels


def moved(rng, images, labels, hit):
    changed = images.copy()
    changed[hit] = np.roll(images[hit], 1, axis=2)
    return changed, labels


def knocked_out(rng, images, labels, hit):
    gone = hit[labels[hit] == 0]
    keep = np.setdiff1d(np.arange(len(labels)), gone)
    return images[keep], labels[keep]


SHIFTS = [
    (noisy, 0.5, True),
    (noisy, 1.0, True),
    (moved, 0.1, True),
    (rotated, 0.5, True),
    (rotated, 1.0, True),
    (knocked_out, 0.1, False),  # a tenth of a tenth of the rows: nothing sees that in 1,000
    (knocked_out, 1.0, True),
]


@pytest.mark.parametrize(
    "shift, share, detected", SHIFTS, ids=[f"{shift.__name__}-{share}" for shift, share, _ in SHIFTS]
)
def test_shifts_of_digits_are_detected_from_a_thousand_rows(all_digits, shift, share, detected):
    images, labels, spec = all_digits
    rng = np.random.default_rng(0)
    order = rng.permutation(len(labels))
    before, after = order[:797], order[797:]
    hit = rng.permutation(len(after))[: int(share * len(after))]
    changed = shift(rng, images[after], labels[after], hit)
    results = compared(columns(spec, images[before], labels[before]), columns(spec, *changed))
    assert (DriftVerdict.DRIFT in verdicts(results)) == detected


# ---- predictions and performance ------------------------------------------------------------------------------------


def made_up(rng, rows, sharpness=1.0, wrong=0.0):
    """(targets, probabilities) of a calibrated model of three classes; `wrong` of the targets are then drawn anew."""
    scores = rng.normal(size=(rows, 3)) * 2
    truth = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    targets = (truth.cumsum(axis=1) < rng.random((rows, 1))).sum(axis=1).clip(0, 2)
    targets = np.where(rng.random(rows) < wrong, rng.integers(0, 3, rows), targets)
    probabilities = np.exp(scores * sharpness)
    return {"targets": targets, "outputs": probabilities / probabilities.sum(axis=1, keepdims=True)}


LABEL = class_label(["a", "b", "c"])


def drifted_subjects(one, other):
    before = prediction_profiles.profile_predictions(LABEL, **one)
    after = prediction_profiles.profile_predictions(LABEL, **other, columns=before.profile.columns)
    results = drift_detection.with_verdicts(
        [drift_detection.compare_predictions(reference={"y": before}, new={"y": after}, options=Drift())], Drift().rate
    )
    return {result.subject for result in results if result.verdict == DriftVerdict.DRIFT}


def test_the_same_model_on_similar_rows_has_no_drift():
    rng = np.random.default_rng(0)
    assert drifted_subjects(made_up(rng, 5_000), made_up(rng, 2_000)) == set()


def test_an_overconfident_model_drifts_in_confidence_and_calibration():
    rng = np.random.default_rng(0)
    found = drifted_subjects(made_up(rng, 5_000), made_up(rng, 2_000, sharpness=3))
    assert {"confidence", "calibration"} <= found
    assert not {"predicted class", "right or wrong"} & found  # what it predicts is the same


def test_wrong_labels_drift_in_calibration_and_errors_only():
    rng = np.random.default_rng(0)
    assert drifted_subjects(made_up(rng, 5_000), made_up(rng, 2_000, wrong=0.4)) == {"calibration", "right or wrong"}


def calibration_alarms():
    rng, alarms = np.random.default_rng(0), 0
    for _ in range(300):
        before, after = (prediction_profiles.calibration_counts(LABEL, **made_up(rng, rows)) for rows in (3_000, 1_000))
        alarms += drift_detection.calibration_test(before=before, after=after, rate=0.05, minimum=0).p_value <= 0.05
    return alarms


def test_calibration_of_the_same_model_raises_no_more_false_alarms_than_its_rate():
    assert calibration_alarms() <= binom.ppf(0.99, 300, 0.05)


def performance(targets, one, other, label=LABEL, **changes):
    config = Evaluation(resamples=500)
    results = drift_detection.compare_scores(
        "y",
        label,
        targets=targets,
        reference=one,
        new=other,
        evaluation=config,
        options=Drift(**changes),
        seed=0,
    )
    return {result.subject: result for result in results}


def test_a_model_compared_with_itself_has_no_difference():
    targets, outputs = made_up(np.random.default_rng(0), 1_000).values()
    assert {(result.effect, result.verdict) for result in performance(targets, outputs, outputs).values()} == {
        (0.0, DriftVerdict.NONE)
    }


def test_a_worse_model_is_drift_with_the_sign_and_size_of_the_difference():
    rng = np.random.default_rng(0)
    targets, outputs = made_up(rng, 2_000).values()
    worse = outputs.copy()
    worse[:200] = np.roll(worse[:200], 1, axis=1)
    found = performance(targets, outputs, worse)["y accuracy"]
    right = (outputs.argmax(axis=1) == targets).mean() - (worse.argmax(axis=1) == targets).mean()
    assert found.effect == pytest.approx(-right) and found.effect < 0
    assert found.verdict == DriftVerdict.DRIFT and "95" not in found.verdict and "0.95 interval" in found.detail


def test_pairing_detects_a_difference_within_the_two_intervals():
    targets, outputs = made_up(np.random.default_rng(0), 1_000).values()
    worse = outputs.copy()
    right = np.flatnonzero(outputs.argmax(axis=1) == targets)[:15]
    worse[right] = np.roll(worse[right], 1, axis=1)  # 1.5 points; each interval is about 5 points wide
    assert performance(targets, outputs, worse)["y accuracy"].verdict == DriftVerdict.DRIFT


def test_scores_of_real_labels_are_compared_too():
    rng = np.random.default_rng(0)
    targets = rng.normal(size=(500, 1))
    one, other = targets + rng.normal(0, 0.1, (500, 1)), targets + rng.normal(0, 0.3, (500, 1))
    found = performance(targets, one, other, real_label())
    assert found["y rmse"].verdict == DriftVerdict.DRIFT and found["y rmse"].effect > 0


def test_blocks_of_a_split_are_its_rows(digits):
    row_blocks = list(blocks(digits.train, digits.spec))
    assert np.array_equal(
        np.concatenate([features["image"] for features, _ in row_blocks]), digits.train.features["image"]
    )
