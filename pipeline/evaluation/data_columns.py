"""The columns by which a profile describes the rows of a data set.

Images become brightness, contrast, edges, sharpness, moments of their light and a grid of mean values. Sequences become
their length, and the mean and spread of each channel. Text becomes its length. Labels keep their own distribution.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.data.blocks import blocks
from pipeline.data.containers import Sequences, Split
from pipeline.evaluation.profiles import Profile, build_profile
from pipeline.spec import CLASS, REAL, DataSpec, Feature, Label

LABEL_PREFIX = "label "  # before the name of each column of a label
MAX_COLUMNS = 256  # per feature; a wider one is averaged over neighbours
GRID = 4  # cells of an image in each direction

NamedColumns = Iterator[tuple[str, np.ndarray]]
"""Yields (suffix of the column's name, (rows,) values)."""


def profile_split(spec: DataSpec, split: Split) -> Profile:
    """Build the profile of the features and labels of a split."""
    return build_profile(column_blocks(spec, split))


def column_blocks(spec: DataSpec, split: Split) -> Iterator[dict[str, np.ndarray]]:
    """Yield the columns of a split, block by block: column name -> (rows,)."""
    for features, labels in blocks(split, spec):
        yield data_columns(spec, features, labels)


def data_columns(
    spec: DataSpec, features: Mapping[str, np.ndarray | Sequences], labels: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the columns of a block of rows: column name -> (rows,).

    Args:
        spec: The spec of the data.
        features: By name, from `pipeline.data.blocks`.
        labels: By name, likewise.
    """
    columns = {}
    for name, feature in spec.features.items():
        values = features[name]
        if feature.columns and isinstance(values, np.ndarray) and values.ndim == 2:
            columns |= zip(feature.columns, values.T)
            continue
        columns |= {f"{name}{suffix}": values for suffix, values in feature_columns(feature, values)}
    for name, label in spec.labels.items():
        columns |= {f"{LABEL_PREFIX}{name}{suffix}": values for suffix, values in label_columns(label, labels[name])}
    return columns


def feature_columns(feature: Feature, values: np.ndarray | Sequences) -> NamedColumns:
    """Yield the columns of a feature."""
    if isinstance(values, Sequences):
        yield " steps", values.lengths
        if values.values.dtype != object:
            yield from step_columns(values)
    elif feature.dtype == "string":
        flat = values.reshape(len(values), -1)
        for index, column in enumerate(flat.T):
            yield index_suffix(index, flat), text_lengths(column) if feature.text else column
    elif len(feature.shape) == 3 and min(size or 0 for size in feature.shape[:2]) >= GRID:
        yield from image_columns(values)
    else:
        yield from flat_columns(values.reshape(len(values), -1))


def index_suffix(index: int, flat: np.ndarray) -> str:
    """Return the suffix of a column's name among those of `flat`, (rows, width); "" for a single column."""
    return f" {index}" if flat.shape[1] > 1 else ""


def text_lengths(column: np.ndarray) -> np.ndarray:
    """Return the number of characters of each text: (rows,) int64."""
    return np.array([len(text) for text in column], np.int64)


def flat_columns(flat: np.ndarray) -> NamedColumns:
    """Yield the columns of (rows, width) numbers."""
    flat = flat if flat.shape[1] <= MAX_COLUMNS else neighbour_means(flat)
    for index, column in enumerate(flat.T):
        yield index_suffix(index, flat), column


def neighbour_means(flat: np.ndarray) -> np.ndarray:
    """Average (rows, width) over neighbouring columns: (rows, MAX_COLUMNS) float64."""
    starts = np.linspace(0, flat.shape[1], MAX_COLUMNS, endpoint=False).astype(int)
    return np.add.reduceat(flat, starts, axis=1, dtype=np.float64) / np.diff([*starts, flat.shape[1]])


def step_columns(sequences: Sequences) -> NamedColumns:
    """Yield mean and standard deviation of each channel over the steps of a row."""
    steps = sequences.values.reshape(len(sequences.values), -1)
    steps = (steps if steps.shape[1] <= MAX_COLUMNS // 2 else neighbour_means(steps)).astype(np.float64)
    lengths, starts = np.maximum(sequences.lengths, 1)[:, None], sequences.offsets[:-1]
    mean = np.add.reduceat(steps, starts, axis=0) / lengths
    spread = np.sqrt(np.maximum(np.add.reduceat(steps**2, starts, axis=0) / lengths - mean**2, 0))
    for index in range(steps.shape[1]):
        yield f" mean{index_suffix(index, steps)}", mean[:, index]
        yield f" spread{index_suffix(index, steps)}", spread[:, index]


def image_columns(images: np.ndarray) -> NamedColumns:
    """Yield statistics of images, (rows, height, width, channels), in units of their pixel values.

    Edges are the mean absolute differences of neighbours; sharpness is the energy of second differences over the energy
    of first differences.
    """
    grey = images[..., 0].astype(np.float32) if images.shape[3] == 1 else images.mean(axis=3, dtype=np.float32)
    down, across = np.diff(grey, axis=1), np.diff(grey, axis=2)
    yield " brightness", grey.mean(axis=(1, 2))
    yield " contrast", grey.std(axis=(1, 2))
    yield " edges", np.abs(down).mean(axis=(1, 2)) + np.abs(across).mean(axis=(1, 2))
    yield " sharpness", ratio_or_zero(energy(np.diff(down, axis=1), np.diff(across, axis=2)), energy(down, across))
    yield from moment_columns(grey)
    for row, band in enumerate(np.array_split(grey, GRID, axis=1)):
        for column, cell in enumerate(np.array_split(band, GRID, axis=2)):
            yield f" cell {row},{column}", cell.mean(axis=(1, 2))


def moment_columns(grey: np.ndarray) -> NamedColumns:
    """Yield the first and second moments of the light of each image: centre, spread and slant, in pixels.

    Args:
        grey: (rows, height, width) float32. The darkest pixel of an image counts as no light.
    """
    grey = grey - grey.min(axis=(1, 2), keepdims=True)
    light, y, x = grey.sum(axis=(1, 2)), np.arange(grey.shape[1]), np.arange(grey.shape[2])
    by_row, by_column = grey.sum(axis=2), grey.sum(axis=1)
    centre_y, centre_x = ratio_or_zero(by_row @ y, light), ratio_or_zero(by_column @ x, light)
    variance_y = np.maximum(ratio_or_zero(by_row @ y**2, light) - centre_y**2, 0)
    variance_x = np.maximum(ratio_or_zero(by_column @ x**2, light) - centre_x**2, 0)
    covariance = ratio_or_zero((grey @ x.astype(grey.dtype)) @ y, light) - centre_x * centre_y
    yield " centre down", centre_y
    yield " centre across", centre_x
    yield " spread down", np.sqrt(variance_y)
    yield " spread across", np.sqrt(variance_x)
    yield " slant", ratio_or_zero(covariance, variance_y)


def energy(down: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Return the sum of squares of both arrays in each row: (rows, height, width) each -> (rows,)."""
    return np.einsum("nij,nij->n", down, down) + np.einsum("nij,nij->n", across, across)


def ratio_or_zero(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return numerator / denominator, (rows,) each; 0 if the denominator is 0, as in an image of one shade."""
    return np.divide(numerator, denominator, out=np.zeros(len(numerator)), where=denominator != 0)


def label_columns(label: Label, values: np.ndarray) -> NamedColumns:
    """Yield the columns of a label: class names, or numbers for other kinds of label."""
    if label.kind == CLASS:
        points = values.reshape(len(values), -1)[:, :MAX_COLUMNS]  # several if rows are tasks
        for index, column in enumerate(points.T):
            yield index_suffix(index, points), np.array(label.classes, dtype=object)[column]
    elif label.kind == REAL:
        yield from flat_columns(values.reshape(len(values), -1))
    else:
        for index, name in enumerate(label.classes[:MAX_COLUMNS]):
            yield f" {name}", values[:, index]
