"""idx files, the format of the MNIST family."""

import gzip
import struct
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz.csv_files import other_kind
from fuzz.grammar import Format, cut, flip_bytes, splice

from pipeline.data.sources.idx import Idx

IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"
TEST_IMAGES, TEST_LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
FILES = (IMAGES, LABELS, TEST_IMAGES, TEST_LABELS)
CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def write(folder: Path) -> None:
    """Write 40 training and 12 test images of 4 x 5 pixels, of two classes."""
    for images, labels, rows in ((IMAGES, LABELS, 40), (TEST_IMAGES, TEST_LABELS, 12)):
        _write(folder / images, np.arange(rows * 20).reshape(rows, 4, 5) % 101, "u1")
        _write(folder / labels, np.arange(rows) % 2, "u1")


IDX = Format("idx", Idx, {"path": ".", "classes": 2}, write)


def _header(code: int, shape: tuple[int, ...]) -> bytes:
    return struct.pack(f">HBB{len(shape)}I", 0, code, len(shape), *shape)


def _write(path: Path, array: np.ndarray, dtype: str) -> None:
    path.write_bytes(_header(CODES[dtype], array.shape) + array.astype(f">{dtype}").tobytes())


def _read(path: Path) -> np.ndarray:
    content = path.read_bytes()
    shape = struct.unpack_from(f">{content[3]}I", content, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * content[3]).reshape(shape)


@IDX.wrong
def cut_file(random: Random, folder: Path) -> None:
    cut(random, folder / random.choice(FILES))


@IDX.wrong
def longer_file(random: Random, folder: Path) -> None:
    with (folder / random.choice(FILES)).open("ab") as file:
        file.write(random.randbytes(random.randrange(1, 20)))


@IDX.wrong
def other_header(random: Random, folder: Path) -> None:
    path = folder / random.choice(FILES)
    content = bytearray(path.read_bytes())
    at = random.randrange(4)
    content[at] = random.choice([value for value in (0, 1, 2, 4, 5, 10, 11, 14, 255) if value != content[at]])
    path.write_bytes(content)


@IDX.wrong
def other_size_in_the_header(random: Random, folder: Path) -> None:
    path = folder / random.choice(FILES)
    content = bytearray(path.read_bytes())
    at = 4 + 4 * random.randrange(content[3])
    (size,) = struct.unpack_from(">I", content, at)
    struct.pack_into(">I", content, at, random.choice([0, size - 1, size + 1, 2**31, 2**32 - 1]))
    path.write_bytes(content)


@IDX.wrong
def other_number_of_labels(random: Random, folder: Path) -> None:
    name = random.choice([LABELS, TEST_LABELS])
    _write(folder / name, np.arange(len(_read(folder / name)) + random.choice([-1, 1, 9])) % 2, "u1")


@IDX.wrong
def label_that_is_no_class(random: Random, folder: Path) -> None:
    path = folder / random.choice([LABELS, TEST_LABELS])
    labels = _read(path).astype(np.int32)
    labels[random.randrange(len(labels))] = random.choice([2, 10, -1, 2**31 - 1, -(2**31)])
    _write(path, labels, "i4")


@IDX.wrong
def labels_of_decimals(random: Random, folder: Path) -> None:
    _write(folder / LABELS, _read(folder / LABELS), random.choice(["f4", "f8"]))


@IDX.wrong
def not_finite_pixel(random: Random, folder: Path) -> None:
    images = _read(folder / IMAGES).astype(np.float64)
    images.reshape(-1)[random.randrange(images.size)] = random.choice([np.nan, np.inf, -np.inf])
    _write(folder / IMAGES, images, random.choice(["f4", "f8"]))


@IDX.wrong
def swapped_files(random: Random, folder: Path) -> None:
    first, second = random.choice([(IMAGES, LABELS), (TEST_IMAGES, TEST_LABELS), (LABELS, TEST_LABELS)])
    content = (folder / first).read_bytes()
    (folder / first).write_bytes((folder / second).read_bytes())
    (folder / second).write_bytes(content)


@IDX.wrong
def damaged_gzip(random: Random, folder: Path) -> None:
    path = folder / random.choice(FILES)
    content = bytearray(gzip.compress(path.read_bytes()))
    damage = random.choice(["cut", "check sum", "method"])
    if damage == "cut":
        content = content[: random.randrange(2, len(content))]
    else:
        content[2 if damage == "method" else -random.randrange(1, 9)] ^= 0x55
    path.write_bytes(content)


@IDX.wrong
def larger_than_memory(random: Random, folder: Path) -> None:
    """Announce a terabyte that the file has, as a hole."""
    path = folder / random.choice(FILES)
    shape = (1 << 30, 32, 32) if "idx3" in path.name else (1 << 31, 512)[:1]
    header = _header(CODES["f8" if "idx3" in path.name else "i4"], shape)
    path.write_bytes(header)
    with path.open("ab") as file:
        file.truncate(len(header) + int(np.prod(shape, dtype=object)) * (8 if "idx3" in path.name else 4))


@IDX.wrong
def missing_file(random: Random, folder: Path) -> None:
    (folder / random.choice(FILES)).unlink()


@IDX.wrong
def no_regular_file(random: Random, folder: Path) -> None:
    path = folder / random.choice(FILES)
    path.unlink()
    other_kind(random, path)


@IDX.wrong
def file_for_a_folder(random: Random, folder: Path) -> dict[str, Any]:
    return {"path": random.choice([IMAGES, "nothing", f"{IMAGES}/..", "x" * 300])}


@IDX.right
def gzipped(random: Random, folder: Path) -> None:
    for name in random.sample(FILES, random.randrange(1, 5)):
        path = folder / name
        content = gzip.compress(path.read_bytes(), random.randrange(10))
        path.unlink()
        path.with_name(random.choice([name, f"{name}.gz"])).write_bytes(content)


@IDX.right
def another_dtype_of_labels(random: Random, folder: Path) -> None:
    path = folder / random.choice([LABELS, TEST_LABELS])
    _write(path, _read(path), random.choice(["i1", "i2", "i4"]))


@IDX.right
def another_dtype_of_images(random: Random, folder: Path) -> None:
    dtype = random.choice(["f4", "f8", "i2", "i4"])
    for name in (IMAGES, TEST_IMAGES):
        _write(folder / name, _read(folder / name), dtype)


@IDX.right
def further_files(random: Random, folder: Path) -> None:
    (folder / random.choice(["notes.txt", ".hidden", "größe"])).write_bytes(random.randbytes(9))


@IDX.any
def changed_bytes(random: Random, folder: Path) -> None:
    for _ in range(random.randrange(1, 4)):
        random.choice([flip_bytes, splice])(random, folder / random.choice(FILES))


@IDX.any
def changed_gzip(random: Random, folder: Path) -> None:
    path = folder / random.choice(FILES)
    path.write_bytes(gzip.compress(path.read_bytes()))
    random.choice([flip_bytes, splice, cut])(random, path)


@IDX.any
def other_options(random: Random, folder: Path) -> dict[str, Any]:
    options = {
        "classes": [None, 10, 3],
        "train_labels": [IMAGES, "", "..", "a/b", TEST_LABELS],
        "test_images": ["", IMAGES],
        "train_images": ["/etc/hostname", "\udcff", "x" * 300],
    }
    return {key: random.choice(options[key]) for key in random.sample([*options], random.randrange(1, 3))}
