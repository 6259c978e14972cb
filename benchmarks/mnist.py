"""MNIST for the benchmarks that need it: the user's folder, or made-up images in files of the same form and size."""

import gzip
import tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROWS = {"train": 60_000, "t10k": 10_000}


@contextmanager
def files(folder):
    """A folder of MNIST's four files while the block runs. folder: the user's, or None to make images up."""
    if folder is not None:
        yield folder
        return
    print("no data.path=FOLDER of MNIST was given: on made-up images, which take as long")
    with tempfile.TemporaryDirectory() as made_up:
        write(Path(made_up))
        yield made_up


def write(folder):
    numbers = np.random.default_rng(0)
    for name, rows in ROWS.items():
        images = numbers.integers(0, 256, (rows, 28, 28), np.uint8)
        labels = numbers.integers(0, 10, rows, np.uint8)
        for suffix, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            with gzip.open(folder / f"{name}-{suffix}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(header + array.tobytes())
