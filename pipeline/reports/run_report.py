"""The report of a run: plots as PNG files, and one HTML page with all of them that opens offline."""

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator

from pipeline.evaluation.bootstrap import Score
from pipeline.evaluation.calibration import Calibration
from pipeline.evaluation.decisions import describe
from pipeline.evaluation.metrics import ClassScores, LabelEvaluation, ScoresOnly
from pipeline.files import atomic_write
from pipeline.reports import worst_mistakes
from pipeline.reports.binary_plots import binary_plots
from pipeline.reports.calibration_section import calibration_section
from pipeline.reports.comparison_section import comparison_section
from pipeline.reports.comparison_text import baseline_lines
from pipeline.reports.figures import ImageGrid
from pipeline.reports.formatting import format_number, format_percent
from pipeline.reports.html_page import write_html_page
from pipeline.reports.interval_section import interval_section
from pipeline.reports.plots import (
    BLUE,
    GREY,
    ORANGE,
    STYLE,
    Plot,
    create_figure,
    file_name,
    short_name,
    to_plot,
    use_log_scale,
)
from pipeline.reports.weighted_text import format_count, weighted_lines
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, DataSpec

TEMPLATE = Path(__file__).with_suffix(".html.j2")

HEADLINES = {
    CLASS: ("accuracy", "macro_f1", "roc_auc", "loss"),
    ONE_HOT: ("accuracy", "macro_f1", "roc_auc", "loss"),
    MULTI_LABEL: ("macro_f1", "subset_accuracy", "hamming_loss", "loss"),
    REAL: ("r2", "mae", "rmse", "loss"),
}
ORDINAL_HEADLINES = ("accuracy", "rank_mae", "quadratic_kappa", "loss")
TITLES = {
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "top_3_accuracy": "top-3 accuracy",
    "f1": "F1",
    "mcc": "MCC",
    "brier": "Brier score",
    "rank_mae": "rank MAE",
    "quadratic_kappa": "quadratic weighted kappa",
    "macro_roc_auc": "macro ROC AUC",
}
NOT_PLOTTED = {"epoch", "seconds"}  # entries of the history

MAX_HEADLINES = 4  # headline scores if HEADLINES has no entry
MAX_NUMBERED = 20  # classes of a confusion matrix, or bins of a reliability diagram, with numbers in it
MAX_NAMED = 60  # classes of a confusion matrix with names beside it
MAX_MISTAKES = 10  # rows of the table of mistakes
MAX_POINTS = 5_000  # points of a scatter plot; more are binned
MAX_OUTPUTS = 4  # outputs of a real label that are plotted
LOG_RATIO = 30  # largest / smallest value of a curve; above this ratio, the axis is logarithmic

MINUS, DASH = "\u2212", "\u2013"
RESIDUAL = f"predicted {MINUS} actual"


@dataclass(frozen=True, kw_only=True)
class RunReport:
    """The content of a report.

    Attributes:
        title: The title of the page.
        command: The command line of the run.
        status: The status of the run, such as "finished".
        seconds: Wall time of the run.
        weights_digest: sha256 of the weights; "" if there are none.
        spec: The spec of the data.
        fingerprint: sha256 of the data.
        rows: Number of rows of each split.
        config: YAML text.
        environment: The environment record, nested.
        summary: The summary of the model, as text.
        parameters: Number of weights of the model.
        history: The logs of each epoch; only its numbers are plotted.
        best_epoch: Epoch in the history whose weights were kept; None if it is the last one.
        evaluations: The scores.
        notes: Reasons for not trusting the scores.
        files: Description of a file -> its path relative to the report.
        gradients: The lines of gradients.jsonl.
    """

    title: str
    command: str
    status: str
    seconds: float
    weights_digest: str
    spec: DataSpec
    fingerprint: str
    rows: Mapping[str, int]
    config: str
    environment: Mapping[str, Any]
    summary: str
    parameters: int
    history: Sequence[Mapping[str, Any]]
    best_epoch: int | None
    evaluations: Sequence[LabelEvaluation | ScoresOnly]
    notes: Sequence[str]
    files: Mapping[str, str]
    gradients: Sequence[Mapping[str, Any]] = field(default_factory=list)


