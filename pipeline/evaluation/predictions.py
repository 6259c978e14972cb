"""What the model said of every row, as a file anyone can open."""

import csv
import gzip
import io
from pathlib import Path

import numpy as np

from pipeline.evaluation.metrics import checked_outputs
from pipeline.files import atomic_write
from pipeline.spec import CLASS, MULTI_LABEL, REAL

FILE = "predictions.csv.gz"
PROFILE_FILE = "prediction_profile.json"  # their distributions, beside it
CHUNK = 10_000  # rows turned into text at a time
MOST_CLASSES = 20  # beyond, a column a class makes a file that nobody reads


def write(path: Path, labels, targets, outputs):
    """Write predictions.csv.gz: a line a row, the same bytes for the same predictions.

    labels: name -> Label. targets, outputs: name -> arrays as evaluate takes them. Columns: row (from 0), and for
    each label target, prediction and, where there are classes, confidence (the predicted class's probability) and
    p_<class> for up to 20 classes. A multi-label target or prediction is its classes joined by "|", without a
    confidence; real numbers wider than one have target_0, target_1 and so on. With several labels each column opens
    with the label's name and a dot. Probabilities and numbers are the shortest text that gives the same float32
    back. Raises DataError as evaluate does.
    """
    rows = len(next(iter(outputs.values())))
    outputs = {name: checked_outputs(name, label, rows, outputs[name]) for name, label in labels.items()}
    prefixes = {name: f"{name}." if len(labels) > 1 else "" for name in labels}
    header = ["row"] + [prefixes[name] + column for name, label in labels.items() for column in column_names(label)]
    with (
        atomic_write(Path(path)) as file,
        # neither a name nor a time goes into the header, so that the bytes repeat
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", errors="backslashreplace", newline="") as text,
    ):
        lines = csv.writer(text, lineterminator="\n")
        lines.writerow(header)
        for start in range(0, rows, CHUNK):
            part = slice(start, min(start + CHUNK, rows))
            columns = [
                column
                for name, label in labels.items()
                for column in column_texts(label, np.asarray(targets[name])[part], outputs[name][part])
            ]
            lines.writerows(zip(range(part.start, part.stop), *columns, strict=True))


def column_names(label):
    if label.kind == REAL:
        return [f"{what}{end}" for what in ("target", "prediction") for end in suffixes(label.width)]
    summary = ["target", "prediction"] if label.kind == MULTI_LABEL else ["target", "prediction", "confidence"]
    return summary + [f"p_{name}" for name in label.classes if label.width <= MOST_CLASSES]


def suffixes(width):
    return [""] if width == 1 else [f"_{index}" for index in range(width)]


def column_texts(label, targets, outputs):
    """The columns of column_names as lists of text."""
    if label.kind == REAL:
        return [texts(column) for column in np.hstack([targets.reshape(len(outputs), -1), outputs]).T]
    probabilities = [texts(column) for column in outputs.T] if label.width <= MOST_CLASSES else []
    classes = np.array(label.classes, dtype=object)
    if label.kind == MULTI_LABEL:
        sets = [["|".join(classes[row > 0.5]) for row in side] for side in (targets, outputs)]
        return sets + probabilities
    truth = targets.reshape(len(outputs)) if label.kind == CLASS else targets.argmax(axis=1)
    return [classes[truth], classes[outputs.argmax(axis=1)], texts(outputs.max(axis=1)), *probabilities]


def texts(numbers):
    return numbers.astype(np.float32).astype(str)
