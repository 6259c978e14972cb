"""The report of a run: plots as PNG files, and one HTML page that holds them and opens anywhere, offline."""

import base64
import io
import math
import re
import warnings
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import jinja2
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.files import atomic_write
from pipeline.reports.figures import ImageGrid
from pipeline.reports.formatting import format_number, format_percent
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, DataSpec

TEMPLATE = Path(__file__).with_suffix(".html.j2")

HEADLINES = {
    CLASS: ("accuracy", "macro_f1", "roc_auc", "loss"),
    ONE_HOT: ("accuracy", "macro_f1", "roc_auc", "loss"),
    MULTI_LABEL: ("macro_f1", "subset_accuracy", "hamming_loss", "loss"),
    REAL: ("r2", "mae", "rmse", "loss"),
}
TITLES = {
    "macro_f1": "macro F1",
    "roc_auc": "ROC AUC",
    "r2": "R²",
    "mae": "MAE",
    "rmse": "RMSE",
    "top_3_accuracy": "top-3 accuracy",
}
NO_CURVE = {"epoch", "seconds"}

MOST_HEADLINES = 4  # of scores that have no usual order
MOST_COUNTED = 20  # classes of a confusion matrix that still has room for numbers
MOST_NAMED = 60  # classes of one that still has room for names
MOST_MISTAKES = 10  # lines of the table of mistakes
MOST_POINTS = 5_000  # of a scatter plot; more are binned
MOST_OUTPUTS = 4  # of a real label that get plots

MINUS, DASH = "\u2212", "\u2013"
RESIDUAL = f"predicted {MINUS} actual"

BLUE, ORANGE, GREY = "#2f6bc7", "#e0792b", "#8a8a8a"
STYLE = {
    "text.parse_math": False,  # a class may be called $x$
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "xtick.color": GREY,
    "xtick.labelcolor": "#333333",
    "ytick.color": GREY,
    "ytick.labelcolor": "#333333",
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.dpi": 160,
}


@dataclass(frozen=True)
class RunReport:
    """Everything the page tells.

    status: "finished" or what else the run has come to. seconds: of the whole run. rows: split -> number of rows.
    config: YAML text. environment: nested dict. summary: of the model, as text. parameters: how many it has.
    history: per epoch a dict of epoch, loss, val_loss, metrics and so on; what is no number is left out.
    best_epoch: as counted in history, whose weights were kept; None where they are the last epoch's.
    notes: what a reader must know before trusting the scores. files: what it is -> path from the report's folder.
    gradients: lines of gradients.jsonl.
    """

    title: str
    command: str
    status: str
    seconds: float
    weights_digest: str
    spec: DataSpec
    fingerprint: str
    rows: dict[str, int]
    config: str
    environment: dict
    summary: str
    parameters: int
    history: list[dict]
    best_epoch: int | None
    evaluations: list[LabelEvaluation | ScoresOnly]
    notes: list[str]
    files: dict[str, str]
    gradients: list[dict] = field(default_factory=list)


@dataclass(frozen=True)
class Plot:
    """A picture. file: its name under plots/. alt: what it shows, for who can't see it. width: pixels it is read at."""

    file: str
    alt: str
    width: int
    png: bytes

    @property
    def uri(self):
        return "data:image/png;base64," + base64.b64encode(self.png).decode()


def write_run_report(folder: Path, report: RunReport) -> Path:
    """Write plots/*.png and report.html under `folder`, the same bytes for the same report; returns the page's path."""
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the page's tables show what the plots' font can't
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        curves = list(learning_curves(report.history, report.best_epoch))
        gradient_plots = list(gradient_curves(report.gradients))
        plots = [list(plots_of(evaluation)) for evaluation in report.evaluations]

    labels = list(zip(report.evaluations, plots, strict=True))
    page = page_template().render(report=report, curves=curves, gradients=gradient_plots, labels=labels)

    folder = Path(folder)
    (folder / "plots").mkdir(parents=True, exist_ok=True)
    for plot in [*curves, *gradient_plots, *(plot for of_label in plots for plot in of_label)]:
        with atomic_write(folder / "plots" / plot.file) as file:
            file.write(plot.png)
    with atomic_write(folder / "report.html") as file:
        file.write(page.encode("utf-8", errors="replace"))
    return folder / "report.html"


