"""The splits of a data set: those of the data itself, or a stratified division of its rows by a seed."""

import itertools
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np

from pipeline.data import checks, column_splits
from pipeline.data.containers import SPLIT_NAMES, Dataset, Shards, Split, Table
from pipeline.data.fingerprint import fingerprint
from pipeline.data.options import ROW_ORDER, SplitOptions
from pipeline.data.precision import in_model_dtypes
from pipeline.data.source import DataSource
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.overrides import shell_argument
from pipeline.spec import CLASS, MULTI_LABEL, DataSpec, Feature

KEPT, MERGED = -2, -1  # strata; no class has these indices


@dataclass(frozen=True, kw_only=True)
class SplitDataset:
    """A checked data set, ready for training.

    Attributes:
        spec: The spec of the rows of every split.
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
    def is_weighted(self) -> bool:
        """Whether the rows have weights."""
        return any(split.weights is not None for split in self.splits.values())

    @property
    def rows(self) -> dict[str, int]:
        """The number of rows of each split."""
        return {name: len(split) for name, split in self.splits.items()}


def read(source: DataSource, trained: DataSpec | None = None, keys: Collection[str] = ()) -> Dataset:
    """Read a data set, and bring its values into the dtypes that models take.

    Args:
        source: The data source.
        trained: The spec of the data that a model was trained on. If it is given, its dtypes are kept.
        keys: Columns to keep among the keys of the tables.

    Raises:
        DataError: The data cannot be read. The message names the file and the line or row.
    """
    with read_errors_explained():
        checks.check_paths(source)
        dataset = source.read_with_keys(keys)
    return in_model_dtypes(dataset, trained.features if trained else None)


@contextmanager
def read_errors_explained() -> Iterator[None]:
    """Re-raise an OSError of the block as a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"expected data that can be read; found: {error}. Check data.path.") from error


def load(source: DataSource, keys: Collection[str] = ()) -> SplitDataset:
    """Read a data set, divide it into splits, and check every row.

    Args:
        source: The data source.
        keys: Columns to keep among the keys of the tables.

    Raises:
        DataError: The data cannot be read, or a row is not valid. The message names the file and the row.
        ConfigError: There is no test split.
    """
    dataset = read(source, keys=keys)
    checks.check_labels(dataset, source)
    splits = divide(dataset, source.split)
    if "test" not in splits:
        raise ConfigError(
            f"data.split.test: expected a share above 0, since {dataset.location} has no test split of its own; "
            "found 0."
        )
    checks.check(dataset.spec, splits, source)
    if any(split.weights is not None for split in splits.values()):
        splits = {
            name: split if split.weights is not None else replace(split, weights=np.ones(len(split)))
            for name, split in splits.items()
        }
    return SplitDataset(
        spec=dataset.spec,
        train=splits["train"],
        validation=splits.get("validation"),
        test=splits["test"],
        fingerprint=fingerprint(dataset, source.split.keys),
    )


@dataclass(frozen=True, kw_only=True)
class MatchingDataset:
    """A data set with the features that a model was trained on.

    Attributes:
        source: The data source.
        dataset: The data set before it is divided.
        trained: The spec of the training data. Class labels are matched by name.
        fingerprint: The sha256 of the whole data set.
    """

    source: DataSource
    dataset: Dataset
    trained: DataSpec
    fingerprint: str

    def choose(self, *, own: bool) -> str:
        """Return the split to evaluate if the options name none.

        It is the test split of the training data and of data with splits of its own. Other data is not divided: all
        its rows are evaluated.

        Args:
            own: Whether this is the training data.

        Raises:
            DataError: The data has splits of its own, but no test split.
        """
        given = self.dataset.splits
        if own or "test" in given:
            return "test"
        if len(given) > 1:
            raise DataError(
                f"{self.dataset.location}: expected a test split, or data without splits of its own; found "
                f"{' and '.join(given)}. Choose one of them: evaluation.split={list(given)[-1]}, or drift.split for "
                "`drift`."
            )
        return "all"

    def split(self, name: str) -> Split:
        """Return the checked rows of one split, with the class indices of the training.

        Args:
            name: "train", "validation", "test", or "all" for all rows of data without splits of its own.

        Raises:
            DataError: There is no such split, its labels do not match the training, or a row is not valid.
        """
        if name == "all":
            rows = _all_rows(self.dataset)
        else:
            splits = divide(self.dataset, self.source.split)
            if name not in splits:
                raise DataError(
                    f"{self.dataset.location}: expected a {name} split; found {', '.join(splits)}. Choose one of them: "
                    "evaluation.split, or drift.split for `drift`."
                )
            rows = splits[name]
        checks.check_rows(self.dataset.spec, {name: rows}, self.source)
        return _with_class_indices(rows, self.dataset, trained=self.trained)


