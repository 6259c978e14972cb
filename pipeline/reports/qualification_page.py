"""The page of `qualify`: what two environments trained, with a plot, in one file that opens anywhere, offline."""

import math
from dataclasses import dataclass
from pathlib import Path

import jinja2

from pipeline.evaluation import equivalence
from pipeline.evaluation.equivalence import EquivalenceVerdict
from pipeline.files import atomic_write
from pipeline.reports.formatting import format_number, format_percent, format_points

TEMPLATE = Path(__file__).with_suffix(".html.j2")
LEFT, RIGHT, ROW = 190, 980, 54  # of the plot, pixels: where the axis begins and ends, and a data set's height
TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50)  # points between two ticks, the first that leaves at most ten


@dataclass(frozen=True)
class Plot:
    """Differences of scores, a row a data set. reach: largest difference shown, in the scores' unit."""

    comparisons: list
    margin: float
    reach: float

    def x(self, difference):
        """Where a difference lies, in pixels; what is beyond the axis lies at its end."""
        share = (min(max(difference, -self.reach), self.reach) / self.reach + 1) / 2
        return round(LEFT + (RIGHT - LEFT) * share, 1)

    @property
    def ticks(self):
        step = next((step for step in TICKS if 200 * self.reach / step <= 10), TICKS[-1]) / 100
        most = math.floor(self.reach / step)
        return [count * step for count in range(-most, most + 1)]


def plot(comparisons, margin):
    """The Plot that shows every seed's difference and every interval that is not endless."""
    shown = [margin * 2]
    for found in comparisons:
        shown += [abs(value) for value in (found.low, found.high) if math.isfinite(value)]
        shown += [abs(after - before) for before, after in seeds(found)]
    return Plot(comparisons, margin, 1.05 * max(shown))


def seeds(comparison):
    """(baseline, candidate) of each seed."""
    return list(zip(comparison.pairs.baseline, comparison.pairs.candidate, strict=True))


def seeds_needed_note(comparison):
    """How many seeds would tell, where these do not, as the end of a line."""
    if comparison.verdict != EquivalenceVerdict.TOO_FEW_SEEDS or len(comparison.pairs.identical) < 2:
        return ""
    return f" (about {comparison.needed})" if comparison.needed else f" (more than {equivalence.MAX_SEEDS:,})"


def write_qualification_page(path, found, comparisons):
    """Write the page, whole or not at all. found: what result.json holds."""
    page = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
    page.filters |= {
        "points": format_points,
        "level": format_percent,
        "number": format_number,
        "seeds": seeds,
        "wanting": seeds_needed_note,
    }
    text = page.from_string(TEMPLATE.read_text()).render(
        **found | {"comparisons": comparisons},
        plot=plot(comparisons, found["settings"]["margin"]),
        left=LEFT,
        right=RIGHT,
        row=ROW,
    )
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))
