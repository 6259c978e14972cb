"""Folders of TFRecord shards and their spec.json."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from fuzz.csv_files import other_kind
from fuzz.grammar import Format, cut, flip_bytes, splice
from fuzz.npz_files import NPZ

from pipeline.data import splits
from pipeline.data.shards import MANIFEST, write_shards
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.files import sha256

FOLDER = "shards"


def write(folder: Path) -> None:
    """Write the rows of the sample of .npz files."""
    data = splits.load(NPZ.open(NPZ.options_in(NPZ.sample)))
    write_shards(data.spec, data.splits, folder / FOLDER, rows_per_shard=12)


SHARDS = Format("tfrecord", TFRecord, {"path": FOLDER}, write)


def _manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / FOLDER / MANIFEST).read_text())


def _write(folder: Path, manifest: object, **form: Any) -> None:
    (folder / FOLDER / MANIFEST).write_text(json.dumps(manifest, **form))


def _any_shard(random: Random, folder: Path) -> Path:
    return random.choice(sorted((folder / FOLDER).glob("*.tfrecord")))


def _leaves(value: Any, path: tuple = ()) -> list[tuple]:
    """Return the paths of all entries of nested dicts and lists."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path] * bool(path) + [leaf for key, entry in entries for leaf in _leaves(entry, (*path, key))]


def _owner(value: Any, path: tuple) -> Any:
    for key in path[:-1]:
        value = value[key]
    return value


def _with_records(folder: Path, path: Path, change: Callable[[list[bytes]], list[bytes]]) -> None:
    """Change the records of a shard, and give the manifest its new size and digest."""
    import tensorflow as tf

    records = change([record.numpy() for record in tf.data.TFRecordDataset(str(path))])
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    manifest = _manifest(folder)
    for entry in (entry for entries in manifest["splits"].values() for entry in entries):
        if entry["file"] == path.name:
            entry |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    _write(folder, manifest)


@SHARDS.wrong
def cut_shard(random: Random, folder: Path) -> None:
    cut(random, _any_shard(random, folder))


@SHARDS.wrong
def changed_shard(random: Random, folder: Path) -> None:
    flip_bytes(random, _any_shard(random, folder), random.randrange(1, 5))


@SHARDS.wrong
def no_shard(random: Random, folder: Path) -> None:
    path = _any_shard(random, folder)
    path.unlink()
    if random.random() < 0.7:
        other_kind(random, path)


@SHARDS.wrong
def no_manifest(random: Random, folder: Path) -> None:
    path = folder / FOLDER / MANIFEST
    path.unlink()
    if random.random() < 0.7:
        other_kind(random, path)


