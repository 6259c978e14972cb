"""Folders of images, one subfolder per class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import override

from pipeline.data.containers import decode_image
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

EXTENSIONS = (".png", ".jpg", ".jpeg")
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # the first bytes of a PNG and of a JPEG
MAX_NAMED = 3  # files named in one error


@dataclass
class ImageFolder(DataSource):
    """A folder of PNG and JPEG images, one subfolder per class; folders train/, validation/, test/ above are splits.

    Example:
        make train data=image_folder data.path=photos data.height=64 data.width=64 model=residual_cnn
    """

    path: str = option("", "the folder", required=True, path=READ)
    height: int | None = option(None, "pixels; null takes the size of the images, which must all be equal", min=1)
    width: int | None = option(None, "pixels; null takes the size of the images, which must all be equal", min=1)
    channels: int = option(3, "1 for grey, 3 for colour", choices=(1, 3))
    in_memory: bool = option(False, "decode once and keep the pixels; false streams from disk")

    @override
    def check(self) -> None:
        super().check()
        if (self.height is None) != (self.width is None):
            raise ConfigError("data.height and data.width: expected both or neither; found one. Set the other one too.")

    def read(self) -> Dataset:
        """Return one split per split folder: image (height, width, channels) uint8 and label, sorted by class."""
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
        column = self._decode(paths)
        splits, start = {}, 0
        for split_name, split_rows in rows.items():
            own = slice(start, start + len(split_rows))  # a slice, so that pixels in memory are not copied
            start = own.stop
            features = {"image": column[own] if isinstance(column, np.ndarray) else column.select(own)}
            labels = {"label": np.array([index for _, index in split_rows], np.int64)}
            splits[split_name] = Table(features, labels, paths[own].__getitem__)
        return describe(splits, labels={"label": class_label(names)}, location=self.path)

    def _decode(self, paths: np.ndarray) -> np.ndarray | Images:
        """Decode every file once. Return the pixels, (files, height, width, channels) uint8, or the files on disk."""
        size = (self.height, self.width) if self.height and self.width else None
        decoded = decode_files(paths, size=size, channels=self.channels)
        first = next(decoded)
        if not self.in_memory:
            for _ in decoded:
                pass
            return Images(paths, first.shape, resize=size is not None)
        pixels = np.empty((len(paths), *first.shape), np.uint8)
        pixels[0] = first
        for row, image in enumerate(decoded, start=1):
            pixels[row] = image
        return pixels


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
    """Return the image files of each class, sorted by name. Hidden files and folders are skipped.

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
        others = [path for path in paths if path.suffix.lower() not in EXTENSIONS or not path.is_file()]
        if others:
            raise DataError(
                f"{folder / name}: expected only images ({', '.join(EXTENSIONS)}); found {len(others)} of another "
                f"kind: the {_first_names(others)}. Move it away."
            )
        if not paths:
            raise DataError(
                f"{folder / name}: expected images of class {name!r}; found an empty folder. Add images or remove it."
            )
    return classes


def _visible(folder: Path) -> list[Path]:
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def _first_names(paths: list[Path]) -> str:
    more = f" and {len(paths) - MAX_NAMED} more" if len(paths) > MAX_NAMED else ""
    kind = "folder" if paths[0].is_dir() else "file"
    return f"{kind} {', '.join(path.name for path in paths[:MAX_NAMED])}{more}"


def decode_files(paths: np.ndarray, *, size: tuple[int, int] | None, channels: int) -> Iterator[np.ndarray]:
    """Decode image files in parallel and yield their pixels in order: (height, width, channels) uint8.

    Args:
        paths: (files,) of str.
        size: (height, width) to resize to, or None to keep the size of the images.
        channels: 1 or 3.

    Raises:
        DataError: A file is not a PNG or JPEG, cannot be decoded, or differs in size from the first one.
    """
    height, width = size or (None, None)

    def decode(path: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = decode_image(path, (height, width, channels), resize=size is not None)
        return tf.strings.substr(tf.io.read_file(path), 0, 8), pixels

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(paths, object)).map(
        decode, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    decoded = dataset.as_numpy_iterator()
    shape = None
    for path in paths:
        try:
            head, pixels = next(decoded)
        except tf.errors.OpError as error:
            reason = error.message.split("}} ")[-1].splitlines()[0]
            raise DataError(
                f"{path}: expected a whole PNG or JPEG; found a file that cannot be decoded ({reason}). Remove or "
                "replace it."
            ) from error
        if not head.startswith(SIGNATURES):
            raise DataError(
                f"{path}: expected a PNG or JPEG; found a file that begins with {head.hex(' ')}. Convert it."
            )
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise DataError(
                f"{path}: expected {shape[0]} x {shape[1]} pixels, as in {paths[0]}; found "
                f"{pixels.shape[0]} x {pixels.shape[1]}. Set data.height and data.width to resize all images."
            )
        yield pixels
