"""A callback that gives the number of the epoch to the data of the `fit` engine."""

from typing import Any, override

import keras
import tensorflow as tf


class EpochClock(keras.callbacks.Callback):
    """Sets a variable to the number of the current epoch, counted from 0.

    The dataset reads the variable at the start of each iteration over it.
    """

    def __init__(self) -> None:
        super().__init__()
        with tf.device("CPU"):  # in main memory, since the dataset that reads it runs on the CPU
            self.epoch = tf.Variable(tf.constant(0, tf.int64), trainable=False)

    @override
    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.epoch.assign(epoch)
