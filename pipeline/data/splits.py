"""Which row goes into which split: given by the data, or a stratified cut that is a pure function of the seed."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.data import checks, readers
from pipeline.data.containers import Shards, Table
from pipeline.data.fingerprint import fingerprint
from pipeline.errors import ConfigError, DataError
from pipeline.spec import CLASS, DataSpec

KEPT, MERGED = -2, -1  # no class has these numbers


@dataclass(frozen=True)
class Data:
    """A checked data set, ready to be fed.

    validation: None where data.split.validation is 0. fingerprint: sha256 of all that was read.
    """

    spec: DataSpec
    train: Table | Shards
    validation: Table | Shards | None
    test: Table | Shards
    fingerprint: str

    @property
    def parts(self):
        """The splits there are, by name."""
        return {name: part for name, part in vars(self).items() if isinstance(part, Table | Shards)}

    @property
    def rows(self):
        """Rows of each split by name."""
        return {name: len(part) for name, part in self.parts.items()}


def load(config):
    """Read a data set, cut the splits that it does not give, and check every row.

    config: a member of config.GROUPS["data"]. Raises DataError naming file and place, before anything is trained;
    ConfigError where no row is left for the test.
    """
    source = readers.read(config)
    parts = cut(source, config.split)
    if "test" not in parts:
        raise ConfigError(
            f"data.split.test: expected a share of the rows above 0, since {source.place} gives no test split; found 0."
        )
    checks.check(source.spec, parts, config)
    return Data(source.spec, parts["train"], parts.get("validation"), parts["test"], fingerprint(source))


def load_part(config, split, spec):
    """One split of a data set, for a model that was trained on a set of this spec. Returns (part, fingerprint).

    config: a member of config.GROUPS["data"]. split: "train", "validation", "test" or "all". Class labels are matched
    by name. Raises DataError where features or labels are others, or a row is not fit.
    """
    source = readers.read(config)
    if split == "all":
        part = whole(source)
    else:
        parts = cut(source, config.split)
        if split not in parts:
            raise DataError(f"{source.place}: expected a {split} split; found {', '.join(parts)}.")
        part = parts[split]
    checks.check_rows(source.spec, {split: part}, config)
    return matched(part, source.spec, spec, source.place), fingerprint(source)


def whole(source):
    """All rows of a source that gives no splits."""
    if len(source.parts) > 1:
        raise DataError(
            f"{source.place}: expected data without splits, since all of its rows are asked for; it gives "
            f"{', '.join(source.parts)}. Take one of them: evaluation.split, for `drift` drift.split."
        )
    return source.parts["train"]


def matched(part, found, expected, place):
    """The part with its classes numbered as the expected spec numbers them. Raises DataError where the specs differ."""
    if found.features != expected.features:
        raise DataError(f"{place}: expected the features {expected.features}; found {found.features}.")
    if found.labels == expected.labels:
        return part
    labels = {}
    for name, label in expected.labels.items():
        other = found.labels.get(name)
        unknown = set(other.classes) - set(label.classes) if other and other.kind == label.kind else None
        if unknown is None or unknown or label.kind != CLASS:
            raise DataError(f"{place}: expected the label {name!r} as trained, {label}; found {other}.")
        numbers = np.array([label.classes.index(known) for known in other.classes])
        labels[name] = numbers[part.labels[name]]
    return replace(part, labels=labels)


def cut(source, split):
    """The parts of a source with those that are missing cut from "train". Returns name -> Table or Shards."""
    shares = {"validation": split.validation, "test": split.test}
    missing = {name: share for name, share in shares.items() if name not in source.parts and share > 0}
    train = source.parts["train"]
    if not missing:
        return dict(source.parts)
    if isinstance(train, Shards):
        raise DataError(
            f"{source.place}: expected shards of every split, found none for {' and '.join(missing)}. A stream cannot "
            "be cut: write the shards again from data that has them, or set data.split.validation=0."
        )
    return dict(source.parts) | {
        name: train.take(rows) for name, rows in assign(strata(source.spec, train, split), missing, split.seed).items()
    }


def strata(spec, table, split):
    """(rows,) int64: the stratum of each row: its class in the first label with a class a row, else 0 for all."""
    for name, label in spec.labels.items():
        if split.stratify and label.kind == CLASS and label.shape == ():
            return table.labels[name]
    return np.zeros(len(table), np.int64)


def merge_small(strata, share):
    """Strata where those with less than a row for `share` are one stratum, and the first row of each is kept apart.

    Returns ((rows,) int64, rows kept apart), which are marked KEPT.
    """
    _, first, inverse, counts = np.unique(strata, return_index=True, return_inverse=True, return_counts=True)
    small = counts * share < 1
    kept = first[small]
    merged = np.where(small[inverse], MERGED, strata)
    merged[kept] = KEPT
    return merged, kept


def assign(strata, shares, seed):
    """Share out rows, stratum by stratum, in an order that only the seed decides.

    strata: (rows,) int64. shares: split -> share of all rows; the rest is "train". Each split gets its share of each
    stratum to within one row; strata too small for that share it out together, each with a row in "train".
    Returns split -> sorted row indices.
    """
    generator = np.random.Generator(np.random.Philox(seed))
    rows = {name: [] for name in ["train", *shares]}
    strata, kept = merge_small(strata, min(shares.values()))
    rows["train"].append(kept)
    for stratum in np.setdiff1d(strata, KEPT):
        members = generator.permutation(np.flatnonzero(strata == stratum))
        count = len(members) + (len(kept) if stratum == MERGED else 0)
        ends = np.minimum(np.rint(np.cumsum([0.0, *shares.values()]) * count).astype(int), len(members))
        for name, start, end in zip(shares, ends, ends[1:]):
            rows[name].append(members[start:end])
        rows["train"].append(members[ends[-1] :])
    return {name: np.sort(np.concatenate(pieces)) for name, pieces in rows.items()}
