"""Data sets that Keras downloads."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.source import (
    DataError,
    Dataset,
    DataSource,
    Sequences,
    Table,
    class_label,
    describe,
    np,
    numbered_rows,
    option,
)
from pipeline.lazy import keras

DOWNLOAD_TIMEOUT = 10  # seconds without an answer
CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "imdb": ("negative", "positive"),
}  # fmt: skip


@dataclass
class KerasDataset(DataSource):
    """MNIST, Fashion-MNIST, CIFAR-10 or IMDB, which Keras downloads once into its cache.

    Example:
        make train data=keras data.name=cifar10 model=residual_cnn
    """

    name: str = option("mnist", "the data set", choices=tuple(CLASSES))
    vocabulary: int = option(10_000, "imdb: size of the vocabulary: the most frequent words", min=4)
    max_length: int = option(200, "imdb: number of tokens kept from the end of a review", min=1)

    def read(self) -> Dataset:
        """Return train and test: image (height, width, channels) uint8, or review (steps,) int32 of token IDs."""
        location = f"keras.datasets.{self.name}"
        is_text = self.name == "imdb"
        with _explain_failed_download(self.name):
            options = {"num_words": self.vocabulary} if is_text else {}
            arrays = getattr(keras.datasets, self.name).load_data(**options)
        label = "sentiment" if is_text else "label"
        splits = {
            split_name: Table(
                {"review": last_tokens(x, self.max_length)} if is_text else {"image": with_channels(x)},
                {label: y.reshape(-1).astype(np.int64)},
                numbered_rows(f"{location}, {split_name}"),
            )
            for split_name, (x, y) in zip(("train", "test"), arrays, strict=True)
        }
        return describe(splits, labels={label: class_label(CLASSES[self.name])}, location=location)


def last_tokens(reviews: np.ndarray, max_length: int) -> Sequences:
    """Return the last tokens of each review.

    Args:
        reviews: (rows,) of lists of token IDs.
        max_length: The number of tokens kept of a longer review.
    """
    kept = [tokens[-max_length:] for tokens in reviews]
    return Sequences.from_lengths(np.concatenate(kept).astype(np.int32), [len(tokens) for tokens in kept])


def with_channels(images: np.ndarray) -> np.ndarray:
    """Return images with an axis for channels: (rows, height, width, channels)."""
    return images if images.ndim == 4 else images[..., np.newaxis]


@contextmanager
def _explain_failed_download(name: str) -> Iterator[None]:
    """Limit the time that a download waits for an answer.

    Raises:
        DataError: The download failed. The message names the sources that work without internet.
    """
    cache = Path(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    except Exception as error:  # Keras raises bare Exception for a failed download
        raise DataError(
            f"keras.datasets.{name}: expected the file in Keras's cache ({cache}) or a download; found: {error}.\n"
            "Without internet, copy the files from another machine: data=idx data.path=FOLDER reads the MNIST family, "
            "data=npz data.path=FILE reads what numpy.savez wrote."
        ) from error
    finally:
        socket.setdefaulttimeout(before)
