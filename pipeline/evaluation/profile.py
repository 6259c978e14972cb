"""What rows look like, as a histogram a column: of a data set's features and labels, and of a model's predictions.

Columns are counted block by block, so that rows never have to be in memory together. The bins are those of the first
rows seen; whatever is compared with a profile is counted in the profile's own bins.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain

import numpy as np

from pipeline.data.blocks import blocks
from pipeline.data.containers import Sequences, Split
from pipeline.errors import DataError
from pipeline.spec import CLASS, MULTI_LABEL, REAL, DataSpec

EDGE_ROWS = 20_000  # whose quantiles the bins are cut at: a bin's share is off by 0.2 points at most, which is harmless
BINS = 20
MOST_VALUES = 100  # categories told apart; the rarer ones are one
OTHER = "(other)"
LABEL = "label "  # what the names of labels' columns begin with
MOST_COLUMNS = 256  # of one feature; a wider one is averaged over neighbours
GRID = 4  # cells of an image, each way
MOST_CLASSES = 20  # whose probabilities are columns of their own
CONFIDENCE_BINS = 10


@dataclass(frozen=True)
class Numbers:
    """A column of numbers. edges: (bins - 1,) increasing, a bin holds its lower edge; the outer bins are open.

    counts: (bins,). missing: rows without a number. low, high: of the first rows, for plots.
    """

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    missing: int
    low: float
    high: float


@dataclass(frozen=True)
class Categories:
    """A column of names. values: those told apart. counts: (values + 1,), the last of all others."""

    values: tuple[str, ...]
    counts: tuple[int, ...]
    missing: int


@dataclass(frozen=True)
class Profile:
    """rows: how many were counted. columns: by name."""

    rows: int
    columns: dict[str, Numbers | Categories]


# ---- counting -------------------------------------------------------------------------------------------------------


def profile(blocks):
    """The Profile of blocks: an iterable of dicts, column name -> (rows,) numbers, or names as objects."""
    blocks, head, rows = iter(blocks), [], 0
    for block in blocks:
        head.append(block)
        rows += len(next(iter(block.values())))
        if rows >= EDGE_ROWS:
            break
    if not head:
        raise DataError("profile: expected rows; found none.")
    first = {name: np.concatenate([block[name] for block in head]) for name in head[0]}
    return count({name: empty(values) for name, values in first.items()}, chain([first], blocks))


def count(columns, blocks):
    """The Profile of blocks, in the bins of these columns. Raises DataError where the blocks have other columns."""
    edges = {name: np.array([-np.inf, *column.edges, np.inf]) for name, column in columns.items() if is_numbers(column)}
    counts = {name: np.zeros(len(column.counts), np.int64) for name, column in columns.items()}
    missing, rows = dict.fromkeys(columns, 0), 0
    for block in blocks:
        if block.keys() != columns.keys():
            other = sorted(block.keys() ^ columns.keys())
            raise DataError(
                f"expected the {len(columns)} columns of the profile; found others: {', '.join(other[:5])}."
            )
        here = len(next(iter(block.values())))
        rows += here
        for name, values in block.items():
            column = columns[name]
            found = np.histogram(values, edges[name])[0] if name in edges else count_names(column.values, values)
            counts[name] += found
            missing[name] += here - int(found.sum())
    return Profile(rows, {name: filled(column, counts[name], missing[name]) for name, column in columns.items()})


def is_numbers(column):
    return isinstance(column, Numbers)


def filled(column, counts, missing):
    counts = tuple(counts.tolist())
    if is_numbers(column):
        return Numbers(column.edges, counts, missing, column.low, column.high)
    return Categories(column.values, counts, missing)


def empty(values):
    """A column without counts, its bins or categories taken from these values."""
    if values.dtype == object:
        common = [name for name, _ in Counter(values[[value is not None for value in values]]).most_common(MOST_VALUES)]
        return Categories(tuple(sorted(map(str, common))), (0,) * (len(common) + 1), 0)
    values = values[np.isfinite(values)].astype(np.float64)
    if not len(values):
        return Numbers((), (0,), 0, 0.0, 0.0)
    edges = cuts(values)
    return Numbers(tuple(edges.tolist()), (0,) * (len(edges) + 1), 0, float(values.min()), float(values.max()))


def cuts(values):
    """Where the bins of a column meet: quantiles, or for few distinct values each of them and the end of the last."""
    distinct = np.unique(values)
    if len(distinct) <= BINS:
        return np.append(distinct, np.nextafter(distinct[-1], np.inf))
    return np.unique(np.quantile(values, np.arange(1, BINS) / BINS))


def count_names(known, values):
    """(known + 1,) int64. None is missing and counted nowhere."""
    found = Counter(values.tolist())
    found.pop(None, None)
    counts = [found.pop(name, 0) for name in known]
    return np.array([*counts, sum(found.values())], np.int64)


# ---- columns of a data set ------------------------------------------------------------------------------------------


def of_rows(spec: DataSpec, rows: Split) -> Profile:
    """Return the profile of the features and labels of a split."""
    return profile(column_blocks(spec, rows))


def column_blocks(spec: DataSpec, rows: Split) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of a split, block by block."""
    for features, labels in blocks(rows, spec):
        yield data_columns(spec, features, labels)


