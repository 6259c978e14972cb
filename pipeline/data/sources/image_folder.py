"""Folders of images, one subfolder per class."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import override

from pipeline.data.file_names import check_name
from pipeline.data.image_files import EXTENSIONS, Encoding, ImageHeader, is_image, pixel_dtype, read_header
from pipeline.data.source import (
    READ,
    SPLIT_NAMES,
    ConfigError,
    DataError,
    Dataset,
    DataSource,
    Images,
    Table,
    class_label,
    class_names,
    describe,
    np,
    option,
)
from pipeline.errors import nearest
from pipeline.lazy import tf
from pipeline.runtime import machine_memory
from pipeline.spec import DataSpec

MAX_NAMED = 3  # files named in one error
# of Windows, macOS and NAS systems, in lower case; names that begin with a dot are skipped too
LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "icon\r")

logger = logging.getLogger(__name__)


@dataclass
class ImageFolder(DataSource):
    """A folder of images, one subfolder per class; folders train/, validation/, test/ above are splits.

    PNG, JPEG, WebP, GIF, BMP and TIFF. What is done with rotated, transparent, 16-bit and other images: docs/images.md.

    Example:
        make train data=image_folder data.path=photos data.height=64 data.width=64 model=residual_cnn
    """

    path: str = option("", "the folder", required=True, path=READ)
    height: int | None = option(
        None, "pixels; null takes the size of the images, which must all be equal", min=1, max=65_535
    )
    width: int | None = option(
        None, "pixels; null takes the size of the images, which must all be equal", min=1, max=65_535
    )
    channels: int = option(3, "1 for grey, 3 for colour", choices=(1, 3))
    bits: int | None = option(
        None, "bits per channel; null takes those of the images, which must all be equal", choices=(8, 16)
    )
    background: str = option("white", "behind transparent pixels: a colour of CSS, such as black or #808080")
    in_memory: bool = option(False, "decode once and keep the pixels; false streams from disk")
    name_pattern: str = option(
        "",
        "regular expression of every file name; its named groups are columns for data.split.group and "
        "data.split.time: '(?P<patient>[^_]+)_.*'",
    )

    @override
    def check(self) -> None:
        """Check that height and width go together, and that the background is a colour."""
        super().check()
        try:
            re.compile(self.name_pattern)
        except re.error as error:
            raise ConfigError(
                f"data.name_pattern: expected a regular expression; found {self.name_pattern!r} ({error}). Correct it."
            ) from None
        if (self.height is None) != (self.width is None):
            raise ConfigError("data.height and data.width: expected both or neither; found one. Set the other one too.")
        rgb(self.background)

    def read(self) -> Dataset:
        """Return one split per split folder: image (height, width, channels) uint8 and label, sorted by class.

        Images of 16 bits are float32.
        """
        folders = split_folders(Path(self.path))
        classes = {split_name: list_classes(folder) for split_name, folder in folders.items()}
        names = class_names(classes["train"])
        for split_name, by_name in classes.items():
            for name in sorted(by_name.keys() - set(names)):
                raise DataError(
                    f"{folders[split_name] / name}: expected a class of {folders['train']}; found {name!r}. "
                    f"{nearest(name, names)}"
                )
        rows = {
            split_name: [(str(path), index) for index, name in enumerate(names) for path in by_name.get(name, [])]
            for split_name, by_name in classes.items()
        }
        paths = np.array([path for split_rows in rows.values() for path, _ in split_rows], object)
        headers = [read_header(path) for path in paths]
        first = headers[0]
        shape = (first.height, first.width, self.channels)
        images = self._images(paths, headers, shape=shape, bits=first.encoding.bits, example=paths[0])
        machine_memory.check_fits(self._bytes(images), self.path)
        column = images if not self.in_memory else np.empty((len(paths), *images.shape), images.dtype)
        for row, pixels in enumerate(decode_files(images)):  # to find damaged files
            if isinstance(column, np.ndarray):
                column[row] = pixels
        splits, start = {}, 0
        for split_name, split_rows in rows.items():
            own = slice(start, start + len(split_rows))  # a slice, so that pixels in memory are not copied
            start = own.stop
            logger.info("%s: %s", folders[split_name], self._summary(headers[own], images.bits))
            splits[split_name] = Table(
                {"image": column[own] if isinstance(column, np.ndarray) else column.select(own)},
                {"label": np.array([index for _, index in split_rows], np.int64)},
                paths[own].__getitem__,
                self._keys(paths[own]),
                relative_names(paths[own], self.path),
            )
        return describe(splits, labels={"label": class_label(names)}, location=self.path)

    @override
    def read_unlabeled(self, trained: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
        """Yield all images of the folder and its subfolders, sorted by their path, with their pixels."""
        ((name, feature),) = trained.features.items() if len(trained.features) == 1 else (("", None),)
        if feature is None or len(feature.shape) != 3 or feature.variable_length:
            raise DataError(
                f"{self.path}: expected data like the training data, {trained.features}; found a folder of images. "
                "Choose another source: data=NAME."
            )
        paths = list_images(Path(self.path))
        bits = 8 if feature.dtype == pixel_dtype(8) else 16
        for start in range(0, len(paths), rows):
            chunk = np.array(list(map(str, paths[start : start + rows])), object)
            headers = [read_header(path) for path in chunk]
            images = self._images(chunk, headers, shape=feature.fixed_shape, bits=bits, example="training")
            pixels = np.stack(list(decode_files(images)))
            yield Table({name: pixels}, {}, chunk.__getitem__, ids=relative_names(chunk, self.path))

    @override
    def fix_of_features(self, trained: DataSpec) -> str:
        """Return the options by which images become those that a model was trained on."""
        image = trained.features.get("image")
        if image is None or len(image.shape) != 3:
            return "Choose data of the kind that the model was trained on."
        height, width, channels = image.shape
        bits = 8 if image.dtype == pixel_dtype(8) else 16
        return f"Set data.height={height} data.width={width} data.channels={channels} data.bits={bits}."

    def _keys(self, paths: np.ndarray) -> dict[str, np.ndarray]:
        """Return the named groups of data.name_pattern in the names of files: name -> (files,) of str."""
        pattern = re.compile(self.name_pattern)
        if not pattern.groupindex:
            return {}
        matches = [pattern.fullmatch(Path(path).name) for path in paths]
        for path, match in zip(paths, matches, strict=True):
            if not match:
                raise DataError(
                    f"{path}: expected a file name that matches data.name_pattern={self.name_pattern!r} as a whole; "
                    f"found {Path(path).name}. Rename the file, or change the pattern."
                )
        return {
            name: np.array([match[name] or "" for match in matches if match], object) for name in pattern.groupindex
        }

    def _images(
        self, paths: np.ndarray, headers: Sequence[ImageHeader], *, shape: tuple[int, ...], bits: int, example: str
    ) -> Images:
        """Return the files as one feature.

        Args:
            paths: The paths of the files.
            headers: The headers of the files.
            shape: The expected height, width and channels.
            bits: The expected number of bits per channel.
            example: The image or data that `shape` and `bits` are taken from, for error messages.

        Raises:
            DataError: A file has another size or number of bits, and no option sets them.
        """
        height, width, channels = shape
        for path in paths:
            check_name(path)
        for path, header in zip(paths, headers, strict=True):
            if not self.height and (header.height, header.width) != (height, width):
                raise DataError(
                    f"{path}: expected {height} x {width} pixels, as in {example}; found {header.height} x "
                    f"{header.width}. Resize all images: data.height={height} data.width={width}."
                )
            if not self.bits and header.encoding.bits != bits:
                raise DataError(
                    f"{path}: expected {bits} bits per channel, as in {example}; found {header.encoding.bits}. Set "
                    "data.bits=16 to keep all values (8-bit values are multiplied by 257: 255 becomes 65535), or "
                    "data.bits=8 to keep the upper 8 of 16 bits."
                )
        index_of: dict[Encoding, int] = {}
        indices = [index_of.setdefault(header.encoding, len(index_of)) for header in headers]
        return Images(
            paths,
            (self.height or height, self.width or width, channels),
            resize=self.height is not None,
            bits=self.bits or bits,
            background=rgb(self.background),
            encodings=tuple(index_of),
            encoding_indices=np.array(indices, np.int32),
        )

    def _bytes(self, images: Images) -> int:
        """Return the bytes of the pixels that are in memory at once: all, or those that are decoded in parallel."""
        numbers = prod(images.shape)
        decoded = numbers * (4 if images.resize else 1) * min(len(images), os.cpu_count() or 1)  # resized in float32
        stored = numbers * len(images) * np.dtype(images.dtype).itemsize if self.in_memory else 0
        return decoded + stored

    def _summary(self, headers: Sequence[ImageHeader], bits: int) -> str:
        """Return a summary of the headers of a folder: "340 images (300 JPEG, 40 PNG); 12 of 340 rotated by EXIF"."""
        kinds = Counter(header.kind for header in headers)
        found = Counter()
        for header in headers:
            found["rotated by EXIF"] += header.rotated
            found[f"with alpha on {self.background}"] += header.encoding.alpha
            found["with several frames, the first of which is taken"] += header.animated
            found["with 16 bits" if bits == 16 else "with 16 bits, reduced to 8"] += header.encoding.bits == 16
            found["with 8 bits, scaled to 16"] += header.encoding.bits < bits
            found["grey, as three equal channels"] += header.grey and self.channels == 3
            found["in colour, turned to grey"] += not header.grey and self.channels == 1
        facts = [f"{count:,} {fact}" for fact, count in found.items() if count]
        if facts:
            facts[0] = facts[0].replace(" ", f" of {len(headers):,} ", 1)
        formats = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common())
        images = f"{len(headers):,} {'image' if len(headers) == 1 else 'images'} ({formats})"
        return f"{images}; {', '.join(facts)}" if facts else images


def relative_names(paths: np.ndarray, folder: str) -> np.ndarray:
    """Return the paths of files relative to a folder, such as "cat/001.png": (files,) of str."""
    return np.array([Path(path).relative_to(folder).as_posix() for path in paths], object)


def rgb(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of a colour as CSS names it.

    Raises:
        ConfigError: There is no such colour.
    """
    if colour == "white":
        return 255, 255, 255  # the default, without the import
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(colour)[:3]
    except ValueError:
        raise ConfigError(
            f"data.background: expected a colour of CSS, such as black or #808080; found {colour!r}. "
            f"{nearest(colour, ImageColor.colormap)}"
        ) from None
    return red, green, blue


