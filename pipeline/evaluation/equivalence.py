"""Whether two environments train equally well: the same seeds in both, compared pair by pair.

Two claims can be made of the mean difference, and each has a test of its own. That it is there: a paired t interval
that leaves 0 out. That it is too small to matter: two one-sided t tests, TOST (Schuirmann 1987, "A comparison of the
two one-sided tests procedure and the power approach"), which is to say an interval of level 1 - 2 alpha inside the
margin on both sides. Where neither can be made, more seeds are needed: not to find a difference is not to show that
there is none.
"""

import bisect
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

IDENTICAL, EQUIVALENT, DIFFERENT, FEW = "identical", "equivalent", "different", "not enough seeds"
POWER = 0.8  # chance of showing equivalence where there is no difference, with as many seeds as are said to be needed
MOST_NEEDED = 10_000


@dataclass(frozen=True)
class Pairs:
    """The same trainings in two environments, a seed each.

    baseline, candidate: scores. identical: whether all that a seed came to has the same bits. resolution: the least
    step between two scores, 1 / rows for an accuracy.
    """

    baseline: tuple[float, ...]
    candidate: tuple[float, ...]
    identical: tuple[bool, ...]
    resolution: float


@dataclass(frozen=True)
class Comparison:
    """What the pairs of one data set say.

    difference: candidate less baseline, the mean. low, high: its interval at the level that a claim of a difference
    needs; narrow_low, narrow_high: at the level that a claim of equivalence needs. p_different: of a paired t test,
    times the number of data sets tested. p_equivalent: the larger one of TOST. needed: seeds that would tell, where
    these do not.
    """

    name: str
    pairs: Pairs
    difference: float
    low: float
    high: float
    narrow_low: float
    narrow_high: float
    p_different: float
    p_equivalent: float
    needed: int | None
    verdict: str


def compare(samples, margin, confidence):
    """Compare every sample, name -> Pairs. Returns a list of Comparisons.

    margin: the least difference that matters, in the scores' unit. confidence: 1 - alpha. Of all data sets together
    at most alpha are called different where none is: the interval of each is at level 1 - alpha / their number
    (Bonferroni), those that are identical bit for bit left out, since nothing is tested there. To call all of them
    equivalent needs no correction: each has to pass (Berger 1982, intersection-union).
    """
    tested = max(1, sum(not all(pairs.identical) for pairs in samples.values()))
    return [compare_one(name, pairs, margin, 1 - confidence, tested) for name, pairs in samples.items()]


def compare_one(name, pairs, margin, alpha, tested):
    differences = np.subtract(pairs.candidate, pairs.baseline)
    mean = float(differences.mean())
    if all(pairs.identical):
        return Comparison(name, pairs, mean, mean, mean, mean, mean, 1.0, 0.0, None, IDENTICAL)
    if len(differences) < 2:
        none = float("inf")
        return Comparison(name, pairs, mean, -none, none, -none, none, 1.0, 1.0, None, FEW)
    spread, freedom = deviation(differences, pairs.resolution), len(differences) - 1
    error = spread / np.sqrt(len(differences))
    wide, narrow = (float(student.isf(tail, freedom) * error) for tail in (alpha / tested / 2, alpha))
    p_different = min(1.0, tested * 2 * float(student.sf(abs(mean) / error, freedom)))
    p_equivalent = float(student.sf((margin - abs(mean)) / error, freedom))
    verdict = judged(mean, wide, narrow, margin)
    needed = seeds_needed(spread, margin, alpha) if verdict == FEW else None
    intervals = (mean - wide, mean + wide, mean - narrow, mean + narrow)
    return Comparison(name, pairs, mean, *intervals, p_different, p_equivalent, needed, verdict)


def judged(mean, wide, narrow, margin):
    """A difference that is there, yet surely smaller than what matters, is called equivalent."""
    if abs(mean) + narrow < margin:
        return EQUIVALENT
    return DIFFERENT if abs(mean) > wide else FEW


def deviation(differences, resolution):
    """The standard deviation of the differences, not below what rounding each score to its step hides.

    Each of two scores is off by up to half a step, which has a variance of step^2 / 12. Without it, a few equal
    differences would be taken for no variation at all, and prove anything.
    """
    return max(float(differences.std(ddof=1)), resolution / np.sqrt(6))


def seeds_needed(spread, margin, alpha):
    """The fewest seeds at which equivalence is shown with a chance of POWER, if there is no difference; None for very
    many. The usual approximation of the power of TOST: both one-sided tests have to pass."""

    def show(seeds):
        reach = student.isf(alpha, seeds - 1) + student.isf((1 - POWER) / 2, seeds - 1)
        return reach * spread / np.sqrt(seeds) <= margin  # the reach falls with every seed

    seeds = range(2, MOST_NEEDED)
    first = bisect.bisect_left(seeds, True, key=show)
    return seeds[first] if first < len(seeds) else None


def overall(comparisons):
    """The verdict on all data sets: one that differs decides, then one that cannot be told."""
    verdicts = {comparison.verdict for comparison in comparisons}
    return next(verdict for verdict in (DIFFERENT, FEW, EQUIVALENT, IDENTICAL) if verdict in verdicts)
