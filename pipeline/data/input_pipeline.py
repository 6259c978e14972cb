"""Batches of a split as tf.data: the order of an epoch, length buckets, padding.

A batch is (x, y) or (x, y, weights). x is a tensor, or a dict of tensors if the data has several features; y likewise
for labels. The weights are (batch,) float32 for each label: those of the rows, or else those of their classes. The
order of an epoch is a pure function of (seed, epoch), so that an epoch can be repeated, and resumed at any step.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.data.containers import Images, Sequences, Shards, Split, Table
from pipeline.data.records import record_parser, record_weights
from pipeline.data.source import DataSource
from pipeline.layer_names import by_layer_name
from pipeline.spec import DataSpec

BUCKETS = 4  # length buckets if the config sets none
ADAPT_BATCH = 4_096  # most rows, or steps, in a batch that a layer adapts to
ADAPT_NUMBERS = 1 << 24  # most numbers in such a batch: 64 MiB of float32
SHARDS_AT_ONCE = 4  # files read in turn, so that rows of several files meet in the shuffle buffer
PREFETCHED = 8  # batches of gathered rows that wait for their step

stateless = tf.random.experimental  # pyrefly: ignore[missing-attribute]  # lazily loaded, so the checker misses it

# For functions that build datasets: none of them branches on a tensor, and rewriting them by AutoGraph took half of the
# time from the built model to its first step.
without_autograph = tf.autograph.experimental.do_not_convert

type Batched = dict[str, tf.Tensor]
"""Feature or label name -> batch of values, rows first."""


@dataclass(frozen=True, kw_only=True)
class TrainingFeed:
    """The training split as batches, epoch by epoch.

    Attributes:
        split: The rows.
        spec: The spec of the rows.
        source: The options of the data: shuffle and buckets.
        batch_size: Rows of a full batch.
        seed: Decides the order, together with the epoch.
        weights: Label name -> (classes,) float32, the weight of a row of each class; None for batches without them.
            They are not used for rows with weights of their own.
    """

    split: Split
    spec: DataSpec
    source: DataSource
    batch_size: int
    seed: int
    weights: Mapping[str, np.ndarray] | None = None

    @property
    def steps(self) -> int:
        """The number of batches in an epoch. The last batch of every length bucket may be short."""
        lengths = self.split.lengths
        if lengths is None:
            return -(-len(self.split) // self.batch_size)
        counts = np.bincount(np.searchsorted(self.boundaries, lengths))
        return int(np.sum(-(-counts // self.batch_size)))

    @property
    def boundaries(self) -> tuple[int, ...]:
        """The upper bounds of the length buckets; see `bucket_boundaries`."""
        return bucket_boundaries(self.split, self.source)

    @property
    def full_steps(self) -> int:
        """The number of batches from the start of an epoch that are full and of one shape for certain."""
        return 0 if self.split.lengths is not None else len(self.split) // self.batch_size

    @without_autograph
    def batches(self, epoch: int | tf.Variable, first_step: int = 0) -> tf.data.Dataset:
        """Return the batches of one epoch from `first_step` on, with their cardinality.

        Args:
            epoch: A number, or a variable that is read at the start of each iteration, so that one dataset serves every
                epoch.
            first_step: The number of batches to skip.
        """
        index = tf.data.Dataset.range(1).flat_map(lambda _: self._index(epoch))
        return self._assemble(index.skip(first_step), self.steps - first_step)

    @without_autograph
    def stream(self, *, first_epoch: int, first_step: int, epochs: int) -> tf.data.Dataset:
        """Return the batches of all remaining epochs in a row, which takes less time than one dataset per epoch.

        Args:
            first_epoch: The epoch to begin with.
            first_step: The number of its batches to skip.
            epochs: The number of epochs of the run, those before `first_epoch` included.
        """
        index = tf.data.Dataset.range(first_epoch, epochs).flat_map(self._index)
        return self._assemble(index.skip(first_step), (epochs - first_epoch) * self.steps - first_step)

    def _index(self, epoch: int | tf.Variable | tf.Tensor) -> tf.data.Dataset:
        key = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(epoch, tf.int64)])
        return _index(
            self.split,
            self.spec,
            batch_size=self.batch_size,
            boundaries=self.boundaries,
            key=key if self.source.shuffle else None,
        )

    def _assemble(self, index: tf.data.Dataset, steps: int) -> tf.data.Dataset:
        return _assemble(index, self.split, self.spec, boundaries=self.boundaries, steps=steps, weights=self.weights)


@without_autograph
def ordered_batches(split: Split, spec: DataSpec, batch_size: int) -> tf.data.Dataset:
    """Return the batches (x, y), or (x, y, weights), of a split in the order of its rows, with their cardinality."""
    boundaries = () if split.lengths is None else (int(split.lengths.max()),)
    index = _index(split, spec, batch_size=batch_size, boundaries=(), key=None)
    return _assemble(index, split, spec, boundaries=boundaries, steps=-(-len(split) // batch_size))


@without_autograph
def feature_batches(split: Split, spec: DataSpec, name: str) -> tf.data.Dataset:
    """Return the values of one feature over all rows of a split, in batches without padding and without labels.

    Args:
        split: The rows.
        spec: The spec of the rows.
        name: The name of the feature.

    Returns:
        Batches (rows, *shape); of a feature of variable length (1, steps, ...), with the rows concatenated.
    """
    feature = spec.features[name]
    if isinstance(split, Shards):
        values = tf.data.TFRecordDataset(list(split.files)).map(lambda record: record_parser(spec)(record)[0][name])
        return values.batch(1 if feature.variable_length else _adapt_batch(feature.fixed_shape))
    match split.features[name]:
        case Sequences(values=steps):
            runs = tf.data.Dataset.from_tensor_slices(_on_cpu(steps)).batch(_adapt_batch(feature.fixed_shape))
            return runs.map(lambda run: run[tf.newaxis])
        case column:
            rows = tf.data.Dataset.range(len(split)).batch(_adapt_batch(feature.fixed_shape))
            return rows.map(_fetch_column(column, (), feature.padding))


def _adapt_batch(shape: Sequence[int]) -> int:
    """Return the number of rows of this shape in a batch that a layer adapts to."""
    return max(1, min(ADAPT_BATCH, ADAPT_NUMBERS // max(1, math.prod(shape))))


def bucket_boundaries(split: Split, source: DataSource) -> tuple[int, ...]:
    """Return the upper bounds of the length buckets in steps, increasing; () if all rows have the same shape.

    The last bound is the length of the longest row.
    """
    if split.lengths is None:
        return ()
    longest = int(split.lengths.max())
    bounds = source.buckets or np.quantile(split.lengths, np.arange(1, BUCKETS) / BUCKETS, method="higher").tolist()
    return tuple(sorted({int(bound) for bound in bounds if bound < longest} | {longest}))


# ---- the order: batches of row indices, or of serialized records ----------------------------------------------------


def _index(
    split: Split,
    spec: DataSpec,
    *,
    batch_size: int,
    boundaries: tuple[int, ...],
    key: tf.Tensor | None,
) -> tf.data.Dataset:
    """Return batches of row indices (batch,) int64 of a table, or of records (batch,) string of shards.

    Args:
        split: The rows.
        spec: The spec of the rows.
        batch_size: Rows of a full batch.
        boundaries: As from `bucket_boundaries`; () for batches of rows of any length.
        key: (2,) int64, seed and epoch, which decide the order; None for the order of the split.
    """
    if isinstance(split, Shards):
        dataset = _records(split, key)
    else:
        rows = tf.range(len(split), dtype=tf.int64)
        rows = rows if key is None else stateless.stateless_shuffle(rows, key)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
    if not boundaries:
        return dataset.batch(batch_size)
    return dataset.bucket_by_sequence_length(
        _length_of(split, spec),
        [bound + 1 for bound in boundaries[:-1]],  # tf.data's bounds are exclusive
        [batch_size] * len(boundaries),
    )


def _length_of(split: Split, spec: DataSpec) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from an element of the index, before batching, to its number of steps."""
    if isinstance(split, Shards):
        parse = record_parser(spec)
        feature = next(name for name, feature in spec.features.items() if feature.variable_length)
        return lambda record: tf.shape(parse(record)[0][feature])[0]
    lengths = _on_cpu(np.asarray(split.lengths, np.int32))
    return lambda row: tf.gather(lengths, row)


