"""Folders of image files, one subfolder per class."""

import os
import struct
import zlib
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz.csv_files import other_kind
from fuzz.grammar import Format, cut, flip_bytes, splice
from PIL import Image

from pipeline.data.sources.image_folder import ImageFolder

CLASSES = ("cat", "dög")
HEIGHT, WIDTH = 5, 6


def write(folder: Path) -> None:
    """Write 12 PNG files of each class."""
    for label, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(12):
            Image.fromarray(_pixels(label, number)).save(folder / name / f"{number:02d}.png")


IMAGES = Format("image_folder", ImageFolder, {"path": "."}, write)


def _pixels(label: int, number: int) -> np.ndarray:
    return (np.arange(HEIGHT * WIDTH * 3) * (number + 3) + 90 * label).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)


def _any_file(random: Random, folder: Path) -> Path:
    return folder / random.choice(CLASSES) / f"{random.randrange(12):02d}.png"


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _header(height: int, width: int, bits: int = 8, colour: int = 2) -> bytes:
    return struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)


@IMAGES.wrong
def cut_file(random: Random, folder: Path) -> None:
    cut(random, _any_file(random, folder), keep=0.8)


@IMAGES.wrong
def changed_pixels(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    content = bytearray(path.read_bytes())
    start = content.index(b"IDAT")
    (length,) = struct.unpack_from(">I", content, start - 4)
    content[start + 4 + random.randrange(length)] ^= random.randrange(1, 256)
    path.write_bytes(content)


@IMAGES.wrong
def no_image(random: Random, folder: Path) -> None:
    contents = [
        b"",
        b"\0" * 100,
        b"\x89PNG\r\n\x1a\n",
        b"GIF89a",
        b"BM" + b"\0" * 60,
        b"<svg></svg>",
        b"II*\0" + b"\0" * 9,
    ]
    contents += [b"RIFF\x10\0\0\0WEBPVP8 ", b"\xff\xd8\xff", b"\xff\xd8\xff" * 40, b"%PDF-1.4", random.randbytes(99)]
    _any_file(random, folder).write_bytes(random.choice(contents))


@IMAGES.wrong
def size_that_is_a_bomb(random: Random, folder: Path) -> None:
    height, width = random.choice(
        [(2**31 - 1, 1), (60_000, 60_000), (2**31, 2**31), (0, 6), (5, 0), (2**32 - 1, 2**32 - 1)]
    )
    pixels = zlib.compress(b"\0" * 100_000)
    content = _png((b"IHDR", _header(height, width)), (b"IDAT", pixels), (b"IEND", b""))
    _any_file(random, folder).write_bytes(content)


@IMAGES.wrong
def another_size(random: Random, folder: Path) -> None:
    shape = random.choice([(5, 7), (6, 5), (1, 1), (5, 6000)])
    Image.fromarray(np.zeros((*shape, 3), np.uint8)).save(_any_file(random, folder))


@IMAGES.wrong
def more_bits(random: Random, folder: Path) -> None:
    Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint16)).save(_any_file(random, folder))


@IMAGES.wrong
def another_kind_of_file(random: Random, folder: Path) -> None:
    name = random.choice(["notes.txt", "a.svg", "labels.csv", "Makefile"])
    (folder / random.choice(["", *CLASSES]) / name).write_text("x")


