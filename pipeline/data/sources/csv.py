"""CSV files with a header row, and their relatives with other delimiters and encodings."""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

from pipeline.data.roles import check_once
from pipeline.data.source import ConfigError, DataError, np, option
from pipeline.data.table_columns import NumberBlocks, TableFile, TextBlocks
from pipeline.data.table_source import AUTO, TableSource
from pipeline.data.text_encoding import check_encoding, detect_encoding, undecodable

BLOCK_FIELDS = 1 << 18  # fields that are converted at a time; with more, their strings leave the cache of the processor
NAMED_DELIMITERS = {"tab": "\t", r"\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|", "blank": " ", "space": " "}
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
    def header(self, path: str) -> tuple[list[str], str]:
        with self._rows(Path(path)) as (header, delimiter, _):
            return header, _header_location(path, delimiter)

    @override
    def read_file(self, path: str, numbers: Collection[str], texts: Collection[str]) -> TableFile:
        """Read some columns of a file. Other columns and empty lines are skipped.

        Raises:
            DataError: The header lacks a name or has it twice, a row has another number of fields than the header,
                quotes are not closed, or the text has another encoding. The message names file, line and column.
        """
        lines: list[int] = []
        number_blocks = {name: NumberBlocks(self.missing) for name in numbers}
        text_blocks = {name: TextBlocks() for name in texts}
        columns = [*numbers, *texts]
        with self._rows(Path(path)) as (header, delimiter, rows):
            indices = {name: _column_index(header, name, _header_location(path, delimiter)) for name in columns}
            block: list[list[str]] = []

            def convert() -> None:
                fields = list(zip(*block))
                first_row = len(lines) - len(block)
                for name, blocks in number_blocks.items():
                    blocks.add(fields[indices[name]], first_row)
                for name, blocks in text_blocks.items():
                    blocks.add(fields[indices[name]])
                block.clear()

            width = len(header)
            block_rows = max(1, BLOCK_FIELDS // width)
            for line, fields in rows:
                if len(fields) != width:
                    raise DataError(
                        f"{path}, line {line}: expected {width} fields, as in the header; found {len(fields)}. "
                        "Fix the line, or put quotes around fields that contain the delimiter."
                    )
                lines.append(line)
                block.append(fields)
                if len(block) == block_rows:
                    convert()
            if block:
                convert()
        if not lines:
            raise DataError(f"{path}: expected rows below the header; found none. Add rows.")
        of_row = np.array(lines, np.int64)
        return TableFile(
            path,
            {name: blocks.column() for name, blocks in number_blocks.items()},
            {name: blocks.column() for name, blocks in text_blocks.items()},
            lambda row: f"{path}, line {of_row[row]}",
            of_row,
        )

    @contextmanager
    def _rows(self, path: Path) -> Iterator[tuple[list[str], str, Iterator[tuple[int, list[str]]]]]:
        """Open a file. Yields the header, the delimiter, and the lines and fields of the rows below the header."""
        encoding = detect_encoding(path) if self.encoding == AUTO else self.encoding
        delimiter = NAMED_DELIMITERS.get(self.delimiter, self.delimiter)
        if delimiter == AUTO:
            delimiter = _guess_delimiter(path, encoding)
        with path.open(newline="", encoding=encoding) as file:
            rows = _numbered_rows(csv.reader(file, delimiter=delimiter, strict=True), path, encoding)
            _, header = next(rows, (1, None))
            if header is None:
                raise DataError(f"{path}: expected a header row and data; found an empty file. Check data.path.")
            yield header, delimiter, rows


def _guess_delimiter(path: Path, encoding: str) -> str:
    """Return the usual delimiter that gives the header the most columns."""
    columns = {}
    for delimiter in USUAL_DELIMITERS:
        with path.open(newline="", encoding=encoding) as file:
            try:
                columns[delimiter] = len(next(csv.reader(file, delimiter=delimiter, strict=True), []))
            except (csv.Error, UnicodeDecodeError):  # reported when the file is read
                columns[delimiter] = 0
    return max(columns, key=columns.__getitem__)


def _numbered_rows(reader: Any, path: Path, encoding: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, fields) of each row that is not empty. A quoted field may span several lines: the first counts.

    Args:
        reader: What csv.reader returns, whose class has no public name.
        path: The file, for error messages.
        encoding: Of the file.
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
