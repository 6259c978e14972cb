"""The containers in which a data source returns its rows: feature columns, splits and the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from pipeline.data.image_files import PLAIN, Encoding, decode_image, pixel_dtype
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
    """A feature whose rows are image files. A file is decoded each time its row is fetched.

    Attributes:
        paths: (rows,) of str.
        shape: (height, width, channels) after decoding.
        resize: Whether the images in the files may have another size, and are resized.
        bits: 8 for pixels from 0 to 255, 16 for pixels from 0 to 65535.
        background: Red, green and blue, 0 to 255, behind transparent pixels.
        encodings: How the files are stored, without repetition.
        encoding_indices: (rows,) integers, the encoding of each file; None if all have the first one.
    """

    paths: np.ndarray
    shape: tuple[int, int, int]
    resize: bool
    bits: int = 8
    background: tuple[int, int, int] = (255, 255, 255)
    encodings: tuple[Encoding, ...] = (PLAIN,)
    encoding_indices: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def dtype(self) -> str:
        """The dtype of the pixels."""
        return pixel_dtype(self.bits)

    @property
    def files(self) -> tuple[np.ndarray, np.ndarray]:
        """What `decode` takes, of all rows: (rows,) of str and (rows,) int32."""
        indices = np.zeros(len(self), np.int32) if self.encoding_indices is None else self.encoding_indices
        return self.paths, indices.astype(np.int32)

    def select(self, rows: np.ndarray | slice) -> Images:
        """Return the given rows, in the given order."""
        indices = None if self.encoding_indices is None else self.encoding_indices[rows]
        return replace(self, paths=self.paths[rows], encoding_indices=indices)

    def pixels(self, row: int) -> np.ndarray:
        """Return the pixels of one row, `shape` uint8 or float32."""
        index = 0 if self.encoding_indices is None else self.encoding_indices[row]
        with tf.device("CPU"):
            return self._decode_as(self.encodings[index], self.paths[row]).numpy()

    def decode(self, path: tf.Tensor, encoding_index: tf.Tensor) -> tf.Tensor:
        """Return the pixels of one file, `shape` uint8 or float32. Uses TensorFlow operations only, for Dataset.map.

        Args:
            path: () string.
            encoding_index: () int32.
        """
        if len(self.encodings) == 1:
            return self._decode_as(self.encodings[0], path)
        ways = [partial(self._decode_as, encoding, path) for encoding in self.encodings]
        return tf.switch_case(encoding_index, ways)

    def _decode_as(self, encoding: Encoding, path: tf.Tensor | str) -> tf.Tensor:
        return decode_image(
            path, encoding, shape=self.shape, resize=self.resize, bits=self.bits, background=self.background
        )


type FeatureColumn = np.ndarray | Sequences | Images
"""The values of one feature, rows first. Text is an array of dtype object."""


@dataclass(frozen=True)
class Windows:
    """The predicted times and the baselines of rows that are windows of a series; see `pipeline.data.table_windows`.

    Attributes:
        first: (rows,) float64, the time of the first predicted line.
        last: (rows,) float64, the time of the last predicted line.
        baselines: Name of a simple forecast -> (rows, horizon), its predictions of the label.
    """

    first: np.ndarray
    last: np.ndarray
    baselines: Mapping[str, np.ndarray]

    def select(self, rows: np.ndarray) -> Windows:
        """Return the given rows, (n,) indices, in the given order."""
        baselines = {name: values[rows] for name, values in self.baselines.items()}
        return Windows(self.first[rows], self.last[rows], baselines)


@dataclass(frozen=True)
class Table:
    """A split whose rows can be fetched by index.

    Attributes:
        features: By name; all have the same number of rows.
        labels: By name: (rows,) or (rows, width).
        row_location: Returns the location of a row for error messages: row_location(3) -> "people.csv, line 5".
        keys: By name, (rows,): columns that data.split.group and data.split.time may name. The model does not get them.
        ids: (rows,) numbers or text that identify the rows in predictions; None: numbers from 0. They are neither
            features nor in the fingerprint.
        windows: The times and baselines of rows that are windows of a series; None for other rows.
        weights: (rows,) float32 or float64, how much each row counts in losses and scores; None: every row counts once.
    """

    features: Mapping[str, FeatureColumn]
    labels: dict[str, np.ndarray]
    row_location: Callable[[int], str]
    keys: Mapping[str, np.ndarray] = field(default_factory=dict)
    ids: np.ndarray | None = None
    windows: Windows | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter((*self.labels.values(), *self.features.values()))))

    @property
    def row_ids(self) -> np.ndarray:
        """The identity of each row: (rows,) numbers or text."""
        return np.arange(len(self)) if self.ids is None else self.ids

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
        keys = {name: column[rows] for name, column in self.keys.items()}
        windows = None if self.windows is None else self.windows.select(rows)
        weights = None if self.weights is None else self.weights[rows]
        return Table(
            features,
            labels,
            lambda row: self.row_location(int(rows[row])),
            keys,
            self.row_ids[rows],
            windows,
            weights,
        )

    @property
    def lengths(self) -> np.ndarray | None:
        """The number of steps of each row, (rows,) int64; None if all rows have the same shape."""
        for column in self.features.values():
            if isinstance(column, Sequences):
                return column.lengths
        return None


def in_chunks(table: Table, rows: int) -> Iterator[Table]:
    """Yield tables of `rows` rows; the last one may be shorter."""
    for start in range(0, len(table), rows):
        yield table if len(table) <= rows else table.select(np.arange(start, min(start + rows, len(table))))


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
        weights: (rows,) float64, as for Table. The records hold them too.
    """

    files: tuple[str, ...]
    counts: tuple[int, ...]
    digests: tuple[str, ...]
    labels: dict[str, np.ndarray]
    lengths: np.ndarray | None
    shuffle_buffer: int
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return sum(self.counts)

    @property
    def row_ids(self) -> np.ndarray:
        """The identity of each row, (rows,) of str: the name of its file, and the index of its record from 0."""
        names = [f"{Path(file).name}:{row}" for file, count in zip(self.files, self.counts) for row in range(count)]
        return np.array(names, object)

    def row_location(self, row: int) -> str:
        """Return the location of a row for error messages: its file, and the index of its record from 0."""
        ends = np.cumsum(self.counts)
        file = int(np.searchsorted(ends, row, side="right"))
        return f"{self.files[file]}, record {row - ends[file] + self.counts[file]}"


Split = Table | Shards
SPLIT_NAMES = ("train", "validation", "test")


@dataclass(frozen=True)
class Dataset:
    """A data set as its source returns it. Its arrays may be wider than the dtypes of the spec until it is loaded.

    Attributes:
        spec: The spec of the rows of every split.
        splits: "train", and "validation" and "test" if the data has them; otherwise they are divided from "train".
        location: The file or folder, for error messages.
    """

    spec: DataSpec
    splits: dict[str, Table] | dict[str, Shards]
    location: str
