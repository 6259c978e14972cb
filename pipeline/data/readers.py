"""From bytes to examples: one function a data set or file format, each returning a Dataset.

A row is counted from 0, a line of a text file from 1.
"""

import math
import os
import socket
from contextlib import contextmanager
from pathlib import Path

import keras
import numpy as np

from pipeline.data import few_shot, idx, images, npz, sinusoids, table_file
from pipeline.data.columns import class_indices, class_names, numbered_rows, to_feature_dtype
from pipeline.data.containers import Images, Sequences, Table
from pipeline.data.description import describe
from pipeline.errors import ConfigError, DataError, nearest
from pipeline.spec import CLASS, REAL, class_label, real_label, row_label

SHIPPED = Path(__file__).parents[2] / "datasets"
DIGITS = SHIPPED / "digits" / "digits.csv.gz"
SPLITS = ("train", "validation", "test")
DOWNLOAD_TIMEOUT = 10  # seconds without an answer

KERAS_CLASSES = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
    ),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "imdb": ("negative", "positive"),
}  # fmt: skip


def digits(data):
    """UCI handwritten digits: image (8, 8, 1) uint8 of 0 to 16, and the labels that the config names: digit 0 to 9,
    parity even or odd, ink the mean of the pixels, 0 to 16."""
    images, digit = shipped_digits()
    known = {
        "digit": (class_label(range(10)), digit),
        "parity": (class_label(("even", "odd")), digit % 2),
        "ink": (real_label(), images.mean(axis=(1, 2, 3), dtype=np.float32)),
    }
    labels = {name: known[name][0] for name in data.labels}
    part = Table({"image": images}, {name: known[name][1] for name in data.labels}, numbered_rows(DIGITS))
    return describe({"train": part}, labels=labels, location=str(DIGITS))


def shipped_digits():
    """(images (1797, 8, 8, 1) uint8, digits (1797,) int64)."""
    table = np.loadtxt(DIGITS, np.uint8, delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8, 1), table[:, -1].astype(np.int64)


def japanese_vowels():
    """Japanese Vowels: utterance (steps, 12) float32 of cepstrum coefficients, speaker 1 to 9; train and test given."""
    path = SHIPPED / "japanese_vowels" / "japanese_vowels.npz"
    with np.load(path, allow_pickle=False) as arrays:
        parts = {
            split: Table(
                {"utterance": Sequences.from_lengths(arrays[f"{split}_values"], arrays[f"{split}_lengths"])},
                {"speaker": arrays[f"{split}_labels"]},
                numbered_rows(f"{path}, {split}"),
            )
            for split in ("train", "test")
        }
    return describe(parts, labels={"speaker": class_label(range(1, 10))}, location=str(path))


def idx_files(data):
    """Images (height, width, 1) and labels from idx files; a test part where its two files are named."""
    if bool(data.test_images) != bool(data.test_labels):
        raise ConfigError("data.test_images and data.test_labels: expected two files, or '' for both.")
    folder = Path(data.path)
    parts = {"train": idx_part(folder, data.train_images, data.train_labels)}
    if data.test_images:
        parts["test"] = idx_part(folder, data.test_images, data.test_labels)
    return describe(parts, labels={"label": class_label(range(data.classes))}, location=data.path)


def idx_part(folder, images_name, labels_name):
    images_path, labels_path = idx_path(folder, images_name), idx_path(folder, labels_name)
    images = idx_array(images_path, 3, "images")
    labels = idx_array(labels_path, 1, "labels")
    if labels.dtype.kind not in "iu":
        raise DataError(f"{labels_path}, byte 2: expected whole numbers for labels; found {labels.dtype.name}.")
    if len(images) != len(labels):
        raise DataError(
            f"{labels_path}, byte 4: expected {len(images):,} labels, one an image of {images_path.name}; "
            f"found {len(labels):,}. The two files do not belong together."
        )
    column = to_feature_dtype(images[..., np.newaxis], str(images_path))
    return Table({"image": column}, {"label": labels.astype(np.int64)}, numbered_rows(labels_path))


