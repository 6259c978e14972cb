"""Where the level of a series changes: ADWIN and Page-Hinkley, and how far off it is since."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import ttest_ind

SLACK = 0.5  # standard deviations that Page-Hinkley lets the level wander
FADING = 1 - 1e-4  # of Page-Hinkley's sums


@dataclass(frozen=True)
class Change:
    """alarm: the place in the series at which a detector spoke. place: where the new level began, by its estimate."""

    alarm: int
    place: int


def adwin(values, delta=0.002, clock=1, least=5, grace=10):
    """The changes that an adaptive window finds (Bifet and Gavalda 2007, "Learning from time-changing data with
    adaptive windowing", the cut of section 3.1).

    values: (n,) in units in which noise is about 1 or less. delta: chance of an alarm at a cut where there is no
    change. clock: values between two looks. least: of either side of a cut. grace: values before the first look. Every
    cut is looked at, so a look costs the length of the window. After an alarm the window starts anew.
    """
    changes, start = [], 0
    for end in range(1, len(values) + 1):
        width = end - start
        if width % clock or width <= grace:
            continue
        window = values[start:end]
        first, difference, weight = cuts(window, least)
        if not len(first):
            continue
        doubt = np.log(2 * np.log(width) / delta)
        bound = np.sqrt(2 * weight * np.var(window) * doubt) + 2 / 3 * doubt * weight
        if (difference > bound).any():
            changes.append(Change(end - 1, start + best_cut(window, least)))
            start = end
    return changes


def page_hinkley(values, threshold=50.0, slack=0.005, least=30, fading=FADING):
    """The changes that Page and Hinkley's cumulative sums find, upward or downward (Page 1954, "Continuous inspection
    schemes").

    threshold, slack: in the values' unit. least: values before the first alarm. After an alarm the sums start anew.
    """
    changes, start = [], 0
    up = down = mean = 0.0
    lowest, highest = np.inf, -np.inf
    for place, value in enumerate(values):
        count = place - start + 1
        mean += (value - mean) / count
        up = fading * up + value - mean - slack
        down = fading * down + value - mean + slack
        lowest, highest = min(lowest, up), max(highest, down)
        if count < least:
            continue
        if max(up - lowest, highest - down) > threshold:
            changes.append(Change(place, start + best_cut(values[start : place + 1], 1)))
            start, up, down, mean, lowest, highest = place + 1, 0.0, 0.0, 0.0, np.inf, -np.inf
    return changes


def cuts(window, least):
    """(values before the cut, difference of the means, 1/n + 1/m) of every cut with `least` values on either side."""
    width = len(window)
    first = np.arange(least, width - least + 1)
    sums = np.cumsum(np.asarray(window, np.float64))
    difference = np.abs(sums[first - 1] / first - (sums[-1] - sums[first - 1]) / (width - first))
    return first, difference, 1 / first + 1 / (width - first)


def best_cut(window, least):
    """Where the window falls apart most clearly: how many values come before."""
    first, difference, weight = cuts(window, least)
    return int(first[np.argmax(difference / np.sqrt(weight))])


def noise(values):
    """The standard deviation of a series around its level, told from neighbours' differences, which a change of level
    leaves alone. 0 where all values are equal."""
    differences = np.diff(np.asarray(values, np.float64))
    usual = 1.4826 * np.median(np.abs(differences)) / np.sqrt(2)
    return float(usual or np.sqrt(np.mean(differences**2) / 2))


def level_shift(values, place):
    """(difference of the means after and before a place, p-value of Welch's test of it)."""
    before, after = np.asarray(values[:place], np.float64), np.asarray(values[place:], np.float64)
    effect = float(after.mean() - before.mean())
    if min(len(before), len(after)) < 2 or not (before.std() or after.std()):
        return effect, 0.0 if effect else 1.0
    return effect, float(ttest_ind(after, before, equal_var=False).pvalue)
