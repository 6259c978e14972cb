"""CSV files with a header row, and their relatives with other delimiters and encodings."""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, cast, override

from pipeline.data.options import STANDARD_INPUT
from pipeline.data.roles import check_once
from pipeline.data.source import ConfigError, DataError, np, option
from pipeline.data.table_columns import NumberBlocks, TableFile, TextBlocks
from pipeline.data.table_source import AUTO, TableSource
from pipeline.data.text_encoding import HEAD, check_encoding, detect_encoding, undecodable
from pipeline.overrides import shell_argument

# rows that are converted at a time: the texts of more rows and fields would leave the CPU cache before that
BLOCK_ROWS, BLOCK_FIELDS = 512, 1 << 18
NAMED_DELIMITERS = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "blank": " ", "space": " "}
DECIMAL_COMMA = re.compile(r"\s*[+-]?\d*,\d+\s*")
USUAL_DELIMITERS = (",", "\t", ";", "|")  # looked for in the header; of two that give as many columns the first


@dataclass
class Csv(TableSource):
    """A CSV file with a header row.

    Example:
        make train data=csv data.path=people.csv 'data.numeric=[age,height]' 'data.categorical=[city]' model=tabular
    """

    delimiter: str = option(
        AUTO,
        "the character between two fields, or tab, comma, semicolon, pipe, blank; auto: the one of , tab ; | that "
        "gives the header the most columns",
    )
    decimal: str = option(".", "the character before the decimals of numbers", choices=(".", ","))
    encoding: str = option(
        AUTO, "of the text: utf-8, utf-16, cp1252, latin-1, ...; auto: that of the byte order mark, else UTF-8"
    )

    @override
    def check(self) -> None:
        super().check()
        if self.delimiter not in (AUTO, *NAMED_DELIMITERS) and len(self.delimiter) != 1:
            raise ConfigError(
                f"data.delimiter: expected one character, auto, or one of {', '.join(NAMED_DELIMITERS)}; found "
                f"{self.delimiter!r}."
            )
        if self.delimiter in ("\n", "\r", '"'):
            raise ConfigError(f"data.delimiter: expected no line end and no quote; found {self.delimiter!r}.")
        if self.encoding != AUTO:
            check_encoding("data.encoding", self.encoding)

    @override
    def fix_of_number(self, field: str) -> str:
        if self.decimal == "." and DECIMAL_COMMA.fullmatch(field):
            return f" If the comma separates decimals, set {shell_argument('data.decimal', ',')}."
        if self.decimal == "," and "." in field:
            return " If points separate decimals, leave data.decimal out."
        return ""

    @override
    def header(self, path: str) -> tuple[list[str], str]:
        if path == STANDARD_INPUT:
            raise DataError(
                f"data.path={STANDARD_INPUT}: expected a file, since only `predict` reads standard input; found none. "
                "Save the rows as a file."
            )
        with self._rows(path) as (header, delimiter, _):
            return header, _header_location(path, delimiter)

    @override
    def read_file(self, path: str, numbers: Collection[str], texts: Collection[str]) -> TableFile:
        """Read some columns of a file. Other columns and empty lines are skipped.

        Raises:
            DataError: The header lacks a name or has it twice, a row has another number of fields than the header,
                quotes are not closed, or the text has another encoding. The message names file, line and column.
        """
        with closing(self.read_chunks(path, numbers, texts, sys.maxsize)) as chunks:
            return next(chunks)

    @override
    def read_chunks(
        self, path: str, numbers: Collection[str], texts: Collection[str], rows: int
    ) -> Generator[TableFile]:
        name = "standard input" if path == STANDARD_INPUT else path
        with self._rows(path) as (header, delimiter, records):
            indices = {
                column: _column_index(header, column, _header_location(name, delimiter))
                for column in (*numbers, *texts)
            }
            block_rows = max(1, min(BLOCK_ROWS, BLOCK_FIELDS // len(header)))
            is_empty = True
            while True:
                number_blocks = {column: NumberBlocks(self.missing, self.decimal) for column in numbers}
                text_blocks = {column: TextBlocks() for column in texts}
                lines: list[int] = []
                while block := list(islice(records, min(block_rows, rows - len(lines)))):
                    _check_width(block, len(header), name)
                    fields = list(zip(*(fields for _, fields in block)))
                    for column, blocks in number_blocks.items():
                        blocks.add(fields[indices[column]], len(lines))
                    for column, blocks in text_blocks.items():
                        blocks.add(fields[indices[column]])
                    lines.extend(line for line, _ in block)
                if not lines:
                    break
                is_empty = False
                yield _table_file(name, np.array(lines, np.int64), number_blocks, text_blocks)
        if is_empty:
            raise DataError(f"{name}: expected rows below the header; found none. Add rows.")

    @contextmanager
    def _rows(self, path: str) -> Iterator[tuple[list[str], str, Iterator[tuple[int, list[str]]]]]:
        """Open a file. Yields the header, the delimiter, and the lines and fields of the rows below the header."""
        with _open(path) as (name, head, content):
            encoding = detect_encoding(name, head) if self.encoding == AUTO else self.encoding
            delimiter = NAMED_DELIMITERS.get(self.delimiter, self.delimiter)
            if delimiter == AUTO:
                try:
                    delimiter = _guess_delimiter(head, encoding)
                except UnicodeError as error:  # of encodings of host names, which replace nothing
                    raise undecodable(name, encoding, error) from error
            with io.TextIOWrapper(content, newline="", encoding=encoding) as file:
                rows = _numbered_rows(csv.reader(file, delimiter=delimiter, strict=True), name, encoding)
                _, header = next(rows, (1, None))
                if header is None:
                    raise DataError(f"{name}: expected a header row and data; found an empty file. Check data.path.")
                yield header, delimiter, rows


@contextmanager
def _open(path: str) -> Iterator[tuple[Path, bytes, BinaryIO]]:
    """Open a file or standard input. Yields its name, its first bytes, and a stream of all its bytes."""
    if path != STANDARD_INPUT:
        with Path(path).open("rb") as file:
            head = file.read(HEAD)
            file.seek(0)
            yield Path(path), head, file
        return
    stream, head = cast(io.BufferedReader, sys.stdin.buffer), b""
    while b"\n" not in head and len(head) < HEAD and (more := stream.read1(HEAD)):  # read1 does not wait for more bytes
        head += more
    yield Path("standard input"), head, io.BufferedReader(_Resumed(head, stream), 1 << 17)


class _Resumed(io.RawIOBase):
    """A stream that first returns bytes which were already read, then the rest."""

    def __init__(self, head: bytes, rest: io.BufferedReader) -> None:
        super().__init__()
        self._head, self._rest = head, rest

    @override
    def readable(self) -> bool:
        return True

    @override
    def readinto(self, buffer: Any) -> int:
        if not self._head:
            return self._rest.readinto1(buffer)
        size = min(len(buffer), len(self._head))
        buffer[:size], self._head = self._head[:size], self._head[size:]
        return size


def _guess_delimiter(head: bytes, encoding: str) -> str:
    """Return the usual delimiter that gives the header the most columns.

    Args:
        head: The first bytes of the file.
        encoding: The encoding of the file.
    """
    columns = {}
    text = head.decode(encoding, "replace")  # wrong bytes are reported when the file is read
    for delimiter in USUAL_DELIMITERS:
        try:
            columns[delimiter] = len(
                next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True), [])
            )
        except csv.Error:  # also reported when the file is read
            columns[delimiter] = 0
    return max(columns, key=columns.__getitem__)


