"""idx files, the format of the MNIST family.

Format: http://yann.lecun.com/exdb/mnist (magic 00 00 dtype rank, big-endian sizes, values).
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple, override

from pipeline.data.source import (
    READ,
    ConfigError,
    DataError,
    Dataset,
    DataSource,
    Table,
    class_label,
    describe,
    np,
    numbered_classes,
    numbered_rows,
    option,
    to_feature_dtype,
)
from pipeline.errors import nearest
from pipeline.runtime import machine_memory

CODES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAX_DIMENSIONS = 4  # rows, height, width, channels
CHUNK = 1 << 16  # bytes decompressed at a time
GZIP_MAGIC = b"\x1f\x8b"


@dataclass
class Idx(DataSource):
    """idx files, the format of the MNIST family, gzipped or not.

    Example:
        make train data=idx data.path=FOLDER model=cnn
    """

    path: str = option("", "folder of the four files", required=True, path=READ)
    train_images: str = option("train-images-idx3-ubyte", "file in `path`, with or without .gz")
    train_labels: str = option("train-labels-idx1-ubyte", "file in `path`, with or without .gz")
    test_images: str = option("t10k-images-idx3-ubyte", "file in `path`, with or without .gz; '' if there is none")
    test_labels: str = option("t10k-labels-idx1-ubyte", "file in `path`, with or without .gz; '' if there is none")
    classes: int | None = option(
        10, "number of classes; null takes the labels that occur in training, in numeric order, such as 1 to 26", min=2
    )

    @override
    def check(self) -> None:
        super().check()
        if bool(self.test_images) != bool(self.test_labels):
            raise ConfigError(
                "data.test_images and data.test_labels: expected two files, or '' for both; found only one. "
                "Set the other one too."
            )

    def read(self) -> Dataset:
        """Return train, and test if its files are named: image (height, width, 1) and label."""
        splits = {"train": self._read_split(self.train_images, self.train_labels)}
        if self.test_images:
            splits["test"] = self._read_split(self.test_images, self.test_labels)
        names, labels = numbered_classes(
            {name: split.labels["label"] for name, split in splits.items()},
            self.classes,
            location=self.path,
            row_locations={name: split.row_location for name, split in splits.items()},
        )
        splits = {name: replace(split, labels={"label": labels[name]}) for name, split in splits.items()}
        return describe(splits, labels={"label": class_label(names)}, location=self.path)

    def _read_split(self, images_name: str, labels_name: str) -> Table:
        images_path, labels_path = find_file(Path(self.path), images_name), find_file(Path(self.path), labels_name)
        images = _read_array(images_path, dimensions=3, content="images")
        labels = _read_array(labels_path, dimensions=1, content="labels")
        if labels.dtype.kind not in "iu":
            raise DataError(
                f"{labels_path}, byte 2: expected whole numbers for labels; found {labels.dtype.name}. "
                "Check data.train_labels and data.test_labels."
            )
        if len(images) != len(labels):
            raise DataError(
                f"{labels_path}, byte 4: expected {len(images):,} labels, one per image of {images_path.name}; "
                f"found {len(labels):,}. The two files do not belong together."
            )
        column = to_feature_dtype(images[..., np.newaxis], str(images_path))
        return Table({"image": column}, {"label": labels.astype(np.int64)}, numbered_rows(str(labels_path)))


def find_file(folder: Path, name: str) -> Path:
    """Return the path of a file, with or without .gz.

    Raises:
        DataError: Neither exists.
    """
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    present = [path.name for path in folder.iterdir()]
    raise DataError(f"{folder / name}: expected this file, or it with .gz; found neither. {nearest(name, present)}")


def _read_array(path: Path, *, dimensions: int, content: str) -> np.ndarray:
    array = read_idx(path)
    if array.ndim != dimensions:
        raise DataError(
            f"{path}, byte 3: expected {content}, an array of {dimensions} dimensions; found {array.ndim}. "
            "Are images and labels swapped in data.train_images, data.train_labels, ...?"
        )
    return array


# ---- the file format ------------------------------------------------------------------------------------------------


class Header(NamedTuple):
    """The header of an idx file.

    Attributes:
        dtype: The dtype of the values, big-endian.
        shape: The shape of the array.
        start: The byte of the first value.
    """

    dtype: np.dtype
    shape: tuple[int, ...]
    start: int


def read_idx(path: Path) -> np.ndarray:
    """Return the array of one idx file, big-endian as stored. A file that is not gzipped stays on disk.

    The memory allocated is bounded by the size of the file, whatever its header claims.

    Raises:
        DataError: The file is not idx, or its size differs from its header. The message names the byte.
    """
    with path.open("rb") as file:
        if file.read(len(GZIP_MAGIC)) == GZIP_MAGIC:
            return _read_gzipped(path)
        file.seek(0)
        header = _read_header(file, path)
    _check_size(path, header, path.stat().st_size)
    return np.memmap(path, header.dtype, "r", header.start, header.shape)


def _read_gzipped(path: Path) -> np.ndarray:
    try:
        with gzip.open(path) as stream:
            header = _read_header(stream, path)
            claimed = prod(header.shape) * header.dtype.itemsize
            machine_memory.check_fits(claimed, str(path))
            content = bytearray()
            # in chunks, since read(claimed) would allocate the claim; one more byte shows whether the file is too long
            while chunk := stream.read(min(CHUNK, claimed + 1 - len(content))):
                content += chunk
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a whole gzip file; found a damaged one ({error}). Copy it again.") from error
    _check_size(path, header, header.start + len(content))
    return np.frombuffer(content, header.dtype).reshape(header.shape)


def _read_header(stream: BinaryIO | gzip.GzipFile, path: Path) -> Header:
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0":
        start = magic.hex(" ") or "an empty file"
        raise DataError(
            f"{path}, byte 0: expected an idx file, which begins with 00 00; found {start}. Check data.path and the "
            "names of the files."
        )
    code, dimensions = magic[2:]
    if dimensions > MAX_DIMENSIONS:
        raise DataError(
            f"{path}, byte 3: expected at most {MAX_DIMENSIONS} dimensions; found {dimensions}. "
            "Check that the file holds images or labels."
        )
    if code not in CODES:
        known = ", ".join(f"{known:02x}" for known in CODES)
        raise DataError(
            f"{path}, byte 2: expected the code of an idx dtype ({known}); found {code:02x}. Copy the file again."
        )
    sizes = stream.read(4 * dimensions)
    if len(sizes) < 4 * dimensions:
        raise DataError(
            f"{path}, byte {4 + len(sizes)}: expected the sizes of {dimensions} dimensions; found the end of the file. "
            "Copy it again."
        )
    shape = struct.unpack(f">{dimensions}I", sizes)
    if 0 in shape:
        raise DataError(
            f"{path}, byte 4: expected sizes of at least 1; found {' x '.join(map(str, shape))}. Copy the file again."
        )
    return Header(np.dtype(CODES[code]), shape, 4 + 4 * dimensions)


def _check_size(path: Path, header: Header, size: int) -> None:
    """Compare the number of bytes with the header. If the file is too long, `size` need only be one byte too many."""
    expected = header.start + prod(header.shape) * header.dtype.itemsize
    claim = (
        f"expected {expected:,} bytes, since the header claims {' x '.join(map(str, header.shape))} values of "
        f"{header.dtype.itemsize} byte"
    )
    if size < expected:
        raise DataError(f"{path}, byte {size}: {claim}; found the end of the file after {size:,}. Copy it again.")
    if size > expected:
        raise DataError(f"{path}, byte {expected}: {claim}; found more bytes after that. Copy it again.")
