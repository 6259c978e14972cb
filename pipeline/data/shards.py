"""Write a data set as TFRecord shards and their manifest, spec.json.

A shard is a TFRecord file of rows that pipeline.data.records serializes. The manifest holds the spec of the rows, and
the number of rows, size and sha256 of each file.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from pipeline.data.containers import Table
from pipeline.data.records import serialize_row
from pipeline.errors import DataError
from pipeline.files import flush_to_disk, sha256
from pipeline.lazy import tf
from pipeline.spec import DataSpec

MANIFEST = "spec.json"
FORMAT = 1  # increased when records or the manifest change
WEIGHTED_FORMAT = 2  # the same, and every record has a weight


def write_shards(
    spec: DataSpec,
    splits: Mapping[str, Table],
    folder: str | Path,
    *,
    rows_per_shard: int,
    progress: Callable[[str, int, int], None] = lambda split_name, rows, total: None,
) -> None:
    """Write the splits of a data set as shards into a new folder, which appears only when it is complete.

    Args:
        spec: The spec of the rows.
        splits: The splits by name.
        folder: The folder to create.
        rows_per_shard: The number of rows per file; the last file of a split may have fewer.
        progress: Called with (split name, rows written, rows of the split) after every shard.

    Raises:
        DataError: The folder exists already.
    """
    with _new_folder(Path(folder)) as draft:
        is_weighted = any(split.weights is not None for split in splits.values())
        files = {}
        for split_name, split in splits.items():
            starts = range(0, len(split), rows_per_shard)
            files[split_name] = []
            for number, start in enumerate(starts):
                rows = range(start, min(start + rows_per_shard, len(split)))
                path = draft / f"{split_name}-{number:05d}-of-{len(starts):05d}.tfrecord"
                _write_shard(spec, split, rows, path)
                files[split_name].append(
                    {"file": path.name, "rows": len(rows), "bytes": path.stat().st_size, "sha256": sha256(path)}
                )
                progress(split_name, rows.stop, len(split))
        manifest = {"format": WEIGHTED_FORMAT if is_weighted else FORMAT, "spec": asdict(spec), "splits": files}
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        flush_to_disk(draft / MANIFEST)


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Yield a hidden folder beside `folder`. It is renamed to `folder` at the end, or removed if the block raises."""
    if folder.exists():
        raise DataError(f"{folder}: expected a new folder for the shards; it exists. Choose another, or remove it.")
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    draft.mkdir(parents=True)
    try:
        yield draft
        flush_to_disk(draft)
        draft.rename(folder)
        flush_to_disk(folder.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_shard(spec: DataSpec, split: Table, rows: range, path: Path) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for row in rows:
            writer.write(serialize_row(spec, split, row))
    flush_to_disk(path)