@SHARDS.wrong
def entry_missing(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    kept = ("test", "validation", "lengths", "columns", "categories", "text", "ordered")  # have a default
    paths = [path for path in _leaves(manifest) if isinstance(path[-1], str) and path[-1] not in kept]
    path = random.choice(paths)
    del _owner(manifest, path)[path[-1]]
    _write(folder, manifest)


@SHARDS.wrong
def entry_of_another_type(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    path = random.choice(
        [path for path in _leaves(manifest) if path[-1] not in ("lengths", "text", "ordered", "categories")]
    )
    owner = _owner(manifest, path)
    others = [None, True, "x", -1, 1.5, [], {}, [[]], {"a": 1}, 10**30, float("nan"), "\0", ""]
    same = [other for other in others if type(other) is not type(owner[path[-1]]) and other != owner[path[-1]]]
    owner[path[-1]] = random.choice(same)
    _write(folder, manifest)


@SHARDS.wrong
def number_that_lies(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    entry = random.choice(manifest["splits"][random.choice([*manifest["splits"]])])
    key = random.choice(["rows", "bytes"])
    entry[key] = random.choice([entry[key] + 1, entry[key] - 1, 0, -1, 10**12, 2**63, 2**64])
    _write(folder, manifest)


@SHARDS.wrong
def shape_that_lies(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    shapes = [[-3], [0], [4], [2**40], [None], [3, 3], [2**31, 2**31], [1.5], "3", [10**30]]
    manifest["spec"]["features"]["x"]["shape"] = random.choice(shapes)
    _write(folder, manifest)


@SHARDS.wrong
def label_that_lies(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    label = manifest["spec"]["labels"]["y"]
    changes = [
        {"classes": ["0"], "width": 1},
        {"classes": ["0", "1", "2"], "width": 3},
        {"dtype": "float32"},
        {"width": 9},
    ]
    changes += [
        {"kind": "real"},
        {"kind": "x"},
        {"classes": ["0", "0"]},
        {"shape": [2]},
        {"dtype": "int8"},
        {"width": 0},
    ]
    label |= random.choice(changes)
    _write(folder, manifest)


@SHARDS.wrong
def shard_twice(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    entries = [entry for entries in manifest["splits"].values() for entry in entries]
    manifest["splits"][random.choice([*manifest["splits"]])].append(random.choice(entries))
    _write(folder, manifest)


@SHARDS.wrong
def path_of_a_shard(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    names = ["../shards/spec.json", "/dev/zero", "..", "", ".", "spec.json", "a\0b", "x" * 300, "~", "*"]
    random.choice(manifest["splits"]["train"])["file"] = random.choice(names)
    _write(folder, manifest)


@SHARDS.wrong
def no_manifest_in_the_file(random: Random, folder: Path) -> None:
    contents = [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"3",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 5_000,
        b"{" * 100,
        b"\0" * 100,
    ]
    contents += [b"1" * 10_000, b'"' + b"x" * 10**6 + b'"', b"NaN", (b"[" + b"1," * 10**6 + b"1]")]
    (folder / FOLDER / MANIFEST).write_bytes(random.choice(contents))


@SHARDS.wrong
def other_records(random: Random, folder: Path) -> None:
    others = [b"", b"\0", b"\x0a", os.urandom(30), b"\xff" * 50]

    def change(records: list[bytes]) -> list[bytes]:
        records[random.randrange(len(records))] = random.choice(others)
        return records

    _with_records(folder, _any_shard(random, folder), change)


@SHARDS.wrong
def not_finite_record(random: Random, folder: Path) -> None:
    def change(records: list[bytes]) -> list[bytes]:
        at = random.randrange(len(records))
        value = np.float32(random.choice([np.nan, np.inf, -np.inf])).tobytes()
        start = records[at].index(b"features/x")
        value_start = records[at].index(b"\x0c", start + 10) + 1  # 12 bytes: three numbers
        records[at] = records[at][:value_start] + value + records[at][value_start + 4 :]
        return records

    _with_records(folder, _any_shard(random, folder), change)


@SHARDS.wrong
def rows_in_another_order_of_files(random: Random, folder: Path) -> None:
    paths = sorted((folder / FOLDER).glob("*.tfrecord"))
    first, second = random.sample(paths, 2)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(content)


@SHARDS.right
def another_form_of_the_manifest(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    _write(folder, dict(random.sample([*manifest.items()], len(manifest))), indent=random.choice([None, 0, 7]))


@SHARDS.right
def further_files(random: Random, folder: Path) -> None:
    (folder / FOLDER / random.choice(["notes.txt", "train-99999-of-00001.tfrecord", ".x"])).write_bytes(b"x")


@SHARDS.any
def changed_manifest(random: Random, folder: Path) -> None:
    random.choice([flip_bytes, splice])(random, folder / FOLDER / MANIFEST)


@SHARDS.any
def changed_entries(random: Random, folder: Path) -> None:
    manifest = _manifest(folder)
    for _ in range(random.randrange(1, 4)):
        path = random.choice(_leaves(manifest))
        _owner(manifest, path)[path[-1]] = random.choice([None, 0, -1, 2**40, "x", [], {}, ["a"], [3], True, 1e300])
        if len(path) < 3:
            break
    _write(folder, manifest)
