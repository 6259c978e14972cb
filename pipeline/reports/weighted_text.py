"""Lines of text on scores that count rows by their weights."""

from collections.abc import Sequence

import numpy as np

from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.evaluation.weighted_scores import effective_rows
from pipeline.reports.formatting import format_number


def weighted_lines(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> list[str]:
    """Return a line if the scores are weighted; [] if every row counts once. All labels have the same weights."""
    for evaluation in evaluations:
        if isinstance(evaluation, LabelEvaluation) and evaluation.weights is not None:
            weights = evaluation.weights
            left_out = int(np.count_nonzero(weights == 0))
            zeros = f"; {left_out:,} rows of weight 0 are left out" if left_out else ""
            return [
                f"Scores and intervals use row weights: {evaluation.rows:,} rows, effective number "
                f"{effective_rows(weights):,.1f}{zeros}."
            ]
    return []


def format_count(count: float) -> str:
    """Format a number of rows, an integer, or a sum of their weights."""
    return f"{count:,}" if isinstance(count, int) else format_number(count)
