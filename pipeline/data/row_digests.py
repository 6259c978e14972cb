"""Digests of rows: 64 bits per row, equal for rows of equal values, to find a row again in other data.

The digest is a pair of multilinear hashes of 32 bits (Lemire and Kaser, "Strongly universal string hashing is fast",
2014) with fixed keys: two different rows have the same digest with a probability of 2**-64. Among ten million rows and
ten million others, one false match is expected in 200,000 such comparisons.

Images on disk count by the bytes of their files, so that a file is found again after it was renamed or moved. The same
pixels in another encoding are other rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.containers import FeatureColumn, Images, Sequences, Table

if TYPE_CHECKING:
    from pipeline.data.blocks import Block

BLOCK = 1 << 20  # 32-bit integers that are hashed at a time
HIGH = np.uint64(32)


def digest_table(table: Table) -> np.ndarray:
    """Return the digest of the features and labels of each row: (rows,) uint64."""
    return digest_columns([*_sorted(table.features), *_sorted(table.labels)])


def digest_features(block: Table | Block) -> np.ndarray:
    """Return the digest of the features of each row: (rows,) uint64."""
    return digest_columns(_sorted(block.features if isinstance(block, Table) else block[0]))


def digest_columns(columns: Sequence[FeatureColumn]) -> np.ndarray:
    """Return the digest of each row of some columns, in their order: (rows,) uint64."""
    sums = np.zeros((len(columns[0]), 2), np.uint64)
    for position, column in enumerate(columns):
        for rows, hashed in _hash_blocks(column, position):
            sums[rows] += hashed
    return (sums[:, 0] >> HIGH << HIGH) | (sums[:, 1] >> HIGH)


def is_among(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return which rows occur among known rows, each known row at most once: (rows,) bool.

    A row that occurs three times among `rows` and twice among `known` is marked twice, at its first two rows.

    Args:
        rows: (rows,) uint64, digests.
        known: (known rows,) uint64, sorted digests.
    """
    order = np.argsort(rows, kind="stable")
    ordered = rows[order]
    rank = np.arange(len(rows)) - np.searchsorted(ordered, ordered)  # how many equal rows come before
    times = np.searchsorted(known, ordered, "right") - np.searchsorted(known, ordered)
    marked = np.empty(len(rows), bool)
    marked[order] = rank < times
    return marked


def _sorted(columns: Mapping[str, FeatureColumn]) -> list[FeatureColumn]:
    return [columns[name] for name in sorted(columns)]


def _hash_blocks(column: FeatureColumn, position: int) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows, their two sums before the last shift, (rows, 2) uint64) of successive rows of one column."""
    if isinstance(column, Sequences):
        yield from _hash_sequences(column, position)
        return
    values = _hashable(column)
    width = -(-values[:1].nbytes // 4)
    keys, step = _keys(position, width), max(BLOCK // max(width, 1), 1)
    for start in range(0, len(values), step):
        block = values[start : start + step]
        yield slice(start, start + len(block)), _as_integers(block, width) @ keys


def _hash_sequences(column: Sequences, position: int) -> Iterator[tuple[slice, np.ndarray]]:
    lengths = column.lengths
    values = _hashable(column.values)
    width = -(-values[:1].nbytes // 4)
    keys = _keys(position, 1 + width * int(lengths.max(initial=0)))
    step = max(BLOCK // max(width * int(lengths.max(initial=1)), 1), 1)
    for start in range(0, len(column), step):
        rows = slice(start, min(start + step, len(column)))
        offsets = column.offsets[rows.start : rows.stop + 1]
        integers = _as_integers(values[offsets[0] : offsets[-1]], width)
        steps = np.arange(offsets[-1] - offsets[0]) - np.repeat(offsets[:-1] - offsets[0], lengths[rows])
        of_step = keys[1:].reshape(-1, width, 2)[steps]
        ends = np.concatenate(
            [np.zeros((1, 2), np.uint64), np.cumsum(np.einsum("sw,swk->sk", integers, of_step), axis=0)]
        )
        sums = ends[offsets[1:] - offsets[0]] - ends[offsets[:-1] - offsets[0]]  # modulo 2**64
        yield rows, sums + lengths[rows, np.newaxis].astype(np.uint64) * keys[0]


def _hashable(column: np.ndarray | Images) -> np.ndarray:
    """Return values of a fixed width: files and texts by their own digests of 128 bits."""
    if isinstance(column, Images):
        digests = [_file_digest(path) for path in column.paths]
    elif column.dtype == object:
        known: dict[str, bytes] = {}
        digests = [
            known.get(text) or known.setdefault(text, hashlib.blake2b(text.encode(), digest_size=16).digest())
            for text in map(str, column.flat)
        ]
    else:
        return column
    shape = () if isinstance(column, Images) else column.shape[1:]
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(column), *shape, 16)


def _file_digest(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()


def _as_integers(block: np.ndarray, width: int) -> np.ndarray:
    """Return the bytes of each row as 32-bit integers, padded with zeros: (rows, width) uint64."""
    octets = np.ascontiguousarray(block).reshape(len(block), -1).view(np.uint8)
    if octets.shape[1] < 4 * width:
        octets = np.pad(octets, [(0, 0), (0, 4 * width - octets.shape[1])])
    return octets.view("<u4").astype(np.uint64)


def _keys(position: int, width: int) -> np.ndarray:
    """Return the keys of the integers of one column, (width, 2) uint64, different for each position of a column."""
    return np.random.Philox(key=position).random_raw(2 * width).reshape(width, 2)
