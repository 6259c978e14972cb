"""Columns of text from a CSV file with a header row, every field with its line."""

import csv
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DataError, nearest


@dataclass(frozen=True)
class TableFile:
    """Some columns of one file.

    columns: name -> a field a row. lines: the line each row begins on, counted from 1.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def row_location(self, row):
        return f"{self.path}, line {self.lines[row]}"


def read(path, delimiter, names):
    """The TableFile of the named columns; others are passed over, and so are empty lines.

    Raises DataError naming file, line and column for a header that lacks a name or holds it twice, a row with fewer or
    more fields than the header, quotes that never close, and bytes that are not UTF-8.
    """
    columns = {name: [] for name in names}
    lines = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = numbered(csv.reader(file, delimiter=delimiter, strict=True), path)
        _, header = next(rows, (1, None))
        if header is None:
            raise DataError(f"{path}: expected a header row and data; found an empty file.")
        picks = [(column, position(path, header, name, delimiter)) for name, column in columns.items()]
        for line, fields in rows:
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {line}: expected {len(header)} fields, as in the header; found {len(fields)}."
                )
            lines.append(line)
            for column, index in picks:
                column.append(fields[index])
    if not lines:
        raise DataError(f"{path}: expected rows below the header; found none.")
    return TableFile(path, columns, lines)


def numbered(reader, path):
    """Yield (line, fields) of each row that is not empty; the line is where it begins, a quoted field may span more."""
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            found = f"byte 0x{error.object[error.start]:02x}, {error.reason}"
            raise DataError(
                f"{path}, line {undecodable_line(path)}: expected text in UTF-8; found {found}. Save the file as UTF-8."
            ) from error
        except csv.Error as error:
            raise DataError(f"{path}, line {line}: expected a row of fields; found: {error}.") from error
        if fields:
            yield line, fields


def undecodable_line(path):
    # the reader decodes blocks ahead of the rows, so the line is looked for anew
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                return line
    return line


def position(path, header, name, delimiter):
    count = header.count(name)
    if count == 1:
        return header.index(name)
    found = f"it {count} times" if count else f"none (fields are divided by {delimiter!r}). {nearest(name, header)}"
    raise DataError(f"{path}, line 1: expected a column {name!r} once in the header; found {found}")
