"""The rows of a split as NumPy arrays, block by block, for what looks at data without training on it."""

import numpy as np
import tensorflow as tf

from pipeline.data import shards
from pipeline.data.containers import Images, Sequences, Shards
from pipeline.data.images import decode_image

ROWS = 8_192  # in memory at a time
IMAGES = 64  # decoded at a time
MOST_IMAGES = 10_000  # that are decoded for a look; of more, as many evenly spaced


def blocks(part, spec):
    """Yield (features, labels) of successive rows: name -> array with rows first, or Sequences.

    part: Table or Shards. Of images that lie on disk, MOST_IMAGES are looked at.
    """
    if isinstance(part, Shards):
        yield from from_shards(part, spec)
        return
    stored = any(isinstance(column, Images) for column in part.features.values())
    rows = np.arange(len(part))
    if stored and len(part) > MOST_IMAGES:
        rows = np.linspace(0, len(part) - 1, MOST_IMAGES).astype(np.int64)
    step = IMAGES if stored else ROWS
    for start in range(0, len(rows), step):
        table = part.take(rows[start : start + step])
        yield {name: decoded(column) for name, column in table.features.items()}, table.labels


def decoded(column):
    if not isinstance(column, Images):
        return column
    with tf.device("CPU"):
        return np.stack([decode_image(path, column.shape, column.resize).numpy() for path in column.paths])


def from_shards(part, spec):
    records = tf.data.TFRecordDataset(list(part.files)).map(shards.parse(spec), tf.data.AUTOTUNE, deterministic=True)
    for features, labels in records.ragged_batch(ROWS):
        yield (
            {name: as_column(value) for name, value in features.items()},
            {name: value.numpy() for name, value in labels.items()},
        )


def as_column(value):
    if isinstance(value, tf.RaggedTensor):
        return Sequences(value.values.numpy(), value.row_splits.numpy())
    array = value.numpy()
    return np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype == object else array
