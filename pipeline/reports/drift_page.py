"""drift.html: the comparisons of a drift check with plots, on one page that opens offline."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from pipeline.evaluation.drift_detection import DriftResult, DriftVerdict
from pipeline.evaluation.profiles import OTHER, Column, NumberColumn, Profile
from pipeline.reports.formatting import format_number
from pipeline.reports.html_page import write_html_page

TEMPLATE = Path(__file__).with_name("drift_page.html.j2")
MAX_HISTOGRAMS = 12  # per profile
MAX_BARS = 30  # per histogram of categories
WIDTH, HEIGHT = 320, 130  # pixels of a histogram
SUMMARIES = {
    DriftVerdict.DRIFT: "Drift detected",
    DriftVerdict.TOO_FEW_ROWS: "Too few rows to decide",
    DriftVerdict.NONE: "No drift detected",
}

Bar = tuple[str, float, float]
"""The name of a bin, its share of the reference rows, and its share of the new rows."""


@dataclass(frozen=True, kw_only=True)
class HistogramPlot:
    """Two histograms of one column.

    Attributes:
        title: Name of the column.
        verdict: The verdict of its most significant comparison.
        bars: The bins.
    """

    title: str
    verdict: DriftVerdict
    bars: tuple[Bar, ...]

    @property
    def highest(self) -> float:
        """The largest share of a bin; 1 if there are no bins."""
        return max((max(reference, new) for _, reference, new in self.bars), default=0) or 1


@dataclass(frozen=True, kw_only=True)
class SeriesPlot:
    """A series of scores.

    Attributes:
        title: The title of the plot.
        points: (x, y) from 0 to 1.
        marks: (x, text) of each change point.
        low: The score at y = 0.
        high: The score at y = 1.
    """

    title: str
    points: tuple[tuple[float, float], ...]
    marks: tuple[tuple[float, str], ...]
    low: float
    high: float


def write_drift_page(
    path: Path,
    title: str,
    results: Sequence[DriftResult],
    *,
    histograms: Sequence[HistogramPlot] = (),
    series: Sequence[SeriesPlot] = (),
) -> None:
    """Write the page.

    Args:
        path: The page.
        title: Its title.
        results: All comparisons, with their verdicts.
        histograms: Plots of columns.
        series: Plots of scores over runs.
    """
    verdict = overall_verdict(results)
    write_html_page(
        path,
        TEMPLATE,
        filters={"number": format_number},
        values={
            "title": title,
            "results": most_significant_first(results),
            "histograms": histograms,
            "series": series,
            "verdict": verdict,
            "summary": SUMMARIES[verdict],
            "width": WIDTH,
            "height": HEIGHT,
        },
    )


def overall_verdict(results: Iterable[DriftResult]) -> DriftVerdict:
    """Return DRIFT if there is any, else TOO_FEW_ROWS if a comparison has too few or there is none, else NONE."""
    verdicts = {result.verdict for result in results} or {DriftVerdict.TOO_FEW_ROWS}
    order = (DriftVerdict.DRIFT, DriftVerdict.TOO_FEW_ROWS, DriftVerdict.NONE)
    return next(verdict for verdict in order if verdict in verdicts)


def most_significant_first(results: Iterable[DriftResult]) -> list[DriftResult]:
    """Sort comparisons: drift first, then by p-value, then by the ratio of effect and threshold."""
    return sorted(
        results,
        key=lambda result: (
            result.verdict != DriftVerdict.DRIFT,
            result.p_value,
            -abs(result.effect) / (result.threshold or 1),
        ),
    )


# ---- plots ----------------------------------------------------------------------------------------------------------


def histogram_plots(results: Iterable[DriftResult], reference: Profile, new: Profile) -> list[HistogramPlot]:
    """Return histograms of the columns with the most significant comparisons.

    Args:
        results: The comparisons.
        reference: The earlier rows.
        new: The new rows, counted in the same bins.
    """
    plots: dict[str, HistogramPlot] = {}
    for result in most_significant_first(results):
        name = result.subject if result.subject in reference.columns else result.subject.partition(": ")[2]
        if name in reference.columns and name not in plots:
            bars = histogram_bars(reference.columns[name], new.columns[name])
            plots[name] = HistogramPlot(title=name, verdict=result.verdict, bars=bars)
    return list(plots.values())[:MAX_HISTOGRAMS]


def histogram_bars(reference: Column, new: Column) -> tuple[Bar, ...]:
    """Return the bins that hold rows, those of categories in decreasing order of the reference."""
    names = [*bin_names(reference), "missing"]
    bars = [bar for bar in zip(names, bin_shares(reference), bin_shares(new), strict=True) if bar[1] or bar[2]]
    return tuple(bars if isinstance(reference, NumberColumn) else sorted(bars, key=lambda bar: -bar[1])[:MAX_BARS])


def bin_shares(column: Column) -> list[float]:
    """Return the share of the rows in each bin, and last the share of missing values."""
    counts = (*column.counts, column.missing)
    return [rows / max(1, sum(counts)) for rows in counts]


def bin_names(column: Column) -> list[str]:
    """Return the names of the bins of a column."""
    if not isinstance(column, NumberColumn):
        return [*column.values, OTHER]
    edges = [format_number(edge) for edge in column.edges]
    between = [f"{low} to {high}" for low, high in pairwise(edges)]
    return [f"below {edges[0]}", *between, f"{edges[-1]} or more"] if edges else ["all"]


def series_plot(title: str, scores: np.ndarray, marks: Iterable[tuple[int, str]]) -> SeriesPlot:
    """Return the plot of a series.

    Args:
        title: The title of the plot.
        scores: (runs,) float64.
        marks: Index of each change point, and a text.
    """
    low, high = float(scores.min()), float(scores.max())
    span, last = high - low or 1.0, max(1, len(scores) - 1)
    return SeriesPlot(
        title=title,
        points=tuple((index / last, (float(score) - low) / span) for index, score in enumerate(scores)),
        marks=tuple((index / last, text) for index, text in marks),
        low=low,
        high=high,
    )