def write_run_report(folder: Path, report: RunReport) -> Path:
    """Write plots/*.png and report.html, the same bytes for the same report.

    Returns:
        The path of the page.
    """
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the tables show characters that the plots' font lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        curves = list(learning_curves(report.history, report.best_epoch))
        gradients = list(gradient_curves(report.gradients))
        by_label = [list(evaluation_plots(evaluation)) for evaluation in report.evaluations]

    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for plot in [*curves, *gradients, *(plot for plots in by_label for plot in plots)]:
        with atomic_write(folder / "plots" / plot.file) as file:
            file.write(plot.png)
    labels = list(zip(report.evaluations, by_label, strict=True))
    path = folder / "report.html"
    write_page(path, report, curves=curves, gradients=gradients, labels=labels)
    return path


# ---- the page -------------------------------------------------------------------------------------------------------


def write_page(
    path: Path,
    report: RunReport,
    *,
    curves: Sequence[Plot],
    gradients: Sequence[Plot],
    labels: Sequence[tuple[LabelEvaluation | ScoresOnly, Sequence[Plot]]],
) -> None:
    """Write report.html.

    Args:
        path: The page.
        report: Its content.
        curves: The learning curves.
        gradients: The curves of gradient statistics.
        labels: The evaluations, each with its plots.
    """
    write_html_page(
        path,
        TEMPLATE,
        filters={
            "number": format_signed,
            "level": format_percent,
            "title": format_title,
            "count": format_count,
            "duration": format_duration,
            "href": quote,  # also quotes a colon, so that no path can contain a URL scheme
        },
        values={
            "report": report,
            "curves": curves,
            "gradients": gradients,
            "labels": labels,
            "is_label": lambda evaluation: isinstance(evaluation, LabelEvaluation),
            "headline_scores": headline_scores,
            "baseline_lines": baseline_lines(report.evaluations),
            "weighted_lines": weighted_lines(report.evaluations),
            "calibration_section": calibration_section,
            "comparison_section": comparison_section,
            "interval_section": interval_section,
            "describe_decision": describe,
            "frequent_mistakes": frequent_mistakes,
            "weakest_classes": weakest_classes,
            "worst_mistakes": worst_mistakes.render,
            "max_outputs": MAX_OUTPUTS,
            "max_numbered": MAX_NUMBERED,
        },
    )


def format_signed(value: float) -> str:
    """Format a score with a true minus sign, or as a dash if it is not finite."""
    return format_number(value).replace("-", MINUS) if math.isfinite(value) else DASH


def format_title(name: str) -> str:
    """Return the name of a score for readers: "macro_f1" -> "macro F1"."""
    return TITLES.get(name, name.replace("_", " "))


