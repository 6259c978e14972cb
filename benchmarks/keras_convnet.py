"""Train the two-convolution network of Keras's examples on MNIST, in plain Keras, for the benchmark `convnet`.

python benchmarks/keras_convnet.py FOLDER EPOCHS

It uses nothing of the pipeline.
"""

import gzip
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

THREADS = 2  # as in the pipeline's hardware.threads


def main(folder: Path, epochs: int) -> None:
    """Train the network, then print its test accuracy. folder: The four gzipped idx files of MNIST."""
    tf.config.threading.set_intra_op_parallelism_threads(THREADS)
    tf.config.threading.set_inter_op_parallelism_threads(THREADS)
    x_train, y_train = read_split(folder, "train")
    x_test, y_test = read_split(folder, "t10k")
    model = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x_train, y_train, batch_size=128, epochs=epochs, validation_split=0.1, verbose=2)
    _, accuracy = model.evaluate(x_test, y_test, batch_size=128, verbose=0)
    print(f"test accuracy {accuracy:.4f}")


def read_split(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images, (rows, 28, 28, 1) float32 from 0 to 1, and labels, (rows,) int64, of "train" or "t10k"."""
    images = read_idx(folder / f"{name}-images-idx3-ubyte.gz", header=16).reshape(-1, 28, 28, 1)
    labels = read_idx(folder / f"{name}-labels-idx1-ubyte.gz", header=8)
    return images.astype("float32") / 255, labels.astype("int64")


def read_idx(path: Path, header: int) -> np.ndarray:
    """Return the values of a gzipped idx file after a header of so many bytes: (values,) uint8."""
    with gzip.open(path) as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
