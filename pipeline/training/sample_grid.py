"""A picture of what a generator makes, every few epochs."""

import keras
import numpy as np
import tensorflow as tf

from pipeline.files import atomic_write

ROWS = 5
LEAST_SIDE = 28  # pixels of one image; smaller ones are enlarged


class SampleGrid(keras.callbacks.Callback):
    """Writes epoch-00001.png and then one every `every` epochs into a folder: a column a class, the same random numbers
    each time. The darkest value of a picture is black, the brightest white."""

    def __init__(self, folder, every):
        super().__init__()
        self.folder = folder
        self.every = every

    def on_epoch_end(self, epoch, logs=None):
        if epoch and (epoch + 1) % self.every:
            return
        self.folder.mkdir(exist_ok=True)
        with atomic_write(self.folder / f"epoch-{epoch + 1:05d}.png") as file:
            file.write(as_png(self.model.samples(ROWS)))


def as_png(images):
    """The bytes of one picture. images: (rows, columns, height, width) or with 1 or 3 channels behind."""
    images = images[..., np.newaxis] if images.ndim == 4 else images
    rows, columns, height, width, channels = images.shape
    sheet = images.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    sheet = (sheet - sheet.min()) / max(np.ptp(sheet), 1e-12)
    times = -(-LEAST_SIDE // min(height, width))
    sheet = np.rint(255 * sheet).astype(np.uint8).repeat(times, axis=0).repeat(times, axis=1)
    return tf.io.encode_png(sheet).numpy()
