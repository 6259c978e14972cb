"""The page of `qualify`: the comparison of two environments with a plot, in one file that opens offline."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluation.equivalence import MAX_SEEDS, EnvironmentComparison, EquivalenceVerdict
from pipeline.reports.formatting import format_number, format_percent, format_points
from pipeline.reports.html_page import write_html_page

TEMPLATE = Path(__file__).with_suffix(".html.j2")
LEFT, RIGHT = 190, 980  # ends of the axis of the plot, pixels
ROW_HEIGHT = 54  # pixels per data set in the plot
MAX_TICKS = 10  # ticks of the axis, without the tick at 0
TICK_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)  # possible distances, percentage points


@dataclass(frozen=True, kw_only=True)
class DifferencePlot:
    """The axis of a plot with one row per data set.

    Attributes:
        margin: Smallest difference that matters, in the unit of the scores.
        limit: Largest difference on the axis, in the unit of the scores.
    """

    margin: float
    limit: float

    def x(self, difference: float) -> float:
        """Return the position of a difference in pixels; the end of the axis if it lies beyond."""
        share = (min(max(difference, -self.limit), self.limit) / self.limit + 1) / 2
        return round(LEFT + (RIGHT - LEFT) * share, 1)

    @property
    def ticks(self) -> list[float]:
        """The positions of the ticks, in the unit of the scores."""
        points = 100 * self.limit
        step = next((step for step in TICK_STEPS if 2 * points / step <= MAX_TICKS), TICK_STEPS[-1]) / 100
        last = math.floor(self.limit / step)
        return [count * step for count in range(-last, last + 1)]


def difference_plot(comparisons: Sequence[EnvironmentComparison], margin: float) -> DifferencePlot:
    """Return a plot whose axis holds the margin, the difference of every seed and every finite interval."""
    differences = [margin * 2]
    for comparison in comparisons:
        differences += [abs(end) for end in (comparison.low, comparison.high) if math.isfinite(end)]
        differences += [abs(candidate - baseline) for baseline, candidate in seed_scores(comparison)]
    return DifferencePlot(margin=margin, limit=1.05 * max(differences))


def seed_scores(comparison: EnvironmentComparison) -> list[tuple[float, float]]:
    """Return the scores of the baseline and the candidate for each seed."""
    return list(zip(comparison.pairs.baseline, comparison.pairs.candidate, strict=True))


def seeds_needed_note(comparison: EnvironmentComparison) -> str:
    """Return " (about N)", the number of seeds that would show equivalence; "" unless there are too few seeds."""
    if comparison.verdict != EquivalenceVerdict.TOO_FEW_SEEDS or len(comparison.pairs.identical) < 2:
        return ""
    return f" (about {comparison.needed})" if comparison.needed else f" (more than {MAX_SEEDS:,})"


def write_qualification_page(
    path: Path, record: Mapping[str, Any], comparisons: Sequence[EnvironmentComparison]
) -> None:
    """Write the HTML page that compares the scores of the baseline and the candidate environment.

    Args:
        path: The file of the page.
        record: The content of the qualification's result.json.
        comparisons: The comparisons that the page shows.
    """
    write_html_page(
        path,
        TEMPLATE,
        filters={
            "points": format_points,
            "level": format_percent,
            "number": format_number,
            "seed_scores": seed_scores,
            "seeds_needed_note": seeds_needed_note,
        },
        values={
            **record,
            "comparisons": comparisons,
            "plot": difference_plot(comparisons, record["settings"]["margin"]),
            "row_height": ROW_HEIGHT,
        },
    )
