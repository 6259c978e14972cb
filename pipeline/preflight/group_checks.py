"""Check for columns that look like groups, such as patients, whose rows a random split puts on both sides.

A model then knows the group of a test row by heart. A group is recognized by few rows per value and either labels that
hardly differ within a value, or rows of a value that are far more alike than other rows of the same class.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from pipeline.data.containers import Table
from pipeline.overrides import shell_value
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup
from pipeline.spec import CLASS, REAL

FEWEST_VALUES = 10  # values with several rows; a column with fewer is not a group
ROWS_PER_VALUE = (2, 50)  # mean; with fewer rows, values are row numbers; with more, they are categories
ROWS = 2_000  # rows that are compared with each other, in whole groups
CONSTANT = 0.95  # share of rows that have the most frequent label of their value
BEYOND_CHANCE = 0.25  # rows with another label, as a share of their number for shuffled labels
SPREAD = 0.05  # variance of real labels within the values, as a share of the whole variance
NEAREST = 0.5  # share of rows whose nearest row of the same class has the same value
TIMES_CHANCE = 5  # factor by which this share must exceed chance
ORDERED = 0.5  # correlation of the labels of neighbouring values, from which a column is a quantity rather than a name


def check(setup: Setup) -> Iterator[Finding]:
    """Yield a finding for each column that looks like a group whose rows are in several splits."""
    tables = {name: split for name, split in setup.data.splits.items() if isinstance(split, Table)}
    if len(tables) < 2 or len(tables) < len(setup.data.splits) or setup.config.data.split.time:
        return
    columns = {name: _candidates(table) for name, table in tables.items()}
    for name in columns["train"]:
        if not all(name in by_name for by_name in columns.values()):
            continue
        values = {split: by_name[name] for split, by_name in columns.items()}
        if not (_may_be_group(values["train"]) and (cut := _values_in_two_splits(values))):
            continue
        groups = np.unique(values["train"], return_inverse=True)[1]
        if evidence := _evidence(tables["train"], name, groups, labels=_labels(setup)):
            found = f"{evidence} It has {groups.max() + 1:,} values, of which {cut:,} have rows in several splits."
            yield finding("group-in-two-splits", name, found, group=shell_value(name))


def _candidates(table: Table) -> dict[str, np.ndarray]:
    """Return the columns that may be names of groups: (rows,) of str or int64 by name."""
    columns = dict(table.keys)
    for name, column in table.features.items():
        if isinstance(column, np.ndarray) and column.dtype == object and column.shape[1:] == (1,):
            columns.setdefault(name, column[:, 0])
    found = {name: _names(column) for name, column in columns.items()}
    return {name: column for name, column in found.items() if column is not None}


def _names(column: np.ndarray) -> np.ndarray | None:
    """Return a column as whole numbers, or else as text; None if it holds other numbers or dates."""
    if column.dtype.kind in "biu":
        return column.astype(np.int64)
    if column.dtype.kind not in "OU":
        return None
    texts = column.astype(str)
    try:
        numbers = texts.astype(np.float64)
    except ValueError:
        return texts
    whole = np.isfinite(numbers) & (numbers == np.rint(numbers)) & (np.abs(numbers) < 2**53)
    return numbers.astype(np.int64) if whole.all() else None


def _may_be_group(values: np.ndarray) -> bool:
    counts = np.unique(values, return_counts=True)[1]
    low, high = ROWS_PER_VALUE
    return bool(np.count_nonzero(counts > 1) >= FEWEST_VALUES and low <= counts.mean() <= high)


def _values_in_two_splits(values: Mapping[str, np.ndarray]) -> int:
    """Return how many values have rows in more than one split."""
    pooled = np.concatenate([np.unique(of_split) for of_split in values.values()])
    return int(np.count_nonzero(np.unique(pooled, return_counts=True)[1] > 1))


def _labels(setup: Setup) -> tuple[str, np.ndarray] | None:
    """Return the kind and the values, (rows,), of the first label with one value per row; None if there is none."""
    for name, label in setup.spec.labels.items():
        if label.kind in (CLASS, REAL) and label.shape == ():
            return label.kind, setup.data.train.labels[name]
    return None


def _evidence(table: Table, name: str, groups: np.ndarray, *, labels: tuple[str, np.ndarray] | None) -> str | None:
    """Return the reason why a column looks like a group, or None.

    A feature that determines the label is a leak rather than a group: of features only the rows are compared.
    """
    if labels and name in table.keys and _has_constant_labels(groups, *labels):
        return "The labels hardly differ within its values."
    classes = labels[1] if labels and labels[0] == CLASS else np.zeros(len(groups), np.int64)
    features = _numbers(table)
    if features.shape[1] and _has_alike_rows(groups, classes, features):
        return "Rows of one value are far more alike than other rows of their class."
    return None


# ---- labels ---------------------------------------------------------------------------------------------------------


def _has_constant_labels(groups: np.ndarray, kind: str, labels: np.ndarray) -> bool:
    """Return whether labels hardly differ within groups, unless a group is a quantity that they depend on."""
    several = np.bincount(groups)[groups] > 1
    groups, labels = np.unique(groups[several], return_inverse=True)[1], labels[several]
    if kind == REAL:
        means = _means(groups, labels)
        within = ((labels - means[groups]) ** 2).sum() / max(len(labels) - len(means), 1)
        total = labels.var()
        ordered = len(means) < 3 or np.corrcoef(means[1:], means[:-1])[0, 1] >= ORDERED
        return bool(total > 0 and within <= SPREAD * total and not ordered)
    classes = np.unique(labels, return_inverse=True)[1]
    shuffled = np.random.default_rng(0).permutation(classes)
    other, by_chance = (1 - _most_frequent(groups, each)[1].sum() / len(groups) for each in (classes, shuffled))
    of_group = _most_frequent(groups, classes)[0]
    expected = ((np.bincount(of_group) / len(of_group)) ** 2).sum()
    ordered = np.mean(of_group[1:] == of_group[:-1]) >= expected + ORDERED * (1 - expected)
    return bool(other <= 1 - CONSTANT and other <= BEYOND_CHANCE * by_chance and not ordered)


def _means(groups: np.ndarray, values: np.ndarray) -> np.ndarray:
    return np.bincount(groups, values) / np.bincount(groups)


def _most_frequent(groups: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the most frequent class of each group and its number of rows."""
    width = int(classes.max()) + 1
    pairs, rows = np.unique(groups.astype(np.int64) * width + classes, return_counts=True)
    order = np.lexsort((rows, pairs // width))
    last = np.append(np.flatnonzero(np.diff(pairs[order] // width)), len(pairs) - 1)
    return pairs[order][last] % width, rows[order][last]


# ---- rows -----------------------------------------------------------------------------------------------------------


def _numbers(table: Table) -> np.ndarray:
    """Return the features that are numbers, (rows, columns) float32, each column scaled by its standard deviation."""
    columns = [
        column.reshape(len(column), -1).astype(np.float32)
        for column in table.features.values()
        if isinstance(column, np.ndarray) and column.dtype != object
    ]
    joined = np.concatenate(columns, axis=1) if columns else np.empty((len(table), 0), np.float32)
    joined = np.where(np.isnan(joined), np.nanmean(joined, axis=0), joined) if np.isnan(joined).any() else joined
    deviations = joined.std(axis=0)
    return (joined - joined.mean(axis=0))[:, deviations > 0] / deviations[deviations > 0]


def _has_alike_rows(groups: np.ndarray, classes: np.ndarray, features: np.ndarray) -> bool:
    """Return whether the nearest row of the same class mostly has the same group, far more often than by chance."""
    shuffled = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    sizes = np.bincount(groups)[shuffled]
    chosen = np.isin(groups, shuffled[np.cumsum(sizes) <= ROWS])
    groups, classes, features = groups[chosen], classes[chosen], features[chosen]
    if not len(groups):
        return False
    squares = (features**2).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * features @ features.T
    same_class = classes[:, np.newaxis] == classes
    np.fill_diagonal(same_class, False)
    same_group = (groups[:, np.newaxis] == groups) & same_class
    compared = same_group.any(axis=1)  # rows with another row of their group and class
    if np.count_nonzero(compared) < 2 * FEWEST_VALUES:
        return False
    nearest = np.where(same_class, distances, np.inf).argmin(axis=1)
    agreement = same_group[np.arange(len(groups)), nearest][compared].mean()
    chance = (same_group.sum(axis=1) / np.maximum(same_class.sum(axis=1), 1))[compared].mean()
    return bool(agreement >= NEAREST and agreement >= TIMES_CHANCE * chance)