def idx_path(folder, name):
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    found = [path.name for path in folder.iterdir()]
    raise DataError(f"{folder / name}: expected this file, or it with .gz; found neither. {nearest(name, found)}")


def idx_array(path, rank, content):
    array = idx.read(path)
    if array.ndim != rank:
        raise DataError(
            f"{path}, byte 3: expected {content}, an array of {rank} dimensions; found {array.ndim}. "
            "Are images and labels swapped in data.train_images, data.train_labels, ...?"
        )
    return array


def npz_file(data):
    """Arrays of an .npz file: given splits where it has train_NAME or, as Keras names them, NAME_train."""
    path = Path(data.path)
    wanted = [*data.features, *data.labels, *([data.lengths] if data.lengths else [])]
    arrays = {
        split: {name: npz_array(path, member) for name, member in members.items()}
        for split, members in npz_members(npz.names(path), wanted).items()
    }
    places = {split: f"{path}, {split} arrays" if len(arrays) > 1 else str(path) for split in arrays}
    labels, columns = {}, {}
    for name in data.labels:
        given = {split: by_name[name] for split, by_name in arrays.items()}
        read_labels = npz_classes if data.label_kind == CLASS else npz_numbers
        labels[name], columns[name] = read_labels(f"{path}, label {name!r}", given, data, places)
    parts = {
        split: Table(
            npz_features(place, arrays[split], data),
            {name: column[split] for name, column in columns.items()},
            numbered_rows(place),
        )
        for split, place in places.items()
    }
    return describe(parts, labels=labels, location=data.path)


def npz_members(found, wanted):
    """Split -> (name -> array of the file): every name of `wanted` for each split that has one of them."""
    for form in ("{split}_{name}", "{name}_{split}"):
        given = {split: {name: form.format(split=split, name=name) for name in wanted} for split in SPLITS}
        if set(given["train"].values()) & set(found):
            return {split: members for split, members in given.items() if set(members.values()) & set(found)}
    return {"train": {name: name for name in wanted}}


def npz_array(path, member):
    array = npz.read(path, member)
    if not array.ndim or not len(array):
        raise DataError(f"{path}, array {member!r}: expected rows; found shape {array.shape}.")
    return array


def npz_features(place, arrays, data):
    """The feature columns of one split; arrays of one number a row get an axis for it."""
    features = {}
    for name in data.features:
        column = to_feature_dtype(arrays[name], f"{place}, {name!r}")
        if data.lengths:
            features[name] = sequences(f"{place}, {name!r}", column, arrays[data.lengths])
        else:
            features[name] = column if column.ndim > 1 else column[:, np.newaxis]
    return features


def sequences(place, values, lengths):
    if values.dtype == object:
        raise DataError(f"{place}: expected numbers, where rows differ in length; found text.")
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.min() < 0:
        raise DataError(f"{place}: expected lengths as one whole number a row; found {lengths.dtype} {lengths.shape}.")
    if lengths.max() > len(values) or lengths.sum() != len(values):
        raise DataError(f"{place}: expected {lengths.sum():,} steps, the sum of the lengths; found {len(values):,}.")
    return Sequences.from_lengths(values, lengths)