def split_folders(root: Path) -> dict[str, Path]:
    """Return split name -> folder of its classes. A root without train/ is the train split itself.

    Raises:
        DataError: There is something else beside train/.
    """
    if not (root / "train").is_dir():
        return {"train": root}
    others = [path for path in _visible(root) if path.name not in SPLIT_NAMES]
    if others:
        raise DataError(
            f"{root}: expected only validation/ and test/ beside train/; found {_first_names(others)}. Move it away."
        )
    return {split_name: root / split_name for split_name in SPLIT_NAMES if (root / split_name).is_dir()}


def list_classes(folder: Path) -> dict[str, list[Path]]:
    """Return the image files of each class, sorted by name. Hidden files and LITTER are skipped.

    Raises:
        DataError: A file is not in a subfolder or is not an image, or a class or the folder is empty.
    """
    files = [path for path in _visible(folder) if not path.is_dir()]
    if files:
        raise DataError(f"{folder}: expected one subfolder per class; found the {_first_names(files)}. Move it away.")
    classes = {child.name: _visible(child) for child in _visible(folder)}
    if not classes:
        raise DataError(f"{folder}: expected one subfolder per class; found none. Check data.path.")
    for name, paths in classes.items():
        _check_images(folder / name, paths)
        if not paths:
            raise DataError(
                f"{folder / name}: expected images of class {name!r}; found an empty folder. Add images or remove it."
            )
    return classes


