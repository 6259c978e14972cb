"""The data by itself: one pass over each split, and what it finds kept under the data's fingerprint.

Data is gone through once per content: the next run on the same data reads the findings from
<run.root>/.cache/preflight/. Nothing here looks at the model.
"""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import keras
import numpy as np
from scipy import stats

from pipeline.data import input_pipeline
from pipeline.data.checks import blocks
from pipeline.data.containers import Images, Sequences, Shards
from pipeline.files import atomic_write
from pipeline.preflight.findings import Finding, finding
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, REAL

COPIES = 0.01  # share of a split's rows found in training, below which they are only mentioned
BEYOND_CHANCE = 5  # times the share of training rows that repeat within training
MOST_COLUMNS = 4_096  # pairs of a feature's column and a label's looked at one by one
FEWEST = 50  # rows from which a column that tells the label is no accident
REPEATED = 5  # rows a value, from which a value that always has one label is no accident
OTHERWISE = 10  # rows with another value than the most frequent, from which a value for each class is no accident
NOISE = 0.02  # share of the rows a leak may tell wrongly, of those that guessing the most frequent class does
CORRELATION = 0.999  # of the values or of their ranks; a copy with 4 % of noise has it
SCREEN = 5_000  # rows on which every column is looked at; all rows are only where it tells the label there