def npz_classes(place, given, data, places):
    """(Label, split -> int64) of arrays that hold a class a row, or a point of it where rows are tasks: its index, or,
    a class a row only, its name as text."""
    given = {split: class_column(place, array) for split, array in given.items()}
    kinds = {array.dtype.kind for array in given.values()}
    if kinds == {"U"}:
        names = class_names(given["train"].tolist())
        return class_label(names), {
            split: class_indices(array.tolist(), names, numbered_rows(places[split])) for split, array in given.items()
        }
    if not kinds <= set("biu"):
        dtypes = ", ".join(str(array.dtype) for array in given.values())
        raise DataError(f"{place}: expected whole numbers or text, a class a row; found {dtypes}. See data.label_kind.")
    count = data.classes or 1 + max(int(array.max()) for array in given.values())
    rows = len(given["train"])
    if count > rows:
        raise DataError(
            f"{place}: expected classes 0 to at most {rows - 1}, the training rows less one; found {count - 1}."
        )
    shapes = {array.shape[1:] for array in given.values()}
    if len(shapes) > 1:
        raise DataError(f"{place}: expected as many points a task in every split; found {sorted(shapes)}.")
    return class_label(range(count), *shapes), {split: array.astype(np.int64) for split, array in given.items()}


def npz_numbers(place, given, data, places):
    """(Label, split -> (rows,) or (rows, width) float32) of arrays that hold a row of numbers each."""
    for array in given.values():
        if array.dtype.kind not in "biuf" or array.shape[1:] != given["train"].shape[1:]:
            raise DataError(
                f"{place}: expected numbers, the same count in every split; found {array.dtype} {array.shape}."
            )
    width = given["train"].shape[1:]
    if data.label_kind == REAL and width in ((), (1,)):
        return real_label(), {split: array.reshape(-1).astype(np.float32) for split, array in given.items()}
    if len(width) != 1:
        raise DataError(f"{place}: expected a row of numbers for each example; found shape {given['train'].shape}.")
    columns = {split: array.astype(np.float32) for split, array in given.items()}
    if data.label_kind == REAL:
        return real_label(*width), columns
    if data.classes not in (None, *width):
        raise DataError(f"{place}: expected {data.classes} numbers a row, as data.classes says; found {width[0]}.")
    return row_label(data.label_kind, range(*width)), columns


def class_column(place, array):
    """The array with one value a row, (rows,), or (rows, points) whole numbers of rows that are tasks."""
    if array.shape[1:] in ((), (1,)):
        return array.reshape(-1)
    if array.ndim == 2 and array.dtype.kind in "biu":
        return array
    raise DataError(f"{place}: expected one class a row; found shape {array.shape}. See data.label_kind.")


def csv_files(data):
    """Columns of CSV files, each a feature of shape (1,): numbers as float32, categories and text as string."""
    paths = {"train": data.path, "validation": data.validation_path, "test": data.test_path}
    names = [*data.numeric, *data.categorical, *data.text, *data.labels]
    files = {split: table_file.read(Path(path), data.delimiter, names) for split, path in paths.items() if path}
    labels, columns = {}, {}
    for name in data.labels:
        for file in files.values():
            refuse_missing(file, name, data.missing, "A row without a label cannot be learned from: remove it.")
        if data.label_kind == CLASS:
            classes = class_names(files["train"].columns[name])
            labels[name] = class_label(classes)
            columns[name] = {
                split: class_indices(file.columns[name], classes, file.row_location) for split, file in files.items()
            }
        else:
            labels[name] = real_label()
            columns[name] = {split: csv_numbers(file, name, ()) for split, file in files.items()}
    parts = {
        split: Table(
            csv_features(file, data), {name: column[split] for name, column in columns.items()}, file.row_location
        )
        for split, file in files.items()
    }
    return describe(parts, labels=labels, location=data.path, text=data.text)


def csv_features(file, data):
    texts = [*data.categorical, *data.text]
    if data.missing_values == "refuse":
        for name in [*data.numeric, *texts]:
            refuse_missing(file, name, data.missing, "Fill it in, or set data.missing_values=impute.")
    features = {name: csv_numbers(file, name, data.missing)[:, np.newaxis] for name in data.numeric}
    for name in texts:
        fields = ["" if field.strip() in data.missing else field for field in file.columns[name]]
        features[name] = np.array(fields, object)[:, np.newaxis]
    return features


