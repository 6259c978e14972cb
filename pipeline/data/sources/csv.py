"""CSV files with a header row."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, override

from pipeline.data.source import (
    CLASS,
    READ,
    REAL,
    ConfigError,
    DataError,
    Dataset,
    DataSource,
    Table,
    class_indices,
    class_label,
    class_names,
    describe,
    np,
    option,
    real_label,
    to_feature_dtype,
)
from pipeline.errors import nearest
from pipeline.spec import Label


@dataclass
class Csv(DataSource):
    """A CSV file with a header row.

    Example:
        make train data=csv data.path=people.csv 'data.numeric=[age,height]' 'data.categorical=[city]' model=tabular
    """

    path: str = option("", "file of the training rows, and of the splits that have no file", required=True, path=READ)
    validation_path: str = option("", "file of the validation rows; '' divides them from `path`", path=READ)
    test_path: str = option("", "file of the test rows; '' divides them from `path`", path=READ)
    delimiter: str = option(",", "the character between two fields")
    labels: list[str] = option(["label"], "columns to predict", required=True)
    label_kind: str = option(CLASS, "what the label columns hold", choices=(CLASS, REAL))
    numeric: list[str] = option([], "columns of numbers")
    categorical: list[str] = option([], "columns of categories, kept as text")
    text: list[str] = option([], "columns of free text, split into words inside the model")
    missing: list[str] = option(["", "NA", "NaN", "?"], "fields that mean a missing value")
    missing_values: str = option(
        "refuse",
        "refuse: an error names the row; impute: the model uses the training mean",
        choices=("refuse", "impute"),
    )
    unknown_categories: str = option(
        "refuse",
        "a category that is not in the training split; refuse: an error names the row; accept: one shared code",
        choices=("refuse", "accept"),
    )

    @override
    def check(self) -> None:
        super().check()
        if len(self.delimiter) != 1:
            raise ConfigError(f"data.delimiter: expected one character; found {self.delimiter!r}.")
        columns = self.numeric + self.categorical + self.text
        if not columns:
            raise ConfigError(
                "data: expected feature columns in data.numeric, data.categorical or data.text; found none. "
                "Name at least one: 'data.numeric=[age]'."
            )
        repeated = {name for name in columns + self.labels if (columns + self.labels).count(name) > 1}
        if repeated:
            raise ConfigError(
                f"data: expected each column once in data.numeric, data.categorical, data.text and data.labels; found "
                f"{', '.join(sorted(repeated))} more than once. Keep one role per column."
            )

    @property
    @override
    def allows_missing_values(self) -> bool:
        return self.missing_values == "impute"

    @property
    @override
    def columns_of_known_categories(self) -> list[str]:
        return self.categorical if self.unknown_categories == "refuse" else []

    def read(self) -> Dataset:
        """Return one split per file. Every column is a feature of shape (1,): float32, or string for text."""
        paths = {"train": self.path, "validation": self.validation_path, "test": self.test_path}
        names = [*self.numeric, *self.categorical, *self.text, *self.labels]
        files = {
            split_name: read_columns(Path(path), delimiter=self.delimiter, names=names)
            for split_name, path in paths.items()
            if path
        }
        labels = {name: self._label(files["train"].columns[name]) for name in self.labels}
        splits = {
            split_name: Table(self._features(file), self._targets(file, labels), file.row_location)
            for split_name, file in files.items()
        }
        return describe(splits, labels=labels, location=self.path, text=self.text)

    def _label(self, values: list[str]) -> Label:
        return class_label(class_names(values)) if self.label_kind == CLASS else real_label()

    def _targets(self, file: CsvFile, labels: dict[str, Label]) -> dict[str, np.ndarray]:
        targets = {}
        for name, label in labels.items():
            file.check_no_missing(name, self.missing, fix="Remove the row: nothing can be learned from it.")
            if label.kind == CLASS:
                targets[name] = class_indices(file.columns[name], names=label.classes, row_location=file.row_location)
            else:
                targets[name] = file.numbers(name)
        return targets

    def _features(self, file: CsvFile) -> dict[str, np.ndarray]:
        text_columns = [*self.categorical, *self.text]
        if self.missing_values == "refuse":
            for name in [*self.numeric, *text_columns]:
                file.check_no_missing(name, self.missing, fix="Fill it in, or set data.missing_values=impute.")
        features = {name: file.numbers(name, self.missing)[:, np.newaxis] for name in self.numeric}
        for name in text_columns:
            fields = ["" if field.strip() in self.missing else field for field in file.columns[name]]
            features[name] = np.array(fields, object)[:, np.newaxis]
        return features


@dataclass(frozen=True)
class CsvFile:
    """Some columns of one file.

    Attributes:
        path: The file.
        columns: Name -> one field per row.
        lines: The line on which each row begins, counted from 1.
    """

    path: Path
    columns: dict[str, list[str]]
    lines: list[int]

    def row_location(self, row: int) -> str:
        """Return the file and line of a row."""
        return f"{self.path}, line {self.lines[row]}"

    def check_no_missing(self, name: str, missing: Collection[str], *, fix: str) -> None:
        """Check that a column has a value in every row.

        Raises:
            DataError: A field is one of `missing`. The message ends with `fix`.
        """
        for row, field in enumerate(self.columns[name]):
            if field.strip() in missing:
                raise DataError(
                    f"{self.row_location(row)}, column {name!r}: expected a value; found none ({field!r}). {fix}"
                )

    def numbers(self, name: str, missing: Collection[str] = ()) -> np.ndarray:
        """Return a column as numbers, NaN for fields that are one of `missing`: (rows,) float32.

        Raises:
            DataError: A field is not a number.
        """
        numbers = np.empty(len(self.lines))
        for row, field in enumerate(self.columns[name]):
            try:
                # float() also accepts the underscores of Python's literals
                numbers[row] = math.nan if field.strip() in missing else float(field.replace("_", "?"))
            except ValueError as error:
                raise DataError(
                    f"{self.row_location(row)}, column {name!r}: expected a number; found {field!r}. "
                    "List columns of text in data.categorical or data.text, and fields for no value in data.missing."
                ) from error
        return to_feature_dtype(numbers, f"{self.path}, column {name!r}")


def read_columns(path: Path, *, delimiter: str, names: Sequence[str]) -> CsvFile:
    """Read the named columns of a file. Other columns and empty lines are skipped.

    Raises:
        DataError: The header lacks a name or has it twice, a row has another number of fields than the header, quotes
            are not closed, or the file is not UTF-8. The message names file, line and column.
    """
    columns = {name: [] for name in names}
    lines = []
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = _numbered_rows(csv.reader(file, delimiter=delimiter, strict=True), path)
        _, header = next(rows, (1, None))
        if header is None:
            raise DataError(f"{path}: expected a header row and data; found an empty file. Check data.path.")
        indices = {name: _column_index(path, header, name, delimiter) for name in columns}
        for line, fields in rows:
            if len(fields) != len(header):
                raise DataError(
                    f"{path}, line {line}: expected {len(header)} fields, as in the header; found {len(fields)}. "
                    "Fix the line, or put quotes around fields that contain the delimiter."
                )
            lines.append(line)
            for name, index in indices.items():
                columns[name].append(fields[index])
    if not lines:
        raise DataError(f"{path}: expected rows below the header; found none. Add rows.")
    return CsvFile(path, columns, lines)


def _numbered_rows(reader: Any, path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield (first line, fields) of each row that is not empty.

    Args:
        reader: From csv.reader, whose class has no public name.
        path: The file, for error messages.
    """
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path}, line {_undecodable_line(path)}: expected text in UTF-8; found byte "
                f"0x{error.object[error.start]:02x}, {error.reason}. Save the file as UTF-8."
            ) from error
        except csv.Error as error:
            raise DataError(
                f"{path}, line {line}: expected a row of fields; found: {error}. Fix the quotes of the row."
            ) from error
        if fields:
            yield line, fields


def _undecodable_line(path: Path) -> int:
    # the reader decodes blocks ahead of the rows, so its line number is too low
    with path.open("rb") as file:
        for line, content in enumerate(file, start=1):
            try:
                content.decode()
            except UnicodeDecodeError:
                return line
    return line


def _column_index(path: Path, header: list[str], name: str, delimiter: str) -> int:
    count = header.count(name)
    if count == 1:
        return header.index(name)
    if count:
        raise DataError(
            f"{path}, line 1: expected a column {name!r} once in the header; found it {count} times. Rename one."
        )
    raise DataError(
        f"{path}, line 1: expected a column {name!r} in the header, whose delimiter is {delimiter!r}; found none. "
        f"{nearest(name, header)}"
    )
