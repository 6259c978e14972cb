"""Drift detection: whether rows, predictions or scores differ by more than chance, and by enough to matter.

Each comparison of two samples gives an effect size, which does not grow with the number of rows, and a p-value. The
p-values of one check are corrected together (Benjamini and Hochberg 1995, "Controlling the False Discovery Rate"), so
that the share of false alarms among all drift found stays below `drift.rate`, however many columns are compared. They
are corrected in groups of equal weight, however many comparisons each group holds: a class that is missing from the
labels must not have to stand out from all the cells of an image.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from scipy.stats import chi2, false_discovery_control, hypergeom, kstwobign, norm

from pipeline.evaluation.bootstrap import percentile_interval, resampled_scores
from pipeline.evaluation.data_columns import LABEL_PREFIX
from pipeline.evaluation.metrics import label_statistics
from pipeline.evaluation.options import Drift, Evaluation
from pipeline.evaluation.prediction_profiles import CalibrationCounts, PredictionProfile
from pipeline.evaluation.profiles import OTHER, Column, NumberColumn, Profile
from pipeline.spec import Label

MIN_ROWS = 100  # in each sample; with fewer rows there is no verdict
# expected rows per bin of each sample if both have the same distribution: Cochran's rule for chi-square
MIN_EXPECTED_ROWS = 5


class DriftVerdict(StrEnum):
    """The result of a comparison, as drift.json and the registry hold it."""

    NONE = "none"
    DRIFT = "drift"
    TOO_FEW_ROWS = "too few rows"


class DriftKind(StrEnum):
    """The kind of a comparison, as drift.json and the registry hold it."""

    INPUT = "input"
    PREDICTION = "prediction"
    PERFORMANCE = "performance"
    SERIES = "series"


@dataclass(frozen=True, kw_only=True)
class DriftResult:
    """One comparison.

    Attributes:
        kind: What is compared.
        subject: The column or score.
        method: The statistical test.
        reference_rows: Rows of the reference sample, or runs before a change point.
        rows: Rows of the new sample, or runs from a change point on.
        effect: Size of the difference, in the unit of the method.
        p_value: Corrected for the number of comparisons.
        threshold: The smallest effect that is drift: the larger of the configured minimum and the effect that chance
            exceeds at the rate of false alarms with so many rows.
        verdict: The result.
        detail: Remarks, such as an interval or a name.
    """

    kind: DriftKind
    subject: str
    method: str
    reference_rows: int
    rows: int
    effect: float
    p_value: float
    threshold: float
    verdict: DriftVerdict = DriftVerdict.NONE
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one test of two samples; see DriftResult. The p-value is not corrected."""

    effect: float
    p_value: float
    threshold: float
    detail: str = ""


# ---- two samples ----------------------------------------------------------------------------------------------------


def compare_data(*, reference: Profile, new: Profile, options: Drift) -> tuple[list[DriftResult], list[DriftResult]]:
    """Compare two profiles of data, counted in the same bins.

    Args:
        reference: The earlier rows.
        new: The new rows.
        options: Thresholds.

    Returns:
        The groups of `with_verdicts`: features and labels.
    """
    results = compare_profiles(DriftKind.INPUT, reference=reference, new=new, options=options)
    labels = [result for result in results if result.subject.startswith(LABEL_PREFIX)]
    return [result for result in results if not result.subject.startswith(LABEL_PREFIX)], labels


def compare_profiles(
    kind: DriftKind, *, reference: Profile, new: Profile, options: Drift, prefix: str = ""
) -> list[DriftResult]:
    """Compare two profiles, counted in the same bins, column by column. The results have no verdicts yet.

    Numbers are compared by the population stability index and the binned Kolmogorov-Smirnov distance; names by the
    index, chi-square and the largest change of a share.

    Args:
        kind: The kind of the results.
        reference: The earlier rows.
        new: The new rows.
        options: Thresholds.
        prefix: The prefix of the subjects.
    """
    return [
        drift_result(test, kind=kind, subject=prefix + name, method=method, rows=(reference.rows, new.rows))
        for name, column in reference.columns.items()
        for method, test in compare_column(reference=column, new=new.columns[name], options=options)
    ]


def drift_result(test: Outcome, *, kind: DriftKind, subject: str, method: str, rows: tuple[int, int]) -> DriftResult:
    """Return the result of a test, without a verdict.

    Args:
        test: The outcome of the test.
        kind: As for DriftResult.
        subject: As for DriftResult.
        method: As for DriftResult.
        rows: The number of rows of the reference and of the new sample.
    """
    reference_rows, new_rows = rows
    return DriftResult(
        kind=kind, subject=subject, method=method, reference_rows=reference_rows, rows=new_rows, **vars(test)
    )


