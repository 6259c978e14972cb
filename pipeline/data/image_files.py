"""Image files: their headers and their pixels.

A header decides how a file is decoded, before any of its pixels are. PNG and JPEG are decoded by TensorFlow, all other
files by Pillow. In both cases the pixels are upright, without alpha, and have the requested channels and bits.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from pipeline.errors import DataError
from pipeline.lazy import np, tf

if TYPE_CHECKING:
    from collections.abc import Callable

EXTENSIONS = (".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff")
LARGEST = 178_956_970  # pixels; Pillow refuses more as a decompression bomb
ORIENTATION, BITS_PER_SAMPLE = 0x0112, 0x0102  # tags of EXIF and TIFF
HEAD = 1 << 16  # bytes of a file that are read at once; nearly every header fits
PILLOW_FORMATS = ("WEBP", "GIF", "BMP", "TIFF", "JPEG")
# of JPEG: markers that begin a frame, that have no length, and that end the header
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
BARE = frozenset({0x01, *range(0xD0, 0xD9)})
SCAN, END = 0xDA, 0xD9
# axes to reverse after rows and columns are exchanged, which they are from orientation 5 on
REVERSED = {1: [], 2: [1], 3: [0, 1], 4: [0], 5: [], 6: [1], 7: [0, 1], 8: [0]}


@dataclass(frozen=True)
class Encoding:
    """How the pixels of a file are stored, as far as decoding depends on it.

    pillow: Whether Pillow decodes the file, rather than TensorFlow.
    bits: 8 or 16, of one channel.
    alpha: Whether the file has an alpha channel, or a transparent colour.
    orientation: The EXIF orientation, 1 to 8, that is undone after decoding.
    """

    pillow: bool = False
    bits: int = 8
    alpha: bool = False
    orientation: int = 1


PLAIN = Encoding()


class ImageHeader(NamedTuple):
    """The header of an image file.

    kind: The format, for messages.
    height, width: Pixels of the upright image.
    grey: Whether the file holds no colour.
    rotated: Whether the stored image is rotated or mirrored, according to EXIF.
    animated: Whether it has further frames or pages. The first one is decoded.
    """

    kind: str
    height: int
    width: int
    encoding: Encoding
    grey: bool
    rotated: bool
    animated: bool = False


# ---- headers --------------------------------------------------------------------------------------------------------


def image_kind(head: bytes) -> str | None:
    """Return the format of a file by its first 16 bytes; None if it is none of the formats that can be read."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if head.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        return "TIFF"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "WebP"
    return "BMP" if head.startswith(b"BM") else None


def is_image(path: Path) -> bool:
    """Return whether a file is an image by its extension or by its first bytes."""
    if not path.is_file():
        return False
    if path.suffix.lower() in EXTENSIONS:
        return True
    with path.open("rb") as file:
        return image_kind(file.read(16)) is not None


def read_header(path: str) -> ImageHeader:
    """Read the header of an image file. Its pixels are not decoded.

    Raises:
        DataError: The file is no image, its header is damaged, or its pixels cannot be decoded without loss.
    """
    with Path(path).open("rb", buffering=0) as file:
        head = file.read(HEAD)

        def read(start: int, size: int) -> bytes:
            if start + size <= len(head) or len(head) < HEAD:
                return head[start : start + size]
            file.seek(start)
            return file.read(size)

        kind = image_kind(head)
        if kind is None:
            found = f"a file that begins with {head[:8].hex(' ')}" if head else "an empty file"
            raise DataError(
                f"{path}: expected a PNG or JPEG, or a WebP, GIF, BMP or TIFF; found {found}. If it is an image, "
                "convert it to PNG, otherwise move it away."
            )
        try:
            if kind == "PNG":
                header = _png_header(read)
            elif kind == "JPEG":
                header = _jpeg_header(path, read)
            else:
                header = _pillow_header(path, kind)
        except struct.error:
            raise _damaged(path, kind, "it ends too early") from None
    if not header.height or not header.width:
        raise _damaged(path, kind, f"{header.height} x {header.width} pixels")
    if header.height * header.width > LARGEST:
        raise DataError(
            f"{path}: expected at most {LARGEST:,} pixels; found a header that claims {header.height:,} x "
            f"{header.width:,}. Cut the image into tiles, or remove the file if it is damaged."
        )
    return header


def _damaged(path: str, kind: str, reason: object) -> DataError:
    return DataError(
        f"{path}: expected a whole {kind} image; found a header that cannot be decoded ({reason}). Remove or replace "
        "the file."
    )


