"""Numbers and tables as text."""

import math
from collections.abc import Sequence

from pipeline.evaluation.decisions import describe
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly


def format_number(value: float) -> str:
    """Format a score: four decimals below ten, two above, scientific if it is tiny or huge; "-" if it is not finite."""
    size = abs(value)
    if not math.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= size < 10:
        return f"{value:.4f}"
    return f"{value:.2f}" if 10 <= size < 1e5 else f"{value:.2e}"


def format_percent(share: float) -> str:
    """Format a share or confidence level: 0.95 -> "95 %"."""
    return f"{100 * share:.6g} %"


def format_points(difference: float) -> str:
    """Format a difference of shares in percentage points with its sign: 0.0028 -> "+0.28"; "-" if it is not finite."""
    return f"{100 * difference:+.2f}" if math.isfinite(difference) else "-"


def align_columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows of cells as lines with aligned columns.

    Characters that could break a line or control the terminal become spaces, since names come from data and configs.
    """
    printable = [["".join(char if char.isprintable() else " " for char in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*printable, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in printable]


def score_table(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> str:
    """Return a table of the scores of all labels with their intervals, one line per score, and of their decisions."""
    lines = []
    for evaluation in evaluations:
        name_width = max(map(len, evaluation.scores), default=0)
        cells = {
            name: [format_number(number) for number in (score.value, score.low, score.high)]
            for name, score in evaluation.scores.items()
        }
        value, low, high = (max((len(row[column]) for row in cells.values()), default=0) for column in range(3))
        lines.append(f"{evaluation.name}: {evaluation.rows:,} rows, {format_percent(evaluation.confidence)} intervals")
        lines += [
            f"  {name:<{name_width}}  {row[0]:>{value}}  [{row[1]:>{low}}, {row[2]:>{high}}]"
            for name, row in cells.items()
        ]
        if isinstance(evaluation, LabelEvaluation) and evaluation.decision:
            lines.append(f"  {describe(evaluation.label, evaluation.decision)}")
    return "\n".join(lines)