def refuse_missing(file, name, missing, remedy):
    for row, field in enumerate(file.columns[name]):
        if field.strip() in missing:
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected a value; found none ({field!r}). {remedy}"
            )


def csv_numbers(file, name, missing):
    """(rows,) float32 of a column, NaN where a field is one of `missing`."""
    numbers = np.empty(len(file.lines))
    for row, field in enumerate(file.columns[name]):
        try:
            # float() also takes the underscores of Python's literals
            numbers[row] = math.nan if field.strip() in missing else float(field.replace("_", "?"))
        except ValueError as error:
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected a number; found {field!r}. "
                "Columns of words belong in data.categorical or data.text, signs for no value in data.missing."
            ) from error
    return to_feature_dtype(numbers, f"{file.path}, column {name!r}")


def image_folder(data):
    """image (height, width, channels) uint8 and its folder's name as label, in order of class and file name."""
    folders = split_folders(Path(data.path))
    found = {split: images.list_classes(folder) for split, folder in folders.items()}
    names = class_names(found["train"])
    for split, classes in found.items():
        for name in sorted(classes.keys() - set(names)):
            raise DataError(
                f"{folders[split] / name}: expected the classes of {folders['train']}; found {name!r}. "
                f"{nearest(name, names)}"
            )
    rows = {
        split: [(str(path), index) for index, name in enumerate(names) for path in classes.get(name, [])]
        for split, classes in found.items()
    }
    paths = np.array([path for of_split in rows.values() for path, _ in of_split], object)
    column = image_column(paths, data)
    parts, start = {}, 0
    for split, of_split in rows.items():
        own = slice(start, start + len(of_split))  # a slice, so that pixels in memory are not copied
        start = own.stop
        features = {"image": column[own] if isinstance(column, np.ndarray) else column.select(own)}
        labels = {"label": np.array([index for _, index in of_split], np.int64)}
        parts[split] = Table(features, labels, paths[own].__getitem__)
    return describe(parts, labels={"label": class_label(names)}, location=data.path)


def split_folders(root):
    """Split -> folder of its classes: the subfolders named after splits, or the root alone where it has no train/."""
    if not (root / "train").is_dir():
        return {"train": root}
    stray = [path.name for path in images.visible(root) if path.name not in SPLITS]
    if stray:
        raise DataError(f"{root}: expected only validation/ and test/ beside train/; found {', '.join(stray[:3])}.")
    return {split: root / split for split in SPLITS if (root / split).is_dir()}


def image_column(paths, data):
    """Every file decoded once: kept as (files, height, width, channels) uint8, or left on disk."""
    size = (data.height, data.width) if data.height else None
    decoded = images.decode_all(paths, size, data.channels)
    first = next(decoded)
    if not data.in_memory:
        for _ in decoded:
            pass
        return Images(paths, first.shape, resize=size is not None)
    pixels = np.empty((len(paths), *first.shape), np.uint8)
    pixels[0] = first
    for row, image in enumerate(decoded, start=1):
        pixels[row] = image
    return pixels


def keras_dataset(data):
    """A set of keras.datasets, downloaded where Keras has not kept it: train and test given."""
    module = getattr(keras.datasets, data.name)
    options = {"num_words": data.vocabulary} if data.name == "imdb" else {}
    with downloading(data.name):
        arrays = dict(zip(("train", "test"), module.load_data(**options)))
    label = "sentiment" if data.name == "imdb" else "label"
    parts = {
        split: Table(
            keras_feature(x, data),
            {label: y.reshape(-1).astype(np.int64)},
            numbered_rows(f"keras.datasets.{data.name}, {split}"),
        )
        for split, (x, y) in arrays.items()
    }
    return describe(
        parts, labels={label: class_label(KERAS_CLASSES[data.name])}, location=f"keras.datasets.{data.name}"
    )


