"""Scores as text: numbers of a fixed look, and a table for the terminal."""

import math


def number(value):
    """A score in few characters: four decimals below ten, two above, powers of ten for what is tiny or huge."""
    size = abs(value)
    if not math.isfinite(value):
        return "-"
    if value == 0 or 1e-3 <= size < 10:
        return f"{value:.4f}"
    return f"{value:.2f}" if 10 <= size < 1e5 else f"{value:.2e}"


def level(confidence):
    """A confidence level as people write it: 0.95 -> "95 %"."""
    return f"{100 * confidence:.6g} %"


def aligned(rows):
    """Rows of text cells as lines of equal columns. Names come from data and configs: what could break a line or steer
    the terminal becomes a blank."""
    rows = [["".join(sign if sign.isprintable() else " " for sign in cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def table(evaluations):
    """Every label's scores with their intervals, a line each, the columns aligned. Ends without a newline."""
    lines = []
    for evaluation in evaluations:
        names = max(map(len, evaluation.scores), default=0)
        cells = {
            name: [number(part) for part in (score.value, score.low, score.high)]
            for name, score in evaluation.scores.items()
        }
        value, low, high = (max((len(row[i]) for row in cells.values()), default=0) for i in range(3))
        lines.append(f"{evaluation.name}: {evaluation.rows:,} rows, {level(evaluation.confidence)} intervals")
        lines += [
            f"  {name:<{names}}  {row[0]:>{value}}  [{row[1]:>{low}}, {row[2]:>{high}}]" for name, row in cells.items()
        ]
    return "\n".join(lines)
