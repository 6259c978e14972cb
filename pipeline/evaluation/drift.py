"""Whether rows, predictions or scores have drifted: by more than chance explains, and by enough to matter.

Each comparison of two samples gives an effect size that does not grow with the rows, and a p-value that does tell
chance apart. The p-values of one check are corrected together (Benjamini and Hochberg 1995), so that of all that is
called drift the share of false alarms stays below config.Drift.rate, however many columns are looked at. They are
corrected in groups that weigh the same, however many comparisons each holds: one class that is gone from the labels
shall not have to stand out from the cells of an image.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import chi2, false_discovery_control, hypergeom, kstwobign, norm

from pipeline.evaluation import metrics
from pipeline.evaluation.profile import LABEL, OTHER, is_numbers
from pipeline.spec import MULTI_LABEL, REAL

NONE, DRIFT, FEW = "none", "drift", "too few rows"
LEAST_ROWS = 100  # of either sample, below which nothing is said
LEAST_EXPECTED = 5  # rows of a bin that both samples would have, were they one: Cochran's rule for chi-square
INPUT, PREDICTION, PERFORMANCE, SERIES = "input", "prediction", "performance", "series"


@dataclass(frozen=True)
class Result:
    """One comparison. kind: INPUT, PREDICTION, PERFORMANCE or SERIES. subject: the column or metric.

    reference_rows, rows: of the two samples. effect: size of the difference, in the method's own unit. p_value:
    corrected for the number of comparisons. threshold: what the effect has to reach: the larger of what chance alone
    exceeds at the stated rate with so many rows, and what matters. verdict: NONE, DRIFT or FEW.
    """

    kind: str
    subject: str
    method: str
    reference_rows: int
    rows: int
    effect: float
    p_value: float
    threshold: float
    verdict: str
    detail: str = ""


# ---- two samples ----------------------------------------------------------------------------------------------------


def input_groups(reference, new, config):
    """Compare two Profiles of data, counted in the same bins. Returns two groups for judged(): features, labels."""
    groups = [], []
    for result in compare(INPUT, reference, new, config):
        groups[result.subject.startswith(LABEL)].append(result)
    return groups


def compare(kind, reference, new, config, prefix=""):
    """Compare two Profiles counted in the same bins, column by column. Returns a list of Results not judged yet.

    Numbers: population stability index and binned Kolmogorov-Smirnov. Names: the index, chi-square, and the one name
    whose share has changed most.
    """
    return [
        Result(kind, prefix + name, method, reference.rows, new.rows, effect, p_value, threshold, NONE, *detail)
        for name, column in reference.columns.items()
        for method, effect, p_value, threshold, *detail in compare_column(column, new.columns[name], config)
    ]


def judged(groups, rate):
    """The Results of all groups with their p-values corrected together, and their verdicts.

    Each group weighs the same (Genovese, Roeder and Wasserman 2006, "False discovery control with p-value weighting").
    """
    groups = [group for group in groups if group]
    results = [result for group in groups for result in group]
    if not results:
        return []
    weights = np.array([len(results) / (len(groups) * len(group)) for group in groups for _ in group])
    p_values = np.array([result.p_value for result in results])
    corrected = false_discovery_control(np.minimum(p_values / weights, 1))
    return [with_verdict(result, float(p_value), rate) for result, p_value in zip(results, corrected, strict=True)]


def with_verdict(result, p_value, rate):
    verdict = DRIFT if p_value <= rate and abs(result.effect) >= result.threshold else NONE
    if min(result.rows, result.reference_rows) < LEAST_ROWS:
        verdict = FEW
    return Result(**vars(result) | {"p_value": p_value, "verdict": verdict})


def compare_column(reference, new, config):
    """Yield (method, effect, p-value, threshold) of one column's two samples, and a detail where there is one."""
    one, other = (np.array([*column.counts, column.missing], np.float64) for column in (reference, new))
    p, q = pooled(one, other)
    yield "population stability index", *index_test(p, q, config.rate, config.psi)
    if is_numbers(reference):
        yield "Kolmogorov-Smirnov, binned", *distance_test(one[:-1], other[:-1], config.rate, config.distance)
    else:
        yield "chi-square", *chi_square_test(p, q, config.rate, config.effect)
        yield "largest change of a share", *share_test([*reference.values, OTHER, "missing"], one, other, config)