def read_matching(source: DataSource, spec: DataSpec, keys: Collection[str] = ()) -> MatchingDataset:
    """Read a data set for a model that was trained on data of this spec. Row weights need not be in it.

    Args:
        source: The data source.
        spec: The spec of the training data.
        keys: Columns to keep among the keys of the tables.

    Raises:
        DataError: The data cannot be read, or its features do not match the spec.
    """
    with read_errors_explained():
        source = source.without_absent_weights()
    dataset = read(source, spec, keys)
    check_features(dataset.spec.features, spec, source, location=dataset.location)
    return MatchingDataset(
        source=source, dataset=dataset, trained=spec, fingerprint=fingerprint(dataset, source.split.keys)
    )


def load_split(source: DataSource, split_name: str, spec: DataSpec) -> tuple[Split, str]:
    """Read one split of a data set, for a model that was trained on data of this spec.

    Args:
        source: The data source.
        split_name: As for `MatchingDataset.split`.
        spec: The spec of the training data.

    Returns:
        The split and the fingerprint of the whole data set.

    Raises:
        DataError: Features or labels do not match the spec, or a row breaks it.
    """
    data = read_matching(source, spec)
    return data.split(split_name), data.fingerprint


def check_features(found: Mapping[str, Feature], trained: DataSpec, source: DataSource, *, location: str) -> None:
    """Check that features are those that a model was trained on.

    Args:
        found: The features, by name.
        trained: The spec of the training data.
        source: The source that they were read from.
        location: The location of the data, for error messages.

    Raises:
        DataError: The features differ.
    """
    if found != trained.features:
        difference = _describe_difference(trained.features, found)
        raise DataError(f"{location}: {difference} {source.fix_of_features(trained)}".rstrip())


def divide(dataset: Dataset, options: SplitOptions) -> dict[str, Split]:
    """Return the splits of a data set by name. Splits that the data does not have are divided from its train split.

    Raises:
        DataError: A split is missing, and the train split cannot be divided since it is streamed; or the column of
            data.split.group or data.split.time does not exist, has no value in a row, or has too few different ones.
    """
    dataset = _with_given_splits(dataset, options)
    shares = {"validation": options.validation, "test": options.test}
    missing = {name: share for name, share in shares.items() if name not in dataset.splits and share > 0}
    train = dataset.splits["train"]
    _check_given(dataset, options)
    if not missing:
        return dict(dataset.splits)
    if isinstance(train, Shards):
        raise DataError(
            f"{dataset.location}: expected shards of every split; found none for {' and '.join(missing)}. A stream "
            "cannot be divided: write the shards again from data with these splits, or set data.split.validation=0."
        )
    strata = _strata(dataset.spec, train, options)
    if train.windows:
        rows = column_splits.assign_windows(train.windows.first, train.windows.last, missing)
    elif options.group:
        option = f"data.split.group={options.group}"
        groups = column_splits.index_groups(
            _key(dataset, train, options.group, option), row_location=train.row_location, option=option
        )
        rows = column_splits.assign_groups(groups, strata, missing, seed=options.seed, option=option)
    elif options.time:
        times = _times(dataset, train, options.time)
        rows = column_splits.assign_times(times, missing, gap=options.gap, option=f"data.split.time={options.time}")
    else:
        rows = assign(strata, missing, options.seed)
        _check_rows_left(rows, strata, dataset.location)
    return dict(dataset.splits) | {name: train.select(rows[name]) for name in rows}


def _with_given_splits(dataset: Dataset, options: SplitOptions) -> Dataset:
    """Return the data set with the splits that a column names, or with a fold as its test split.

    Raises:
        DataError: The data has splits of its own or is streamed; a row has no split name; or there are too few groups.
    """
    if not options.column and not options.fold:
        return dataset
    option = f"data.split.column={options.column}" if options.column else f"data.split.fold={options.fold}"
    train = dataset.splits["train"]
    if len(dataset.splits) > 1 or isinstance(train, Shards):
        raise DataError(
            f"{option}: expected data without splits of its own; found {', '.join(dataset.splits)} in "
            f"{dataset.location}. Leave the option out, or join the rows of all splits."
        )
    if options.column:
        names = _key(dataset, train, options.column, option)
        rows = column_splits.read_split_names(names, row_location=train.row_location, option=option)
    else:
        rows = _fold(dataset, train, options, option)
    return replace(dataset, splits={name: train.select(rows[name]) for name in rows})


def _fold(dataset: Dataset, table: Table, options: SplitOptions, option: str) -> dict[str, np.ndarray]:
    """Return the rows of the fold as "test" and all others as "train"."""
    number, folds = options.fold_of
    strata = _strata(dataset.spec, table, options)
    if options.group:
        group_option = f"data.split.group={options.group}"
        values = _key(dataset, table, options.group, group_option)
        groups = column_splits.index_groups(values, row_location=table.row_location, option=group_option)
        shares = {str(fold): 1 / folds for fold in range(1, folds)}
        fold_rows = column_splits.assign_groups(groups, strata, shares, seed=options.seed, option=group_option)
        test = [*fold_rows.values()][number - 1]
    elif folds > len(table):
        raise DataError(f"{option}: expected at most one fold per row; found {len(table)} rows. Set fewer folds.")
    else:
        test = np.flatnonzero(assign_folds(strata, folds, options.seed) == number - 1)
    return {"train": np.setdiff1d(np.arange(len(table)), test), "test": test}


