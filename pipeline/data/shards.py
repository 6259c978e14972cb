"""TFRecord shards with their spec.json: written once from any data set, then streamed.

One record is one row, a tf.train.Example: `features/NAME` holds the little-endian bytes of the row (text: UTF-8
strings), `labels/NAME` its numbers. spec.json says what a record decodes to, and lists every file with its rows, bytes
and sha256.
"""

import json
import os
import shutil
from contextlib import contextmanager, suppress
from dataclasses import asdict
from math import prod
from pathlib import Path

import numpy as np
import tensorflow as tf

from pipeline.data.containers import Dataset, Images, Sequences, Shards
from pipeline.errors import DataError
from pipeline.files import flush_to_disk, sha256
from pipeline.spec import PADDING, spec_from

MANIFEST = "spec.json"
FORMAT = 1  # counts up when a record's form changes
BATCH = 1024  # records looked at together


# ---- writing --------------------------------------------------------------------------------------------------------


def write(spec, parts, folder, rows_per_shard, progress=lambda split, rows, total: None):
    """Write the parts of a data set as shards into a new folder, which appears only when it is whole.

    parts: tables by split. progress: told (split, rows written, rows in all) after every shard.
    Raises DataError where the folder already exists; nothing is written over.
    """
    with new_folder(Path(folder)) as draft:
        files = {}
        for split, part in parts.items():
            starts = range(0, len(part), rows_per_shard)
            files[split] = []
            for number, start in enumerate(starts):
                rows = range(start, min(start + rows_per_shard, len(part)))
                path = draft / f"{split}-{number:05d}-of-{len(starts):05d}.tfrecord"
                write_shard(spec, part, rows, path)
                files[split].append(
                    {"file": path.name, "rows": len(rows), "bytes": path.stat().st_size, "sha256": sha256(path)}
                )
                progress(split, rows.stop, len(part))
        manifest = {"format": FORMAT, "spec": asdict(spec), "parts": files}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        flush_to_disk(draft / MANIFEST)


@contextmanager
def new_folder(folder):
    """A hidden sibling to write into, renamed to `folder` at the end, removed if that is not reached."""
    if folder.exists():
        raise DataError(f"{folder}: expected a new folder for the shards; it exists. Name another, or remove it.")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    draft.mkdir(parents=True)
    try:
        yield draft
        flush_to_disk(draft)
        draft.rename(folder)
        flush_to_disk(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def write_shard(spec, part, rows, path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            fields = {f"features/{name}": content(column, row) for name, column in part.features.items()}
            fields |= {
                f"labels/{name}": numbers(spec.labels[name], values[row]) for name, values in part.labels.items()
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=fields)).SerializeToString())
    flush_to_disk(path)


def content(column, row):
    """One row of a feature as a field of a record."""
    match column:
        case Images(paths=paths):
            with tf.device("CPU"):
                array = column.decode(paths[row]).numpy()
        case Sequences(values=values, offsets=offsets):
            array = values[offsets[row] : offsets[row + 1]]
        case _:
            array = column[row]
    if array.dtype == object:
        values = [text.encode() for text in array.ravel()]
    else:
        values = [array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()]
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def numbers(label, value):
    values = np.ravel(value).tolist()
    if label.dtype == "int64":
        return tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Feature(float_list=tf.train.FloatList(value=values))


# ---- reading --------------------------------------------------------------------------------------------------------


def parse(spec):
    """A function from one serialized record, () string, to (features, labels): dicts of tensors of the spec's shapes.

    It is made of TensorFlow operations only, for Dataset.map.
    """
    fields = {
        f"labels/{name}": tf.io.FixedLenFeature(label.shape, tf.as_dtype(label.dtype))
        for name, label in spec.labels.items()
    }
    fields |= {
        f"features/{name}": tf.io.FixedLenFeature(feature.shape if feature.dtype == "string" else (), tf.string)
        for name, feature in spec.features.items()
    }

    def example(record):
        parsed = tf.io.parse_single_example(record, fields)
        features = {name: decode(feature, parsed[f"features/{name}"]) for name, feature in spec.features.items()}
        return features, {name: parsed[f"labels/{name}"] for name in spec.labels}

    return example


def decode(feature, field):
    """The tensor of one feature from its field of a record."""
    if feature.dtype != "string":
        field = tf.io.decode_raw(field, feature.dtype, little_endian=True)
        field = tf.reshape(field, [-1 if size is None else size for size in feature.shape])
    return tf.ensure_shape(field, feature.shape)


def read(folder):
    """The Dataset of a folder that `write` made, each file checked by size and sha256, each record looked at once.

    Raises DataError naming the file, and the record where there is one, for what is missing, cut short or damaged, for
    NaN or infinite features, and for steps that look like padding.
    """
    folder = Path(folder)
    spec, listed = read_manifest(folder)
    for files in listed.values():
        for entry in files:
            check_file(folder / entry["file"], entry)
    return Dataset(spec, {split: stream(spec, folder, files) for split, files in listed.items()}, str(folder))