def keras_feature(x, data):
    """Pixels with an axis for channels; of imdb the last words of each review, end to end."""
    if data.name == "imdb":
        reviews = [words[-data.max_length :] for words in x]
        lengths = [len(words) for words in reviews]
        return {"review": Sequences.from_lengths(np.concatenate(reviews).astype(np.int32), lengths)}
    return {"image": x if x.ndim == 4 else x[..., np.newaxis]}


@contextmanager
def downloading(name):
    """Let a download fail soon, and as an error that says what to do instead."""
    cache = Path(os.environ.get("KERAS_HOME") or "~/.keras") / "datasets"
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    except Exception as error:  # Keras raises bare Exception for a failed download
        raise DataError(
            f"keras.datasets.{name}: expected to find it in Keras's cache ({cache}) or to download it; "
            f"found: {error}.\nWithout internet, bring the files from elsewhere: data=idx data.path=FOLDER reads the "
            "MNIST family, data=npz data.path=FILE what numpy.savez wrote."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def synthetic(data):
    """Standard normal x; y is the largest of `classes` noisy linear scores of x, or the score itself for no classes."""
    random = np.random.Generator(np.random.Philox(data.seed))
    scores = max(data.classes, 1)
    if data.lengths:
        lengths = random.integers(data.lengths[0], data.lengths[1], data.rows, endpoint=True)
        x = Sequences.from_lengths(random.standard_normal((lengths.sum(), *data.shape), np.float32), lengths)
        flat = np.add.reduceat(x.values, x.offsets[:-1]).reshape(data.rows, -1) / np.sqrt(lengths)[:, np.newaxis]
    else:
        x = random.standard_normal((data.rows, *data.shape), np.float32)
        flat = x.reshape(data.rows, -1)
    rule = random.standard_normal((flat.shape[1], scores)) / np.sqrt(flat.shape[1])  # scores of variance 1
    score = flat @ rule + data.noise * random.standard_normal((data.rows, scores))
    if data.classes:
        label, y = class_label(range(data.classes)), score.argmax(axis=1)
    else:
        label, y = real_label(), score[:, 0].astype(np.float32)
    table = Table({"x": x}, {"y": y}, numbered_rows("synthetic"))
    return describe({"train": table}, labels={"y": label}, location="synthetic")


def sine_waves(data):
    """Tasks as rows: x (points, 1) and y (points,), given splits of tasks that no other split has."""
    counts = {"train": data.tasks, "validation": data.held_out, "test": data.held_out}
    drawn = {
        split: sinusoids.draw(count, data.points, [data.seed, number])
        for number, (split, count) in enumerate(counts.items())
    }
    parts = {split: Table({"x": x}, {"y": y}, numbered_rows(f"sinusoids, {split}")) for split, (x, y) in drawn.items()}
    return describe(parts, labels={"y": real_label(data.points)}, location="sinusoids")


def digit_tasks(data):
    """Tasks as rows: images (points, 8, 8, 1) and number (points,), that of the digit within the task; given splits."""
    images, digit = shipped_digits()
    of_each = {number: images[digit == number] for number in range(10)}
    trained = [of_each[number] for number in range(10) if number not in data.test_digits]
    classes = {
        "train": [rows[: -data.validation_images] for rows in trained],
        "validation": [rows[-data.validation_images :] for rows in trained],
        "test": [of_each[number] for number in data.test_digits],
    }
    counts = {"train": data.tasks, "validation": data.held_out, "test": data.held_out}
    parts = {}
    for number, (split, count) in enumerate(counts.items()):
        x, y = few_shot.draw(classes[split], count, data.ways, data.images, [data.seed, number])
        if data.move and split == "train":
            x = few_shot.moved(x, [data.seed, len(counts)])
        parts[split] = Table({"images": x}, {"number": y}, numbered_rows(f"tasks of {DIGITS}, {split}"))
    label = class_label(range(data.ways), (data.ways * data.images,))
    return describe(parts, labels={"number": label}, location=str(DIGITS))
