"""Parquet files: the columns of a table with their types. Needs pyarrow, which is not part of the lock."""

from __future__ import annotations

import importlib
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, override

from pipeline.data.roles import check_once
from pipeline.data.source import DataError, np, numbered_rows
from pipeline.data.table_columns import (
    EXACT_IN_FLOAT64,
    NumberBlocks,
    NumberColumn,
    TableFile,
    TextBlocks,
    TextColumn,
    first_rounded,
)
from pipeline.data.table_source import TableSource
from pipeline.errors import EnvironmentMismatch

INSTALL = ".venv/bin/python scripts/install.py requirements-parquet.txt"
PANDAS_INDEX = re.compile(r"__index_level_\d+__")  # pandas writes its row labels as such a column


@dataclass
class Parquet(TableSource):
    """A Parquet file; the columns have the same roles as those of a CSV file.

    Example:
        make train data=parquet data.path=people.parquet 'data.numeric=*' model=tabular
    """

    @override
    def header(self, path: str) -> tuple[list[str], str]:
        return [name for name in _open(path).schema_arrow.names if not PANDAS_INDEX.fullmatch(name)], path

    @override
    def read_file(self, path: str, numbers: Collection[str], texts: Collection[str]) -> TableFile:
        """Read some columns of a file.

        Raises:
            DataError: A column is missing or occurs twice, or the file is damaged.
            EnvironmentMismatch: pyarrow is not installed.
        """
        file = _open(path)
        for name in (*numbers, *texts):
            check_once(file.schema_arrow.names, name, path)
        if not file.metadata.num_rows:
            raise DataError(f"{path}: expected rows; found none. Add rows.")
        return TableFile(
            path,
            {name: self._numbers(_column(file, path, name)) for name in numbers},
            {name: _texts(_column(file, path, name)) for name in texts},
            lambda row: f"{path}, row {row}",
        )

    @override
    def read_chunks(
        self, path: str, numbers: Collection[str], texts: Collection[str], rows: int
    ) -> Iterator[TableFile]:
        file, names = _open(path), list(dict.fromkeys((*numbers, *texts)))
        for name in names:
            check_once(file.schema_arrow.names, name, path)
        if not file.metadata.num_rows:
            raise DataError(f"{path}: expected rows; found none. Add rows.")
        first = 0
        for table in _batches(file, path, names, rows):
            yield TableFile(
                path,
                {name: self._numbers(table.column(name)) for name in numbers},
                {name: _texts(table.column(name)) for name in texts},
                numbered_rows(path, first),
                np.arange(first, first + table.num_rows),
            )
            first += table.num_rows

    def _numbers(self, column: Any) -> NumberColumn:
        """Return a column as numbers: numbers and booleans as they are, texts as in a CSV file."""
        types = importlib.import_module("pyarrow.types")
        kind = column.type
        is_number = (
            types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_decimal(kind)
        )
        if not is_number:
            blocks = NumberBlocks(self.missing)
            blocks.add(_as_texts(column), 0)
            return blocks.column()
        if types.is_boolean(kind):
            column = column.cast("uint8")
        values = column.cast("float64", safe=False).to_numpy()
        missing = Counter({"null": count} if (count := int(np.isnan(values).sum())) else {})
        rounded = None
        if types.is_integer(kind) and (np.abs(values) >= EXACT_IN_FLOAT64).any():
            rounded = first_rounded(column.to_pylist(), values)
        return NumberColumn(values, missing, {}, None, rounded)


def _texts(column: Any) -> TextColumn:
    blocks = TextBlocks()
    blocks.add(_as_texts(column))
    return blocks.column()


def _as_texts(column: Any) -> list[str]:
    """Return the values of a column as a CSV file would hold them: "" for null and NaN, times to microseconds."""
    pyarrow, kind = importlib.import_module("pyarrow"), column.type
    if getattr(kind, "unit", "") == "ns":  # Python's times have no nanoseconds
        types = importlib.import_module("pyarrow.types")
        if types.is_timestamp(kind):
            column = column.cast(pyarrow.timestamp("us", kind.tz), safe=False)
        else:
            column = column.cast(
                pyarrow.duration("us") if types.is_duration(kind) else pyarrow.time64("us"), safe=False
            )
    values: Sequence[Any] = column.to_pylist()
    return ["" if value is None or value != value else str(value) for value in values]


def _open(path: str) -> Any:
    """Open a file. pyarrow has no types, so that its objects are Any."""
    try:
        parquet = importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise EnvironmentMismatch(
            "data=parquet: expected the package pyarrow, which is not part of the lock; found none. Install it: "
            f"{INSTALL}"
        ) from None
    try:
        return parquet.ParquetFile(path)
    except importlib.import_module("pyarrow").ArrowException as error:
        raise DataError(f"{path}: expected a Parquet file; found another format or damage ({error}).") from error


def _batches(file: Any, path: str, names: Sequence[str], rows: int) -> Iterator[Any]:
    """Yield some columns of a file as tables of at most `rows` rows."""
    pyarrow = importlib.import_module("pyarrow")
    try:
        for batch in file.iter_batches(batch_size=rows, columns=names):
            yield pyarrow.Table.from_batches([batch])
    except pyarrow.ArrowException as error:
        raise DataError(f"{path}: expected whole columns; found damage ({error}).") from error


def _column(file: Any, path: str, name: str) -> Any:
    """Return one column of a file as a chunked array."""
    try:
        return file.read(columns=[name]).column(name)
    except importlib.import_module("pyarrow").ArrowException as error:
        raise DataError(f"{path}, column {name!r}: expected a whole column; found damage ({error}).") from error
