"""The rows of a split as NumPy arrays, block by block, for statistics and checks."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.data.containers import FeatureColumn, Images, Sequences, Shards, Split
from pipeline.data.records import record_parser
from pipeline.spec import DataSpec

ROWS_PER_BLOCK = 8_192
IMAGES_PER_BLOCK = 64  # decoded from files
MAX_IMAGES = 10_000  # decoded from files in total

type Block = tuple[dict[str, np.ndarray | Sequences], dict[str, np.ndarray]]
"""Features and labels of some rows, by name, rows first."""


def blocks(split: Split, spec: DataSpec) -> Iterator[Block]:
    """Yield the rows of a split, block by block.

    If there are more than MAX_IMAGES images on disk, only that number of evenly spaced ones is decoded.
    """
    if isinstance(split, Shards):
        yield from shard_blocks(split, spec, ROWS_PER_BLOCK)
        return
    on_disk = any(isinstance(column, Images) for column in split.features.values())
    rows = np.arange(len(split))
    if on_disk and len(split) > MAX_IMAGES:
        rows = np.linspace(0, len(split) - 1, MAX_IMAGES).astype(np.int64)
    step = IMAGES_PER_BLOCK if on_disk else ROWS_PER_BLOCK
    for start in range(0, len(rows), step):
        table = split.select(rows[start : start + step])
        yield {name: _decoded(column) for name, column in table.features.items()}, table.labels


def _decoded(column: FeatureColumn) -> np.ndarray | Sequences:
    if not isinstance(column, Images):
        return column
    return np.stack([column.pixels(row) for row in range(len(column))])


def shard_blocks(split: Shards, spec: DataSpec, rows: int) -> Iterator[Block]:
    """Yield the rows of shards in blocks of `rows` rows; the last block may be shorter."""
    records = tf.data.TFRecordDataset(list(split.files)).map(record_parser(spec), tf.data.AUTOTUNE, deterministic=True)
    for features, labels in records.ragged_batch(rows):
        yield (
            {name: _to_column(value) for name, value in features.items()},
            {name: value.numpy() for name, value in labels.items()},
        )


def _to_column(value: tf.Tensor | tf.RaggedTensor) -> np.ndarray | Sequences:
    if isinstance(value, tf.RaggedTensor):
        return Sequences(value.values.numpy(), value.row_splits.numpy())
    array = value.numpy()
    return np.vectorize(bytes.decode, otypes=[object])(array) if array.dtype == object else array
