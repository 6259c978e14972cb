"""predictions.csv.gz: the prediction of every row, as a file that any program opens."""

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from pipeline.evaluation.decisions import Decision, decide
from pipeline.evaluation.metrics import check_outputs, true_classes
from pipeline.evaluation.prediction_intervals import PredictedQuantiles
from pipeline.files import atomic_write
from pipeline.spec import MEDIAN, MULTI_LABEL, REAL, Label
from pipeline.visible_text import csv_cells

FILE = "predictions.csv.gz"
PROFILE_FILE = "prediction_profile.json"  # the distributions of the predictions, in the same folder
CHUNK_ROWS = 10_000  # rows converted to text at a time
MAX_CLASSES = 20  # with more, the columns of probabilities are left out


def write_predictions(
    path: Path,
    labels: Mapping[str, Label],
    targets: Mapping[str, ArrayLike],
    outputs: Mapping[str, ArrayLike],
    *,
    ids: Sequence[object] | np.ndarray | None = None,
    decisions: Mapping[str, Decision] | None = None,
    weights: np.ndarray | None = None,
    quantiles: Mapping[str, PredictedQuantiles] | None = None,
) -> None:
    """Write one line per row, the same bytes for the same predictions.

    The first columns are `row` (from 0), `id` (the identity of the row in its data) and, if the rows have weights,
    `weight`. Each label has the columns `target` and `prediction`. A label with classes also has `confidence` (the
    probability of the predicted class) and, for up to 20 classes, `p_<class>`. A multi-label has its classes joined by
    "|" as target and prediction, and no confidence. Real labels of several numbers have `target_0`, `target_1` and so
    on. Predicted intervals have `lower` and `upper`, and `quantile_Q` for each quantile between them and the median.
    With several labels, each column starts with the name of the label and a dot. A number is the shortest text that
    gives the same float32; a weight is one that gives the same float64.

    Args:
        path: The path of the file.
        labels: By name.
        targets: By name, as `metrics.evaluate_label` takes them.
        outputs: By name, (rows, width) each.
        ids: The identity of each row; None: the number of the row.
        decisions: By name. A label without a decision gets its most probable class as the prediction.
        weights: (rows,), the weights of the rows; None leaves the column out.
        quantiles: By name, of the labels whose intervals were predicted.

    Raises:
        DataError: The outputs do not fit the labels, or are not finite.
    """
    rows = len(np.asarray(next(iter(outputs.values()))))
    checked = {name: check_outputs(outputs[name], name=name, label=label, rows=rows) for name, label in labels.items()}
    prefixes = {name: f"{name}." if len(labels) > 1 else "" for name in labels}
    ids = range(rows) if ids is None else ids
    quantiles = quantiles or {}
    header = ["row", "id", *([] if weights is None else ["weight"])] + [
        prefixes[name] + column
        for name, label in labels.items()
        for column in column_names(label) + (quantile_names(label, quantiles[name].levels) if name in quantiles else [])
    ]
    with (
        atomic_write(Path(path)) as file,
        # no name and no time in the header, so that the bytes repeat
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as compressed,
        io.TextIOWrapper(compressed, encoding="utf-8", errors="backslashreplace", newline="") as text,
    ):
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(csv_cells(header))
        for start in range(0, rows, CHUNK_ROWS):
            chunk = slice(start, min(start + CHUNK_ROWS, rows))
            columns = [
                column
                for name, label in labels.items()
                for column in column_texts(
                    label, np.asarray(targets[name])[chunk], checked[name][chunk], (decisions or {}).get(name)
                )
                + [as_texts(values[chunk]) for values in quantile_columns(quantiles.get(name))]
            ]
            if weights is not None:
                columns.insert(0, weights[chunk].tolist())
            writer.writerows(zip(range(chunk.start, chunk.stop), csv_cells(ids[chunk]), *columns, strict=True))


def column_names(label: Label) -> list[str]:
    """Return the names of a label's columns."""
    targets = _numbered("target", label) if label.kind == REAL else ["target"]
    return targets + prediction_names(label)


def prediction_names(label: Label) -> list[str]:
    """Return the names of a label's columns, without its target columns."""
    if label.kind == REAL:
        return _numbered("prediction", label)
    names = ["prediction"] if label.kind == MULTI_LABEL else ["prediction", "confidence"]
    return names + [f"p_{name}" for name in label.classes if label.width <= MAX_CLASSES]


def quantile_names(label: Label, levels: Sequence[float]) -> list[str]:
    """Return the names of the columns of predicted quantiles, without the median: lower, upper, quantile_0.25 ..."""
    names = ["lower", "upper", *(f"quantile_{level:g}" for level in levels[1:-1] if level != MEDIAN)]
    return [column for name in names for column in _numbered(name, label)]


def quantile_columns(quantiles: PredictedQuantiles | None) -> list[np.ndarray]:
    """Return the columns of predicted quantiles in the order of `quantile_names`: (rows,) float64 each; [] for None."""
    if quantiles is None:
        return []
    levels = quantiles.levels
    between = [index for index in range(1, len(levels) - 1) if levels[index] != MEDIAN]
    return [column for index in (0, -1, *between) for column in quantiles.values[..., index].T]


def _numbered(name: str, label: Label) -> list[str]:
    return [name] if label.width == 1 else [f"{name}_{index}" for index in range(label.width)]


def column_texts(label: Label, targets: np.ndarray, outputs: np.ndarray, decision: Decision | None) -> list[list[str]]:
    """Return the columns of a label as text: (rows,) each, in the order of `column_names`."""
    columns = [*target_columns(label, targets, outputs), *prediction_columns(label, outputs, decision)]
    return [csv_cells(as_texts(column)) for column in columns]


def target_columns(label: Label, targets: np.ndarray, outputs: np.ndarray) -> list[np.ndarray]:
    """Return the target columns of a label: arrays (rows,) of numbers or text."""
    if label.kind == REAL:
        return [*targets.reshape(outputs.shape).T]
    if label.kind == MULTI_LABEL:
        return [_joined_classes(label, targets.reshape(outputs.shape) > 0.5)]
    return [np.array(label.classes, object)[true_classes(label, targets)]]


def prediction_columns(label: Label, outputs: np.ndarray, decision: Decision | None) -> list[np.ndarray]:
    """Return the prediction columns of a label, in the order of `prediction_names`: arrays (rows,) of numbers or text.

    Args:
        label: The label.
        outputs: (rows, width) probabilities, or predictions of a real label.
        decision: The decision of the label; None predicts the most probable class.
    """
    if label.kind == REAL:
        return [*outputs.T]
    probabilities = [*outputs.T] if label.width <= MAX_CLASSES else []
    predicted = decide(label, outputs, decision)
    if label.kind == MULTI_LABEL:
        return [_joined_classes(label, predicted), *probabilities]
    confidence = np.take_along_axis(outputs, predicted[:, None], axis=1)[:, 0]
    return [np.array(label.classes, object)[predicted], confidence, *probabilities]


def _joined_classes(label: Label, chosen: np.ndarray) -> np.ndarray:
    """Return the names of the chosen classes of each row, joined by "|": (rows,) of str."""
    classes = np.array(label.classes, object)
    return np.array(["|".join(classes[row]) for row in chosen], object)


def as_texts(column: np.ndarray) -> list[str]:
    """Return a column of numbers or text as text."""
    return column.tolist() if column.dtype == object else shortest_texts(column).tolist()


def shortest_texts(numbers: np.ndarray) -> np.ndarray:
    """Return the shortest texts that give the same float32: (rows,) of text."""
    return numbers.astype(np.float32).astype(str)
