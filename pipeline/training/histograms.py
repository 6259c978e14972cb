"""Histograms of arrays in a file that TensorBoard reads."""

import os
import socket
import time

import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DT_DOUBLE
from tensorboard.plugins.histogram.metadata import create_summary_metadata

BUCKETS = 30
METADATA = create_summary_metadata(None, None)
SHAPE = TensorShapeProto(dim=[TensorShapeProto.Dim(size=BUCKETS), TensorShapeProto.Dim(size=3)])


class HistogramFile:
    """A new file of events in a folder. Written record by record: one operation of tf.summary takes as long as a
    training step of a small model."""

    def __init__(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        self.records = tf.io.TFRecordWriter(str(folder / name))
        self._write(Event(file_version="brain.Event:2"))

    def add(self, step, arrays):
        """Add a histogram of each array. arrays: tag -> array."""
        values = [value(tag, array) for tag, array in arrays.items()]
        self._write(Event(step=step, summary=Summary(value=values)))

    def _write(self, event):
        event.wall_time = time.time()
        self.records.write(event.SerializeToString())
        self.records.flush()


def value(tag, array):
    """What TensorBoard's histogram_pb makes, which holds every number against every bucket to count them."""
    tensor = TensorProto(dtype=DT_DOUBLE, tensor_shape=SHAPE, tensor_content=buckets(array).tobytes())
    return Summary.Value(tag=tag, metadata=METADATA, tensor=tensor)


def buckets(array):
    """(BUCKETS, 3) float64: left edge, right edge and count of each bucket, alike in width, over the finite numbers."""
    values = array.ravel().astype(np.float32, copy=False)
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    if not np.isfinite(high - low):
        return buckets(values[np.isfinite(values)])
    places = np.minimum((values - low) * (BUCKETS / ((high - low) or 1.0)), BUCKETS - 1).astype(np.intp)
    edges = low + (high - low) / BUCKETS * np.arange(BUCKETS + 1)
    return np.stack([edges[:-1], edges[1:], np.bincount(places, minlength=BUCKETS)], axis=1)
