"""Oversampling: rows of rare classes are repeated in the epochs of training."""

from __future__ import annotations

from pipeline.data.containers import Split, Table
from pipeline.errors import ConfigError
from pipeline.lazy import np
from pipeline.spec import CLASS, ONE_HOT, DataSpec

KEY = "data.oversample"


def oversample(split: Split, spec: DataSpec, *, share: float, seed: int) -> Split:
    """Return the rows of an epoch of training, in which every class has at least a share of the rows of the largest.

    Every row of a class is repeated equally often, give or take once. The result follows from the arguments alone.

    Args:
        split: The training split.
        spec: The spec of the rows.
        share: `data.oversample`; 0 repeats none.
        seed: Decides which rows are repeated once more than others of their class.

    Raises:
        ConfigError: The rows do not have one class each, or are streamed from shards.
    """
    if not share:
        return split
    if not isinstance(split, Table):
        raise ConfigError(
            f"{KEY}: expected rows in memory; found {type(split).__name__.lower()}, which are streamed. Remove "
            f"{KEY}, and set objective.class_weight=balanced."
        )
    labels = [name for name, label in spec.labels.items() if label.kind in (CLASS, ONE_HOT)]
    if len(labels) != 1 or split.labels[labels[0]].ndim != (1 if spec.labels[labels[0]].kind == CLASS else 2):
        kinds = ", ".join(f"{name} ({label.kind})" for name, label in spec.labels.items())
        raise ConfigError(f"{KEY}: expected one label with one class per row; found {kinds}. Remove {KEY}.")
    values = split.labels[labels[0]]
    return split.select(repeated_rows(values if values.ndim == 1 else values.argmax(axis=1), share=share, seed=seed))


def repeated_rows(classes: np.ndarray, *, share: float, seed: int) -> np.ndarray:
    """Return the indices of the rows of an epoch, in increasing order: (n,) int64.

    Args:
        classes: (rows,) class indices.
        share: Rows of each class per row of the largest class, at least.
        seed: As for `oversample`.
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(classes)
    wanted = np.maximum(counts, np.ceil(share * counts.max()).astype(int))
    members = [random.permutation(np.flatnonzero(classes == index)) for index in np.flatnonzero(counts)]
    return np.sort(np.concatenate([np.resize(rows, wanted[classes[rows[0]]]) for rows in members]))
