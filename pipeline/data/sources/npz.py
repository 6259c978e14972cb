"""NumPy .npz files. Pickled objects in a file are never loaded."""

from __future__ import annotations

import lzma
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO, Any, Literal, override

from pipeline.data.columns import decoded
from pipeline.data.row_weights import array_weights
from pipeline.data.source import (
    CLASS,
    READ,
    REAL,
    SPLIT_NAMES,
    ConfigError,
    DataError,
    Dataset,
    DataSource,
    Sequences,
    Table,
    class_indices,
    class_label,
    class_names,
    describe,
    np,
    numbered_classes,
    numbered_rows,
    option,
    real_label,
    row_label,
    to_feature_dtype,
)
from pipeline.errors import nearest, shortened
from pipeline.runtime import machine_memory
from pipeline.spec import LABEL_KINDS, DataSpec, Label

NAME_FORMS = ("{split}_{name}", "{name}_{split}")  # names of the arrays of a split; Keras examples use the second form
READ_ERRORS = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, OverflowError, RuntimeError),
    *(tokenize.TokenError, SyntaxError, MemoryError),  # of a header
)


@dataclass
class Npz(DataSource):
    """A NumPy .npz file.

    The arrays train_NAME, validation_NAME and test_NAME are splits. The rows of an array NAME are divided into splits.

    Example:
        make train data=npz data.path=my.npz
    """

    path: str = option("", "the .npz file", required=True, path=READ)
    features: list[str] = option(["x"], "arrays that the model takes, rows first", required=True)
    labels: list[str] = option(["y"], "arrays to predict, rows first", required=True)
    lengths: str = option("", "array of row lengths, if the rows of each feature are concatenated; '' if they are not")
    weight: str = option("", "array of row weights from 0 on, which losses and scores count by; '' for none")
    label_kind: str = option(CLASS, "what each label array holds", choices=LABEL_KINDS)
    classes: int | None = option(
        None, "number of classes; null counts those in the training rows, which may be any whole numbers or names"
    )

    @override
    def class_argument(self, label: str, classes: int) -> str | None:
        return f"data.classes={classes}" if self.label_kind == CLASS and self.classes is None else None

    @override
    def check(self) -> None:
        super().check()
        names = [*self.features, *self.labels, *([self.weight] if self.weight else [])]
        if len(set(names)) < len(names):
            raise ConfigError(
                f"data: expected each array once in data.features, data.labels and data.weight; found {names}. "
                "Keep one role per array."
            )

    @override
    def read(self) -> Dataset:
        return self.read_with_keys(())

    @override
    def read_with_keys(self, columns: Collection[str]) -> Dataset:
        """Return the splits whose arrays are named train_NAME or NAME_train, and so on; else one split."""
        keys = [*self.split.keys, *columns]
        arrays = self._read_arrays(keys)
        location_of = {
            split_name: f"{self.path}, {split_name} arrays" if len(arrays) > 1 else self.path for split_name in arrays
        }
        labels, targets = {}, {}
        for name in self.labels:
            values = {split_name: by_name[name] for split_name, by_name in arrays.items()}
            location = f"{self.path}, label {name!r}"
            if self.label_kind == CLASS:
                labels[name], targets[name] = self._read_classes(values, location, location_of)
            else:
                labels[name], targets[name] = self._read_numbers(values, location)
        splits = {
            split_name: Table(
                self._features(arrays[split_name], location),
                {name: columns[split_name] for name, columns in targets.items()},
                numbered_rows(location),
                _key_columns(arrays[split_name], keys),
                weights=self._weights(arrays[split_name], location),
            )
            for split_name, location in location_of.items()
        }
        return describe(splits, labels=labels, location=self.path)

    @override
    def read_unlabeled(self, trained: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
        """Yield the rows of all splits. The arrays of labels need not exist; those of features are read row by row."""
        path = Path(self.path)
        names = [*self.features, *([self.lengths] if self.lengths else [])]
        with _open_archive(path) as archive:
            splits = split_members(_array_names(archive), names=names, location=self.path)
            for split_name, members in splits.items():
                lengths = _read_array(archive, path, members[self.lengths]) if self.lengths else None
                readers = {name: _RowReader(archive, path, members[name]) for name in self.features}
                location = f"{path}, {split_name} arrays" if len(splits) > 1 else str(path)
                for start, features in self._read_rows(readers, lengths, location, rows):
                    table = Table(features, {}, numbered_rows(location, start))
                    numbers = np.arange(start, start + len(table))
                    ids = numbers if len(splits) == 1 else np.array([f"{split_name} {row}" for row in numbers], object)
                    yield replace(table, ids=ids)

    def _read_rows(
        self, readers: Mapping[str, _RowReader], lengths: np.ndarray | None, location: str, rows: int
    ) -> Iterator[tuple[int, dict[str, np.ndarray | Sequences]]]:
        """Yield (index of the first row, features) of consecutive blocks of rows.

        Args:
            readers: The readers of the arrays, by feature.
            lengths: (rows,) integers, if the rows of each feature are concatenated.
            location: For error messages.
            rows: The largest number of rows of a block.
        """
        if lengths is not None:
            check_lengths(lengths, location)
        counts = {name: len(reader) for name, reader in readers.items()} if lengths is None else {"": len(lengths)}
        count = next(iter(counts.values()))
        expected = count if lengths is None else int(lengths.sum())
        for name, reader in readers.items():
            if len(reader) != expected:
                noun = "rows, as in the first feature" if lengths is None else "steps, the sum of the lengths"
                raise DataError(f"{location}, {name!r}: expected {expected:,} {noun}; found {len(reader):,}.")
        for start in range(0, count, rows):
            stop = min(start + rows, count)
            arrays, steps = {}, stop - start
            if lengths is not None:
                arrays[self.lengths] = lengths[start:stop]
                steps = int(lengths[start:stop].sum())
            arrays |= {name: reader.read(steps) for name, reader in readers.items()}
            yield start, self._features(arrays, location)

    def _read_arrays(self, keys: list[str]) -> dict[str, dict[str, np.ndarray]]:
        """Return split name -> (name -> array) of the features, labels, lengths, weights and keys."""
        path = Path(self.path)
        names = [*self.features, *self.labels, *self._optional_names, *keys]
        with _open_archive(path) as archive:
            splits = split_members(_array_names(archive), names=names, location=self.path)
            _check_memory(archive, path, [member for members in splits.values() for member in members.values()])
            return {
                split_name: {name: _read_array(archive, path, member) for name, member in members.items()}
                for split_name, members in splits.items()
            }

    @property
    def _optional_names(self) -> list[str]:
        """The arrays of lengths and weights, if the options name them."""
        return [name for name in (self.lengths, self.weight) if name]

    def _weights(self, arrays: dict[str, np.ndarray], location: str) -> np.ndarray | None:
        return array_weights(arrays[self.weight], f"{location}, {self.weight!r}") if self.weight else None

    @override
    def without_absent_weights(self) -> DataSource:
        with _open_archive(Path(self.path)) as archive:
            names = _array_names(archive)
        forms = {
            self.weight,
            *(form.format(split=split, name=self.weight) for form in NAME_FORMS for split in SPLIT_NAMES),
        }
        return replace(self, weight="") if self.weight and not forms & {*names} else self

    def _features(self, arrays: dict[str, np.ndarray], location: str) -> dict[str, np.ndarray | Sequences]:
        return {name: self._feature(arrays, name, f"{location}, {name!r}") for name in self.features}

    def _feature(self, arrays: dict[str, np.ndarray], name: str, location: str) -> np.ndarray | Sequences:
        column = to_feature_dtype(arrays[name], location)
        if self.lengths:
            return concatenated_rows(column, lengths=arrays[self.lengths], location=location)
        return column if column.ndim > 1 else column[:, np.newaxis]

    def _read_classes(
        self, values: dict[str, np.ndarray], location: str, location_of: dict[str, str]
    ) -> tuple[Label, dict[str, np.ndarray]]:
        """Read a label that is a class: a whole number, a boolean or a name; for rows that are tasks one per point.

        Args:
            values: Split name -> array of the file.
            location: The file and label, for error messages.
            location_of: Split name -> its location, for error messages that name a row.

        Returns:
            The label, and split name -> (rows,) or (rows, points) int64.
        """
        columns = {split_name: _class_column(array, location) for split_name, array in values.items()}
        kinds = {array.dtype.kind for array in columns.values()}
        if kinds <= {"U", "S"}:
            columns = {name: decoded(column, location) for name, column in columns.items()}
            names = class_names(columns["train"].tolist())
            return class_label(names), {
                split_name: class_indices(
                    array.tolist(), names=names, row_location=numbered_rows(location_of[split_name])
                )
                for split_name, array in columns.items()
            }
        if not kinds <= set("biuf"):
            dtypes = ", ".join(str(array.dtype) for array in columns.values())
            raise DataError(
                f"{location}: expected whole numbers or text, one class per row; found {dtypes}. Set data.label_kind."
            )
        rows = len(columns["train"])
        if self.classes is not None and self.classes > rows:
            raise DataError(
                f"{location}: expected at most {rows} classes, since there are {rows} training rows; found "
                f"data.classes={self.classes}. Set data.classes=null, which counts those in the file."
            )
        shapes = {array.shape[1:] for array in columns.values()}
        if len(shapes) > 1:
            raise DataError(
                f"{location}: expected the same number of points per task in every split; found {sorted(shapes)}. "
                "Fix the arrays."
            )
        row_locations = {split_name: numbered_rows(place) for split_name, place in location_of.items()}
        names, indices = numbered_classes(columns, self.classes, location=location, row_locations=row_locations)
        return class_label(names, *shapes), indices

    def _read_numbers(self, values: dict[str, np.ndarray], location: str) -> tuple[Label, dict[str, np.ndarray]]:
        """Read a label of one or more numbers per row.

        Args:
            values: Split name -> array of the file.
            location: The file and label, for error messages.

        Returns:
            The label, and split name -> (rows,) or (rows, width).
        """
        width = values["train"].shape[1:]
        for array in values.values():
            if array.dtype.kind not in "biuf" or array.shape[1:] != width:
                raise DataError(
                    f"{location}: expected numbers of the same shape in every split; found {array.dtype} "
                    f"{array.shape}. Fix the array, or set data.label_kind."
                )
        if self.label_kind == REAL and width in ((), (1,)):
            return real_label(), {split_name: array.reshape(-1) for split_name, array in values.items()}
        if len(width) != 1:
            raise DataError(
                f"{location}: expected one row of numbers per example; found shape {values['train'].shape}. Fix the "
                "array, or set data.label_kind."
            )
        if self.label_kind == REAL:
            return real_label(*width), values
        targets = {split_name: array.astype(np.float32) for split_name, array in values.items()}
        if self.classes not in (None, *width):
            raise DataError(
                f"{location}: expected {self.classes} numbers per row, since data.classes={self.classes}; found "
                f"{width[0]}. Set data.classes={width[0]}."
            )
        return row_label(self.label_kind, range(*width)), targets


def split_members(members: Collection[str], *, names: Sequence[str], location: str) -> dict[str, dict[str, str]]:
    """Return the members of a file that hold the arrays of each split: split name -> (name -> member).

    A split has all of the names if the file holds any of its arrays. If the file holds no array of any split, there is
    one split, "train", whose members have the plain names.

    Args:
        members: The names of the arrays in the file.
        names: The features, labels, lengths and weights.
        location: The file, for the error message.

    Raises:
        DataError: The file holds arrays of several forms, or of splits without "train".
    """
    plain = {"train": {name: name for name in names}}
    forms = [plain]
    for form in NAME_FORMS:
        expected = {split: {name: form.format(split=split, name=name) for name in names} for split in SPLIT_NAMES}
        forms.append({split: own for split, own in expected.items() if set(own.values()) & set(members)})
    present = [
        (splits, member) for splits in forms for own in splits.values() for member in own.values() if member in members
    ]
    first = present[0] if present else (plain, "")
    other = next((member for splits, member in present if splits is not first[0]), None)
    if other is not None or "train" not in first[0]:
        found = f"{first[1]!r} and {other!r}" if other is not None else f"{first[1]!r} without arrays of 'train'"
        raise DataError(
            f"{location}: expected arrays of all rows, or of 'train' and other splits; found {found}. Save the file "
            "without the others."
        )
    return first[0]


def _key_columns(arrays: dict[str, np.ndarray], names: Collection[str]) -> dict[str, np.ndarray]:
    """Return key columns by name: (rows,) each."""
    keys = {name: arrays[name] for name in names}
    return {name: column[:, 0] if column.shape[1:] == (1,) else column for name, column in keys.items()}


def concatenated_rows(values: np.ndarray, *, lengths: np.ndarray, location: str) -> Sequences:
    """Return rows of different lengths.

    Args:
        values: (steps of all rows, ...), the rows concatenated.
        lengths: (rows,) integers, the number of steps of each row.
        location: The file and array, for error messages.

    Raises:
        DataError: The lengths do not match the values, or the values are text.
    """
    if values.dtype == object:
        raise DataError(
            f"{location}: expected numbers, since rows differ in length; found text. Convert the text to token IDs."
        )
    check_lengths(lengths, location)
    if lengths.max() > len(values) or lengths.sum() != len(values):
        raise DataError(
            f"{location}: expected {lengths.sum():,} steps, the sum of the lengths; found {len(values):,}. Check "
            "data.lengths."
        )
    return Sequences.from_lengths(values, lengths)


def check_lengths(lengths: np.ndarray, location: str) -> None:
    """Check that an array holds the number of steps of each row.

    Raises:
        DataError: The array holds something else.
    """
    if lengths.dtype.kind not in "iu" or lengths.ndim != 1 or lengths.min() < 0:
        raise DataError(
            f"{location}: expected lengths as one whole number per row, at least 0; found {lengths.dtype} "
            f"{lengths.shape}. Check data.lengths."
        )


def _class_column(array: np.ndarray, location: str) -> np.ndarray:
    """Return one class per row, (rows,), or, for rows that are tasks, one whole number per point, (rows, points)."""
    if array.shape[1:] in ((), (1,)):
        return array.reshape(-1)
    if array.ndim == 2 and array.dtype.kind in "biu":
        return array
    raise DataError(
        f"{location}: expected one class per row; found shape {array.shape}. Set data.label_kind=real, or, if each "
        "row has one number per class, data.label_kind=one_hot or data.label_kind=multi_label."
    )


# ---- the file format ------------------------------------------------------------------------------------------------


def _open_archive(path: Path) -> zipfile.ZipFile:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise DataError(
            f"{path}: expected an .npz file, as numpy.savez writes it; found another format ({error}). Check data.path."
        ) from error
    repeated = [name for name, count in Counter(archive.namelist()).items() if count > 1]
    if repeated:
        archive.close()
        raise DataError(
            f"{path}: expected each array once; found {shortened(map(repr, repeated))} more than once. Save the file "
            "again."
        )
    return archive


def _check_memory(archive: zipfile.ZipFile, path: Path, names: Collection[str]) -> None:
    """Check that arrays fit into memory, by the sizes that they have when they are unpacked."""
    members = {f"{name}.npy" for name in names}
    machine_memory.check_fits(sum(item.file_size for item in archive.infolist() if item.filename in members), str(path))


def _array_names(archive: zipfile.ZipFile) -> list[str]:
    return [member.removesuffix(".npy") for member in archive.namelist() if member.endswith(".npy")]


def _read_array(archive: zipfile.ZipFile, path: Path, name: str) -> np.ndarray:
    """Return one array of a file. The memory allocated is bounded by the size of the file.

    Raises:
        DataError: The array is missing, damaged or empty, or holds Python objects.
    """
    reader = _RowReader(archive, path, name)
    return reader.read(len(reader))


class _RowReader:
    """Reads the rows of one array of a file, in their order."""

    def __init__(self, archive: zipfile.ZipFile, path: Path, name: str) -> None:
        """Open the array.

        Raises:
            DataError: The array is missing, damaged or empty, or holds Python objects.
        """
        known = _array_names(archive)
        self._location = f"{path}, array {name!r}"
        if name not in known:
            raise DataError(f"{path}: expected an array {name!r}; found none. {nearest(name, known)}")
        try:
            self._stream = archive.open(f"{name}.npy")
            self._shape, self._is_fortran, self._dtype = _read_header(archive, self._stream, name, self._location)
        except READ_ERRORS as error:
            raise self._damaged(error) from error
        if not self._shape or not self._shape[0]:
            raise DataError(
                f"{self._location}: expected rows; found shape {self._shape}. Save the array with rows first."
            )
        self._whole: np.ndarray | None = None  # all rows, if the array is in Fortran order
        self._next = 0

    def __len__(self) -> int:
        return self._shape[0]

    def read(self, count: int) -> np.ndarray:
        """Return the next rows.

        Raises:
            DataError: The file is damaged.
        """
        if not self._is_fortran:
            return self._values((count, *self._shape[1:]), "C")
        if self._whole is None:
            self._whole = self._values(self._shape, "F")
        self._next += count
        return self._whole[self._next - count : self._next]

    def _values(self, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
        size = prod(shape) * self._dtype.itemsize
        try:
            content = self._stream.read(size)
        except READ_ERRORS as error:
            raise self._damaged(error) from error
        if len(content) != size:
            raise DataError(
                f"{self._location}: expected {size:,} bytes of values; found {len(content):,}. Copy the file again."
            )
        return np.ndarray(shape, self._dtype, content, order=order)

    def _damaged(self, error: Exception) -> DataError:
        return DataError(f"{self._location}: expected a whole array; found damage ({error}). Copy the file again.")


def _read_header(
    archive: zipfile.ZipFile, stream: IO[bytes], name: str, location: str
) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Return the shape of an array, whether it is in Fortran order, and its dtype.

    numpy.load allocates the size in the header before it reads. This function compares it with the file first.
    """
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(np.lib.format.read_magic(stream))
    if read_header is None:
        raise DataError(
            f"{location}: expected an array of a plain dtype; found one with named fields. Save each field as an array."
        )
    shape, is_fortran, dtype = read_header(stream)
    if any(size < 0 for size in shape):
        raise ValueError(f"its header has the shape {shape}")
    if dtype.hasobject:
        raise DataError(
            f"{location}: expected numbers, booleans or text; found Python objects, which are never loaded, since "
            "a pickle can run code. Save numbers as x.astype('float64') and text as x.astype('str'); concatenate "
            "rows that differ in length, and set data.lengths."
        )
    claimed = prod(shape) * dtype.itemsize
    size = archive.getinfo(f"{name}.npy").file_size - stream.tell()
    if claimed != size:
        raise DataError(
            f"{location}: expected {size:,} bytes of values; its header claims {claimed:,} bytes. Save the file again."
        )
    return shape, is_fortran, dtype