def _check_width(block: Sequence[tuple[int, list[str]]], width: int, location: str) -> None:
    """Check that every row has as many fields as the header.

    Raises:
        DataError: A row has more or fewer.
    """
    for line, fields in block:
        if len(fields) != width:
            raise DataError(
                f"{location}, line {line}: expected {width} fields, as in the header; found {len(fields)}. "
                "Fix the line, or put quotes around fields that contain the delimiter."
            )


def _table_file(
    location: str, lines: np.ndarray, numbers: Mapping[str, NumberBlocks], texts: Mapping[str, TextBlocks]
) -> TableFile:
    """Return the columns of a file. lines: (rows,) int64, the line of each row."""
    return TableFile(
        location,
        {name: blocks.column() for name, blocks in numbers.items()},
        {name: blocks.column() for name, blocks in texts.items()},
        lambda row: f"{location}, line {lines[row]}",
        lines,
    )


def _numbered_rows(reader: Any, path: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row that is not empty. A quoted field may span several lines: the first counts.

    Args:
        reader: What csv.reader returns, whose class has no public name.
        path: The file, for error messages.
        encoding: The encoding of the file.
    """
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except UnicodeError as error:
            raise undecodable(path, encoding, error) from error
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: expected a row of fields; found: {error}. Fix the quotes of the row."
            ) from error
        if fields:
            yield line, fields


def _header_location(path: str, delimiter: str) -> str:
    return f"{path}, line 1, the header with delimiter {delimiter!r}"


def _column_index(header: list[str], name: str, location: str) -> int:
    check_once(header, name, location)
    return header.index(name)
