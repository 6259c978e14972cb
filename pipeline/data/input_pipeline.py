"""From rows to batches: the order of an epoch, buckets of like length, padding, and tf.data underneath.

A batch is (x, y) or (x, y, weights): x is a tensor, or a dict of tensors where the data has several features; y the
same for labels; weights (batch,) float32. The order is a pure function of (seed, epoch), so an epoch can be gone
through again, from any step on.
"""

import math
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.data.containers import Images, Sequences, Shards, Split, Table
from pipeline.data.records import record_parser
from pipeline.data.source import DataSource
from pipeline.spec import PADDING, DataSpec

BUCKETS = 4  # made where the config names none
ADAPT_BATCH = 4_096  # rows, or steps, at a time while a layer takes its statistics, and fewer
ADAPT_NUMBERS = 1 << 24  # where they would be more numbers than these, 64 MiB
SHARDS_AT_ONCE = 4  # files read in turn, so that rows of several meet in the shuffle buffer
AHEAD = 8  # batches of gathered rows that wait for their step

# What makes a dataset is decorated with it: none of its functions branches on a tensor, and having AutoGraph rewrite
# them took half of what a run needs from the built model to its first step.
as_written = tf.autograph.experimental.do_not_convert


@dataclass(frozen=True)
class TrainingFeed:
    """The training split as batches, epoch by epoch.

    split: Table or Shards. config: a config.Data. weights: label name -> (classes,) float32, or None.
    """

    split: Split
    spec: DataSpec
    config: DataSource
    batch_size: int
    seed: int
    weights: dict[str, np.ndarray] | None = None

    @property
    def steps(self):
        """Batches in one epoch: every length bucket ends with one that may be short."""
        return count_steps(self.split, self.config, self.batch_size)

    @property
    def full_steps(self):
        """How many of an epoch's batches, from its first on, are sure to be full and of one shape."""
        return 0 if self.split.lengths is not None else len(self.split) // self.batch_size

    @as_written
    def batches(self, epoch, first_step=0):
        """The batches of one epoch, from `first_step` on, as a tf.data.Dataset that carries its cardinality.

        epoch: an int, or a tf.Variable read anew by each iteration, so that one dataset serves every epoch.
        """
        index = tf.data.Dataset.range(1).flat_map(lambda _: self._index(epoch))
        return self._finish(index, first_step, self.steps)

    @as_written
    def stream(self, first_epoch, first_step, epochs):
        """The batches of all epochs up to `epochs`, end to end: cheaper than an iteration of `batches` for each.

        first_epoch, first_step: where it begins.
        """
        index = tf.data.Dataset.range(first_epoch, epochs).flat_map(self._index)
        return self._finish(index, first_step, (epochs - first_epoch) * self.steps)

    def _index(self, epoch):
        key = tf.stack([tf.constant(self.seed, tf.int64), tf.convert_to_tensor(epoch, tf.int64)])
        boundaries = bucket_boundaries(self.split, self.config)
        key = key if self.config.shuffle else None
        return _index(self.split, self.spec, self.config, self.batch_size, boundaries, key)

    def _finish(self, index, first_step, steps):
        boundaries = bucket_boundaries(self.split, self.config)
        return _finish(index.skip(first_step), self.split, self.spec, boundaries, steps - first_step, self.weights)