def with_verdicts(groups: Sequence[Sequence[DriftResult]], rate: float) -> list[DriftResult]:
    """Correct the p-values of all groups together, and decide.

    Every group has the same weight (Genovese, Roeder and Wasserman 2006, "False discovery control with p-value
    weighting").

    Args:
        groups: Results of `compare_*`.
        rate: False discovery rate.
    """
    groups = [group for group in groups if group]
    results = [result for group in groups for result in group]
    if not results:
        return []
    weights = np.array([len(results) / (len(groups) * len(group)) for group in groups for _ in group])
    p_values = np.array([result.p_value for result in results])
    corrected = false_discovery_control(np.minimum(p_values / weights, 1))
    return [_with_verdict(result, float(p_value), rate) for result, p_value in zip(results, corrected, strict=True)]


def _with_verdict(result: DriftResult, p_value: float, rate: float) -> DriftResult:
    is_drift = p_value <= rate and abs(result.effect) >= result.threshold
    verdict = DriftVerdict.DRIFT if is_drift else DriftVerdict.NONE
    if min(result.rows, result.reference_rows) < MIN_ROWS:
        verdict = DriftVerdict.TOO_FEW_ROWS
    return replace(result, p_value=p_value, verdict=verdict)


def compare_column(*, reference: Column, new: Column, options: Drift) -> Iterator[tuple[str, Outcome]]:
    """Yield (name of the method, result) of each test of a column's two samples."""
    reference_counts, new_counts = (
        np.array([*column.counts, column.missing], np.float64) for column in (reference, new)
    )
    merged = merge_sparse_bins(reference_counts, new_counts)
    yield "population stability index", stability_index_test(*merged, rate=options.rate, minimum=options.psi)
    if isinstance(reference, NumberColumn):
        distance = kolmogorov_smirnov_test(
            reference_counts[:-1], new_counts[:-1], rate=options.rate, minimum=options.distance
        )
        yield "Kolmogorov-Smirnov, binned", distance
    else:
        yield "chi-square", chi_square_test(*merged, rate=options.rate, minimum=options.effect)
        names = [*reference.values, OTHER, "missing"]
        change = share_change_test(names, reference=reference_counts, new=new_counts, options=options)
        yield "largest change of a share", change


