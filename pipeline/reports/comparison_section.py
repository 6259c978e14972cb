"""The section of the report on one label that compares the model with simple models, and groups of rows."""

from pathlib import Path

from markupsafe import Markup

from pipeline.evaluation.group_scores import FEWEST_ROWS
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.reports.formatting import format_number, format_percent
from pipeline.reports.html_page import render_html

TEMPLATE = Path(__file__).with_suffix(".html.j2")


def comparison_section(evaluation: LabelEvaluation | ScoresOnly) -> Markup:
    """Return the section as HTML; empty if there are no comparisons."""
    if not isinstance(evaluation, LabelEvaluation):
        return Markup()
    return render_html(
        TEMPLATE,
        filters={"number": format_number, "level": format_percent},
        values={"evaluation": evaluation, "fewest_rows": FEWEST_ROWS},
    )
