"""The form in which every reader hands over its examples: rows that can be fetched by index, or shards that stream."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.spec import DataSpec


@dataclass(frozen=True)
class Sequences:
    """One feature whose rows differ in length, kept end to end.

    values: (steps of all rows, ...). offsets: (rows + 1,) int64; row i is values[offsets[i] : offsets[i + 1]].
    """

    values: np.ndarray
    offsets: np.ndarray

    def __len__(self):
        return len(self.offsets) - 1

    @property
    def lengths(self):
        """(rows,) int64: steps of each row."""
        return np.diff(self.offsets)

    def take(self, rows):
        lengths = self.lengths[rows]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        steps = np.repeat(self.offsets[rows] - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Sequences(self.values[steps], offsets)


@dataclass(frozen=True)
class Images:
    """One feature whose rows are image files, decoded only when they are fetched.

    paths: (rows,) of str. shape: (height, width, channels) after decoding. resize: whether a file may differ from it.
    """

    paths: np.ndarray
    shape: tuple[int, int, int]
    resize: bool

    def __len__(self):
        return len(self.paths)

    def take(self, rows):
        return Images(self.paths[rows], self.shape, self.resize)


@dataclass(frozen=True)
class Table:
    """Rows that can be fetched by index.

    features: by name, rows first. labels: by name, (rows,) or (rows, width).
    where: names the place of a row in its file, for error messages: where(3) -> "people.csv, line 5".
    """

    features: dict[str, np.ndarray | Sequences | Images]
    labels: dict[str, np.ndarray]
    where: Callable[[int], str]

    def __len__(self):
        return len(next(iter(self.labels.values())))

    def take(self, rows):
        """The table of these rows, in this order. rows: (n,) of indices."""
        features = {
            name: column[rows] if isinstance(column, np.ndarray) else column.take(rows)
            for name, column in self.features.items()
        }
        labels = {name: column[rows] for name, column in self.labels.items()}
        return Table(features, labels, lambda row: self.where(int(rows[row])))

    @property
    def lengths(self):
        """(rows,) int64: steps of each row; None where all rows are alike."""
        for column in self.features.values():
            if isinstance(column, Sequences):
                return column.lengths
        return None


@dataclass(frozen=True)
class Shards:
    """Rows that stream from TFRecord files, in the files' order.

    files: paths. counts: rows of each file. labels: by name, of all rows in order: small enough to keep, and what
    the checks before training look at. lengths: (rows,) int64 steps of each row, or None where all rows are alike.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]
    labels: dict[str, np.ndarray]
    lengths: np.ndarray | None

    def __len__(self):
        return sum(self.counts)

    def where(self, row):
        """The place of a row: its file and the record in it, counted from 0."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{self.files[file]}, record {row - ends[file] + self.counts[file]}"


@dataclass(frozen=True)
class Source:
    """What a reader returns.

    parts: the given splits among "train", "validation", "test"; "train" is always there, and what is not given is
    cut from it. place: the file or folder, for error messages.
    """

    spec: DataSpec
    parts: dict[str, Table | Shards]
    place: str