# ---- the page -------------------------------------------------------------------------------------------------------


def page_template():
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {
        "number": typeset,
        "level": format_percent,
        "title": title,
        "duration": duration,
        "href": quote,  # a colon is quoted too, so that no path can name a scheme
    }
    environment.tests["of_label"] = lambda evaluation: isinstance(evaluation, LabelEvaluation)
    environment.globals |= {"headline": headline, "mistakes": mistakes, "weakest": weakest}
    return environment.from_string(TEMPLATE.read_text(encoding="utf-8"))


def typeset(value):
    """A score with a true minus sign, or a dash for none."""
    return format_number(value).replace("-", MINUS) if math.isfinite(value) else DASH


def title(name):
    """A score's name as people read it."""
    return TITLES.get(name, name.replace("_", " "))


def duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def headline(evaluation):
    """The few scores that say most, best known first: (name, Score) each."""
    if isinstance(evaluation, ScoresOnly):
        return list(evaluation.scores.items())[:MOST_HEADLINES]
    return [(name, evaluation.scores[name]) for name in HEADLINES[evaluation.label.kind] if name in evaluation.scores]


def mistakes(evaluation):
    """The most frequent confusions: (true class, predicted class, count, share of the true class's rows) each."""
    counts = evaluation.confusion.copy()
    of_class = counts.sum(axis=1)
    np.fill_diagonal(counts, 0)
    names = evaluation.label.classes
    worst = np.argsort(-counts, axis=None, kind="stable")[:MOST_MISTAKES]
    return [
        (names[true], names[predicted], int(counts[true, predicted]), counts[true, predicted] / of_class[true])
        for true, predicted in zip(*np.unravel_index(worst, counts.shape), strict=True)
        if counts[true, predicted]
    ]


def weakest(per_class):
    """The three classes of lowest F1, those that have one."""
    return sorted((scores for scores in per_class if not math.isnan(scores.f1)), key=lambda scores: scores.f1)[:3]


# ---- plots ----------------------------------------------------------------------------------------------------------


def learning_curves(history, best_epoch):
    """Yield a plot of each quantity in the history, training against validation; one that never moves has none."""
    numeric = [{key: value for key, value in epoch.items() if is_number(value)} for epoch in history]
    names = dict.fromkeys(key.removeprefix("val_") for epoch in numeric for key in epoch if key not in NO_CURVE)
    names = sorted(names, key=lambda name: name == "learning_rate")  # last, all others as they come
    epochs = [epoch.get("epoch", position) for position, epoch in enumerate(numeric, start=1)]
    for name in names:
        training, validation = ([epoch.get(key, np.nan) for epoch in numeric] for key in (name, f"val_{name}"))
        if name == "learning_rate" and len(set(training)) < 2:
            continue
        yield learning_curve(f"{slug(name)}-curve.png", name, epochs, training, validation, best_epoch)


