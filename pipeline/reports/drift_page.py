"""drift.html: what was compared and found, with pictures, on one page that opens anywhere, offline."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import jinja2

from pipeline.evaluation.drift_detection import DriftVerdict
from pipeline.evaluation.profiles import OTHER, NumberColumn
from pipeline.files import atomic_write
from pipeline.reports.formatting import format_number

TEMPLATE = Path(__file__).with_name("drift_page.html.j2")
PICTURES = 12  # histograms of a profile that the page shows
WIDTH, HEIGHT = 320, 130  # of a histogram, pixels
MOST_BARS = 30


@dataclass(frozen=True)
class Histogram:
    """bars: (name, share of the reference, share of the new rows)."""

    title: str
    verdict: str
    bars: tuple[tuple[str, float, float], ...]

    @property
    def highest(self):
        return max((max(one, other) for _, one, other in self.bars), default=0) or 1


@dataclass(frozen=True)
class Line:
    """points: (x, y) from 0 to 1. marks: (x, text). low, high: what y of 0 and 1 stand for."""

    title: str
    points: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, str], ...]
    low: float
    high: float


def most_significant_first(results):
    """Drift first, then by p-value, then by how far the effect is beyond its threshold."""
    return sorted(
        results,
        key=lambda result: (
            result.verdict != DriftVerdict.DRIFT,
            result.p_value,
            -abs(result.effect) / (result.threshold or 1),
        ),
    )


def histograms(results, reference, new):
    """The histograms of the columns that tell most. reference, new: Profiles counted in the same bins."""
    found = []
    for result in most_significant_first(results):
        column = result.subject if result.subject in reference.columns else result.subject.partition(": ")[2]
        if column in reference.columns and column not in {picture.title for picture in found}:
            found.append(Histogram(column, result.verdict, bars(reference.columns[column], new.columns[column])))
    return found[:PICTURES]


def bars(one, other):
    names = [*bin_names(one), "missing"]
    shares = [
        [rows / max(1, sum(column.counts) + column.missing) for rows in (*column.counts, column.missing)]
        for column in (one, other)
    ]
    found = [bar for bar in zip(names, *shares, strict=True) if bar[1] or bar[2]]
    return tuple(found if isinstance(one, NumberColumn) else sorted(found, key=lambda bar: -bar[1])[:MOST_BARS])


def bin_names(column):
    if not isinstance(column, NumberColumn):
        return [*column.values, OTHER]
    edges = [format_number(edge) for edge in column.edges]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} or more"] if edges else ["all"]


def line(title, values, marks):
    """A series with the places where its level changed. marks: (place, text)."""
    low, high = float(min(values)), float(max(values))
    span, last = high - low or 1.0, max(1, len(values) - 1)
    points = tuple((place / last, (float(value) - low) / span) for place, value in enumerate(values))
    return Line(title, points, tuple((place / last, text) for place, text in marks), low, high)


def write_drift_page(path, title, results, pictures):
    """Write the page, whole or not at all. pictures: Histograms and Lines."""
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = format_number
    text = environment.from_string(TEMPLATE.read_text()).render(
        title=title,
        results=most_significant_first(results),
        histograms=[picture for picture in pictures if isinstance(picture, Histogram)],
        lines=[picture for picture in pictures if isinstance(picture, Line)],
        verdict=verdict(results),
        width=WIDTH,
        height=HEIGHT,
    )
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "replace"))


def verdict(results):
    verdicts = {result.verdict for result in results}
    return next(
        (known for known in (DriftVerdict.DRIFT, DriftVerdict.TOO_FEW_ROWS) if known in verdicts), DriftVerdict.NONE
    )
