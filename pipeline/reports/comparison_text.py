"""Comparisons with simple models and between groups of rows, as lines of text."""

from collections.abc import Iterator, Sequence

from pipeline.evaluation.group_scores import FEWEST_ROWS, GroupComparison, GroupScore
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.reports.calibration_section import calibration_lines
from pipeline.reports.formatting import format_number, score_table
from pipeline.reports.weighted_text import weighted_lines


def score_text(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> str:
    """Return the result of an evaluation: whether it is weighted, comparisons, scores, calibration and groups."""
    lines = [
        *weighted_lines(evaluations),
        *baseline_lines(evaluations),
        score_table(evaluations),
        *calibration_lines(evaluations),
        *group_lines(evaluations),
    ]
    return "\n".join(lines)


def baseline_lines(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> list[str]:
    """Return one line per label that is compared with simple models. Models that are not beaten come first."""
    return [
        f"{evaluation.name}: {first.metric} {format_number(first.score)}, "
        + "; ".join(comparison.describe() for comparison in evaluation.baselines)
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation)
        for first in evaluation.baselines[:1]
    ]


def group_lines(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> list[str]:
    """Return one line per label and column of groups: the worst and the best group, and the gap."""
    return [
        f"{evaluation.name} by {comparison.column}: {'; '.join(_group_parts(comparison))}"
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation)
        for comparison in evaluation.groups
    ]


def _group_parts(comparison: GroupComparison) -> Iterator[str]:
    compared = [group for group in comparison.groups if group.is_compared]
    if comparison.gap is not None:
        yield f"{comparison.metric} worst in {_describe(compared[0])}"
        yield f"best in {_describe(compared[-1])}"
        gap = comparison.gap
        yield f"gap {format_number(gap.value)} [{format_number(gap.low)}, {format_number(gap.high)}]"
    else:
        yield from (f"{comparison.metric} in {_describe(group)}" for group in compared)
    if few := len(comparison.groups) - len(compared):
        yield f"{few} group{'s' * (few > 1)} of fewer than {FEWEST_ROWS} rows not compared"


def _describe(group: GroupScore) -> str:
    low, high = format_number(group.score.low), format_number(group.score.high)
    return f"{group.name} ({group.rows:,} rows) {format_number(group.score.value)} [{low}, {high}]"
