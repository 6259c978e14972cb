"""The rows that a run was trained on: kept as digests, and left out when the run is evaluated on other data.

The file rows.npz holds the sorted digests of the rows of each split, 8 bytes a row. Digests are random numbers, so
compression would save a twentieth of it and cost more than the digests. Rows of shards are not kept: they are read as a
stream, from which no row can be left out.
"""

import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline import archives, digest_files
from pipeline.data.containers import Shards, Split, Table
from pipeline.data.row_digests import digest_table, is_among
from pipeline.data.source import DataSource
from pipeline.errors import DataError, RunError
from pipeline.evaluation.options import KEEP, LEAVE_OUT
from pipeline.files import sha256
from pipeline.options import result_options
from pipeline.runs import folder as run_folder

FILE = "rows.npz"

Digests = Mapping[str, np.ndarray]  # split name -> sorted digests of its rows


@dataclass(frozen=True)
class Selection:
    """The rows of other data that a run is evaluated on.

    Attributes:
        rows: The rows.
        notes: One sentence per finding about rows that the run was trained on; empty if there is none.
    """

    rows: Split
    notes: tuple[str, ...] = ()


def write(folder: Path, splits: Mapping[str, Split]) -> None:
    """Write the digests of the rows of a run, and beside them the sha256 of the file, unless they are written already.

    Args:
        folder: The run folder.
        splits: The splits by name.

    Raises:
        OSError: The file cannot be written.
    """
    path = folder / FILE
    tables = {name: split for name, split in splits.items() if isinstance(split, Table)}
    if digest_files.digest_path(path).exists() or len(tables) < len(splits):
        return
    content = io.BytesIO()
    np.savez(content, allow_pickle=False, **{name: np.sort(digest_table(table)) for name, table in tables.items()})
    digest_files.write(path, content.getvalue())


def read(folder: Path) -> Digests | None:
    """Return the digests of the rows of a run; None if the run keeps none.

    Raises:
        RunError: The file is damaged.
    """
    path = folder / FILE
    if not digest_files.digest_path(path).exists():
        return None
    try:
        expected, found = digest_files.read_digest(path), sha256(path)
        if found == expected:
            return _read_arrays(path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise RunError(f"{path}: expected the digests of the rows of a run; {error}. Restore the file.") from None
    raise RunError(f"{path}: expected sha256 {expected}; found {found}. The file is damaged: restore it.")


def _read_arrays(path: Path) -> Digests:
    """Read the digests. The arrays are not compressed, so none can be larger than the file.

    Raises:
        ValueError: The file holds other arrays.
    """
    archives.check_stored(path)
    with np.load(path, allow_pickle=False) as arrays:
        digests = {name: arrays[name] for name in arrays.files}
    if "train" not in digests or any(each.dtype != np.uint64 or each.ndim != 1 for each in digests.values()):
        raise ValueError("found other arrays")
    return digests


def is_own_split(folder: Path, data: DataSource, *, fingerprint: str, split_name: str) -> bool:
    """Return whether rows are the validation or test split of a run as it was, so that none was trained on.

    Args:
        folder: The run folder.
        data: The source that the rows were read from.
        fingerprint: The fingerprint of the data.
        split_name: The split.

    Raises:
        RunError: A file of the run is damaged.
    """
    then = run_folder.read(folder, "environment.json")["identity"]["config"]
    now = {f"data.split.{name}": value for name, value in result_options(data.split)}
    return (
        split_name in ("validation", "test")
        and fingerprint == run_folder.read(folder, "result.json")["fingerprint"]
        and all(then.get(key, value) == value for key, value in now.items())
    )


def select(split: Split, folder: Path, *, policy: str) -> Selection:
    """Return the rows of other data that a run was not trained on.

    Args:
        split: The rows to evaluate.
        folder: The run folder.
        policy: LEAVE_OUT, or KEEP to find and name trained rows only.

    Raises:
        DataError: No row is left.
        RunError: The digests of the run are damaged.
    """
    known = read(folder)
    if known is None or isinstance(split, Shards):
        reason = "the run keeps no digests of its rows" if known is None else "the rows are streamed from shards"
        return Selection(split, (f"Whether {folder.name} was trained on these rows is unknown: {reason}.",))
    digests = digest_table(split)
    trained = is_among(digests, known["train"])
    count, total = int(np.count_nonzero(trained)), len(split)
    notes = []
    if count:
        done = "they are left out" if policy == LEAVE_OUT else "they are kept"
        notes.append(f"{folder.name} was trained on {count:,} of {total:,} rows; {done}.")
    watched = int(np.count_nonzero(is_among(digests[~trained], known.get("validation", known["train"][:0]))))
    if watched:
        notes.append(f"{watched:,} rows were in its validation split, which may have chosen the epoch; they are kept.")
    if policy == KEEP or not count:
        return Selection(split, tuple(notes))
    if count == total:
        repeated = 1 - len(np.unique(known["train"])) / len(known["train"])
        chance = f" In its training split {repeated:.0%} of the rows repeat another." if repeated > 0.01 else ""
        raise DataError(
            f"{folder.name}: expected rows that it was not trained on; found all {total:,} in its training split."
            f"{chance} Take other data, or score them nevertheless: evaluation.trained_rows=keep."
        )
    return Selection(split.select(np.flatnonzero(~trained)), tuple(notes))


def count_shared(tested: Path, trained: Path) -> tuple[int, int] | None:
    """Return how many test rows of one run another run was trained on, and how many there are; None if unknown.

    Rows that equal a training row of their own run do not count: they are coincidences.

    Args:
        tested: The folder of the run whose test rows count.
        trained: The folder of the other run.

    Raises:
        RunError: The digests of a run are damaged.
    """
    one, other = read(tested), read(trained)
    if one is None or other is None or "test" not in one:
        return None
    shared = is_among(one["test"], other["train"]) & ~np.isin(one["test"], one["train"])
    return int(np.count_nonzero(shared)), len(one["test"])