def read_manifest(folder):
    """(spec, split -> list of {file, rows, bytes, sha256}) of spec.json."""
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{path}: expected this file, which `python -m pipeline shards` writes; found none.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        if manifest["format"] != FORMAT:
            raise DataError(
                f"{path}: expected shards of format {FORMAT}; found {manifest['format']!r}. Write them again."
            )
        files = {split: [checked_entry(entry) for entry in entries] for split, entries in manifest["parts"].items()}
        spec = checked_spec(manifest["spec"])
        if not files["train"]:
            raise ValueError("no training shards")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path}: expected what `python -m pipeline shards` writes; found something else ({error!r}). "
            "Write the shards again."
        ) from error
    return spec, files


def checked_spec(fields):
    spec = spec_from(fields)
    if not {feature.dtype for feature in spec.features.values()} <= {"uint8", "int32", "float32", "string"}:
        raise ValueError(spec.features)
    if not {label.dtype for label in spec.labels.values()} <= {"int64", "float32"}:
        raise ValueError(spec.labels)
    return spec


def checked_entry(entry):
    if Path(entry["file"]).name != entry["file"] or entry["rows"] < 1:
        raise ValueError(entry)
    return entry


def check_file(path, entry):
    if not path.is_file():
        raise DataError(f"{path}: expected this shard, which {MANIFEST} lists; found none. Copy the folder again.")
    found = path.stat().st_size
    if found != entry["bytes"]:
        raise DataError(
            f"{path}: expected {entry['bytes']:,} bytes, as {MANIFEST} says; found {found:,}. Copy the file again."
        )
    if sha256(path) != entry["sha256"]:
        whole = whole_records(tf.data.TFRecordDataset(str(path)))
        damaged = f"record {whole} is damaged" if whole < entry["rows"] else "every record is whole, but not the same"
        raise DataError(
            f"{path}: expected the content whose sha256 {MANIFEST} gives; found another: {damaged}. "
            "Copy the file again."
        )


def stream(spec, folder, files):
    """The Shards of one split, from one pass through its records that keeps only their labels and lengths."""
    counts = tuple(entry["rows"] for entry in files)
    part = Shards(tuple(str(folder / entry["file"]) for entry in files), counts, {}, None)
    records = tf.data.TFRecordDataset(list(part.files)).map(summary(spec), tf.data.AUTOTUNE, deterministic=True)
    labels, lengths, rows = [], [], 0
    try:
        for batch_labels, batch_lengths, faults in records.batch(BATCH).as_numpy_iterator():
            refuse_faults(spec, part, rows, faults)
            labels.append(batch_labels)
            lengths.append(batch_lengths)
            rows += len(batch_lengths)
    except tf.errors.OpError as error:
        place = part.row_location(rows + whole_records(records.skip(rows)))
        raise DataError(
            f"{place}: expected what {MANIFEST} describes; found another record ({error.message.splitlines()[0]}). "
            "Write the shards again."
        ) from error
    if rows != len(part):
        raise DataError(
            f"{folder / MANIFEST}: expected {len(part):,} rows in these shards; found {rows:,}. Write again."
        )
    joined = {name: np.concatenate([batch[name] for batch in labels]) for name in spec.labels}
    return Shards(part.files, counts, joined, np.concatenate(lengths) if spec.lengths else None)


def summary(spec):
    """A function from one serialized record to its (labels, length, faults).

    faults: (features, 2) bool: a value that is NaN or infinite; a step that looks like padding.
    """
    example = parse(spec)

    def look(record):
        features, labels = example(record)
        length = tf.constant(0, tf.int64)
        faults = []
        for name, feature in spec.features.items():
            values = features[name]
            infinite = feature.dtype == "float32" and ~tf.reduce_all(tf.math.is_finite(values))
            padded = False
            if feature.variable_length:
                length = tf.shape(values, tf.int64)[0]
                steps = tf.reshape(values, [length, prod(feature.shape[1:])])
                padded = tf.reduce_any(tf.reduce_all(steps == PADDING, axis=1))
            faults.append(tf.stack([infinite, padded]))
        return labels, length, tf.stack(faults)

    return look


def refuse_faults(spec, part, first_row, faults):
    """Raise for the first fault of a batch. faults: (rows, features, 2) bool, its first row being `first_row`."""
    for row, feature, kind in np.argwhere(faults)[:1]:
        expected = ("finite numbers", "no step of zeros only, which would be taken for padding")[kind]
        raise DataError(
            f"{part.row_location(first_row + int(row))}: expected {expected} in feature "
            f"{list(spec.features)[feature]!r}; found {('NaN or an infinite value', 'one')[kind]}. Fix the data and "
            "write the shards again."
        )


def whole_records(records):
    """How many elements a dataset gives before its first error."""
    count = 0
    with suppress(tf.errors.OpError):
        for _ in records:
            count += 1
    return count


def recorded_digests(part):
    """The sha256 of each file of a Shards, as spec.json gives it and `read` has checked it."""
    files = [Path(file) for file in part.files]
    _, listed = read_manifest(files[0].parent)
    digests = {entry["file"]: entry["sha256"] for entries in listed.values() for entry in entries}
    return [digests[file.name] for file in files]