def _check_rows_left(rows: Mapping[str, np.ndarray], strata: np.ndarray, location: str) -> None:
    """Check that no split is empty: the only row of a class stays in training."""
    counts = np.unique(strata, return_counts=True)[1]
    single = int(np.count_nonzero(counts == 1))
    empty = [name for name, chosen in rows.items() if not len(chosen)]
    if empty and single > 1:
        raise DataError(
            f"{location}: expected several rows per class; found {single:,} of {len(counts):,} classes with one row, "
            f"so that the {empty[0]} split is empty. Add rows of these classes, or remove the classes."
        )


def _key(dataset: Dataset, split: Split, name: str, option: str) -> np.ndarray:
    """Return a key column of a split, or a feature of one value per row: (rows,)."""
    columns = {} if isinstance(split, Shards) else dict(split.keys)
    for feature, column in {} if isinstance(split, Shards) else split.features.items():
        if isinstance(column, np.ndarray) and column.shape[1:] == (1,):
            columns.setdefault(feature, column[:, 0])
    if name not in columns:
        advice = nearest(name, columns) if columns else "This data has none: give the splits yourself."
        raise DataError(f"{option}: expected a column of {dataset.location} for the splits; found none. {advice}")
    return columns[name]


def _times(dataset: Dataset, split: Split, name: str) -> np.ndarray:
    """Return the time of each row: (rows,) float64."""
    option = f"data.split.time={name}"
    if name == ROW_ORDER:
        return np.arange(len(split), dtype=np.float64)
    return column_splits.read_times(_key(dataset, split, name, option), row_location=split.row_location, option=option)


def _check_given(dataset: Dataset, options: SplitOptions) -> None:
    """Check that the splits that the data gives keep groups together, or the order of time.

    Raises:
        DataError: They do not.
    """
    given = [(name, dataset.splits[name]) for name in SPLIT_NAMES if name in dataset.splits]
    for (name, split), (other_name, other) in itertools.combinations(given, 2):
        if options.group:
            option = f"data.split.group={options.group}"
            values, others = (_key(dataset, each, options.group, option).tolist() for each in (split, other))
            if common := sorted(set(map(str, values)) & set(map(str, others))):
                raise DataError(
                    f"{dataset.location}: expected the rows of each group in one split, since {option}; found "
                    f"{common[0]!r} and {len(common) - 1} more in both {name} and {other_name}. Move their rows into "
                    "one of them, or set data.split.group=''."
                )
        elif options.time and options.time != ROW_ORDER:
            last, first = _times(dataset, split, options.time).max(), _times(dataset, other, options.time).min()
            if last >= first:
                raise DataError(
                    f"{dataset.location}: expected the {name} split before the {other_name} split, since "
                    f"data.split.time={options.time}; found a row at {last:g} in {name} and one at {first:g} in "
                    f"{other_name}. Move the rows, or set data.split.time=''."
                )


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
        if other == label:
            labels[name] = split.labels[name]
            continue
        are_classes = other is not None and other.kind == label.kind and label.kind in (CLASS, MULTI_LABEL)
        if other is None or not are_classes:
            raise DataError(f"{location}: expected the label {name!r} as trained, {label}; found {other}.")
        unknown = sorted(set(other.classes) - set(label.classes))
        if unknown:
            raise DataError(
                f"{location}: expected classes of label {name!r} that were trained: {', '.join(label.classes[:20])}; "
                f"found also {', '.join(unknown[:20])}. Leave these rows out, or train with rows like them."
            )
        trained_index = np.array([label.classes.index(class_name) for class_name in other.classes])
        if label.kind == CLASS:
            labels[name] = trained_index[split.labels[name]]
        else:
            labels[name] = np.zeros((len(split), label.width), np.float32)
            labels[name][:, trained_index] = split.labels[name]
    return replace(split, labels=labels)


def _describe_difference(trained: Mapping[str, Feature], found: Mapping[str, Feature]) -> str:
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
        seed: The seed of the order of the rows.

    Returns:
        Split name -> sorted row indices.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    rows = {name: [np.empty(0, np.int64)] for name in ["train", *shares]}
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


def assign_folds(strata: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Return the fold of each row, from 0: (rows,) int64.

    The sizes of the folds differ by at most one row, and so do the rows of each stratum in them.

    Args:
        strata: (rows,) int64, the stratum of each row.
        folds: The number of folds.
        seed: The seed of the order of the rows.
    """
    shuffled = np.random.Generator(np.random.Philox(seed)).permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled], kind="stable")]
    fold = np.empty(len(strata), np.int64)
    fold[by_stratum] = np.arange(len(strata)) % folds
    return fold
