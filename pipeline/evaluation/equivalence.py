"""Whether two environments train equally well: the same seeds in both, compared pair by pair.

Two claims about the mean difference have a test each. That there is a difference: a paired t interval that excludes 0.
That it is too small to matter: two one-sided t tests (TOST; Schuirmann 1987, "A comparison of the two one-sided tests
procedure and the power approach"), which is the same as an interval of level 1 - 2 alpha that lies within the margin.
If neither claim can be made, more seeds are needed: a difference that is not found may still exist.
"""

import bisect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.stats import t as student

POWER = 0.8  # probability of showing equivalence with the number of seeds named, if there is no difference
MAX_SEEDS = 10_000  # largest number of seeds that is named


class EquivalenceVerdict(StrEnum):
    """The result of a comparison, as result.json holds it."""

    IDENTICAL = "identical"
    EQUIVALENT = "equivalent"
    DIFFERENT = "different"
    TOO_FEW_SEEDS = "not enough seeds"


@dataclass(frozen=True, kw_only=True)
class PairedScores:
    """Scores of the same trainings in two environments, one pair per seed.

    Attributes:
        baseline: The scores in the baseline's environment.
        candidate: The scores in the candidate's environment.
        identical: For each seed, whether all results have the same bits.
        resolution: Smallest step between two scores, such as 1 / rows of an accuracy.
    """

    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    identical: tuple[bool, ...]
    resolution: float


@dataclass(frozen=True, kw_only=True)
class EnvironmentComparison:
    """The comparison of one data set.

    Attributes:
        name: The name of the data set.
        pairs: The scores.
        difference: Mean of candidate minus baseline.
        low: Lower end of the interval that has to exclude 0 to claim a difference.
        high: Upper end of that interval.
        narrow_low: Lower end of the interval that has to lie within the margin to claim equivalence.
        narrow_high: Upper end of that interval.
        p_different: p-value of a paired t test, times the number of data sets tested.
        p_equivalent: The larger p-value of the two one-sided tests.
        needed: Number of seeds that would show equivalence, if more are needed and there is no difference; else None.
        verdict: The result.
    """

    name: str
    pairs: PairedScores
    difference: float
    low: float
    high: float
    narrow_low: float
    narrow_high: float
    p_different: float
    p_equivalent: float
    needed: int | None
    verdict: EquivalenceVerdict


def compare_environments(
    samples: Mapping[str, PairedScores], *, margin: float, confidence: float
) -> list[EnvironmentComparison]:
    """Compare the scores of every data set.

    If no data set differs, the probability that any is called different is at most alpha = 1 - confidence: the interval
    of each has level 1 - alpha / (number of data sets), according to Bonferroni. Data sets with identical bits are not
    counted, since they are not tested. Calling all of them equivalent needs no correction, since each has to pass
    (Berger 1982, "Multiparameter Hypothesis Testing and Acceptance Sampling", intersection-union test).

    Args:
        samples: Name of the data set -> scores.
        margin: Smallest difference that matters, in the unit of the scores.
        confidence: 1 - alpha.
    """
    tested = max(1, sum(not all(pairs.identical) for pairs in samples.values()))
    return [
        _compare(name, pairs, margin=margin, alpha=1 - confidence, tested=tested) for name, pairs in samples.items()
    ]


def _compare(name: str, pairs: PairedScores, *, margin: float, alpha: float, tested: int) -> EnvironmentComparison:
    differences = np.subtract(pairs.candidate, pairs.baseline)
    mean = float(differences.mean())
    if all(pairs.identical):
        return EnvironmentComparison(
            name=name,
            pairs=pairs,
            difference=mean,
            low=mean,
            high=mean,
            narrow_low=mean,
            narrow_high=mean,
            p_different=1.0,
            p_equivalent=0.0,
            needed=None,
            verdict=EquivalenceVerdict.IDENTICAL,
        )
    if len(differences) < 2:
        return EnvironmentComparison(
            name=name,
            pairs=pairs,
            difference=mean,
            low=-math.inf,
            high=math.inf,
            narrow_low=-math.inf,
            narrow_high=math.inf,
            p_different=1.0,
            p_equivalent=1.0,
            needed=None,
            verdict=EquivalenceVerdict.TOO_FEW_SEEDS,
        )
    deviation, freedom = deviation_of(differences, pairs.resolution), len(differences) - 1
    error = deviation / np.sqrt(len(differences))
    wide, narrow = (float(student.isf(tail, freedom) * error) for tail in (alpha / tested / 2, alpha))
    if abs(mean) + narrow < margin:  # also if the difference is significant
        verdict = EquivalenceVerdict.EQUIVALENT
    else:
        verdict = EquivalenceVerdict.DIFFERENT if abs(mean) > wide else EquivalenceVerdict.TOO_FEW_SEEDS
    too_few = verdict == EquivalenceVerdict.TOO_FEW_SEEDS
    return EnvironmentComparison(
        name=name,
        pairs=pairs,
        difference=mean,
        low=mean - wide,
        high=mean + wide,
        narrow_low=mean - narrow,
        narrow_high=mean + narrow,
        p_different=min(1.0, tested * 2 * float(student.sf(abs(mean) / error, freedom))),
        p_equivalent=float(student.sf((margin - abs(mean)) / error, freedom)),
        needed=seeds_needed(deviation, margin=margin, alpha=alpha) if too_few else None,
        verdict=verdict,
    )


def deviation_of(differences: np.ndarray, resolution: float) -> float:
    """Return the standard deviation of the differences, at least that of rounding each score to its resolution.

    Rounding moves each of two scores by up to half a step, a variance of step^2 / 12 each. Without this minimum, a few
    equal differences would have no variance and prove anything.

    Args:
        differences: (seeds,) float64.
        resolution: Smallest step between two scores.
    """
    return max(float(differences.std(ddof=1)), resolution / np.sqrt(6))


def seeds_needed(deviation: float, *, margin: float, alpha: float) -> int | None:
    """Return the fewest seeds that show equivalence with probability POWER if there is no difference.

    This is the usual approximation of the power of TOST: both one-sided tests have to pass.

    Args:
        deviation: Standard deviation of the differences.
        margin: Smallest difference that matters.
        alpha: Level of each one-sided test.

    Returns:
        The number of seeds; None if it exceeds MAX_SEEDS.
    """

    def is_enough(seeds: int) -> bool:
        factor = student.isf(alpha, seeds - 1) + student.isf((1 - POWER) / 2, seeds - 1)
        return factor * deviation / np.sqrt(seeds) <= margin  # the left side falls with every seed

    seeds = range(2, MAX_SEEDS)
    first = bisect.bisect_left(seeds, True, key=is_enough)
    return seeds[first] if first < len(seeds) else None


def overall_verdict(comparisons: Sequence[EnvironmentComparison]) -> EquivalenceVerdict:
    """Return the verdict on all data sets: different if one differs, else undecided if one is undecided."""
    verdicts = {comparison.verdict for comparison in comparisons}
    order = (
        EquivalenceVerdict.DIFFERENT,
        EquivalenceVerdict.TOO_FEW_SEEDS,
        EquivalenceVerdict.EQUIVALENT,
        EquivalenceVerdict.IDENTICAL,
    )
    return next(verdict for verdict in order if verdict in verdicts)
