"""TFRecord shards, as `python -m pipeline shards` writes them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, TypedDict, override

from pipeline.data.containers import Shards, Table
from pipeline.data.padding import padding_advice
from pipeline.data.records import record_parser, record_weights
from pipeline.data.shards import FORMAT, MANIFEST, WEIGHTED_FORMAT
from pipeline.data.source import READ, SPLIT_NAMES, DataError, Dataset, DataSource, np, option
from pipeline.errors import message_of, shortened
from pipeline.files import read_limited, sha256
from pipeline.lazy import tf
from pipeline.runtime import machine_memory
from pipeline.spec import DataSpec, spec_from_dict
from pipeline.typed_json import parse

BATCH = 1024  # records checked at a time
MAX_BYTES = 2**28  # of the manifest


class _Entry(TypedDict):
    file: str
    rows: int
    bytes: int
    sha256: str


class _Manifest(TypedDict):
    format: int
    spec: dict[str, Any]
    splits: dict[str, list[_Entry]]


@dataclass
class TFRecord(DataSource):
    """TFRecord shards and their spec.json, as `python -m pipeline shards` writes them. Streamed from disk.

    Example:
        python -m pipeline shards data=image_folder data.path=photos shards.path=photos-shards
        make train data=tfrecord data.path=photos-shards model=residual_cnn
    """

    path: str = option("", "the folder of spec.json and the shards", required=True, path=READ)
    shuffle_buffer: int = option(
        10_000, "examples in the shuffle buffer; the order of the shards changes in every epoch too", min=1, max=10**8
    )

    def read(self) -> Dataset:
        """Return the splits of the manifest, after checking the size and digest of each file and every record."""
        folder = Path(self.path)
        spec, entries, is_weighted = _read_manifest(folder)
        for split_entries in entries.values():
            for entry in split_entries:
                _check_file(folder / entry["file"], entry)
        splits = {
            split_name: _read_split(
                spec, folder, split_entries, shuffle_buffer=self.shuffle_buffer, is_weighted=is_weighted
            )
            for split_name, split_entries in entries.items()
        }
        return Dataset(spec, splits, str(folder))

    @override
    def read_unlabeled(self, trained: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
        """Yield the rows of all splits, file by file, after checking the size and digest of each file."""
        from pipeline.data.blocks import shard_blocks

        folder = Path(self.path)
        spec, entries, _ = _read_manifest(folder)
        for entry in (entry for split_entries in entries.values() for entry in split_entries):
            _check_file(folder / entry["file"], entry)
            shard = _shards(folder, [entry], self.shuffle_buffer)
            ids, first = shard.row_ids, 0
            for features, _ in shard_blocks(shard, spec, rows):
                count = len(next(iter(features.values())))
                location = partial(_offset_location, shard, first)
                yield Table(features, {}, location, ids=ids[first : first + count])
                first += count


def _offset_location(shard: Shards, first: int, row: int) -> str:
    return shard.row_location(first + row)


def _shards(folder: Path, entries: list[_Entry], shuffle_buffer: int) -> Shards:
    """Return files as a split without labels and lengths, which are not known yet."""
    return Shards(
        files=tuple(str(folder / entry["file"]) for entry in entries),
        counts=tuple(entry["rows"] for entry in entries),
        digests=tuple(entry["sha256"] for entry in entries),
        labels={},
        lengths=None,
        shuffle_buffer=shuffle_buffer,
    )


def _read_manifest(folder: Path) -> tuple[DataSpec, dict[str, list[_Entry]], bool]:
    """Return the spec, split name -> the entry of each file, and whether the records have weights.

    An entry is {file, rows, bytes, sha256}.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(f"{path}: expected this file, which `python -m pipeline shards` writes; found none.")
    try:
        manifest = parse(_Manifest, read_limited(path, MAX_BYTES))
        if manifest["format"] not in (FORMAT, WEIGHTED_FORMAT):
            raise DataError(
                f"{path}: expected shards of format {FORMAT} or {WEIGHTED_FORMAT}; found {manifest['format']!r}. "
                "Write the shards again."
            )
        _check_entries(manifest["splits"])
        spec = _checked_spec(manifest["spec"])
    except (OSError, ValueError) as error:
        raise DataError(
            f"{path}: expected a file that `python -m pipeline shards` wrote; {error}. Write the shards again."
        ) from error
    return spec, manifest["splits"], manifest["format"] == WEIGHTED_FORMAT


def _checked_spec(fields: dict[str, Any]) -> DataSpec:
    spec = spec_from_dict(fields)
    for name, label in spec.labels.items():
        if label.classes and len({*label.classes}) != label.width:
            raise ValueError(f"spec.labels.{name}: expected different classes; found {shortened(label.classes)}")
    if not spec.features or not spec.labels:
        raise ValueError("spec: expected features and labels; found none of one kind")
    if bool(spec.lengths) != any(feature.variable_length for feature in spec.features.values()):
        raise ValueError("spec.lengths: expected lengths if and only if a feature has rows of different lengths")
    for name, feature in spec.features.items():
        machine_memory.check_fits(prod(feature.fixed_shape), f"{MANIFEST}, feature {name!r}")
        if feature.variable_length and feature.dtype in ("uint8", "int32") and not feature.holds_tokens:
            raise ValueError(f"spec.features.{name}: found measurements of different lengths in {feature.dtype}")
    return spec


