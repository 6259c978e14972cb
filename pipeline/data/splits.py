"""The splits of a data set: those of the data itself, or a stratified division of its rows by a seed."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.data import checks
from pipeline.data.containers import Dataset, Shards, Split, Table
from pipeline.data.fingerprint import fingerprint
from pipeline.data.options import SplitOptions
from pipeline.data.source import DataSource
from pipeline.errors import ConfigError, DataError
from pipeline.overrides import shell_argument
from pipeline.spec import CLASS, DataSpec, Feature

KEPT, MERGED = -2, -1  # strata; no class has these indices


@dataclass(frozen=True, kw_only=True)
class SplitDataset:
    """A checked data set, ready for training.

    Attributes:
        spec: Of the rows of every split.
        train: The training split.
        validation: The validation split; None if data.split.validation is 0.
        test: The test split.
        fingerprint: The sha256 of the whole data set.
    """

    spec: DataSpec
    train: Split
    validation: Split | None
    test: Split
    fingerprint: str

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name, without those that do not exist."""
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: split for name, split in splits.items() if split is not None}

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each split."""
        return {name: len(split) for name, split in self.splits.items()}


def read(source: DataSource) -> Dataset:
    """Read a data set.

    Raises:
        DataError: The data cannot be read. The message names the file and the line or row.
    """
    try:
        return source.read()
    except OSError as error:
        raise DataError(f"expected data that can be read; found: {error}. Check data.path.") from error


def load(source: DataSource) -> SplitDataset:
    """Read a data set, divide it into splits, and check every row.

    Raises:
        DataError: The data cannot be read, or a row is not valid. The message names the file and the row.
        ConfigError: There is no test split.
    """
    dataset = read(source)
    splits = divide(dataset, source.split)
    if "test" not in splits:
        raise ConfigError(
            f"data.split.test: expected a share above 0, since {dataset.location} has no test split of its own; "
            "found 0."
        )
    checks.check(dataset.spec, splits, source)
    return SplitDataset(
        spec=dataset.spec,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        fingerprint=fingerprint(dataset),
    )


def load_split(source: DataSource, split_name: str, spec: DataSpec) -> tuple[Split, str]:
    """Read one split of a data set, for a model that was trained on data of this spec.

    Args:
        source: The data source.
        split_name: "train", "validation", "test", or "all" for all rows of data without splits of its own.
        spec: The spec of the training data. Class labels are matched by name.

    Returns:
        The split and the fingerprint of the whole data set.

    Raises:
        DataError: Features or labels do not match the spec, or a row breaks it.
    """
    dataset = read(source)
    if dataset.spec.features != spec.features:
        difference = _describe_difference(spec.features, dataset.spec.features)
        raise DataError(f"{dataset.location}: {difference} {source.fix_of_features(spec)}".rstrip())
    if split_name == "all":
        split = _all_rows(dataset)
    else:
        splits = divide(dataset, source.split)
        if split_name not in splits:
            raise DataError(f"{dataset.location}: expected a {split_name} split; found {', '.join(splits)}.")
        split = splits[split_name]
    checks.check_rows(dataset.spec, {split_name: split}, source)
    return _with_class_indices(split, dataset, trained=spec), fingerprint(dataset)


def divide(dataset: Dataset, options: SplitOptions) -> dict[str, Split]:
    """Return the splits of a data set by name. Splits that the data does not have are divided from its train split.

    Raises:
        DataError: A split is missing, and the train split cannot be divided since it is streamed.
    """
    shares = {"validation": options.validation, "test": options.test}
    missing = {name: share for name, share in shares.items() if name not in dataset.splits and share > 0}
    train = dataset.splits["train"]
    if not missing:
        return dict(dataset.splits)
    if isinstance(train, Shards):
        raise DataError(
            f"{dataset.location}: expected shards of every split; found none for {' and '.join(missing)}. A stream "
            "cannot be divided: write the shards again from data with these splits, or set data.split.validation=0."
        )
    rows = assign(_strata(dataset.spec, train, options), missing, options.seed)
    return dict(dataset.splits) | {name: train.select(rows[name]) for name in rows}


def _all_rows(dataset: Dataset) -> Split:
    if len(dataset.splits) > 1:
        raise DataError(
            f"{dataset.location}: expected data without splits of its own, since split 'all' is requested; found "
            f"{', '.join(dataset.splits)}. Choose one of them: evaluation.split, or drift.split for `drift`."
        )
    return dataset.splits["train"]


def _with_class_indices(split: Split, dataset: Dataset, *, trained: DataSpec) -> Split:
    """Return the split with the class indices of the training data.

    Args:
        split: The rows.
        dataset: The data set of the split.
        trained: The spec of the training data.

    Raises:
        DataError: The labels differ in more than the order and number of the classes.
    """
    spec, location = dataset.spec, dataset.location
    if spec.labels == trained.labels:
        return split
    labels = {}
    for name, label in trained.labels.items():
        other = spec.labels.get(name)
        are_classes = other is not None and other.kind == label.kind == CLASS
        if other is None or not are_classes or set(other.classes) - set(label.classes):
            raise DataError(f"{location}: expected the label {name!r} as trained, {label}; found {other}.")
        trained_index = np.array([label.classes.index(class_name) for class_name in other.classes])
        labels[name] = trained_index[split.labels[name]]
    return replace(split, labels=labels)


def _describe_difference(trained: dict[str, Feature], found: dict[str, Feature]) -> str:
    """Return the end of an error message on features that are not those of the training."""
    before, now = ([name for item in features.values() for name in item.columns] for features in (trained, found))
    if now and not before:
        return (
            "expected one input for each column of numbers, as the run was trained by an earlier version; found them "
            "together in one input. Train the run again, under another name."
        )
    lacking, added = [name for name in before if name not in now], [name for name in now if name not in before]
    if lacking:
        return f"expected the {len(before)} columns of numbers that were trained; found no numbers in {lacking[0]!r}."
    if added:
        return (
            f"expected the {len(before)} columns of numbers that were trained; found {len(added)} more. Set "
            f"{shell_argument('data.exclude', added)}."
        )
    return f"expected the features {trained}; found {found}."


def _strata(spec: DataSpec, table: Table, options: SplitOptions) -> np.ndarray:
    """Return the stratum of each row, (rows,) int64: the class of the first label with one class per row, else 0."""
    for name, label in spec.labels.items():
        if options.stratify and label.kind == CLASS and label.shape == ():
            return table.labels[name]
    return np.zeros(len(table), np.int64)


def _merge_small(strata: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    """Merge the strata that are too small for one row of `share`, and set the first row of each aside for "train".

    Returns:
        The new stratum of each row, (rows,) int64, and the rows that are set aside, whose stratum is KEPT.
    """
    _, first, inverse, counts = np.unique(strata, return_index=True, return_inverse=True, return_counts=True)
    small = counts * share < 1
    kept = first[small]
    merged = np.where(small[inverse], MERGED, strata)
    merged[kept] = KEPT
    return merged, kept


def assign(strata: np.ndarray, shares: dict[str, float], seed: int) -> dict[str, np.ndarray]:
    """Assign rows to splits, stratum by stratum, in an order that depends on the seed only.

    Each split gets its share of each stratum to within one row. Strata that are too small for that are divided
    together, each with one row in "train".

    Args:
        strata: (rows,) int64.
        shares: Split name -> share of all rows. The remaining rows are "train".
        seed: Of the order of the rows.

    Returns:
        Split name -> sorted row indices.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    rows = {name: [] for name in ["train", *shares]}
    strata, kept = _merge_small(strata, min(shares.values()))
    rows["train"].append(kept)
    for stratum in np.setdiff1d(strata, KEPT):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        count = len(members) + (len(kept) if stratum == MERGED else 0)
        ends = np.minimum(np.rint(np.cumsum([0.0, *shares.values()]) * count).astype(int), len(members))
        for name, start, end in zip(shares, ends, ends[1:]):
            rows[name].append(members[start:end])
        rows["train"].append(members[ends[-1] :])
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in rows.items()}