def list_images(folder: Path) -> list[Path]:
    """Return the images of a folder and its subfolders, sorted by name. Hidden files and LITTER are skipped.

    Raises:
        DataError: A file is not an image, or there are no files.
    """
    found = _files_below(folder)
    if not found:
        raise DataError(f"{folder}: expected images; found none. Check data.path.")
    return found


def _files_below(folder: Path) -> list[Path]:
    visible = _visible(folder)
    _check_images(folder, [path for path in visible if not path.is_dir()])
    return [file for path in visible for file in (_files_below(path) if path.is_dir() else [path])]


def _check_images(folder: Path, paths: list[Path]) -> None:
    """Check that files are images.

    Raises:
        DataError: A file is not an image.
    """
    others = [path for path in paths if not is_image(path)]
    if others:
        raise DataError(
            f"{folder}: expected only images ({', '.join(EXTENSIONS)}); found {len(others)} of another "
            f"kind: the {_first_names(others)}. Convert images of other formats to PNG, and move the rest away."
        )


def _visible(folder: Path) -> list[Path]:
    visible = (path for path in folder.iterdir() if not path.name.startswith(".") and path.name.lower() not in LITTER)
    return sorted(visible, key=lambda path: path.name)


def _first_names(paths: list[Path]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    kind = "folder" if paths[0].is_dir() else "file"
    return f"{kind} {', '.join(path.name for path in paths[:MAX_NAMED])}{more}"


def decode_files(images: Images) -> Iterator[np.ndarray]:
    """Decode image files in parallel and yield their pixels in order, each of the shape and dtype of the column.

    Raises:
        DataError: A file cannot be decoded.
    """
    dataset = tf.data.Dataset.from_tensor_slices(images.files).map(
        images.decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    decoded = dataset.as_numpy_iterator()
    for path in images.paths:
        try:
            pixels = next(decoded)
        except tf.errors.OpError as error:
            reason = error.message.split("}} ")[-1].splitlines()[0]
            raise DataError(
                f"{path}: expected a whole image; found a file that cannot be decoded ({reason}). Remove or replace it."
            ) from error
        yield pixels