def _png_header(read: Callable[[int, int], bytes]) -> ImageHeader:
    """Read the chunks of a PNG file up to its end, since eXIf may follow the pixels.

    Args:
        read: Returns `size` bytes from `start` on, fewer at the end of the file.

    Raises:
        struct.error: The file ends before its first chunk does.
    """
    width, height, bits, colour = struct.unpack(">4xII2B", read(12, 14))
    alpha, orientation, animated, position = colour & 4 != 0, 1, False, 33
    while len(start := read(position, 8)) == 8:
        length, name = struct.unpack(">I4s", start)
        if name == b"tRNS":
            alpha = True
        elif name == b"acTL":
            animated = True
        elif name == b"eXIf":
            orientation = exif_orientation(read(position + 8, length))
        elif name == b"IEND":
            break
        position += 12 + length
    if orientation > 4:
        height, width = width, height
    encoding = Encoding(bits=16 if bits == 16 else 8, alpha=alpha, orientation=orientation)
    return ImageHeader("PNG", height, width, encoding, colour in (0, 4), orientation != 1, animated)


def _jpeg_header(path: str, read: Callable[[int, int], bytes]) -> ImageHeader:
    """Read the segments of a JPEG file up to its first scan.

    Args:
        path: For messages.
        read: Returns `size` bytes from `start` on, fewer at the end of the file.

    Raises:
        DataError: It is damaged, or has pixels that cannot be decoded without loss.
        struct.error: The file ends before its first scan.
    """
    frame, exif, adobe, position = b"", b"", False, 2
    while True:
        mark, marker, length = struct.unpack(">2BH", read(position, 4))
        if mark != 0xFF or marker in (0, 0xFF):  # no marker here: decoders search for the next one
            position += 1
        elif marker in BARE:
            position += 2
        elif marker in (SCAN, END):
            break
        else:
            if marker in FRAMES:
                frame = frame or read(position + 4, 6)
            elif marker == 0xE1 and not exif and read(position + 4, 6) == b"Exif\0\0":
                exif = read(position + 4, length - 2)
            elif marker == 0xEE and read(position + 4, 5) == b"Adobe":
                adobe = True
            position += 2 + length
    bits, height, width, components = struct.unpack(">BHHB", frame)
    if bits != 8:
        raise DataError(
            f"{path}: expected a JPEG of 8 bits; found {bits}. Convert it to a PNG of 16 bits, which keeps all values."
        )
    if components == 4 and not adobe:
        raise DataError(
            f"{path}: expected the Adobe segment of a JPEG in CMYK, which marks its values as inverted; found "
            "none, so that the image may be a negative. Convert it to RGB with the program that wrote it."
        )
    orientation = exif_orientation(exif)
    if orientation > 4:
        height, width = width, height
    encoding = PLAIN
    if components == 4 or orientation != 1:
        encoding = Encoding(pillow=components == 4, orientation=orientation)
    kind = "CMYK JPEG" if components == 4 else "JPEG"
    return ImageHeader(kind, height, width, encoding, components == 1, orientation != 1)