@as_written
def ordered_batches(split, spec, config, batch_size, weights=None):
    """All rows of a split in their own order, for evaluation: row i of what comes out is row i of the split."""
    boundaries = () if split.lengths is None else (int(split.lengths.max()),)
    dataset = _index(split, spec, config, batch_size, (), None)
    return _finish(dataset, split, spec, boundaries, -(-len(split) // batch_size), weights)


@as_written
def feature_batches(split, spec, name):
    """The values of one feature over all rows of a split, batched, without labels and without padding.

    Rows of different lengths come end to end as (1, steps, ...).
    """
    if isinstance(split, Shards):
        values = tf.data.TFRecordDataset(list(split.files)).map(lambda record: record_parser(spec)(record)[0][name])
        return values.batch(1 if spec.features[name].variable_length else adapt_batch(spec.features[name].shape))
    match split.features[name]:
        case Sequences(values=steps):
            runs = tf.data.Dataset.from_tensor_slices(_on_host(steps)).batch(adapt_batch(steps.shape[1:]))
            return runs.map(lambda run: run[tf.newaxis])
        case column:
            rows = tf.data.Dataset.range(len(split)).batch(adapt_batch(spec.features[name].shape))
            return rows.map(_column(column, ()))


def adapt_batch(shape):
    """Rows at a time of this shape, while a layer takes its statistics."""
    return max(1, min(ADAPT_BATCH, ADAPT_NUMBERS // max(1, math.prod(shape))))


def count_steps(split, config, batch_size):
    """Batches in one epoch of a split, shuffled into the buckets of its lengths."""
    boundaries = bucket_boundaries(split, config)
    if not boundaries:
        return -(-len(split) // batch_size)
    counts = np.bincount(np.searchsorted(boundaries, split.lengths))
    return int(np.sum(-(-counts // batch_size)))


def bucket_boundaries(split, config):
    """Upper bounds of the length buckets, in steps; () where all rows are alike. The last holds the longest row."""
    if split.lengths is None:
        return ()
    longest = int(split.lengths.max())
    bounds = config.buckets or np.quantile(split.lengths, np.arange(1, BUCKETS) / BUCKETS, method="higher").tolist()
    return tuple(sorted({int(bound) for bound in bounds if bound < longest} | {longest}))


def _index(split, spec, config, batch_size, boundaries, key):
    """Batches of what `_fetch` takes: row numbers of a table, records of shards.

    key: (seed, epoch) that the order follows, or None for the rows' own.
    """
    if isinstance(split, Shards):
        dataset = _records(split, config, key)
    else:
        rows = tf.range(len(split), dtype=tf.int64)
        rows = rows if key is None else tf.random.experimental.stateless_shuffle(rows, key)
        dataset = tf.data.Dataset.from_tensor_slices(rows)
    if not boundaries:
        return dataset.batch(batch_size)
    return dataset.bucket_by_sequence_length(
        _length_of(split, spec),
        [bound + 1 for bound in boundaries[:-1]],  # tf.data's bounds are exclusive
        [batch_size] * len(boundaries),
    )


def _length_of(split, spec):
    if isinstance(split, Shards):
        parse = record_parser(spec)
        feature = next(name for name, feature in spec.features.items() if feature.variable_length)
        return lambda record: tf.shape(parse(record)[0][feature])[0]
    lengths = _on_host(split.lengths.astype(np.int32))
    return lambda row: tf.gather(lengths, row)


def _records(split, config, key):
    """Serialized rows of shards: the files in an order of the epoch, and the rows of each buffer in one.

    Dataset.shuffle takes no seed that is a tensor, which that of an epoch is.
    """
    if key is None:
        return tf.data.TFRecordDataset(list(split.files))

    def shuffled(number, buffer):
        return tf.random.experimental.stateless_shuffle(buffer, tf.random.experimental.stateless_fold_in(key, number))

    files = tf.gather(
        tf.constant(split.files), tf.random.experimental.stateless_shuffle(tf.range(len(split.files)), key)
    )
    return (
        tf.data.Dataset.from_tensor_slices(files)
        .interleave(tf.data.TFRecordDataset, cycle_length=SHARDS_AT_ONCE)
        .batch(config.shuffle_buffer)
        .enumerate()
        .flat_map(lambda number, buffer: tf.data.Dataset.from_tensor_slices(shuffled(number, buffer)))
    )


def _finish(dataset, split, spec, boundaries, steps, weights):
    fetch = _fetch(split, spec, boundaries)

    def batch(index):
        features, labels = fetch(index)
        x = {name: tf.ensure_shape(features[name], (None, *item.shape)) for name, item in spec.features.items()}
        y = {name: tf.ensure_shape(labels[name], (None, *item.shape)) for name, item in spec.labels.items()}
        if weights is None:
            return _alone(x), _alone(y)
        return _alone(x), _alone(y), _alone({name: tf.gather(weights[name], y[name]) for name in weights})

    options = tf.data.Options()
    options.deterministic = True
    # rows of arrays are gathered in less time than it takes to wake threads for that, or to tune how many
    gathered = is_gathered(split)
    options.autotune.enabled = not gathered
    return (
        dataset.map(batch, num_parallel_calls=None if gathered else tf.data.AUTOTUNE)
        .apply(tf.data.experimental.assert_cardinality(steps))
        .prefetch(AHEAD if gathered else tf.data.AUTOTUNE)
        .with_options(options)
    )


def is_gathered(split):
    """Whether every column of a split is an array, whose rows need no decoding and no padding."""
    return isinstance(split, Table) and all(isinstance(column, np.ndarray) for column in split.features.values())


def _alone(named):
    """The value of a dict of one, since Keras takes a lone input or label bare; a dict of several as it is."""
    return next(iter(named.values())) if len(named) == 1 else named


def _fetch(split, spec, boundaries):
    """A function from a batch of the index to (features, labels), dicts of batched tensors."""
    if isinstance(split, Shards):
        parse = record_parser(spec)
        ragged = {name for name, feature in spec.features.items() if feature.variable_length}

        def from_records(records):
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
            return {
                name: _pad(value, boundaries) if name in ragged else value for name, value in features.items()
            }, labels

        return from_records

    columns = {name: _column(column, boundaries) for name, column in split.features.items()}
    labels = {name: _on_host(column) for name, column in split.labels.items()}

    def from_rows(rows):
        return (
            {name: column(rows) for name, column in columns.items()},
            {name: tf.gather(column, rows) for name, column in labels.items()},
        )

    return from_rows


def _column(column, boundaries):
    """A function from row numbers (n,) to the rows of one feature, stacked or padded."""
    match column:
        case Sequences():
            ragged = tf.RaggedTensor.from_row_splits(_on_host(column.values), _on_host(column.offsets), validate=False)
            return lambda rows: _pad(tf.gather(ragged, rows), boundaries)
        case Images():
            paths = _on_host(column.paths)
            return lambda rows: tf.map_fn(column.decode, tf.gather(paths, rows), fn_output_signature=tf.uint8)
        case _:
            values = _on_host(column)
            return lambda rows: tf.gather(values, rows)


def _pad(ragged, boundaries):
    """A dense batch, each row padded to the smallest boundary that holds the longest of them."""
    longest = tf.reduce_max(ragged.row_lengths())
    bounds = tf.constant(boundaries, tf.int64)
    width = tf.reduce_min(tf.boolean_mask(bounds, bounds >= longest))
    dense = ragged.to_tensor(PADDING)
    beyond = [[0, 0], [0, width - longest]] + [[0, 0]] * (len(dense.shape) - 2)
    return tf.pad(dense, beyond, constant_values=PADDING)


def _on_host(array):
    """The array as a tensor in main memory: batches are cut there, also when the model trains on a GPU."""
    with tf.device("CPU"):
        return tf.constant(array)
