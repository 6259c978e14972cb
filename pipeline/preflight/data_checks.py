"""Checks of the data alone: constant columns, columns that give the label away, and rows in two splits.

Data is checked once: the next run on the same data reads the findings from <run.root>/.cache/preflight/. Nothing here
depends on the model.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import numpy as np
from scipy import stats

from pipeline.data import row_digests
from pipeline.data.blocks import blocks
from pipeline.data.checks import row_blocks
from pipeline.data.containers import Images, Sequences, Split, Table
from pipeline.files import atomic_write
from pipeline.preflight import catalogue, group_checks
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL, DataSpec, Feature

COPIES = 0.01  # share of the rows of a split; if no more are also in training, it is only a warning
FEWEST_COPIES = 3  # rows; fewer copies are only a warning
BEYOND_CHANCE = 3  # standard deviations above the expected number of copies
MOST_COLUMNS = 4_096  # pairs of a column of a feature and one of a label that are compared
FEWEST = 50  # rows below which a column may give the label away by chance
MANY = 16  # columns of amounts >= 0; in so many, some may always be 0
REPEATED = 5  # rows per value below which a value may always have the same label by chance
# fewer rows that lack the most frequent value of a column: each class may have a single value by chance
OTHERWISE = 10
# rows that may contradict a leak, as a share of the rows that the most frequent class predicts wrongly
NOISE = 0.02
CORRELATION = 0.999  # correlation of values or ranks; a copy of the label with 4 % noise reaches it
SCREEN = 5_000  # rows on which every column is compared; all rows are compared only if these give the label away

Relation = Callable[[np.ndarray, np.ndarray], str | None]  # (column, label) -> how the column gives the label away


def check(setup: Setup) -> list[Finding]:
    """Return the findings on the data, from the cache if the same data has been checked before."""
    try:
        return [Finding(**entry) for entry in json.loads(cache_path(setup).read_text())]
    except (OSError, ValueError, TypeError, KeyError):
        return [*_check(setup)]  # not checked before, or the file is damaged


def store(setup: Setup, findings: Iterable[Finding]) -> None:
    """Store the findings on the data for the next run on the same data."""
    path = cache_path(setup)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps([vars(item) for item in findings]).encode())
    except OSError:
        pass  # if the folder cannot be written, the next run checks the data again


def cache_path(setup: Setup) -> Path:
    """Return the path of the stored findings: another for other data, or for other checks or texts of the findings."""
    source = setup.config.data
    files = (__file__, catalogue.__file__, group_checks.__file__)
    code = [hashlib.sha256(Path(file).read_bytes()).hexdigest() for file in files]
    key = [
        setup.data.fingerprint,
        asdict(source.split),
        type(source).__name__,
        setup.data.rows,
        _key_digests(setup),
        code,
    ]
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path(setup.config.run.root) / ".cache" / "preflight" / f"{name}.json"


def _key_digests(setup: Setup) -> list[tuple[str, int]]:
    """Return a digest of each key column of each split, which the fingerprint does not cover."""
    tables = [split for split in setup.data.splits.values() if isinstance(split, Table)]
    return [
        (name, int(row_digests.digest_columns([column]).sum()))
        for table in tables
        for name, column in table.keys.items()
    ]


def _check(setup: Setup) -> Iterator[Finding]:
    for name, split in setup.data.splits.items():
        if name != "train":  # the data itself is refused if the training split lacks a class
            yield from _check_classes(setup.spec, name, split)
    train = setup.data.train
    yield from _check_constant_labels(setup.spec, train)
    for name, column in train.features.items() if isinstance(train, Table) else ():
        if not isinstance(column, Images):
            yield from _check_constant(name, setup.spec.features[name], column)
            yield from _check_leaks(setup.spec, name, column, train.labels)
    yield from _check_copies(setup)
    yield from group_checks.check(setup)


def _check_classes(spec: DataSpec, split_name: str, split: Split) -> Iterator[Finding]:
    for name, label in spec.labels.items():
        values = split.labels[name]
        if label.kind == CLASS:
            present = set(np.unique(values).tolist())
        elif label.kind in (ONE_HOT, MULTI_LABEL):
            present = set(np.flatnonzero((values > 0).reshape(-1, label.width).any(axis=0)).tolist())
        else:
            continue
        absent = [class_name for index, class_name in enumerate(label.classes) if index not in present]
        if absent:
            found = f"{len(absent)} of {len(label.classes)} classes have no row: {', '.join(absent[:5])}."
            yield finding("class-missing", f"{name}, {split_name}", found)


def _check_constant_labels(spec: DataSpec, train: Split) -> Iterator[Finding]:
    for name, label in spec.labels.items():
        values = train.labels[name]
        if label.kind == REAL and values.ndim == 1 and (values == values[0]).all():
            yield finding("constant-label", name, f"{values[0]} in all {len(values):,} rows.")


def _check_constant(name: str, feature: Feature, column: np.ndarray | Sequences) -> Iterator[Finding]:
    """Check for columns of one value. Steps and pixels count as rows."""
    values = _values(column)
    columns = values.reshape(-1, values.shape[-1] if values.ndim > 1 else 1)
    constant = np.ones(columns.shape[1], bool)
    for _, block in row_blocks(columns):
        constant &= (block == columns[0]).all(axis=0)
        if not constant.any():
            return
    indices = np.flatnonzero(constant)
    if columns.shape[1] >= MANY and not columns[0, indices].any() and columns.min() == 0:
        return  # pixels at the border, words that do not occur
    shown = ", ".join(repr(feature.columns[index]) if feature.columns else str(index) for index in indices[:5])
    found = f"{len(indices)} of {columns.shape[1]} columns hold one value only: [{shown}]."
    yield finding("constant-feature", name, found)


def _check_leaks(
    spec: DataSpec, name: str, column: np.ndarray | Sequences, row_labels: dict[str, np.ndarray]
) -> Iterator[Finding]:
    """Check for columns that give a label away. Each pixel is a column, and each number of a step."""
    feature, values = spec.features[name], _values(column)
    columns = values.reshape(len(values), -1)
    targets = [*_targets(spec, row_labels, columns)]
    if len(column) < FEWEST or columns.shape[1] * len(targets) > MOST_COLUMNS:
        return
    for target, relation, labels in targets:
        labels = np.repeat(labels, column.lengths if isinstance(column, Sequences) else 1)
        few = slice(None, None, max(len(labels) // SCREEN, 1))
        for index in range(columns.shape[1]):
            how = relation(columns[few, index], labels[few]) and relation(columns[:, index], labels)
            if how:
                position = np.unravel_index(index, [size for size in feature.shape if size is not None])
                place = f"{name}, column {', '.join(map(str, position))}" if columns.shape[1] > 1 else name
                place = feature.columns[index] or "''" if feature.columns else place
                yield finding("label-leak", place, f"{how} {target}.")


def _values(column: np.ndarray | Sequences) -> np.ndarray:
    """Return the values of a feature, rows first; of sequences, steps first."""
    return column.values if isinstance(column, Sequences) else column


def _targets(
    spec: DataSpec, labels: dict[str, np.ndarray], columns: np.ndarray
) -> Iterator[tuple[str, Relation, np.ndarray]]:
    """Yield (name for messages, relation to look for, (rows,) values) of each number that a column could give away.

    There is none if the label is the feature, as for an autoencoder.
    """
    for name, label in spec.labels.items():
        relation = _correlation if label.kind == REAL else _separation
        values = labels[name].argmax(axis=-1) if label.kind == ONE_HOT else labels[name]
        if values.ndim == 1:
            yield repr(name), relation, values
        elif values.ndim == 2 and not np.array_equal(values, columns):
            for index, column in enumerate(values.T):
                yield f"{name!r}, column {index}", relation, column


def _correlation(column: np.ndarray, targets: np.ndarray) -> str | None:
    if column.dtype.kind not in "fiu" or np.ptp(column) == 0 or np.ptp(targets) == 0:
        return None
    values = column.astype(np.float64), targets.astype(np.float64)
    for of, pair in (("", values), (" of ranks", map(stats.rankdata, values))):
        coefficient = np.corrcoef(*pair)[0, 1]
        if abs(coefficient) >= CORRELATION:
            return f"it has a correlation{of} of {coefficient:.6f} with"
    return None


def _separation(column: np.ndarray, targets: np.ndarray) -> str | None:
    """Return how a column gives a class away, except for a few rows.

    Either each of its few values has one class, or each class has one value, or thresholds separate all classes.
    """
    classes, targets = np.unique(targets, return_inverse=True)
    different, codes = np.unique(column.astype(str) if column.dtype == object else column, return_inverse=True)
    if len(classes) < 2 or len(different) < 2:
        return None
    rows = len(targets)
    tolerated = NOISE * (rows - np.bincount(targets).max())
    if len(different) <= rows / REPEATED:
        pairs, counts = np.unique(codes.astype(np.int64) * len(classes) + targets, return_counts=True)
        largest_class, largest_value = np.zeros(len(different), int), np.zeros(len(classes), int)
        np.maximum.at(largest_class, pairs // len(classes), counts)  # rows of the most frequent class of each value
        np.maximum.at(largest_value, pairs % len(classes), counts)  # rows of the most frequent value of each class
        if rows - largest_class.sum() <= tolerated:
            return "each of its values has one class of"
        others = rows - np.bincount(codes).max()
        if others >= OTHERWISE and rows - largest_value.sum() <= NOISE * others:
            return "it has one value for each class of"
    if column.dtype.kind in "fiu":
        ordered = targets[np.argsort(column, kind="stable")]
        if np.count_nonzero(np.diff(ordered)) - (len(classes) - 1) <= 2 * tolerated:
            return "thresholds on it separate the classes of"
    return None


def _check_copies(setup: Setup) -> Iterator[Finding]:
    """Check for rows of the training split in other splits, compared with what chance gives.

    If equal rows are coincidences, as in coarse data, they lie in the splits as if each were assigned at random. This
    is compared over all splits and over the two alone, since rows that are also in a third split are no evidence.
    """
    digests = {name: _feature_digests(setup, split) for name, split in setup.data.splits.items()}
    every_row = np.concatenate([*digests.values()])
    train = np.sort(digests.pop("train"))
    for name, rows in digests.items():
        copies = np.count_nonzero(np.searchsorted(train, rows, "right") > np.searchsorted(train, rows))
        if not copies:
            continue
        share = copies / len(rows)
        by_chance = [expected_copies(pool, train, rows) for pool in (every_row, np.concatenate([train, rows]))]
        found = f"{copies:,} of {len(rows):,} rows ({share:.1%}) are also in the training split. If the equal rows of "
        found += f"the data were assigned at random, about {by_chance[0][0]:.1f} would be."
        beyond_chance = any(copies - 0.5 > mean + BEYOND_CHANCE * deviation for mean, deviation in by_chance)
        leaked = copies >= FEWEST_COPIES and share > COPIES and beyond_chance
        yield finding("rows-in-two-splits" if leaked else "repeated-rows", f"the {name} split", found)


def expected_copies(pool: np.ndarray, train: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return how many rows of another split equal a training row if the rows of a pool are assigned at random.

    Let k be the number of copies of a row in the pool, and T the number of them that the other split gets. If training
    gets at least one copy, all T count; otherwise none counts. The mean is E[T] - E[T; no copy in training]. In both
    terms T is binomial. The mean of the squares follows in the same way.

    Args:
        pool: (rows,) uint64, the digests of the rows that are assigned.
        train: The digests of the training split. Only their number is used.
        other: The digests of the other split. Only their number is used.

    Returns:
        The mean and the standard deviation of the number of rows.
    """
    _, times = np.unique(pool, return_counts=True)
    k, rows = np.unique(times, return_counts=True)
    share, outside = len(other) / len(pool), 1 - len(train) / len(pool)
    none = outside**k  # the probability that no copy is in training
    mean = k * share - none * k * share / outside
    square = _binomial_square(k, share) - none * _binomial_square(k, share / outside)
    return float(rows @ mean), float(np.sqrt(max(rows @ (square - mean**2), 0.0)))


def _binomial_square(trials: np.ndarray, probability: float) -> np.ndarray:
    return trials * probability * (1 - probability) + (trials * probability) ** 2


def _feature_digests(setup: Setup, split: Split) -> np.ndarray:
    """Return the digest of the features of each row: (rows,) uint64."""
    if isinstance(split, Table):
        return row_digests.digest_features(split)
    return np.concatenate([row_digests.digest_features(block) for block in blocks(split, setup.spec)])
