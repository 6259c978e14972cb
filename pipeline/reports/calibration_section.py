"""The section of the report on one label with the scores before and after the calibration of its probabilities."""

from collections.abc import Sequence
from pathlib import Path

from markupsafe import Markup

from pipeline.evaluation.calibration_change import AFTER, BEFORE
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.reports.formatting import format_number, format_percent
from pipeline.reports.html_page import render_html

TEMPLATE = Path(__file__).with_suffix(".html.j2")
TITLES = {"log_loss": "log loss", "brier": "Brier score"}


def calibration_section(evaluation: LabelEvaluation | ScoresOnly) -> Markup:
    """Return the section as HTML; empty if the probabilities are not calibrated."""
    if not isinstance(evaluation, LabelEvaluation) or evaluation.calibration_change is None:
        return Markup()
    return render_html(
        TEMPLATE,
        filters={"number": format_number},
        values={
            "change": evaluation.calibration_change,
            "level": format_percent(evaluation.confidence),
            "titles": TITLES,
        },
    )


def calibration_lines(evaluations: Sequence[LabelEvaluation | ScoresOnly]) -> list[str]:
    """Return one line per calibrated label: the calibration, and the scores before and after it."""
    lines = []
    for evaluation in evaluations:
        if isinstance(evaluation, LabelEvaluation) and (change := evaluation.calibration_change):
            scores = (
                f"{TITLES[name]} {format_number(kinds[BEFORE].value)} before, {format_number(kinds[AFTER].value)} after"
                for name, kinds in change.scores.items()
            )
            lines.append(f"{evaluation.name} {change.calibrator.describe()}: {'; '.join(scores)}")
    return lines