def _records(split: Shards, key: tf.Tensor | None) -> tf.data.Dataset:
    """Return the records of shards, one by one: () string.

    With a key, the order of the files and the order in each shuffle buffer follow from it. Dataset.shuffle cannot do
    this: its seed is not a tensor, unlike the number of an epoch.
    """
    if key is None:
        return tf.data.TFRecordDataset(list(split.files))

    def shuffled(number: tf.Tensor, buffer: tf.Tensor) -> tf.data.Dataset:
        buffer = stateless.stateless_shuffle(buffer, stateless.stateless_fold_in(key, number))
        return tf.data.Dataset.from_tensor_slices(buffer)

    files = tf.gather(tf.constant(split.files), stateless.stateless_shuffle(tf.range(len(split.files)), key))
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .interleave(tf.data.TFRecordDataset, cycle_length=SHARDS_AT_ONCE)
        .batch(split.shuffle_buffer)
        .enumerate()
        .flat_map(shuffled)  # pyrefly: ignore[bad-argument-type]  # the stub does not know that pairs are unpacked
    )


# ---- the batches: rows fetched, padded and named --------------------------------------------------------------------


def _assemble(
    index: tf.data.Dataset,
    split: Split,
    spec: DataSpec,
    *,
    boundaries: tuple[int, ...],
    steps: int,
    weights: Mapping[str, np.ndarray] | None = None,
) -> tf.data.Dataset:
    """Turn batches of the index into batches of values.

    Args:
        index: Batches as from `_index`.
        split: The rows.
        spec: The spec of the rows.
        boundaries: The lengths that rows are padded to; () if all rows have the same shape.
        steps: The number of batches.
        weights: As for TrainingFeed.
    """
    fetch = _fetch_records(spec, boundaries) if isinstance(split, Shards) else _fetch_rows(split, spec, boundaries)
    fetch_weights = None if split.weights is None else _fetch_weights(split, split.weights)

    def batch(rows: tf.Tensor) -> tuple[tf.Tensor | Batched, ...]:
        features, labels = fetch(rows)
        x = {name: tf.ensure_shape(features[name], (None, *item.shape)) for name, item in spec.features.items()}
        y = {name: tf.ensure_shape(labels[name], (None, *item.shape)) for name, item in spec.labels.items()}
        if fetch_weights is not None:
            row_weights = dict.fromkeys(y, fetch_weights(rows))
        elif weights is not None:
            row_weights = {name: weights_of_classes(weights[name], y[name]) for name in weights}
        else:
            return _unwrap_single(x), _unwrap_single(y)
        return _unwrap_single(x), _unwrap_single(y), _unwrap_single(row_weights)

    options = tf.data.Options()
    options.deterministic = True
    # gathering rows of arrays takes less time than waking threads for it, or tuning their number
    gathered = _is_gathered(split)
    options.autotune.enabled = not gathered
    return (
        index.map(batch, num_parallel_calls=None if gathered else tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(PREFETCHED if gathered else tf.data.AUTOTUNE)
        .with_options(options)
    )


def weights_of_classes(weights: np.ndarray, labels: tf.Tensor) -> tf.Tensor:
    """Return the weight of the class of each row: (batch,) float32.

    Args:
        weights: (classes,) float32, the weight of a row of each class.
        labels: (batch,) class indices, or (batch, classes), of which the largest counts.
    """
    return tf.gather(weights, labels if labels.shape.rank == 1 else tf.argmax(labels, axis=-1))


def _fetch_weights(split: Split, weights: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from batches of the index to the weights of their rows, (batch,) float32."""
    if isinstance(split, Shards):
        return lambda records: tf.cast(record_weights(records), tf.float32)
    column = _on_cpu(weights.astype(np.float32))
    return lambda rows: tf.gather(column, rows)


def _is_gathered(split: Split) -> bool:
    """Return whether every feature of a split is an array, whose rows need no decoding and no padding."""
    return isinstance(split, Table) and all(isinstance(column, np.ndarray) for column in split.features.values())


def _unwrap_single(values: Batched) -> tf.Tensor | Batched:
    """Return the only value of a dict, since Keras takes a single input or label bare; else the dict by layer name."""
    return next(iter(values.values())) if len(values) == 1 else by_layer_name(values)


def _fetch_records(spec: DataSpec, boundaries: tuple[int, ...]) -> Callable[[tf.Tensor], tuple[Batched, Batched]]:
    """Return a function from records (batch,) string to (features, labels)."""
    parse = record_parser(spec)
    ragged = {name for name, feature in spec.features.items() if feature.variable_length}

    def fetch(records: tf.Tensor) -> tuple[Batched, Batched]:
        signature = (
            {
                name: tf.RaggedTensorSpec(feature.shape, feature.dtype, ragged_rank=0)
                if name in ragged
                else tf.TensorSpec(feature.shape, feature.dtype)
                for name, feature in spec.features.items()
            },
            {name: tf.TensorSpec(label.shape, label.dtype) for name, label in spec.labels.items()},
        )
        features, labels = tf.map_fn(parse, records, fn_output_signature=signature)
        padded = {
            name: _pad(value, boundaries, spec.features[name].padding) if name in ragged else value
            for name, value in features.items()
        }
        return padded, labels

    return fetch


def _fetch_rows(
    table: Table, spec: DataSpec, boundaries: tuple[int, ...]
) -> Callable[[tf.Tensor], tuple[Batched, Batched]]:
    """Return a function from row indices (batch,) int64 to (features, labels)."""
    columns = {
        name: _fetch_column(column, boundaries, spec.features[name].padding) for name, column in table.features.items()
    }
    labels = {name: _on_cpu(column) for name, column in table.labels.items()}
    return lambda rows: (
        {name: fetch(rows) for name, fetch in columns.items()},
        {name: tf.gather(column, rows) for name, column in labels.items()},
    )


def _fetch_column(
    column: np.ndarray | Sequences | Images, boundaries: tuple[int, ...], padding: float
) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function from row indices (batch,) int64 to the rows of one feature, stacked or padded."""
    match column:
        case Sequences():
            from_splits = tf.RaggedTensor.from_row_splits  # pyrefly: ignore[missing-attribute]  # absent from the stub
            ragged = from_splits(_on_cpu(column.values), _on_cpu(column.offsets), validate=False)
            return lambda rows: _pad(tf.gather(ragged, rows), boundaries, padding)
        case Images():
            files = [_on_cpu(values) for values in column.files]

            def decode(rows: tf.Tensor) -> tf.Tensor:
                taken = [tf.gather(values, rows) for values in files]
                return tf.map_fn(lambda file: column.decode(*file), taken, fn_output_signature=column.dtype)

            return decode
        case _:
            values = _on_cpu(column)
            return lambda rows: tf.gather(values, rows)


def _pad(ragged: tf.RaggedTensor, boundaries: tuple[int, ...], padding: float) -> tf.Tensor:
    """Return a dense batch, its rows padded to the smallest boundary that holds the longest of them."""
    longest = tf.reduce_max(ragged.row_lengths())
    bounds = tf.constant(boundaries, tf.int64)
    width = tf.reduce_min(tf.boolean_mask(bounds, bounds >= longest))
    dense = ragged.to_tensor(padding)
    added = [[0, 0], [0, width - longest]] + [[0, 0]] * (len(dense.shape) - 2)
    return tf.pad(dense, added, constant_values=padding)


def _on_cpu(array: np.ndarray) -> tf.Tensor:
    """Return an array as a tensor in main memory: batches are gathered there also if the model trains on a GPU."""
    with tf.device("CPU"):
        return tf.constant(array)