def _check_entries(splits: dict[str, list[_Entry]]) -> None:
    """Check that each shard is a file of the folder and is listed once, and that every split has some."""
    if "train" not in splits or not set(splits) <= set(SPLIT_NAMES) or not all(splits.values()):
        raise ValueError(
            f"splits: expected shards of {', '.join(SPLIT_NAMES)}, of train at least; found others or none"
        )
    listed = set()
    for split_name, entries in splits.items():
        for index, entry in enumerate(entries):
            key, name = f"splits.{split_name}.{index}", entry["file"]
            if Path(name).name != name or "\0" in name:
                raise ValueError(f"{key}.file: expected the name of a file in this folder; found {name!r}")
            if name in listed:
                raise ValueError(f"{key}.file: expected each shard once; found {name!r} again")
            if entry["rows"] < 1:
                raise ValueError(f"{key}.rows: expected at least 1; found {entry['rows']}")
            listed.add(name)


def _check_file(path: Path, entry: _Entry) -> None:
    """Compare a shard with its entry in the manifest.

    Raises:
        DataError: The file is missing, or its size or content differs.
    """
    if not path.is_file():
        raise DataError(f"{path}: expected this shard, which {MANIFEST} lists; found none. Copy the folder again.")
    found = path.stat().st_size
    if found != entry["bytes"]:
        raise DataError(
            f"{path}: expected {entry['bytes']:,} bytes, as in {MANIFEST}; found {found:,}. Copy the file again."
        )
    if sha256(path) != entry["sha256"]:
        whole = _count_readable(tf.data.TFRecordDataset(str(path)))
        damage = f"record {whole} is damaged" if whole < entry["rows"] else "every record is whole, but not the same"
        raise DataError(
            f"{path}: expected the content whose sha256 is in {MANIFEST}; found another: {damage}. Copy the file again."
        )


def _read_split(
    spec: DataSpec, folder: Path, entries: list[_Entry], *, shuffle_buffer: int, is_weighted: bool
) -> Shards:
    """Check every record of a split in one pass, and keep its labels, lengths and weights."""
    shards = _shards(folder, entries, shuffle_buffer)  # errors need only the location of a row
    records = tf.data.TFRecordDataset(list(shards.files))
    records = records.map(_summarizer(spec, is_weighted=is_weighted), tf.data.AUTOTUNE, deterministic=True)
    labels, lengths, weights, rows = [], [], [], 0
    try:
        for batch_labels, batch_lengths, batch_weights, faults in records.batch(BATCH).as_numpy_iterator():
            _refuse_faults(spec, shards, rows, faults)
            labels.append(batch_labels)
            lengths.append(batch_lengths)
            weights.append(batch_weights)
            rows += len(batch_lengths)
    except (tf.errors.OpError, UnicodeDecodeError) as error:  # if TensorFlow's message quotes bytes of the record
        location = shards.row_location(rows + _count_readable(records.skip(rows)))
        raise DataError(
            f"{location}: expected a record as {MANIFEST} describes it; found another ({message_of(error)}). Write the "
            "shards again."
        ) from error
    if rows != len(shards):
        raise DataError(
            f"{folder / MANIFEST}: expected {len(shards):,} rows in these shards; found {rows:,}. Write them again."
        )
    joined = {name: np.concatenate([batch[name] for batch in labels]) for name in spec.labels}
    return replace(
        shards,
        labels=joined,
        lengths=np.concatenate(lengths) if spec.lengths else None,
        weights=np.concatenate(weights) if is_weighted else None,
    )


def _summarizer(
    spec: DataSpec, *, is_weighted: bool
) -> Callable[[tf.Tensor], tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]]:
    """Return a function from a record to (labels, length, weight, faults). It can be used in Dataset.map.

    faults: (features, 2) bool, whether a value is NaN or infinite, and whether a step is all padding.
    """
    parse = record_parser(spec)

    def summarize(record: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor, tf.Tensor]:
        features, labels = parse(record)
        weight = record_weights(record[tf.newaxis])[0] if is_weighted else tf.constant(1.0, tf.float64)
        length = tf.constant(0, tf.int64)
        faults = []
        for name, feature in spec.features.items():
            values = features[name]
            infinite = feature.dtype.startswith("float") and ~tf.reduce_all(tf.math.is_finite(values))
            padded = False
            if feature.variable_length:
                length = tf.shape(values, tf.int64)[0]
                steps = tf.reshape(values, [length, prod(feature.fixed_shape)])
                padded = tf.reduce_any(tf.reduce_all(steps == tf.constant(feature.padding, steps.dtype), axis=1))
            faults.append(tf.stack([infinite, padded]))
        return labels, length, weight, tf.stack(faults)

    return summarize


def _refuse_faults(spec: DataSpec, shards: Shards, first_row: int, faults: np.ndarray) -> None:
    """Raise for the first fault of a batch.

    Args:
        spec: The spec of the rows.
        shards: The split, for the location of a row.
        first_row: The row of the split that is the first of the batch.
        faults: (rows, features, 2) bool.

    Raises:
        DataError: There is a fault.
    """
    for row, feature, kind in np.argwhere(faults)[:1]:
        name = list(spec.features)[feature]
        expected, found = (
            ("finite numbers", "NaN or an infinite value. Fix the data."),
            ("no step that equals the padding", f"only {padding_advice(spec.features[name])}"),
        )[kind]
        raise DataError(
            f"{shards.row_location(first_row + int(row))}: expected {expected} in feature {name!r}; found {found} Then "
            "write the shards again."
        )


def _count_readable(records: tf.data.Dataset) -> int:
    """Return the number of elements of a dataset before its first error."""
    count = 0
    with suppress(tf.errors.OpError, UnicodeDecodeError):
        for _ in records:
            count += 1
    return count
