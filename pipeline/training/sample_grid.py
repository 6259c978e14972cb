"""Write a grid of generated images every few epochs."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.files import atomic_write
from pipeline.layers.generative_adversarial_network import GenerativeAdversarialNetwork

ROWS = 5
MIN_SIDE = 28  # pixels of one image; smaller ones are enlarged


class SampleGrid(keras.callbacks.Callback):
    """Writes a grid of generated images after the first epoch and then every few epochs: epoch-00001.png.

    Each column holds the images of one class. Every grid uses the same random numbers.
    """

    def __init__(self, network: GenerativeAdversarialNetwork, folder: Path, every: int) -> None:
        """Create the callback.

        Args:
            network: The model that generates the images.
            folder: The folder of the files. It is created.
            every: The number of epochs between two files.
        """
        super().__init__()
        self.network = network
        self.folder = folder
        self.every = every

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Write the file of this epoch if it is due."""
        if epoch and (epoch + 1) % self.every:
            return
        self.folder.mkdir(exist_ok=True)
        with atomic_write(self.folder / f"epoch-{epoch + 1:05d}.png") as file:
            file.write(as_png(self.network.samples(ROWS)))


def as_png(images: np.ndarray) -> bytes:
    """Return a grid of images as one PNG. The smallest value is black and the largest one white.

    Args:
        images: (rows, columns, height, width), or with 1 or 3 channels at the end.
    """
    images = images[..., np.newaxis] if images.ndim == 4 else images
    rows, columns, height, width, channels = images.shape
    sheet = images.swapaxes(1, 2).reshape(rows * height, columns * width, channels)
    sheet = (sheet - sheet.min()) / max(np.ptp(sheet), 1e-12)
    scale = -(-MIN_SIDE // min(height, width))
    sheet = np.rint(255 * sheet).astype(np.uint8).repeat(scale, axis=0).repeat(scale, axis=1)
    return tf.io.encode_png(sheet).numpy()