@IMAGES.wrong
def no_regular_file(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    path.unlink()
    other_kind(random, path)


@IMAGES.wrong
def empty_class(random: Random, folder: Path) -> None:
    (folder / "horse").mkdir()


@IMAGES.wrong
def image_beside_the_classes(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    path.rename(folder / path.name)


@IMAGES.wrong
def one_image_per_class(random: Random, folder: Path) -> None:
    for name in CLASSES:
        for path in sorted((folder / name).iterdir())[1:]:
            path.unlink()


@IMAGES.wrong
def no_folder(random: Random, folder: Path) -> dict[str, Any]:
    return {"path": random.choice(["nothing", f"{CLASSES[0]}/00.png", "x" * 300])}


@IMAGES.wrong
def pixels_larger_than_memory(random: Random, folder: Path) -> dict[str, Any]:
    return {"height": 65_535, "width": 65_535, "in_memory": True}


@IMAGES.right
def another_format(random: Random, folder: Path) -> None:
    for _ in range(random.randrange(1, 6)):
        path = _any_file(random, folder)
        if path.exists():
            image = Image.open(path)
            kind, more = random.choice(
                [("bmp", {}), ("tiff", {}), ("webp", {"lossless": True}), ("png", {"optimize": True})]
            )
            image.load()
            path.unlink()
            name = path.with_suffix(random.choice([f".{kind}", ".png", ".JPEG"]))
            image.save(name, kind, **more)


@IMAGES.right
def litter(random: Random, folder: Path) -> None:
    names = [".DS_Store", "Thumbs.db", "desktop.ini", ".hidden.png"]
    (folder / random.choice(["", *CLASSES]) / random.choice(names)).write_bytes(b"x")


@IMAGES.right
def opaque_alpha(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    Image.open(path).convert("RGBA").save(path)


@IMAGES.right
def in_memory(random: Random, folder: Path) -> dict[str, Any]:
    return {"in_memory": True}


@IMAGES.right
def further_chunks(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    content = path.read_bytes()
    chunk = random.choice(
        [(b"tEXt", b"a\0b" * 9), (b"pHYs", b"\0" * 9), (b"eXIf", b"II*\0\x08\0\0\0\0\0"), (b"tIME", b"\0" * 7)]
    )
    path.write_bytes(content[:33] + _png(chunk)[8:] + content[33:])


@IMAGES.any
def odd_name(random: Random, folder: Path) -> None:
    path = _any_file(random, folder)
    names = [b"\xff\xfe.png", b"a\nb.png", "名.png".encode(), b"-x.png", b"%s.png", b"x" * 250 + b".png", b"a b.PNG"]
    path.rename(path.with_name(os.fsdecode(random.choice(names))))


@IMAGES.any
def odd_name_of_a_class(random: Random, folder: Path) -> None:
    names = [b"\xff\xfe", b"a\nb", b"train", b"nan", b"=1+1", b"x" * 250, b"\x1b[31m"]
    (folder / CLASSES[0]).rename(folder / os.fsdecode(random.choice(names)))


@IMAGES.any
def grey_or_palette(random: Random, folder: Path) -> None:
    kinds = [
        ("L", "png"),
        ("LA", "png"),
        ("P", "png"),
        ("1", "png"),
        ("I;16", "png"),
        ("L", "jpeg"),
        ("P", "gif"),
        ("L", "bmp"),
    ]
    kinds += [
        ("CMYK", "jpeg"),
        ("CMYK", "tiff"),
        ("F", "tiff"),
        ("I", "tiff"),
        ("I;16", "tiff"),
        ("1", "bmp"),
        ("YCbCr", "tiff"),
    ]
    mode, kind = random.choice(kinds)
    path = _any_file(random, folder)
    Image.open(path).convert("L" if mode[0] in "IF" else "RGB").convert(mode).save(path, kind)


@IMAGES.any
def changed_bytes(random: Random, folder: Path) -> None:
    kind = random.choice(["png", "jpeg", "gif", "bmp", "tiff", "webp"])
    for number in random.sample(range(12), 3):
        path = folder / CLASSES[0] / f"{number:02d}.png"
        Image.open(path).save(path, kind)
        for _ in range(random.randrange(1, 4)):
            random.choice([flip_bytes, splice])(random, path)


@IMAGES.any
def other_options(random: Random, folder: Path) -> dict[str, Any]:
    options = {
        "height": [1, 65_535],
        "channels": [1],
        "bits": [16],
        "background": ["black", "#12"],
        "name_pattern": ["(?P<n>.*)", "(", r"(?P<n>\d+).png", "(a*)*b", "(?P<n>x)?.*"],
    }
    chosen = {key: random.choice(options[key]) for key in random.sample([*options], random.randrange(1, 3))}
    return chosen | ({"width": chosen["height"]} if "height" in chosen else {})