def check(setup):
    """The findings on the data, from the cache where this content was looked at before."""
    path = _cache_path(setup)
    try:
        return [Finding(**entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError, KeyError):
        pass  # never looked at, or not ours: look
    return [*_look(setup)]


def keep(setup, findings):
    """Put the findings on the data where the next run on the same data reads them."""
    path = _cache_path(setup)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(json.dumps([vars(item) for item in findings]).encode())
    except OSError:
        pass  # a folder that cannot be written costs the next run a second look, no more


def _cache_path(setup):
    config = setup.config
    key = [setup.data.fingerprint, asdict(config.data.split), type(config.data).__name__, setup.data.rows]
    key.append(config.data.allows_missing_values)
    key.append(hashlib.sha256(Path(__file__).read_bytes()).hexdigest())  # other checks look again
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    return Path(config.run.root) / ".cache" / "preflight" / f"{name}.json"


def _look(setup):
    spec, parts = setup.spec, setup.data.splits
    for split, part in parts.items():
        if split != "train":  # of which data.checks refuses to lack a class
            yield from _missing_classes(spec, split, part)
    train = parts["train"]
    for name, feature in spec.features.items():
        columns = _columns(setup, train, name, feature)
        if columns is not None:
            yield from _constant(name, feature, columns)
            yield from _leaks(spec, name, feature, train)
    yield from _copies(setup)


def _missing_classes(spec, split, part):
    for name, label in spec.labels.items():
        values = part.labels[name]
        if label.kind == CLASS:
            present = set(np.unique(values).tolist())
        elif label.kind in (ONE_HOT, MULTI_LABEL):
            present = set(np.flatnonzero((values.reshape(-1, values.shape[-1]) > 0).any(axis=0)).tolist())
        else:
            continue
        absent = [class_name for index, class_name in enumerate(label.classes) if index not in present]
        if absent:
            found = f"{len(absent)} of {len(label.classes)} classes have no row: {', '.join(absent[:5])}."
            yield finding("class-missing", f"{name}, {split}", found)


def _columns(setup, part, name, feature):
    """(rows, columns) of a feature; steps and pixels count as rows. None where it is not held in memory as numbers."""
    if isinstance(part, Shards):
        return None
    column = part.features[name]
    values = column.values if isinstance(column, Sequences) else column
    if isinstance(values, Images):
        return None
    if len(feature.shape) == 0:
        return values.reshape(len(values), 1)
    return values.reshape(-1, values.shape[-1])


def _constant(name, feature, columns):
    first = columns[0]
    same = np.ones(columns.shape[1], bool)
    for _, block in blocks(columns):
        same &= (block == first).all(axis=0)
        if not same.any():
            return
    constant = np.flatnonzero(same)
    found = f"{len(constant)} of {columns.shape[1]} columns hold one value only: {constant[:5].tolist()}."
    yield finding("constant-feature", name, found)


def _leaks(spec, name, feature, part):
    """Columns that tell a label by themselves; each pixel is one, and of rows of many lengths each number of a step."""
    column = part.features[name]
    steps = column.lengths if isinstance(column, Sequences) else 1
    values = column.values if isinstance(column, Sequences) else column
    columns = values.reshape(len(values), -1)
    targets = list(_targets(spec, part.labels, columns))
    if len(part) < FEWEST or columns.shape[1] * len(targets) > MOST_COLUMNS:
        return
    for target, tells, values in targets:
        values = np.repeat(values, steps)
        few = slice(None, None, max(len(values) // SCREEN, 1))
        for place in range(columns.shape[1]):
            how = tells(columns[few, place], values[few]) and tells(columns[:, place], values)
            if how:
                place = np.unravel_index(place, [size for size in feature.shape if size is not None])
                where = f"{name}, column {', '.join(map(str, place))}" if columns.shape[1] > 1 else name
                yield finding("label-leak", where, f"{how} {target}.")


def _targets(spec, labels, columns):
    """Yield (what it is called, how a column tells it, (rows,) values) of each thing that one number could tell; none
    where the label is the feature, as it is for an autoencoder."""
    for name, label in spec.labels.items():
        tells = _correlated if label.kind == REAL else _separating
        values = labels[name].argmax(axis=-1) if label.kind == ONE_HOT else labels[name]
        if values.ndim == 1:
            yield repr(name), tells, values
        elif values.ndim == 2 and not np.array_equal(values, columns):
            for place, column in enumerate(values.T):
                yield f"{name!r}, column {place}", tells, column


def _correlated(column, targets):
    if column.dtype.kind not in "fiu" or np.ptp(column) == 0 or np.ptp(targets) == 0:
        return None
    values = column.astype(np.float64), targets.astype(np.float64)
    for of, pair in (("", values), (" of ranks", map(stats.rankdata, values))):
        share = np.corrcoef(*pair)[0, 1]
        if abs(share) >= CORRELATION:
            return f"it has a correlation{of} of {share:.6f} with"
    return None


def _separating(column, targets):
    """How a column tells a class label, but for a few rows: each of its few values has one class, or each class one
    value, or thresholds tell all classes."""
    classes, targets = np.unique(targets, return_inverse=True)
    different, codes = np.unique(column.astype(str) if column.dtype == object else column, return_inverse=True)
    if len(classes) < 2 or len(different) < 2:
        return None
    rows, of_class, of_value = len(targets), np.bincount(targets), np.bincount(codes)
    tolerated = NOISE * (rows - of_class.max())
    if len(different) <= rows / REPEATED:
        pairs, counts = np.unique(codes.astype(np.int64) * len(classes) + targets, return_counts=True)
        told, fixed = np.zeros(len(different), int), np.zeros(len(classes), int)
        np.maximum.at(told, pairs // len(classes), counts)
        np.maximum.at(fixed, pairs % len(classes), counts)
        if rows - told.sum() <= tolerated:
            return "each of its values has one class of"
        others = rows - of_value.max()
        if others >= OTHERWISE and rows - fixed.sum() <= NOISE * others:
            return "it has one value for each class of"
    if column.dtype.kind in "fiu":
        ordered = targets[np.argsort(column, kind="stable")]
        if np.count_nonzero(np.diff(ordered)) - (len(classes) - 1) <= 2 * tolerated:
            return "its order alone tells the class of"
    return None


def _copies(setup):
    """Rows that are in training and in another split, held against how often rows repeat within training."""
    parts = setup.data.splits
    seen = {split: _row_digests(setup, part) for split, part in parts.items()}
    train = seen["train"]
    known = set(train)
    chance = 1 - len(known) / len(train)
    for split, digests in seen.items():
        copies = sum(digest in known for digest in digests) if split != "train" else 0
        share = copies / max(len(digests), 1)
        if not copies:
            continue
        found = f"{copies:,} of {len(digests):,} rows ({share:.1%}) are in the training split too; within it "
        found += f"{chance:.1%} repeat."
        code = "rows-in-two-splits" if share > COPIES and share > BEYOND_CHANCE * chance else "repeated-rows"
        yield finding(code, f"the {split} split", found)


def _row_digests(setup, part):
    """The digest of every row's features, in order."""
    spec = setup.spec
    if isinstance(part, Shards):
        batches = input_pipeline.ordered_batches(part, spec, setup.config.data, input_pipeline.ADAPT_BATCH)
        rows = (
            b"".join(np.ascontiguousarray(column[row]).tobytes() for column in columns)
            for x, *_ in batches.as_numpy_iterator()
            for columns in [keras.tree.flatten(x)]
            for row in range(len(columns[0]))
        )
    else:
        columns = [_bytes_of_rows(column) for column in part.features.values()]
        rows = (b"".join(of(row) for of in columns) for row in range(len(part)))
    return [hashlib.blake2b(row, digest_size=16).digest() for row in rows]


def _bytes_of_rows(column):
    """A function from a row's index to its bytes."""
    if isinstance(column, Images):
        return lambda row: hashlib.sha256(Path(column.paths[row]).read_bytes()).digest()
    if isinstance(column, Sequences):
        return lambda row: np.ascontiguousarray(column.values[column.offsets[row] : column.offsets[row + 1]]).tobytes()
    if column.dtype == object:
        return lambda row: "\0".join(map(str, np.ravel(column[row]))).encode() + b"\0"
    return lambda row: np.ascontiguousarray(column[row]).tobytes()
