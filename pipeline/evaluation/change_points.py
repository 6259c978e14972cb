"""Change points of a series: ADWIN and Page-Hinkley, and the size of a level shift."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

SLACK = 0.5  # standard deviations by which the level may vary without adding to Page-Hinkley's sums
FADING = 1 - 1e-4  # factor of Page-Hinkley's sums per value


@dataclass(frozen=True)
class ChangePoint:
    """A change of the level of a series.

    Attributes:
        alarm: Index of the value at which the detector raised the alarm.
        index: Estimated index of the first value at the new level.
    """

    alarm: int
    index: int


def adwin(
    values: Sequence[float] | np.ndarray, *, delta: float = 0.002, clock: int = 1, min_side: int = 5, grace: int = 10
) -> list[ChangePoint]:
    """Find change points with an adaptive window (ADWIN).

    Source: Bifet and Gavalda 2007, "Learning from Time-Changing Data with Adaptive Windowing", the cut of section 3.1.
    Every cut of the window is tested, so that the time of a test grows with the window. The window is emptied after an
    alarm.

    Args:
        values: (n,) numbers whose noise has a standard deviation of about 1 or less.
        delta: Probability of a false alarm per cut.
        clock: Number of values between two tests.
        min_side: Smallest number of values on either side of a cut.
        grace: Number of values before the first test.
    """
    changes, start = [], 0
    for end in range(1, len(values) + 1):
        width = end - start
        if width % clock or width <= grace:
            continue
        window = values[start:end]
        first, difference, weight = cut_statistics(window, min_side)
        if not len(first):
            continue
        log_term = np.log(2 * np.log(width) / delta)
        bound = np.sqrt(2 * weight * np.var(window) * log_term) + 2 / 3 * log_term * weight
        if (difference > bound).any():
            changes.append(ChangePoint(end - 1, start + best_cut(window, min_side)))
            start = end
    return changes


def page_hinkley(
    values: Sequence[float] | np.ndarray,
    *,
    threshold: float = 50.0,
    slack: float = 0.005,
    min_values: int = 30,
    fading: float = FADING,
) -> list[ChangePoint]:
    """Find upward and downward change points with the Page-Hinkley test.

    Source: Page 1954, "Continuous Inspection Schemes". The sums are reset after an alarm.

    Args:
        values: (n,) numbers.
        threshold: Alarm threshold of the cumulative sums, in the unit of the values.
        slack: Deviation from the mean that is not counted, in the unit of the values.
        min_values: Number of values before the first alarm.
        fading: Factor of the sums per value.
    """
    changes, start = [], 0
    up = down = mean = 0.0
    lowest, highest = np.inf, -np.inf
    for index, value in enumerate(values):
        count = index - start + 1
        mean += (value - mean) / count
        up = fading * up + value - mean - slack
        down = fading * down + value - mean + slack
        lowest, highest = min(lowest, up), max(highest, down)
        if count < min_values:
            continue
        if max(up - lowest, highest - down) > threshold:
            changes.append(ChangePoint(index, start + best_cut(values[start : index + 1], 1)))
            start, up, down, mean, lowest, highest = index + 1, 0.0, 0.0, 0.0, np.inf, -np.inf
    return changes


def cut_statistics(window: Sequence[float] | np.ndarray, min_side: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compare the two sides of every cut of a window.

    Returns:
        For each cut with at least `min_side` values on either side: the number n of values before it, the absolute
        difference of the two means, and 1/n + 1/m with m values after it. Each (cuts,).
    """
    width = len(window)
    first = np.arange(min_side, width - min_side + 1)
    sums = np.cumsum(np.asarray(window, np.float64))
    difference = np.abs(sums[first - 1] / first - (sums[-1] - sums[first - 1]) / (width - first))
    return first, difference, 1 / first + 1 / (width - first)


def best_cut(window: Sequence[float] | np.ndarray, min_side: int) -> int:
    """Return the number of values before the cut whose sides differ most, in standard errors."""
    first, difference, weight = cut_statistics(window, min_side)
    return int(first[np.argmax(difference / np.sqrt(weight))])


def noise_level(values: Sequence[float] | np.ndarray) -> float:
    """Return the standard deviation of a series around its level; 0 if all values are equal.

    It is estimated from the differences of neighbours, which a change of the level hardly affects: 1.4826 times their
    median absolute value, divided by the square root of 2.
    """
    differences = np.diff(np.asarray(values, np.float64))
    robust = 1.4826 * np.median(np.abs(differences)) / np.sqrt(2)
    return float(robust or np.sqrt(np.mean(differences**2) / 2))


def level_shift(values: Sequence[float] | np.ndarray, index: int) -> tuple[float, float]:
    """Compare the values from an index on with those before it.

    Returns:
        The difference of the means, in the unit of the values, and the p-value of Welch's t-test of it.
    """
    before, after = np.asarray(values[:index], np.float64), np.asarray(values[index:], np.float64)
    effect = float(after.mean() - before.mean())
    if min(len(before), len(after)) < 2 or not (before.std() or after.std()):
        return effect, 0.0 if effect else 1.0
    return effect, float(ttest_ind(after, before, equal_var=False).pvalue)