def data_columns(spec, features, labels):
    """The columns that stand for a block of rows: column name -> (rows,).

    features, labels: as data.blocks yields them. Images become brightness, contrast, edges, sharpness, the moments of
    their light and a grid of means; sequences their length, and each channel's mean and spread; text its length;
    labels their own distribution.
    """
    columns = {}
    for name, feature in spec.features.items():
        columns |= {f"{name}{suffix}": values for suffix, values in feature_columns(feature, features[name])}
    for name, label in spec.labels.items():
        columns |= {f"{LABEL}{name}{suffix}": values for suffix, values in label_columns(label, labels[name])}
    return columns


def feature_columns(feature, values):
    """Yield (suffix of the name, (rows,) values)."""
    if isinstance(values, Sequences):
        yield " steps", values.lengths
        if values.values.dtype != object:
            yield from step_columns(values)
    elif feature.dtype == "string":
        flat = values.reshape(len(values), -1)
        for place, column in enumerate(flat.T):
            yield suffix(place, flat), text_lengths(column) if feature.text else column
    elif len(feature.shape) == 3 and min(feature.shape[:2]) >= GRID:
        yield from image_columns(values)
    else:
        yield from flat_columns(values.reshape(len(values), -1))


def suffix(place, flat):
    return f" {place}" if flat.shape[1] > 1 else ""


def text_lengths(column):
    return np.array([len(text) for text in column], np.int64)


def flat_columns(flat):
    flat = flat if flat.shape[1] <= MOST_COLUMNS else grouped(flat)
    for place, column in enumerate(flat.T):
        yield suffix(place, flat), column


def grouped(flat):
    """(rows, MOST_COLUMNS): means over neighbours of a wide feature."""
    starts = np.linspace(0, flat.shape[1], MOST_COLUMNS, endpoint=False).astype(int)
    return np.add.reduceat(flat, starts, axis=1, dtype=np.float64) / np.diff([*starts, flat.shape[1]])


