"""The number of the epoch, for the data of the `fit` engine."""

from typing import Any, override

import keras
import tensorflow as tf


class EpochClock(keras.callbacks.Callback):
    """Keeps a variable at the number of the epoch, counted from 0. A dataset reads it when an iteration starts."""

    def __init__(self) -> None:
        super().__init__()
        with tf.device("CPU"):  # in main memory, beside the data that reads it
            self.epoch = tf.Variable(tf.constant(0, tf.int64), trainable=False)

    @override
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.assign(epoch)