def merge_sparse_bins(reference: np.ndarray, new: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Join neighbouring bins until MIN_EXPECTED_ROWS can be expected in each of them, in both samples.

    Args:
        reference: (bins,) float64, counts.
        new: (bins,) float64, counts.

    Returns:
        The counts of both samples in the joined bins.
    """
    n, m = reference.sum(), new.sum()
    needed = MIN_EXPECTED_ROWS * (n + m) / max(min(n, m), 1)  # rows of a bin in both samples together
    starts, rows_in_bin = [0], 0
    for index, rows in enumerate(reference + new):
        if rows_in_bin >= needed:
            starts.append(index)
            rows_in_bin = 0
        rows_in_bin += rows
    if rows_in_bin < needed and len(starts) > 1:  # the remainder joins the bin before
        starts.pop()
    return np.add.reduceat(reference, starts), np.add.reduceat(new, starts)


def stability_index(reference: np.ndarray, new: np.ndarray) -> float:
    """Return the population stability index of two samples' counts: the sum of (p - q) ln(p / q).

    This is Jeffreys' J-divergence of the two shares p and q. An empty bin of a sample counts as half a row.
    """
    p, q = np.maximum(reference, 0.5) / reference.sum(), np.maximum(new, 0.5) / new.sum()
    return float(((p - q) * np.log(p / q)).sum())


def stability_index_null(reference: np.ndarray, new: np.ndarray) -> tuple[float, int]:
    """Return the distribution of the index between two samples of one distribution: scale times chi-square.

    Its mean is (bins - 1)(1/n + 1/m) (Yurdakul 2018, "Statistical properties of population stability index").

    Returns:
        The scale and the degrees of freedom.
    """
    return 1 / reference.sum() + 1 / new.sum(), len(reference) - 1


def stability_index_test(reference: np.ndarray, new: np.ndarray, *, rate: float, minimum: float) -> Outcome:
    """Test the population stability index of two samples' counts.

    Args:
        reference: (bins,) float64.
        new: (bins,) float64.
        rate: The rate of false alarms.
        minimum: Smallest effect that matters.
    """
    if _cannot_compare(reference, new):
        return Outcome(effect=0.0, p_value=1.0, threshold=minimum)
    effect, (scale, freedom) = stability_index(reference, new), stability_index_null(reference, new)
    threshold = max(minimum, scale * float(chi2.isf(rate, freedom)))
    return Outcome(effect=effect, p_value=float(chi2.sf(effect / scale, freedom)), threshold=threshold)


def kolmogorov_smirnov_test(reference: np.ndarray, new: np.ndarray, *, rate: float, minimum: float) -> Outcome:
    """Test the Kolmogorov-Smirnov distance of two samples' counts: the largest difference of the cumulative shares.

    Binning only reduces the distance, so the p-value is too large rather than too small. The arguments are those of
    `stability_index_test`.
    """
    if not (reference.sum() and new.sum()):
        return Outcome(effect=0.0, p_value=1.0, threshold=minimum)
    difference = np.cumsum(new) / new.sum() - np.cumsum(reference) / reference.sum()
    effect = float(np.abs(difference).max())
    root = np.sqrt(reference.sum() * new.sum() / (reference.sum() + new.sum()))
    threshold = max(minimum, float(kstwobign.isf(rate) / root))
    return Outcome(effect=effect, p_value=float(kstwobign.sf(effect * root)), threshold=threshold)


def chi_square_test(reference: np.ndarray, new: np.ndarray, *, rate: float, minimum: float) -> Outcome:
    """Test homogeneity of two samples' counts by chi-square.

    The effect is Cohen's w, the square root of the statistic times (1/n + 1/m) (Cohen 1988, "Statistical Power Analysis
    for the Behavioral Sciences"). The arguments are those of `stability_index_test`.
    """
    if _cannot_compare(reference, new):
        return Outcome(effect=0.0, p_value=1.0, threshold=minimum)
    scale, freedom = stability_index_null(reference, new)
    share = (reference + new) / (reference.sum() + new.sum())
    difference = reference / reference.sum() - new / new.sum()
    statistic = float((np.square(difference) / share).sum() / scale)
    threshold = max(minimum, float(np.sqrt(scale * chi2.isf(rate, freedom))))
    effect = float(np.sqrt(statistic * scale))
    return Outcome(effect=effect, p_value=float(chi2.sf(statistic, freedom)), threshold=threshold)


def share_change_test(names: Sequence[str], *, reference: np.ndarray, new: np.ndarray, options: Drift) -> Outcome:
    """Test the name whose share has changed most significantly.

    The effect is Cohen's h of that share, new minus reference. The p-value is that of Fisher's exact test of the name
    against all others, twice the smaller tail, times the number of names. Chi-square spreads the loss of one name over
    all of them, and detects it later.

    Args:
        names: One per bin.
        reference: (bins,) float64, counts.
        new: (bins,) float64, counts.
        options: Rate and smallest effect.
    """
    n, m, present = reference.sum(), new.sum(), reference + new > 0
    if not (n and m):
        return Outcome(effect=0.0, p_value=1.0, threshold=options.effect)
    present_names, reference, new = np.array(names)[present], reference[present], new[present]
    null = hypergeom(n + m, reference + new, m)
    p_values = 2 * np.minimum(null.cdf(new), null.sf(new - 1))
    index = int(p_values.argmin())
    p, q = reference[index] / n, new[index] / m
    effect = float(2 * np.arcsin(np.sqrt(q)) - 2 * np.arcsin(np.sqrt(p)))
    count = len(present_names)
    by_chance = float(norm.isf(options.rate / 2 / count) * np.sqrt(1 / n + 1 / m))
    detail = f"{present_names[index]}: {100 * p:.4g} % before, {100 * q:.4g} % now"
    return Outcome(
        effect=effect,
        p_value=min(1.0, float(p_values[index]) * count),
        threshold=max(options.effect, by_chance),
        detail=detail,
    )


def _cannot_compare(reference: np.ndarray, new: np.ndarray) -> bool:
    return len(reference) < 2 or not reference.sum() or not new.sum()


# ---- predictions ----------------------------------------------------------------------------------------------------


def compare_predictions(
    *, reference: Mapping[str, PredictionProfile], new: Mapping[str, PredictionProfile], options: Drift
) -> list[DriftResult]:
    """Compare a model's predictions of new rows with those of its reference rows.

    Args:
        reference: Label -> profile.
        new: Label -> profile, counted in the same bins.
        options: Thresholds.

    Returns:
        One group of `with_verdicts`.
    """
    results = []
    for name, before in reference.items():
        after, prefix = new[name], f"{name}: " if len(reference) > 1 else ""
        results += compare_profiles(
            DriftKind.PREDICTION, reference=before.profile, new=after.profile, options=options, prefix=prefix
        )
        if before.calibration and after.calibration:
            test = calibration_test(
                before=before.calibration, after=after.calibration, rate=options.rate, minimum=options.distance
            )
            results.append(
                drift_result(
                    test,
                    kind=DriftKind.PREDICTION,
                    subject=f"{prefix}calibration",
                    method="gap by confidence",
                    rows=(before.profile.rows, after.profile.rows),
                )
            )
    return results


def calibration_test(*, before: CalibrationCounts, after: CalibrationCounts, rate: float, minimum: float) -> Outcome:
    """Test whether accuracy minus confidence has changed, over the tenths of confidence with rows in both samples.

    The effect is the mean absolute change of that gap over the new rows: the change of the expected calibration error
    if the model was calibrated before. The p-value is that of chi-square over the squared z-scores of the tenths.

    Args:
        before: Counts of the reference rows.
        after: Counts of the new rows.
        rate: The rate of false alarms.
        minimum: Smallest effect that matters.
    """
    rows, right, sums = (
        np.array([sample[key] for sample in (before, after)]) for key in ("rows", "right", "confidence")
    )
    in_both = (rows >= 2 * MIN_EXPECTED_ROWS).all(axis=0)
    if not in_both.any():
        return Outcome(effect=0.0, p_value=1.0, threshold=minimum)
    rows, right, sums = rows[:, in_both], right[:, in_both], sums[:, in_both]
    accuracy = (right + 1) / (rows + 2)  # Laplace's estimate, so that a tenth without mistakes has a variance
    variance = (accuracy * (1 - accuracy) / rows).sum(axis=0)
    change = np.diff((right - sums) / rows, axis=0)[0]
    weights = rows[1] / rows[1].sum()
    statistic, freedom = float((change**2 / variance).sum()), len(change)
    by_chance = float((weights * np.sqrt(variance)).sum()) * np.sqrt(chi2.isf(rate, freedom) / freedom)
    effect = float((weights * np.abs(change)).sum())
    return Outcome(effect=effect, p_value=float(chi2.sf(statistic, freedom)), threshold=max(minimum, float(by_chance)))


# ---- performance ----------------------------------------------------------------------------------------------------


def compare_scores(
    name: str,
    label: Label,
    *,
    targets: np.ndarray,
    reference: np.ndarray,
    new: np.ndarray,
    evaluation: Evaluation,
    options: Drift,
    seed: int,
) -> list[DriftResult]:
    """Compare the scores of two models on the same rows by a paired bootstrap, new minus reference.

    Each resample draws rows together with both models' predictions of them.

    Args:
        name: The name of the label.
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        reference: The reference model's outputs, (rows, width) float64, checked.
        new: The new model's outputs, likewise.
        evaluation: Number of resamples and level of the intervals.
        options: Thresholds.
        seed: The seed of the resamples.

    Returns:
        One result per score, with its interval in `detail`.
    """
    rows = len(targets)
    reference_scores, new_scores = (_score_function(label, targets, outputs) for outputs in (reference, new))

    def differences(weights: np.ndarray) -> np.ndarray:
        before, after = reference_scores(weights), new_scores(weights)
        return np.stack([after[score] - before[score] for score in before])

    resampled = resampled_scores(differences, rows=rows, resamples=evaluation.resamples, seed=seed)
    before, after = (scores(np.ones((rows, 1))) for scores in (reference_scores, new_scores))
    results = []
    for score, values in zip(before, resampled, strict=True):
        low, high = percentile_interval(values, evaluation.confidence)
        smaller_side = min((values <= 0).sum(), (values >= 0).sum())
        test = Outcome(
            effect=float(after[score][0] - before[score][0]),
            p_value=min(1.0, 2 * (smaller_side + 1) / (len(values) + 1)),
            threshold=options.difference,
            detail=f"{evaluation.confidence:.6g} interval [{low:.4g}, {high:.4g}]",
        )
        results.append(
            drift_result(
                test,
                kind=DriftKind.PERFORMANCE,
                subject=f"{name} {score}",
                method="paired bootstrap",
                rows=(rows, rows),
            )
        )
    return with_verdicts([results], options.rate)


def _score_function(
    label: Label, targets: np.ndarray, outputs: np.ndarray
) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
    statistics = label_statistics(label, targets=targets, outputs=outputs)
    return lambda weights: {name: values for statistic in statistics for name, values in statistic(weights).items()}
