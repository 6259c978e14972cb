"""A file of predictions that grows table by table: CSV, or Parquet if pyarrow is installed."""

from __future__ import annotations

import csv
import importlib
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np

from pipeline.data.sources.parquet import INSTALL
from pipeline.errors import EnvironmentMismatch
from pipeline.files import atomic_write
from pipeline.reports.predictions_csv import as_texts
from pipeline.visible_text import csv_cells

STANDARD_OUTPUT = "-"


class Writer(Protocol):
    """Writes rows to an open file."""

    def write(self, columns: Sequence[np.ndarray]) -> None:
        """Write rows.

        Args:
            columns: One array per column, (rows,) of numbers or text.
        """

    def close(self) -> None:
        """Write what is buffered. The file itself stays open."""


@contextmanager
def open_writer(path: str, names: Sequence[str]) -> Iterator[Writer]:
    """Open a file for writing. The file appears only when it is complete. Standard output gets each table at once.

    Args:
        path: STANDARD_OUTPUT, or a file: Parquet if its name ends in .parquet, otherwise CSV.
        names: The names of the columns.

    Raises:
        EnvironmentMismatch: The file is Parquet, and pyarrow is not installed.
        OSError: The file cannot be written.
    """
    if path == STANDARD_OUTPUT:
        with closing(CsvWriter(sys.stdout.buffer, names)) as writer:
            yield writer
        return
    kind = ParquetWriter if path.endswith(".parquet") else CsvWriter
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(Path(path)) as file, closing(kind(file, names)) as writer:
        yield writer


class CsvWriter:
    """Writes CSV. A number is the shortest text that gives the same float32; no text is a formula of a spreadsheet."""

    def __init__(self, file: BinaryIO, names: Sequence[str]) -> None:
        self._text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        self._rows = csv.writer(self._text, lineterminator="\n")
        self._rows.writerow(csv_cells(names))

    def write(self, columns: Sequence[np.ndarray]) -> None:
        """Write rows. columns: One array per column, (rows,). Integers are written without conversion."""
        cells = [column.tolist() if column.dtype.kind in "iu" else csv_cells(as_texts(column)) for column in columns]
        self._rows.writerows(zip(*cells, strict=True))
        self._text.flush()

    def close(self) -> None:
        """Write what is buffered. The file itself stays open."""
        self._text.detach()


class ParquetWriter:
    """Writes Parquet: text, integers, and float32."""

    def __init__(self, file: BinaryIO, names: Sequence[str]) -> None:
        try:
            self._pyarrow = importlib.import_module("pyarrow")
            self._parquet = importlib.import_module("pyarrow.parquet")
        except ImportError:
            raise EnvironmentMismatch(
                "predict.output: expected the package pyarrow for a Parquet file; found none, since the lock does not "
                f"contain it. Choose another file name to write CSV, or install it: {INSTALL}"
            ) from None
        self._file, self._names = file, names
        self._writer: Any = None  # pyarrow has no types

    def write(self, columns: Sequence[np.ndarray]) -> None:
        """Write rows. columns: One array per column, (rows,)."""
        arrays = [column.astype(np.float32) if column.dtype.kind == "f" else column for column in columns]
        table: Any = self._pyarrow.table(arrays, names=list(self._names))
        if self._writer is None:
            self._writer = self._parquet.ParquetWriter(self._file, table.schema)
        self._writer.write_table(table)

    def close(self) -> None:
        """Write what is buffered. The file itself stays open."""
        if self._writer is not None:
            self._writer.close()
