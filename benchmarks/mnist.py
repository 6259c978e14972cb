"""MNIST for the benchmarks that need it: the given folder, or random images in files of the same format and size."""

import gzip
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROWS = {"train": 60_000, "t10k": 10_000}


@contextmanager
def files(folder: str | None) -> Iterator[str]:
    """Yield a folder with the four files of MNIST. folder: The given one; None writes random images to a new one."""
    if folder is not None:
        yield folder
        return
    print("data.path=FOLDER of MNIST was not given: using random images, which take as long")
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary))
        yield temporary


def write(folder: Path) -> None:
    """Write random images and labels as the four gzipped idx files of MNIST."""
    generator = np.random.default_rng(0)
    for name, rows in ROWS.items():
        images = generator.integers(0, 256, (rows, 28, 28), np.uint8)
        labels = generator.integers(0, 10, rows, np.uint8)
        for suffix, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
            with gzip.open(folder / f"{name}-{suffix}-ubyte.gz", "wb", compresslevel=1) as file:
                file.write(header + array.tobytes())