def step_columns(sequences):
    """Mean and spread of each channel over the steps of a row."""
    steps = sequences.values.reshape(len(sequences.values), -1)
    steps = (steps if steps.shape[1] <= MOST_COLUMNS // 2 else grouped(steps)).astype(np.float64)
    lengths, starts = np.maximum(sequences.lengths, 1)[:, None], sequences.offsets[:-1]
    mean = np.add.reduceat(steps, starts, axis=0) / lengths
    spread = np.sqrt(np.maximum(np.add.reduceat(steps**2, starts, axis=0) / lengths - mean**2, 0))
    for place in range(steps.shape[1]):
        yield f" mean{suffix(place, steps)}", mean[:, place]
        yield f" spread{suffix(place, steps)}", spread[:, place]


def image_columns(images):
    """images: (rows, height, width, channels)."""
    grey = images[..., 0].astype(np.float32) if images.shape[3] == 1 else images.mean(axis=3, dtype=np.float32)
    down, across = np.diff(grey, axis=1), np.diff(grey, axis=2)
    yield " brightness", grey.mean(axis=(1, 2))
    yield " contrast", grey.std(axis=(1, 2))
    yield " edges", np.abs(down).mean(axis=(1, 2)) + np.abs(across).mean(axis=(1, 2))
    yield " sharpness", ratio(energy(np.diff(down, axis=1), np.diff(across, axis=2)), energy(down, across))
    yield from moment_columns(grey)
    for row, band in enumerate(np.array_split(grey, GRID, axis=1)):
        for column, cell in enumerate(np.array_split(band, GRID, axis=2)):
            yield f" cell {row},{column}", cell.mean(axis=(1, 2))


def moment_columns(grey):
    """Where the light of each image lies, how far it spreads and how it leans: first and second moments, in pixels.

    grey: (rows, height, width); an image's darkest pixel counts as no light.
    """
    grey = grey - grey.min(axis=(1, 2), keepdims=True)
    light, y, x = grey.sum(axis=(1, 2)), np.arange(grey.shape[1]), np.arange(grey.shape[2])
    by_row, by_column = grey.sum(axis=2), grey.sum(axis=1)
    centre_y, centre_x = ratio(by_row @ y, light), ratio(by_column @ x, light)
    variance_y = np.maximum(ratio(by_row @ y**2, light) - centre_y**2, 0)
    variance_x = np.maximum(ratio(by_column @ x**2, light) - centre_x**2, 0)
    yield " centre down", centre_y
    yield " centre across", centre_x
    yield " spread down", np.sqrt(variance_y)
    yield " spread across", np.sqrt(variance_x)
    yield " slant", ratio(ratio((grey @ x.astype(grey.dtype)) @ y, light) - centre_x * centre_y, variance_y)


def energy(*images):
    return sum(np.einsum("nij,nij->n", image, image) for image in images)


def ratio(above, below):
    """0 where there is nothing below, as in an image of one shade."""
    return np.divide(above, below, out=np.zeros(len(above)), where=below != 0)


def label_columns(label, values):
    if label.kind == CLASS:
        points = values.reshape(len(values), -1)[:, :MOST_COLUMNS]  # of tasks; else one
        for place, column in enumerate(points.T):
            yield suffix(place, points), np.array(label.classes, dtype=object)[column]
    elif label.kind == REAL:
        yield from flat_columns(values.reshape(len(values), -1))
    else:
        for place, name in enumerate(label.classes[:MOST_COLUMNS]):
            yield f" {name}", values[:, place]


# ---- columns of predictions -----------------------------------------------------------------------------------------


def prediction_columns(label, targets, outputs):
    """The columns that stand for a model's predictions of one label.

    targets, outputs: as metrics.evaluate takes them, outputs checked. Returns column name -> (rows,).
    """
    if label.kind == REAL:
        errors = np.abs(outputs - targets.reshape(outputs.shape)).mean(axis=1)
        columns = {f"prediction{name}": values for name, values in flat_columns(outputs)}
        return columns | {"absolute error": errors}
    shown = dict(zip(label.classes[:MOST_CLASSES], outputs.T, strict=False))
    columns = {f"probability of {name}": values for name, values in shown.items()}
    if label.kind == MULTI_LABEL:
        right = ((outputs > 0.5) == (targets.reshape(outputs.shape) > 0.5)).mean(axis=1)
        return columns | {"share of classes right": right}
    names = np.array(label.classes, dtype=object)
    return columns | {
        "predicted class": names[outputs.argmax(axis=1)],
        "confidence": outputs.max(axis=1),
        "right or wrong": np.where(right_rows(label, targets, outputs), "right", "wrong").astype(object),
    }


def right_rows(label, targets, outputs):
    truth = targets.reshape(-1) if label.kind == CLASS else targets.argmax(axis=1)
    return outputs.argmax(axis=1) == truth


@dataclass(frozen=True)
class Predictions:
    """What a model said of one label. calibration: rows, right ones and the sum of confidences of each tenth of [0, 1];
    None for labels without a single class."""

    profile: Profile
    calibration: dict[str, tuple[float, ...]] | None


def predictions(label, targets, outputs, columns=None):
    """The Predictions of one label. columns: bins of an earlier profile to count in; None for its own."""
    blocks = [prediction_columns(label, targets, outputs)]
    counted = profile(blocks) if columns is None else count(columns, blocks)
    return Predictions(counted, None if label.kind in (REAL, MULTI_LABEL) else calibration(label, targets, outputs))


def calibration(label, targets, outputs):
    confidences = outputs.max(axis=1)
    tenth = np.clip((confidences * CONFIDENCE_BINS).astype(int), 0, CONFIDENCE_BINS - 1)
    weights = {"rows": None, "right": right_rows(label, targets, outputs), "confidence": confidences}
    return {key: tuple(np.bincount(tenth, values, CONFIDENCE_BINS).tolist()) for key, values in weights.items()}


# ---- as JSON --------------------------------------------------------------------------------------------------------


def as_json(profile):
    return {"rows": profile.rows, "columns": {name: asdict(column) for name, column in profile.columns.items()}}


def from_json(content):
    """The Profile that as_json has written. Raises DataError where it is none."""
    try:
        columns = {
            name: (Numbers if "edges" in column else Categories)(
                **{key: tuple(value) if isinstance(value, list) else value for key, value in column.items()}
            )
            for name, column in content["columns"].items()
        }
        return Profile(content["rows"], columns)
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"profile: expected what training writes; found something else ({error!r}).") from None


def predictions_as_json(found):
    return as_json(found.profile) | {"calibration": found.calibration}


def predictions_from_json(content):
    calibration = content.get("calibration")
    return Predictions(from_json(content), calibration and {key: tuple(value) for key, value in calibration.items()})
