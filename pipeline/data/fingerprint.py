"""One digest of all that a data set holds: equal digests mean equal examples, wherever they lie."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.data.containers import Images, Sequences, Shards
from pipeline.data.shards import recorded_digests


def fingerprint(source):
    """The sha256, in hexadecimal, over the spec and every feature and label of a Source.

    Neither the path nor compression counts. Images that stay on disk count by the bytes of their files, shards by
    their recorded sha256, so the same pixels in another form have another fingerprint.
    """
    digest = hashlib.sha256(json.dumps(asdict(source.spec)).encode())
    for split, part in sorted(source.parts.items()):
        add(digest, split, len(part))
        if isinstance(part, Shards):
            for sha256 in recorded_digests(part):
                add(digest, sha256)
            continue
        for name, column in [*part.features.items(), *part.labels.items()]:
            add(digest, name)
            add_column(digest, column)
    return digest.hexdigest()


def add(digest, *words):
    """Add words so that no two lists of words add the same bytes."""
    digest.update(json.dumps(words).encode())


def add_column(digest, column):
    if isinstance(column, Images):
        add(digest, column.shape, column.resize)
        for path in column.paths:
            with Path(path).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    elif isinstance(column, Sequences):
        add_column(digest, column.offsets)
        add_column(digest, column.values)
    elif column.dtype == object:
        add(digest, column.shape)
        for text in column.ravel():
            add(digest, text)
    else:
        add(digest, column.dtype.str, column.shape)
        digest.update(np.ascontiguousarray(column))
