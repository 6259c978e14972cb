"""The containers in which a data source returns its rows: feature columns, splits and the data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pipeline.lazy import np, tf
from pipeline.spec import DataSpec


@dataclass(frozen=True)
class Sequences:
    """A feature whose rows differ in length.

    Attributes:
        values: (steps of all rows, ...), the rows concatenated.
        offsets: (rows + 1,) int64. Row i is values[offsets[i] : offsets[i + 1]].
    """

    values: np.ndarray
    offsets: np.ndarray

    @classmethod
    def from_lengths(cls, values: np.ndarray, lengths: np.ndarray | list[int]) -> Sequences:
        """Return sequences of the given lengths.

        Args:
            values: (steps of all rows, ...), the rows concatenated.
            lengths: (rows,) integers, the number of steps of each row. Their sum is the number of values.
        """
        return cls(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        """The number of steps of each row: (rows,) int64."""
        return np.diff(self.offsets)

    def select(self, rows: np.ndarray | slice) -> Sequences:
        """Return the given rows, in the given order."""
        starts, lengths = self.offsets[:-1][rows], self.lengths[rows]
        new_starts = np.cumsum(lengths) - lengths
        steps = np.repeat(starts - new_starts, lengths) + np.arange(lengths.sum())
        return Sequences.from_lengths(self.values[steps], lengths)


@dataclass(frozen=True)
class Images:
    """A feature whose rows are PNG or JPEG files. A file is decoded each time its row is fetched.

    Attributes:
        paths: (rows,) of str.
        shape: (height, width, channels) after decoding.
        resize: Whether the images in the files may have another size, and are resized.
    """

    paths: np.ndarray
    shape: tuple[int, int, int]
    resize: bool

    def __len__(self) -> int:
        return len(self.paths)

    def select(self, rows: np.ndarray | slice) -> Images:
        """Return the given rows, in the given order."""
        return Images(self.paths[rows], self.shape, self.resize)

    def decode(self, path: tf.Tensor) -> tf.Tensor:
        """Return the pixels of one file, `shape` uint8; see `decode_image`."""
        return decode_image(path, self.shape, resize=self.resize)


def decode_image(path: tf.Tensor, shape: tuple[int | None, int | None, int], *, resize: bool) -> tf.Tensor:
    """Return the pixels of a PNG or JPEG file. It can be used in Dataset.map.

    Args:
        path: () string.
        shape: (height, width, channels); None is any height or width.
        resize: Whether an image of another size is resized, with bilinear interpolation and antialiasing.

    Returns:
        `shape` uint8.
    """
    image = tf.io.decode_image(tf.io.read_file(path), channels=shape[-1], expand_animations=False)
    if resize:
        image = tf.image.resize(image, shape[:2], antialias=True)
        image = tf.cast(tf.clip_by_value(tf.round(image), 0, 255), tf.uint8)
    return tf.ensure_shape(image, shape)


type FeatureColumn = np.ndarray | Sequences | Images
"""The values of one feature, rows first. Text is an array of dtype object."""


@dataclass(frozen=True)
class Table:
    """A split whose rows can be fetched by index.

    Attributes:
        features: By name; all have the same number of rows.
        labels: By name: (rows,) or (rows, width).
        row_location: Returns the location of a row for error messages: row_location(3) -> "people.csv, line 5".
    """

    features: Mapping[str, FeatureColumn]
    labels: dict[str, np.ndarray]
    row_location: Callable[[int], str]

    def __len__(self) -> int:
        return len(next(iter(self.labels.values())))

    def select(self, rows: np.ndarray) -> Table:
        """Return the given rows, in the given order.

        Args:
            rows: (n,) indices.
        """
        features = {
            name: column[rows] if isinstance(column, np.ndarray) else column.select(rows)
            for name, column in self.features.items()
        }
        labels = {name: column[rows] for name, column in self.labels.items()}
        return Table(features, labels, lambda row: self.row_location(int(rows[row])))

    @property
    def lengths(self) -> np.ndarray | None:
        """The number of steps of each row, (rows,) int64; None if all rows have the same shape."""
        for column in self.features.values():
            if isinstance(column, Sequences):
                return column.lengths
        return None


@dataclass(frozen=True, kw_only=True)
class Shards:
    """A split whose rows are streamed from TFRecord files, in the order of the files.

    Attributes:
        files: The paths.
        counts: The number of rows of each file.
        digests: The sha256 of each file.
        labels: By name, of all rows in order. They are kept in memory, and checked before training.
        lengths: (rows,) int64, the number of steps of each row; None if all rows have the same shape.
        shuffle_buffer: The number of rows that are shuffled together in training.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]
    digests: tuple[str, ...]
    labels: dict[str, np.ndarray]
    lengths: np.ndarray | None
    shuffle_buffer: int

    def __len__(self) -> int:
        return sum(self.counts)

    def row_location(self, row: int) -> str:
        """Return the location of a row for error messages: its file, and the index of its record from 0."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{self.files[file]}, record {row - ends[file] + self.counts[file]}"


Split = Table | Shards
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """A data set as its source returns it.

    Attributes:
        spec: Of the rows of every split.
        splits: "train", and "validation" and "test" if the data has them; otherwise they are divided from "train".
        location: The file or folder, for error messages.
    """

    spec: DataSpec
    splits: dict[str, Table] | dict[str, Shards]
    location: str