def pooled(one, other):
    """The two samples' counts with neighbouring bins joined until both can be expected to have LEAST_EXPECTED rows.

    Returns (counts, counts).
    """
    n, m = one.sum(), other.sum()
    least = LEAST_EXPECTED * (n + m) / max(min(n, m), 1)  # rows of a bin in both samples together
    starts, held = [0], 0
    for place, rows in enumerate(one + other):
        if held >= least:
            starts.append(place)
            held = 0
        held += rows
    if held < least and len(starts) > 1:  # what is left over joins the bin before
        starts.pop()
    return np.add.reduceat(one, starts), np.add.reduceat(other, starts)


def stability_index(one, other):
    """Population stability index of two samples' counts: the sum of (p - q) ln(p / q), Jeffreys' J-divergence.

    A bin that one sample has no rows in counts as half a row there.
    """
    p, q = np.maximum(one, 0.5) / one.sum(), np.maximum(other, 0.5) / other.sum()
    return float(((p - q) * np.log(p / q)).sum())


def index_null(one, other):
    """(scale, degrees of freedom) of the index between two samples of one distribution: scale times chi-square.

    Its mean is (bins - 1)(1/n + 1/m) (Yurdakul 2018, "Statistical properties of population stability index").
    """
    return 1 / one.sum() + 1 / other.sum(), len(one) - 1


def index_test(one, other, rate, floor):
    if nothing_to_compare(one, other):
        return 0.0, 1.0, floor
    effect, (scale, freedom) = stability_index(one, other), index_null(one, other)
    return effect, float(chi2.sf(effect / scale, freedom)), max(floor, scale * float(chi2.isf(rate, freedom)))


def distance_test(one, other, rate, floor):
    """The largest difference of the two samples' shares up to a bin's edge. Binning only ever makes it smaller, so its
    p-value errs on the side of no alarm."""
    if not (one.sum() and other.sum()):
        return 0.0, 1.0, floor
    difference = np.cumsum(other) / other.sum() - np.cumsum(one) / one.sum()
    effect = float(np.abs(difference).max())
    root = np.sqrt(one.sum() * other.sum() / (one.sum() + other.sum()))
    return effect, float(kstwobign.sf(effect * root)), max(floor, float(kstwobign.isf(rate) / root))


def chi_square_test(one, other, rate, floor):
    """Chi-square of homogeneity. Effect: Cohen's w, the root of the statistic times (1/n + 1/m)."""
    if nothing_to_compare(one, other):
        return 0.0, 1.0, floor
    scale, freedom = index_null(one, other)
    share = (one + other) / (one.sum() + other.sum())
    statistic = float((np.square(one / one.sum() - other / other.sum()) / share).sum() / scale)
    threshold = np.sqrt(scale * chi2.isf(rate, freedom))
    return float(np.sqrt(statistic * scale)), float(chi2.sf(statistic, freedom)), max(floor, float(threshold))


def share_test(names, one, other, config):
    """The name whose share has changed by more than chance makes it, most of all. Effect: Cohen's h, now less then.

    Its p-value: Fisher's exact test of that name against all others, twice the smaller tail, times the number of names.
    Chi-square spreads what one name has lost over all of them, and sees it later.
    """
    n, m, seen = one.sum(), other.sum(), one + other > 0
    if not (n and m):
        return 0.0, 1.0, config.effect
    names, one, other = np.array(names)[seen], one[seen], other[seen]
    known = hypergeom(n + m, one + other, m)
    p_values = 2 * np.minimum(known.cdf(other), known.sf(other - 1))
    place = int(p_values.argmin())
    p, q = one[place] / n, other[place] / m
    effect = float(2 * np.arcsin(np.sqrt(q)) - 2 * np.arcsin(np.sqrt(p)))
    noise = float(norm.isf(config.rate / 2 / len(names)) * np.sqrt(1 / n + 1 / m))
    detail = f"{names[place]}: {100 * p:.4g} % then, {100 * q:.4g} % now"
    return effect, min(1.0, float(p_values[place]) * len(names)), max(config.effect, noise), detail


def nothing_to_compare(one, other):
    return len(one) < 2 or not one.sum() or not other.sum()


