"""The section of the report on one real label about its prediction intervals."""

from pathlib import Path

import numpy as np
from markupsafe import Markup

from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.reports.formatting import format_number, format_percent
from pipeline.reports.html_page import render_html

TEMPLATE = Path(__file__).with_suffix(".html.j2")
MAX_NUMBERS = 60  # numbers of a label, such as steps of a horizon, that have a row each in the table


def interval_section(evaluation: LabelEvaluation | ScoresOnly) -> Markup:
    """Return the section as HTML; empty if the model predicts no intervals."""
    if not isinstance(evaluation, LabelEvaluation) or evaluation.quantiles is None or evaluation.residuals is None:
        return Markup()
    quantiles, residuals = evaluation.quantiles, evaluation.residuals
    inside = quantiles.contains(residuals.targets)
    shares, widths = (
        np.average(values, axis=0, weights=residuals.weights).tolist() for values in (inside, quantiles.widths())
    )
    return render_html(
        TEMPLATE,
        filters={"number": format_number, "percent": format_percent},
        values={
            "levels": quantiles.levels,
            "nominal": round(quantiles.nominal, 6),
            "coverage": evaluation.scores["interval_coverage"],
            "width": evaluation.scores["interval_width"],
            "confidence": evaluation.confidence,
            "numbers": list(enumerate(zip(shares, widths, strict=True)))[:MAX_NUMBERS],
        },
    )
