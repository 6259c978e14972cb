"""The plots of a label of two classes: ROC, precision and recall, lift, and the calibration of the positive class."""

from collections.abc import Iterator

import numpy as np

from pipeline.evaluation.metrics import PositiveClass
from pipeline.reports.plots import BLUE, GREY, ORANGE, Plot, create_figure, file_name, short_name, to_plot

SIZE = (3.1, 2.9)
REFERENCE = {"color": GREY, "linestyle": "--", "linewidth": 1}


def binary_plots(label: str, positive: PositiveClass) -> Iterator[Plot]:
    """Yield the plots of a label of two classes.

    Args:
        label: The name of the label.
        positive: The results of the positive class. Both classes have rows.
    """
    stem, curve = file_name(label), positive.curve
    share = curve.positives / (curve.positives + curve.negatives)
    predicted = (curve.true_positives + curve.false_positives) / (curve.positives + curve.negatives)
    chosen = np.searchsorted(curve.thresholds, positive.threshold)  # the first threshold >= the chosen one
    here = slice(chosen, chosen + 1)

    figure, axes = create_figure(*SIZE)
    axes.plot([*curve.fallout, 0], [*curve.recall, 0], color=BLUE)
    axes.plot([0, 1], [0, 1], **REFERENCE)
    axes.plot(curve.fallout[here], curve.recall[here], "o", color=ORANGE)
    axes.set(xlabel="false positive rate", ylabel="recall", title=f"ROC of {short_name(positive.name)}")
    axes.grid()
    yield to_plot(figure, f"{stem}-roc.png", f"ROC curve of {label}: recall by false positive rate")

    figure, axes = create_figure(*SIZE)
    axes.step([*curve.recall, 0], [*curve.precision, 1], color=BLUE, where="post")
    axes.axhline(share, **REFERENCE)
    axes.plot(curve.recall[here], curve.precision[here], "o", color=ORANGE)
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.02), title="precision and recall")
    axes.grid()
    yield to_plot(figure, f"{stem}-precision-recall.png", f"Precision by recall of {label}")

    figure, axes = create_figure(*SIZE)
    axes.plot(predicted, curve.precision / share, color=BLUE)
    axes.axhline(1, **REFERENCE)
    axes.plot(predicted[here], (curve.precision / share)[here], "o", color=ORANGE)
    axes.set(xlabel="share of rows, most likely first", ylabel="lift", title="lift", xlim=(0, 1))
    axes.grid()
    yield to_plot(figure, f"{stem}-lift.png", f"Lift of {label}: precision by share of rows, over that of all rows")

    figure, axes = create_figure(*SIZE)
    axes.plot([0, 1], [0, 1], **REFERENCE)
    filled = positive.calibration.count > 0
    axes.plot(positive.calibration.confidence[filled], positive.calibration.accuracy[filled], "o-", color=BLUE)
    axes.set(xlabel="mean probability", ylabel="share of rows", xlim=(0, 1), ylim=(0, 1.02), title="calibration")
    axes.grid()
    alt = f"Calibration of {label}: share of rows of {positive.name} by its probability"
    yield to_plot(figure, f"{stem}-calibration.png", alt)