# ---- predictions ----------------------------------------------------------------------------------------------------


def compare_predictions(reference, new, config):
    """Compare what a model says now with what it said of its reference rows. Returns a group of Results for judged().

    reference, new: label name -> profile.Predictions, in the same bins.
    """
    found = []
    for name, before in reference.items():
        prefix = f"{name}: " if len(reference) > 1 else ""
        found += compare(PREDICTION, before.profile, new[name].profile, config, prefix)
        if before.calibration:
            rows = before.profile.rows, new[name].profile.rows
            tested = calibration_test(before.calibration, new[name].calibration, config.rate, config.distance)
            found.append(Result(PREDICTION, f"{prefix}calibration", "gap by confidence", *rows, *tested, NONE))
    return found


def calibration_test(before, after, rate, floor):
    """Whether accuracy less confidence has changed, over the tenths of confidence that both samples have rows in.

    Effect: the mean absolute change of the gap over the new rows, the change of the expected calibration error where
    the model was calibrated before. Its p-value: chi-square over the tenths' squared z-scores.
    """
    rows, right, sums = (
        np.array([sample[key] for sample in (before, after)]) for key in ("rows", "right", "confidence")
    )
    shared = (rows >= 2 * LEAST_EXPECTED).all(axis=0)
    if not shared.any():
        return 0.0, 1.0, floor
    rows, right, sums = rows[:, shared], right[:, shared], sums[:, shared]
    accuracy = (right + 1) / (rows + 2)  # Laplace's, so that a tenth without a mistake still has a variance
    variance = (accuracy * (1 - accuracy) / rows).sum(axis=0)
    change = np.diff((right - sums) / rows, axis=0)[0]
    weights = rows[1] / rows[1].sum()
    statistic, freedom = float((change**2 / variance).sum()), len(change)
    noise = float((weights * np.sqrt(variance)).sum()) * np.sqrt(chi2.isf(rate, freedom) / freedom)
    return float((weights * np.abs(change)).sum()), float(chi2.sf(statistic, freedom)), max(floor, noise)


# ---- performance ----------------------------------------------------------------------------------------------------


def paired_difference(name, label, targets, one, other, evaluation, config, seed):
    """Compare two models' scores of one label on the same rows: other less one, by a paired bootstrap.

    targets, one, other: as metrics.evaluate takes them, outputs checked. Resamples draw rows, with both models'
    predictions of them. Returns a Result a score, with its interval in `detail`.
    """
    rows = len(targets)
    before, after = (scores_of(label, targets, outputs, evaluation, seed) for outputs in (one, other))
    rng, differences, whole = np.random.default_rng(seed), [], np.ones((rows, 1))
    draws = max(1, metrics.BATCH_ELEMENTS // rows)
    for start in range(0, evaluation.resamples, draws):
        weights = metrics.row_counts(rng.integers(rows, size=(min(draws, evaluation.resamples - start), rows)))
        first, second = before(weights), after(weights)
        differences.append(np.stack([second[score] - first[score] for score in first]))
    resampled = np.concatenate(differences, axis=1)
    first, second = before(whole), after(whole)
    tails = np.array([(1 - evaluation.confidence) / 2, (1 + evaluation.confidence) / 2])
    found = []
    for score, values in zip(first, resampled, strict=True):
        low, high = np.quantile(values, tails)
        side = min((values <= 0).sum(), (values >= 0).sum())
        p_value = min(1.0, 2 * (side + 1) / (len(values) + 1))
        effect = float(second[score][0] - first[score][0])
        detail = f"{evaluation.confidence:.6g} interval [{low:.4g}, {high:.4g}]"
        subject = f"{name} {score}"
        tested = (effect, p_value, config.difference)
        found.append(Result(PERFORMANCE, subject, "paired bootstrap", rows, rows, *tested, NONE, detail))
    return judged([found], config.rate)


def scores_of(label, targets, outputs, evaluation, seed):
    """A function of row weights to the label's scores by name."""
    of_kind = {REAL: metrics.of_real, MULTI_LABEL: metrics.of_multi_label}.get(label.kind, metrics.of_classes)
    statistics, _ = of_kind(label, targets, outputs, evaluation, seed)
    return lambda weights: {key: value for statistic in statistics for key, value in statistic(weights).items()}
