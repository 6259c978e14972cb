"""Oversampling: rows of rare classes are repeated in the epochs of training."""

from __future__ import annotations

from pipeline.data.containers import Split, Table
from pipeline.errors import ConfigError
from pipeline.lazy import np
from pipeline.spec import CLASS, ONE_HOT, DataSpec

KEY = "data.oversample"


def oversample(split: Split, spec: DataSpec, *, share: float, seed: int) -> Split:
    """Return the rows of a training epoch, in which every class has at least `share` of the rows of the largest class.

    The numbers of repetitions of two rows of a class differ by at most one. Equal arguments give equal results.

    Args:
        split: The training split.
        spec: The spec of the rows.
        share: The value of `data.oversample`; 0 repeats no rows.
        seed: Decides which rows of a class are repeated once more than the others.

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
        share: The smallest number of rows of a class, divided by the number of rows of the largest class.
        seed: As for `oversample`.
    """
    random = np.random.default_rng(seed)
    counts = np.bincount(classes)
    wanted = np.maximum(counts, np.ceil(share * counts.max()).astype(int))
    members = [random.permutation(np.flatnonzero(classes == index)) for index in np.flatnonzero(counts)]
    return np.sort(np.concatenate([np.resize(rows, wanted[classes[rows[0]]]) for rows in members]))