def learning_curve(file, name, epochs, training, validation, best_epoch):
    figure, axes = canvas(4.6, 3.0)
    marker = "o" if len(epochs) < 2 else ""
    for values, what, colour in ((training, "training", BLUE), (validation, "validation", ORANGE)):
        if np.isfinite(values).any():
            axes.plot(epochs, values, marker=marker, color=colour, label="" if name == "learning_rate" else what)
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", linewidth=1.2, label=f"best epoch, {best_epoch}")
    seen = np.array([*training, *validation], dtype=float)
    seen = seen[np.isfinite(seen)]
    if seen.size and seen.min() > 0 and seen.max() / seen.min() > 30:
        logarithmic(axes)
    axes.set_title(one_line(title(name)))
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(FixedLocator(epochs) if len(epochs) < 8 else MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y")
    if np.isfinite(validation).any() or best_epoch is not None:
        axes.legend(fontsize=8)
    return rendered(figure, file, f"{title(name)} by epoch, training and validation")


def gradient_curves(looks):
    """Yield plots over the steps whose gradients were looked at. looks: as lines of gradients.jsonl."""
    if len(looks) < 2:
        return
    steps = [look["step"] for look in looks]
    for update in looks[-1]["updates"]:
        of_update = [look["updates"][update] for look in looks]
        layers, pairs = of_update[-1]["layers"], of_update[-1]["conflicts"]
        norms = {name: [look["layers"][name][0] for look in of_update] for name in layers}
        ratios = {name: [look["layers"][name][1] for look in of_update] for name in layers}
        whole = {"all layers": [look["norm"] for look in of_update]}
        cosines = {pair.replace("|", " and "): [look["conflicts"][pair] for look in of_update] for pair in pairs}
        yield gradient_curve(f"{slug(update)}-norms.png", f"{update}: norm of the gradient", steps, whole | norms)
        yield gradient_curve(f"{slug(update)}-moves.png", f"{update}: move of the weights / weights", steps, ratios)
        if cosines:
            title = f"{update}: cosine between gradients of losses"
            yield gradient_curve(f"{slug(update)}-conflicts.png", title, steps, cosines)


def gradient_curve(file, title, steps, lines):
    """Lines over steps; as many as there are colours are named, the others share a grey."""
    figure, axes = canvas(4.2, 2.9)
    colours = matplotlib.colormaps["tab10"].colors
    for position, (name, values) in enumerate(lines.items()):
        named = position < len(colours)
        colour = colours[position] if named else GREY
        axes.plot(steps, values, color=colour, label=one_line(name) if named else None, linewidth=1.1)
    if min(min(values) for values in lines.values()) > 0:
        logarithmic(axes)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.set_title(title)
    axes.set_xlabel("step")
    axes.grid(axis="y")
    axes.legend(fontsize=6, ncols=2)
    return rendered(figure, file, f"{title}, over {len(steps)} steps")


def plots_of(evaluation):
    """Yield the plots of one evaluation."""
    if isinstance(evaluation, LabelEvaluation):
        yield from label_plots(evaluation)
        return
    for position, figure in enumerate(evaluation.figures):
        file = f"{slug(evaluation.name)}-{position}.png"
        match figure:
            case ImageGrid():
                yield image_grid(file, figure)


def image_grid(file, grid):
    images = grid.images[..., np.newaxis] if grid.images.ndim == 4 else grid.images
    rows, columns, height, width, channels = images.shape
    sheet = images.astype(np.float64).swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    darkest, brightest = sheet.min(), sheet.max()
    sheet = (sheet - darkest) / max(brightest - darkest, 1e-12)
    size = min(max(3.1, 0.46 * columns), 7.0)
    figure, axes = canvas(size, 0.4 + size * rows * height / (columns * width))
    axes.imshow(sheet if channels == 3 else sheet[..., 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.spines[:].set_visible(False)
    axes.set_xticks((np.arange(columns) + 0.5) * width - 0.5, [one_line(name) for name in grid.columns])
    axes.tick_params(length=0)
    axes.set_yticks([])
    axes.set_title(grid.title)
    return rendered(figure, file, f"{grid.title}; columns are {', '.join(grid.columns)}")


def label_plots(evaluation):
    """Yield the plots of one label."""
    name = slug(evaluation.name)
    if evaluation.confusion is not None:
        yield confusion_matrix(f"{name}-confusion.png", evaluation)
    if evaluation.calibration is not None:
        yield reliability_diagram(f"{name}-reliability.png", evaluation)
    if evaluation.residuals is not None:
        width = evaluation.label.width
        for output in range(min(width, MOST_OUTPUTS)):
            predictions, targets = evaluation.residuals.predictions[:, output], evaluation.residuals.targets[:, output]
            end, which = ("", "") if width == 1 else (f"-{output}", f", output {output}")
            yield predicted_against_actual(f"{name}{end}-predicted.png", which, predictions, targets)
            yield residuals_against_predicted(f"{name}{end}-residuals.png", which, predictions, targets)
            yield residual_histogram(f"{name}{end}-histogram.png", which, predictions, targets)


def confusion_matrix(file, evaluation):
    counts = evaluation.confusion
    classes = len(counts)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    colours = matplotlib.colormaps["Oranges"](0.8 * np.sqrt(share))  # the root, so that a single mistake shows
    diagonal = np.arange(classes)
    colours[diagonal, diagonal] = matplotlib.colormaps["Blues"](0.85 * share[diagonal, diagonal])
    colours[counts == 0] = 1

    size = min(max(4.2, 1.4 + 0.34 * classes), 7.0)
    figure, axes = canvas(size, size)
    axes.imshow(colours, interpolation="nearest")
    axes.spines[:].set_visible(True)
    axes.set(xlabel="predicted", ylabel="true", title="confusion matrix")
    if classes <= MOST_NAMED:
        names = [one_line(name) for name in evaluation.label.classes]
        small = {"fontsize": 9 if classes <= MOST_COUNTED else 6}
        axes.set_xticks(diagonal, names, rotation=90 if max(map(len, names)) > 3 else 0, **small)
        axes.set_yticks(diagonal, names, **small)
        axes.tick_params(length=0)
    if classes <= MOST_COUNTED:
        for true, predicted in np.argwhere(counts):
            dark = true == predicted and share[true, predicted] > 0.5
            text = {"color": "white" if dark else "#222222", "fontsize": 8, "ha": "center", "va": "center"}
            axes.text(predicted, true, f"{counts[true, predicted]}", **text)
    return rendered(figure, file, f"Confusion matrix of {evaluation.name}: true classes by predicted classes")


def reliability_diagram(file, evaluation):
    calibration = evaluation.calibration
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
    logarithmic(below)
    below.set(ylim=(0.5, 8 * calibration.count.max()), ylabel="rows", xlabel="confidence")
    if len(left) <= MOST_COUNTED:
        for middle, count in zip((left + right) / 2, calibration.count, strict=True):
            if count:
                below.text(middle, 1.25 * count, f"{count:,}", fontsize=7, ha="center", va="bottom")
    return rendered(figure, file, f"Reliability diagram of {evaluation.name}: accuracy by confidence")


def predicted_against_actual(file, which, predictions, targets):
    figure, axes = canvas(3.1, 2.9)
    cloud(axes, targets, predictions)
    ends = [min(targets.min(), predictions.min()), max(targets.max(), predictions.max())]
    axes.plot(ends, ends, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="actual", ylabel="predicted", title=f"predicted against actual{which}")
    return rendered(figure, file, f"Predicted against actual values{which}")


def residuals_against_predicted(file, which, predictions, targets):
    figure, axes = canvas(3.1, 2.9)
    cloud(axes, predictions, predictions - targets)
    axes.axhline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel="predicted", ylabel=RESIDUAL, title=f"residuals against predicted{which}")
    return rendered(figure, file, f"Residuals against predicted values{which}")


def residual_histogram(file, which, predictions, targets):
    figure, axes = canvas(3.1, 2.9)
    axes.hist(predictions - targets, bins=min(50, max(5, round(2 * len(targets) ** (1 / 3)))), color=BLUE)
    axes.axvline(0, color=GREY, linestyle="--", linewidth=1)
    axes.set(xlabel=RESIDUAL, ylabel="rows", title=f"residuals{which}")
    return rendered(figure, file, f"Histogram of residuals{which}")


def cloud(axes, x, y):
    """Points, or their density where they would cover each other."""
    if len(x) <= MOST_POINTS:
        axes.scatter(x, y, s=10, color=BLUE, alpha=0.5, linewidths=0)
    else:
        axes.hexbin(x, y, gridsize=50, bins="log", mincnt=1, cmap="Blues", linewidths=0.1)
    axes.grid()


def logarithmic(axes):
    """Make the y axis logarithmic, its ticks plain numbers: powers need the markup that is off for the names' sake."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def canvas(width, height):
    """A figure with one axes; width and height in inches, of 96 pixels on the page."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def rendered(figure, file, alt):
    content = io.BytesIO()
    # without the software's name and version, so that the bytes repeat
    FigureCanvasAgg(figure).print_png(content, metadata={"Software": None})
    return Plot(file, alt, round(96 * figure.get_figwidth()), content.getvalue())


def is_number(value):
    return isinstance(value, (int, float, np.number)) and not isinstance(value, bool)


def one_line(name, most=18):
    """A name short enough for a plot, without what its font engine refuses."""
    name = " ".join(name.encode("utf-8", errors="replace").decode().split())
    return name if len(name) <= most else name[: most - 1] + "…"


def slug(name):
    """A name as part of a file's name, another one for every name."""
    plain = re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:40]
    return plain if plain == name else f"{plain}-{zlib.crc32(name.encode(errors='replace')):08x}"
