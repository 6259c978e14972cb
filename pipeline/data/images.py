"""Folders of PNG and JPEG files: which there are, and what they hold."""

import numpy as np
import tensorflow as tf

from pipeline.data.containers import decode_image
from pipeline.errors import DataError

EXTENSIONS = (".png", ".jpg", ".jpeg")
SIGNATURES = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")  # the first bytes of a PNG and of a JPEG
SHOWN = 3  # files named in one error


def list_classes(folder):
    """The image files of each class: subfolder name -> paths in order of name. Hidden files and folders are no data.

    Raises DataError where a file is out of place or of another kind, and where a class or the folder is empty.
    """
    stray = [path for path in visible(folder) if not path.is_dir()]
    if stray:
        raise DataError(f"{folder}: expected one subfolder a class; found the {first_of(stray)}. Move it out.")
    classes = {child.name: visible(child) for child in visible(folder)}
    if not classes:
        raise DataError(f"{folder}: expected one subfolder a class; found none.")
    for name, paths in classes.items():
        other = [path for path in paths if path.suffix.lower() not in EXTENSIONS or not path.is_file()]
        if other:
            raise DataError(
                f"{folder / name}: expected only images ({', '.join(EXTENSIONS)}); found {len(other)} of another kind: "
                f"the {first_of(other)}. Move it out."
            )
        if not paths:
            raise DataError(f"{folder / name}: expected images of class {name!r}; found an empty folder.")
    return classes


def visible(folder):
    return sorted((path for path in folder.iterdir() if not path.name.startswith(".")), key=lambda path: path.name)


def first_of(paths):
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    kind = "folder" if paths[0].is_dir() else "file"
    return f"{kind} {', '.join(path.name for path in paths[:SHOWN])}{more}"


def decode_all(paths, size, channels):
    """Decode every file, in parallel, and yield its pixels in order: (height, width, channels) uint8.

    paths: (files,) of str. size: (height, width) to resize to, or None for the images' own. Raises DataError naming
    the first file that is no PNG or JPEG, cannot be decoded, or differs in size from the first one.
    """

    def look(path):
        if size:
            pixels = decode_image(path, (*size, channels), resize=True)
        else:
            pixels = decode_image(path, (None, None, channels), resize=False)
        return tf.strings.substr(tf.io.read_file(path), 0, 8), pixels

    dataset = tf.data.Dataset.from_tensor_slices(np.asarray(paths, object)).map(
        look, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )
    decoded = dataset.as_numpy_iterator()
    shape = None
    for path in paths:
        try:
            head, pixels = next(decoded)
        except tf.errors.OpError as error:
            reason = error.message.split("}} ")[-1].splitlines()[0]
            raise DataError(f"{path}: expected a whole PNG or JPEG; it cannot be decoded ({reason}).") from error
        if not head.startswith(SIGNATURES):
            raise DataError(f"{path}: expected a PNG or JPEG; it begins with {head.hex(' ')}. Convert it.")
        shape = shape or pixels.shape
        if pixels.shape != shape:
            raise DataError(
                f"{path}: expected {shape[0]} x {shape[1]} pixels, as {paths[0]} has; found "
                f"{pixels.shape[0]} x {pixels.shape[1]}. Set data.height and data.width to resize all."
            )
        yield pixels
