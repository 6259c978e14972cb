"""The fingerprint of a data set: equal fingerprints mean equal examples, independent of their location."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.data.containers import Dataset, FeatureColumn, Images, Sequences, Shards, Table
from pipeline.data.image_files import PLAIN
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    from hashlib import _Hash


def fingerprint(dataset: Dataset, keys: Collection[str] = ()) -> str:
    """Return the sha256, in hexadecimal, over the spec and every feature and label of a data set.

    Paths and compression do not matter. Images on disk are hashed as files, and shards by their recorded sha256, so
    that the same pixels in another file format have another fingerprint.

    Args:
        dataset: The data set.
        keys: The key columns that decide its splits, which count too, as row weights do.
    """
    digest = hashlib.sha256(json.dumps(_spec_fields(dataset.spec)).encode())
    for split_name, split in sorted(dataset.splits.items()):
        _add(digest, split_name, len(split))
        if isinstance(split, Shards):
            for sha256 in split.digests:
                _add(digest, sha256)
            continue
        used = [(name, column) for name, column in split.keys.items() if name in keys]
        for name, column in [*split.features.items(), *split.labels.items(), *used]:
            _add(digest, name)
            _add_column(digest, column)
        if split.weights is not None:
            _add(digest, "row weights")
            _add_column(digest, split.weights)
        if split.windows:
            _add_column(digest, split.windows.first)
            _add_column(digest, split.windows.last)
    return digest.hexdigest()


class StreamFingerprint:
    """The fingerprint of rows that are read table by table. It does not depend on the sizes of the tables."""

    def __init__(self) -> None:
        self._rows = 0
        self._digests: defaultdict[str, _Hash] = defaultdict(hashlib.sha256)

    def add(self, table: Table) -> None:
        """Add the features of the next rows."""
        self._rows += len(table)
        for name, column in table.features.items():
            assert not isinstance(column, Images), "rows are read with their pixels"
            if isinstance(column, Sequences):
                self._digests[f"{name}, lengths"].update(np.ascontiguousarray(column.lengths))
                column = column.values
            is_text = column.dtype == object
            content = "".join(map(json.dumps, column.flat)).encode() if is_text else np.ascontiguousarray(column)
            self._digests[f"{name}, {column.dtype.str}, {column.shape[1:]}"].update(content)

    def hexdigest(self) -> str:
        """Return the sha256, in hexadecimal, over the names, dtypes and values of the features of all rows."""
        parts = {name: digest.hexdigest() for name, digest in sorted(self._digests.items())}
        return hashlib.sha256(json.dumps([self._rows, parts]).encode()).hexdigest()


def _spec_fields(spec: DataSpec) -> dict[str, Any]:
    """Return the fields of a spec, without those added later that are empty: so older fingerprints stay the same."""
    fields = asdict(spec)
    for feature in fields["features"].values():
        for name in ("columns", "categories"):
            if not feature[name]:
                del feature[name]
    for label in fields["labels"].values():
        if not label["ordered"]:
            del label["ordered"]
    return fields


def _add(digest: _Hash, *values: object) -> None:
    """Add values in JSON, so that different lists of values add different bytes."""
    digest.update(json.dumps(values).encode())


def _add_column(digest: _Hash, column: FeatureColumn) -> None:
    if isinstance(column, Images):
        _add(digest, column.shape, column.resize)
        if column.encodings != (PLAIN,):  # plain files keep the fingerprint that they have always had
            transparent = any(encoding.alpha for encoding in column.encodings)
            _add(digest, [astuple(encoding) for encoding in column.encodings], transparent and column.background)
            digest.update(column.files[1])
        for path in column.paths:
            with Path(path).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    elif isinstance(column, Sequences):
        _add_column(digest, column.offsets)
        _add_column(digest, column.values)
    elif column.dtype == object:
        _add(digest, column.shape)
        for text in column.ravel():
            _add(digest, text)
    else:
        _add(digest, column.dtype.str, column.shape)
        digest.update(np.ascontiguousarray(column))