def exif_orientation(exif: bytes) -> int:
    """Return the orientation, 1 to 8, in an EXIF segment; 1 if there is none, as viewers do."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    try:
        if order:
            (start,) = struct.unpack_from(f"{order}I", exif, 4)
            (entries,) = struct.unpack_from(f"{order}H", exif, start)
            for entry in range(start + 2, start + 2 + 12 * entries, 12):
                tag, number_type = struct.unpack_from(f"{order}HH", exif, entry)
                if tag == ORIENTATION:
                    (value,) = struct.unpack_from(f"{order}{'I' if number_type == 4 else 'H'}", exif, entry + 8)
                    return value if value in REVERSED else 1
    except struct.error:
        pass  # a damaged segment is ignored
    return 1


def _pillow_header(path: str, kind: str) -> ImageHeader:
    from PIL import Image

    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            width, height = image.size
            mode, alpha = image.mode, image.has_transparency_data
            animated = getattr(image, "is_animated", False)
            orientation = image.getexif().get(ORIENTATION, 1)
            stored = max(getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (1,)))
    except Exception as error:  # the decoders of damaged files raise errors of many types
        raise _damaged(path, kind, error) from error
    bits = 16 if mode.startswith("I;16") else 8
    if stored > bits or mode in ("I", "F"):
        raise DataError(
            f"{path}: expected 8 bits per channel, or 16 bits of grey; found a TIFF of {stored} bits ({mode}). "
            "Convert it to a PNG of 16 bits, or put numbers of other kinds into an .npz file: data=npz."
        )
    orientation = orientation if orientation in REVERSED else 1
    rotated = orientation != 1
    if kind == "TIFF":
        orientation = 1  # Pillow itself returns the upright image, and its size
    elif orientation > 4:
        height, width = width, height
    encoding = Encoding(pillow=True, bits=bits, alpha=alpha, orientation=orientation)
    return ImageHeader(kind, height, width, encoding, bits == 16 or mode in ("1", "L", "LA", "La"), rotated, animated)


# ---- pixels ---------------------------------------------------------------------------------------------------------


def decode_image(
    path: tf.Tensor | str,
    encoding: Encoding,
    *,
    shape: tuple[int, int, int],
    resize: bool,
    bits: int,
    background: tuple[int, int, int],
) -> tf.Tensor:
    """Return the pixels of an image file. Uses TensorFlow operations only, for Dataset.map.

    Args:
        path: () string.
        encoding: The encoding that the header of the file gives.
        shape: (height, width, channels).
        resize: Whether the file may have another size. Resizing is bilinear with antialiasing.
        bits: 8 or 16. Pixels of other files are scaled to 0 to 255, or 0 to 65535.
        background: Red, green and blue, 0 to 255, behind transparent pixels.

    Returns:
        `shape` uint8; float32 for 16 bits.
    """
    channels = shape[-1]
    image = _stored_pixels(path, encoding, channels)
    if encoding.alpha:
        image = _composite(image, encoding.bits, background)
        image = _luma(image) if channels == 1 else image
    if encoding.orientation > 4:
        image = tf.transpose(image, (1, 0, 2))
    if REVERSED[encoding.orientation]:
        image = tf.reverse(image, REVERSED[encoding.orientation])
    if bits > encoding.bits:
        image = tf.cast(image, tf.int32) * 257  # 255 becomes 65535
    elif bits < encoding.bits:
        image = (tf.cast(image, tf.int32) + 128) // 257
    if resize:
        image = tf.image.resize(image, shape[:2], antialias=True)
        image = tf.clip_by_value(tf.round(image), 0, (1 << bits) - 1)
    return tf.ensure_shape(tf.cast(image, pixel_dtype(bits)), shape)


def pixel_dtype(bits: int) -> str:
    """Return the dtype of a feature that holds pixels of 8 or 16 bits. Not int32, which is for tokens."""
    return "float32" if bits == 16 else "uint8"


def _stored_pixels(path: tf.Tensor | str, encoding: Encoding, channels: int) -> tf.Tensor:
    """Return the pixels as stored: (height, width, channels), or (height, width, 4) with alpha; uint8 or uint16."""
    channels = 4 if encoding.alpha else channels
    if encoding.pillow:
        dtype = tf.uint16 if encoding.bits == 16 else tf.uint8
        decode = partial(_pillow_pixels, bits=encoding.bits, channels=channels)
        image = tf.numpy_function(decode, [path], dtype, stateful=False)
        return tf.ensure_shape(image, (None, None, channels))
    content = tf.io.read_file(path)
    if encoding.bits == 16:
        return tf.io.decode_png(content, channels, tf.uint16)
    return tf.io.decode_image(content, channels=channels, expand_animations=False)


def _pillow_pixels(path: bytes | np.ndarray, bits: int, channels: int) -> np.ndarray:
    """Decode the first frame of a file by Pillow: (height, width, channels) uint8; uint16 for 16 bits of grey."""
    from PIL import Image

    # without a graph, numpy_function gives an array of one string
    with Image.open(os.fsdecode(np.asarray(path).item()), formats=PILLOW_FORMATS) as image:
        image.load()
        if bits == 16:
            pixels = np.asarray(image).astype(np.uint16)[..., np.newaxis]
            return np.repeat(pixels, channels, axis=-1)
        pixels = np.asarray(image.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]))
    return pixels.reshape(*pixels.shape[:2], channels)


def _composite(image: tf.Tensor, bits: int, background: tuple[int, int, int]) -> tf.Tensor:
    """Lay an image, (height, width, 4), over a colour, rounded to the nearest integer: (height, width, 3)."""
    most = (1 << bits) - 1
    behind = tf.constant(background, tf.int64) * (most // 255)
    image_dtype, image = image.dtype, tf.cast(image, tf.int64)
    colour, alpha = tf.split(image, [3, 1], axis=-1)
    return tf.cast((colour * alpha + behind * (most - alpha) + most // 2) // most, image_dtype)


def _luma(image: tf.Tensor) -> tf.Tensor:
    """Return the luma of ITU-R BT.601 of (height, width, 3), rounded as Pillow does: (height, width, 1)."""
    weights = tf.constant([19595, 38470, 7471], tf.int64)  # 0.299, 0.587 and 0.114 times 65536
    luma = tf.reduce_sum(tf.cast(image, tf.int64) * weights, axis=-1, keepdims=True)
    return tf.cast((luma + 32768) // 65536, image.dtype)