def format_duration(seconds: float) -> str:
    """Format a duration: "12.3 s", "1 min 05 s" or "2 h 07 min"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def headline_scores(evaluation: LabelEvaluation | ScoresOnly) -> list[tuple[str, Score]]:
    """Return the names and values of the most important scores, in decreasing importance."""
    if isinstance(evaluation, ScoresOnly):
        return list(evaluation.scores.items())[:MAX_HEADLINES]
    names = ORDINAL_HEADLINES if evaluation.label.ordered else HEADLINES[evaluation.label.kind]
    return [(name, evaluation.scores[name]) for name in names if name in evaluation.scores]


def frequent_mistakes(evaluation: LabelEvaluation) -> list[tuple[str, str, float, float]]:
    """Return the most frequent confusions: true class, predicted class, rows or weight, share of the true class."""
    if evaluation.confusion is None:
        return []
    counts = evaluation.confusion.copy()
    class_rows = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    names = evaluation.label.classes
    most_frequent = np.argsort(-counts, axis=None, kind="stable")[:MAX_MISTAKES]
    return [
        (names[true], names[predicted], counts[true, predicted].item(), counts[true, predicted] / class_rows[true])
        for true, predicted in zip(*np.unravel_index(most_frequent, counts.shape), strict=True)
        if counts[true, predicted]
    ]


def weakest_classes(per_class: Sequence[ClassScores]) -> list[ClassScores]:
    """Return the three classes of lowest F1, without those that have none."""
    return sorted((scores for scores in per_class if not math.isnan(scores.f1)), key=lambda scores: scores.f1)[:3]


# ---- plots ----------------------------------------------------------------------------------------------------------


def learning_curves(history: Sequence[Mapping[str, Any]], best_epoch: int | None) -> Iterator[Plot]:
    """Yield one plot per quantity of the history, training and validation; a constant learning rate has none.

    Args:
        history: The logs of each epoch.
        best_epoch: The epoch to mark.
    """
    numeric = [{key: value for key, value in epoch.items() if is_number(value)} for epoch in history]
    names = dict.fromkeys(key.removeprefix("val_") for epoch in numeric for key in epoch if key not in NOT_PLOTTED)
    epochs = [epoch.get("epoch", position) for position, epoch in enumerate(numeric, start=1)]
    for name in sorted(names, key=lambda name: name == "learning_rate"):  # the others stay in their order
        training, validation = ([epoch.get(key, np.nan) for epoch in numeric] for key in (name, f"val_{name}"))
        if name == "learning_rate" and len(set(training)) < 2:
            continue
        yield learning_curve(name, epochs=epochs, training=training, validation=validation, best_epoch=best_epoch)


def learning_curve(
    name: str,
    *,
    epochs: Sequence[int],
    training: Sequence[float],
    validation: Sequence[float],
    best_epoch: int | None,
) -> Plot:
    """Plot one quantity by epoch.

    Args:
        name: The name of the quantity.
        epochs: Numbers of the epochs.
        training: The value of each epoch; NaN if there is none.
        validation: The same on the validation split.
        best_epoch: The epoch to mark.
    """
    figure, axes = create_figure(4.6, 3.0)
    marker = "o" if len(epochs) < 2 else ""
    for values, split, colour in ((training, "training", BLUE), (validation, "validation", ORANGE)):
        if np.isfinite(values).any():
            axes.plot(epochs, values, marker=marker, color=colour, label="" if name == "learning_rate" else split)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.2, label=f"best epoch, {best_epoch}")
    finite = np.array([*training, *validation], dtype=float)
    finite = finite[np.isfinite(finite)]
    if finite.size and finite.min() > 0 and finite.max() / finite.min() > LOG_RATIO:
        use_log_scale(axes)
    axes.set_title(short_name(format_title(name)))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(FixedLocator(epochs) if len(epochs) < 8 else MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y")
    if np.isfinite(validation).any() or best_epoch is not None:
        axes.legend(fontsize=8)
    return to_plot(figure, f"{file_name(name)}-curve.png", f"{format_title(name)} by epoch, training and validation")


def gradient_curves(records: Sequence[Mapping[str, Any]]) -> Iterator[Plot]:
    """Yield plots of the gradient statistics by step; none if there are fewer than two records.

    Args:
        records: The lines of gradients.jsonl.
    """
    if len(records) < 2:
        return
    steps = [record["step"] for record in records]
    for update in records[-1]["updates"]:
        statistics = [record["updates"][update] for record in records]
        layers, pairs = statistics[-1]["layers"], statistics[-1]["conflicts"]
        total = {"all layers": [values["norm"] for values in statistics]}
        norms = {name: [values["layers"][name][0] for values in statistics] for name in layers}
        ratios = {name: [values["layers"][name][1] for values in statistics] for name in layers}
        cosines = {pair.replace("|", " and "): [values["conflicts"][pair] for values in statistics] for pair in pairs}
        for suffix, quantity, lines in (
            ("norms", "norm of the gradient", total | norms),
            ("updates", "norm of the update / norm of the weights", ratios),
            ("conflicts", "cosine between gradients of losses", cosines),
        ):
            if lines:
                file = f"{file_name(update)}-{suffix}.png"
                yield gradient_curve(file, f"{update}: {quantity}", steps=steps, lines=lines)


def gradient_curve(file: str, title: str, *, steps: Sequence[int], lines: Mapping[str, Sequence[float]]) -> Plot:
    """Plot lines by step. The first lines have a colour and a name each; the others are grey.

    Args:
        file: Name of the plot's file.
        title: The title of the plot.
        steps: Numbers of the steps.
        lines: Name -> the value of each step.
    """
    figure, axes = create_figure(4.2, 2.9)
    colours = matplotlib.colormaps["tab10"](range(10))
    for position, (name, values) in enumerate(lines.items()):
        named = position < len(colours)
        colour = colours[position] if named else GREY
        axes.plot(steps, values, color=colour, label=short_name(name) if named else None, linewidth=1.1)
    if min(min(values) for values in lines.values()) > 0:
        use_log_scale(axes)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(axis="y")
    axes.legend(fontsize=6, ncols=2)
    return to_plot(figure, file, f"{title}, over {len(steps)} steps")


def evaluation_plots(evaluation: LabelEvaluation | ScoresOnly) -> Iterator[Plot]:
    """Yield the plots of one evaluation."""
    if isinstance(evaluation, LabelEvaluation):
        yield from label_plots(evaluation)
        return
    for position, figure in enumerate(evaluation.figures):
        match figure:
            case ImageGrid():
                yield image_grid(f"{file_name(evaluation.name)}-{position}.png", figure)


def image_grid(file: str, grid: ImageGrid) -> Plot:
    """Plot a grid of images."""
    images = grid.images[..., np.newaxis] if grid.images.ndim == 4 else grid.images
    rows, columns, height, width, channels = images.shape
    sheet = images.astype(np.float64).swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    darkest, brightest = sheet.min(), sheet.max()
    sheet = (sheet - darkest) / max(brightest - darkest, 1e-12)
    size = min(max(3.1, 0.46 * columns), 7.0)
    figure, axes = create_figure(size, 0.4 + size * rows * height / (columns * width))
    axes.imshow(sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.set_xticks((np.arange(columns) + 0.5) * width - 0.5, [short_name(name) for name in grid.columns])
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_title(grid.title)
    return to_plot(figure, file, f"{grid.title}; columns are {', '.join(grid.columns)}")


def label_plots(evaluation: LabelEvaluation) -> Iterator[Plot]:
    """Yield the plots of one label."""
    name = file_name(evaluation.name)
    if evaluation.confusion is not None:
        yield confusion_matrix(f"{name}-confusion.png", evaluation.name, evaluation.label.classes, evaluation.confusion)
    if evaluation.calibration is not None:
        yield reliability_diagram(f"{name}-reliability.png", evaluation.name, evaluation.calibration)
    if evaluation.positive is not None:
        yield from binary_plots(evaluation.name, evaluation.positive)
    if evaluation.residuals is not None:
        width = evaluation.label.width
        for output in range(min(width, MAX_OUTPUTS)):
            predictions, targets = evaluation.residuals.predictions[:, output], evaluation.residuals.targets[:, output]
            stem, suffix = (name, "") if width == 1 else (f"{name}-{output}", f", output {output}")
            weights = evaluation.residuals.weights
            yield from residual_plots(stem, suffix, predictions=predictions, targets=targets, weights=weights)


def confusion_matrix(file: str, label: str, classes: Sequence[str], counts: np.ndarray) -> Plot:
    """Plot a confusion matrix.

    Args:
        file: Name of the plot's file.
        label: Name of the label.
        classes: Names of the classes.
        counts: (classes, classes), true classes by predicted classes: rows, int64, or sums of their weights, float64.
    """
    total = counts.sum(axis=1, keepdims=True)
    share = counts / np.where(total > 0, total, 1)
    colours = matplotlib.colormaps["Oranges"](0.8 * np.sqrt(share))  # the root makes a single mistake visible
    diagonal = np.arange(len(classes))
    colours[diagonal, diagonal] = matplotlib.colormaps["Blues"](0.85 * share[diagonal, diagonal])
    colours[counts == 0] = 1

    size = min(max(4.2, 1.4 + 0.34 * len(classes)), 7.0)
    figure, axes = create_figure(size, size)
    axes.imshow(colours, interpolation="nearest")
    title = "confusion matrix" if counts.dtype.kind == "i" else "confusion matrix, sums of weights"
    axes.spines[:].set_visible(True)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if len(classes) <= MAX_NAMED:
        names = [short_name(name) for name in classes]
        font_size = 9 if len(classes) <= MAX_NUMBERED else 6
        axes.set_xticks(diagonal, names, rotation=90 if max(map(len, names)) > 3 else 0, fontsize=font_size)
        axes.set_yticks(diagonal, names, fontsize=font_size)
        axes.tick_params(length=0)
    if len(classes) <= MAX_NUMBERED:
        for true, predicted in np.argwhere(counts):
            dark = true == predicted and share[true, predicted] > 0.5
            colour = "white" if dark else "#222222"
            count = counts[true, predicted].item()
            text = f"{count}" if isinstance(count, int) else f"{count:.3g}"
            axes.text(predicted, true, text, color=colour, fontsize=8, ha="center", va="center")
    return to_plot(figure, file, f"Confusion matrix of {label}: true classes by predicted classes")


def reliability_diagram(file: str, label: str, calibration: Calibration) -> Plot:
    """Plot the accuracy and the number of rows by confidence.

    Args:
        file: Name of the plot's file.
        label: Name of the label.
        calibration: Its calibration.
    """
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    left, right = calibration.edges[:-1], calibration.edges[1:]
    bars = {"align": "edge", "linewidth": 0.8, "edgecolor": "white"}
    axes.bar(left, calibration.accuracy, right - left, color=BLUE, alpha=0.75, label="accuracy", **bars)
    axes.hlines(calibration.confidence, left, right, color=ORANGE, linewidth=2.5, label="mean confidence")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="perfect calibration")
    axes.set(xlim=(0, 1), ylim=(0, 1.02), ylabel="accuracy")
    axes.set_title("reliability", pad=22)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1.3, fontsize=8)
    below.bar(left, calibration.count, right - left, color=GREY, **bars)
    use_log_scale(below)
    below.set(ylim=(0.5, 8 * calibration.count.max()), ylabel="rows", xlabel="confidence")
    if len(left) <= MAX_NUMBERED:
        for middle, count in zip((left + right) / 2, calibration.count, strict=True):
            if count:
                below.text(middle, 1.25 * count, f"{count:,}", fontsize=7, ha="center", va="bottom")
    return to_plot(figure, file, f"Reliability diagram of {label}: accuracy by confidence")


def residual_plots(
    stem: str, suffix: str, *, predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None
) -> Iterator[Plot]:
    """Yield the plots of one output of a real label.

    Args:
        stem: Start of the names of the files.
        suffix: The suffix of the titles: ", output 1", or "" if the label has one output.
        predictions: (rows,) float64.
        targets: (rows,) float64.
        weights: (rows,), by which the histogram counts rows; None: every row counts once. A point is a row.
    """
    figure, axes = create_figure(3.1, 2.9)
    plot_points(axes, targets, predictions)
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="actual", ylabel="predicted", title=f"predicted against actual{suffix}")
    yield to_plot(figure, f"{stem}-predicted.png", f"Predicted against actual values{suffix}")

    figure, axes = create_figure(3.1, 2.9)
    plot_points(axes, predictions, predictions - targets)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="predicted", ylabel=RESIDUAL, title=f"residuals against predicted{suffix}")
    yield to_plot(figure, f"{stem}-residuals.png", f"Residuals against predicted values{suffix}")

    figure, axes = create_figure(3.1, 2.9)
    bins = min(50, max(5, round(2 * len(targets) ** (1 / 3))))
    axes.hist(predictions - targets, bins=bins, color=BLUE, weights=weights)
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel=RESIDUAL, ylabel="rows" if weights is None else "weight", title=f"residuals{suffix}")
    yield to_plot(figure, f"{stem}-histogram.png", f"Histogram of residuals{suffix}")


def plot_points(axes: Axes, x: np.ndarray, y: np.ndarray) -> None:
    """Plot points, or their density if there are too many. x, y: (rows,) float64."""
    if len(x) <= MAX_POINTS:
        axes.scatter(x, y, s=10, color=BLUE, alpha=0.5, linewidths=0)
    else:
        axes.hexbin(x, y, gridsize=50, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
    axes.grid()


def is_number(value: object) -> bool:
    """Return whether a value is a number and no bool."""
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
