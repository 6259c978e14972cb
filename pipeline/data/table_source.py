"""The options and the reading of tables with named columns, whatever the format of the file."""

from __future__ import annotations

import logging
import sys
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, override

from pipeline.data import categories
from pipeline.data.class_order import ORDINAL, check_class_orders, check_has_order, class_orders
from pipeline.data.containers import Dataset, FeatureColumn, Table, in_chunks
from pipeline.data.date_columns import dates_among, is_date, part_names, with_date_parts
from pipeline.data.description import describe
from pipeline.data.multi_label_columns import check_multi_label_columns, membership_targets
from pipeline.data.roles import Roles, assign_roles
from pipeline.data.row_weights import column_weights
from pipeline.data.source import DataSource
from pipeline.data.table_columns import NumberColumn, TableFile, TextColumn
from pipeline.data.table_labels import class_targets, count_classes
from pipeline.data.table_sequences import SequenceOptions, join_steps
from pipeline.data.table_windows import WindowOptions, last_windows, windows_of
from pipeline.errors import ConfigError, DataError, nearest, shortened
from pipeline.lazy import np
from pipeline.options import READ, option, section
from pipeline.overrides import shell_argument
from pipeline.spec import (
    CLASS,
    MULTI_LABEL,
    REAL,
    DataSpec,
    Feature,
    Label,
    class_label,
    ordinal_label,
    real_label,
    row_label,
)

logger = logging.getLogger(__name__)

AUTO = "auto"
NUMERIC = "numeric"  # the name of the feature that holds all columns of numbers
DESCRIBED = 5  # columns of categories that the summary describes
FEWEST_COUNTED = 10  # rows; in shorter tables, no column is reported as a row counter
BOOLEANS = ("true", "false", "yes", "no")
MOST_KEYS = 20  # columns without a role that are read, for preflight


@dataclass
class TableSource(DataSource):
    """Base class of the sources of tables with named columns. A subclass implements `header` and `read_file`."""

    path: str = option("", "file of the training rows, and of the splits that have no file", required=True, path=READ)
    validation_path: str = option("", "file of the validation rows; '' divides them from `path`", path=READ)
    test_path: str = option("", "file of the test rows; '' divides them from `path`", path=READ)
    labels: list[str] = option(["label"], "columns to predict", required=True)
    label_kind: Any = option(
        AUTO,
        "what the label columns hold, or label -> one of these; auto: one class, refused if labels look continuous; "
        "multi_label: any number of classes, separated by data.label_separator; an empty field has none; "
        "ordinal: one class, whose order counts in scores",
        choices=(AUTO, CLASS, ORDINAL, MULTI_LABEL, REAL),
    )
    label_order: Any = option(
        None,
        "classes of ordinal labels, the lowest first, or label -> its classes; null: the order of numbers",
    )
    multi_label_columns: dict[str, list[str]] = option(
        {},
        "label -> the columns of 0 and 1 (or false and true, no and yes) that are its classes, for a label of any "
        "number of classes: names, patterns, ranges",
    )
    label_separator: str = option("|", "the character between the classes of a multi_label", required=True)
    numeric: list[str] = option(
        [],
        "columns of numbers, one input of the model together: names, patterns (m*), ranges (m0..m7); "
        "*: all that hold numbers and have no other role",
    )
    categorical: list[str] = option([], "columns of categories, kept as text: names, patterns, ranges")
    text: list[str] = option([], "columns of free text, split into words inside the model: names, patterns, ranges")
    dates: list[str] = option(
        [],
        "columns of dates (ISO 8601), read as numbers: days since 1970, and the day of the week and of the year as "
        "sine and cosine; names, patterns, ranges",
    )
    exclude: list[str] = option([], "columns that no pattern or range selects: names, patterns, ranges")
    id: str = option(
        "",
        "column that identifies a row in predictions and reports, never a feature; '' for the line or row number",
        changes_result=False,
    )
    weight: str = option(
        "", "column of row weights from 0 on, which losses and scores count by, never a feature; '' for none"
    )
    missing: list[str] = option(["", "NA", "NaN", "?"], "fields that mean a missing value, in every column")
    not_missing: list[str] = option(
        [], "words that are values of labels, categories and text, though in `missing` or like it: NA for Namibia"
    )
    missing_values: str = option(
        "refuse",
        "refuse: an error names the row; impute: the model uses the training mean",
        choices=("refuse", "impute"),
    )
    missing_labels: str = option(
        "refuse", "refuse: an error names the row; drop: rows without a label are left out", choices=("refuse", "drop")
    )
    categories: dict[str, list[str]] = option(
        {}, "column -> the categories or classes that it may hold, in the order of their indices"
    )
    merge_spellings: bool = option(
        False,
        "merge categories and classes that differ only in case, blanks, letter forms or the way to write a number; "
        "into the spelling in `categories`, or else the most frequent one",
    )
    unknown_categories: str = option(
        "refuse",
        "a category that is not in the training split; refuse: an error names the row; accept: one shared code",
        choices=("refuse", "accept"),
    )
    sequence: SequenceOptions = section(SequenceOptions, "lines that are the steps of sequences")
    window: WindowOptions = section(WindowOptions, "windows over the lines, for forecasts of the label")

    @override
    def check(self) -> None:
        super().check()
        if isinstance(self.label_kind, dict) and (unknown := [*self.label_kind.keys() - {*self.labels}]):
            raise ConfigError(
                f"data.label_kind.{unknown[0]}: expected a label of data.labels; found {unknown[0]!r}. "
                f"{nearest(unknown[0], self.labels)}"
            )
        if not self.numeric + self.categorical + self.text + self.dates and not self.window.steps:
            raise ConfigError(
                "data: expected feature columns in data.numeric, data.categorical, data.text or data.dates; found "
                "none. Name them, or take every column of numbers: 'data.numeric=*'."
            )
        check_multi_label_columns(
            self.multi_label_columns, labels=self.labels, kinds=self.label_kind, categories=self.categories
        )
        check_class_orders(self.label_order, self._ordinal_labels, self.categories)
        members = [name for columns in self.multi_label_columns.values() for name in columns]
        names = self.numeric + self.categorical + self.text + self.dates + self.labels + members
        repeated = {name for name in names if names.count(name) > 1 and name != "*"}
        if repeated:
            raise ConfigError(
                "data: expected each column once in data.numeric, data.categorical, data.text, data.dates, data.labels "
                f"and data.multi_label_columns; found {', '.join(sorted(repeated))} more than once. Keep one role per "
                "column."
            )
        if self.id and self.id in names:
            raise ConfigError(
                f"data.id: expected a column without another role, since an id is not a feature; found {self.id!r}, "
                "which is also in data.numeric, data.categorical, data.text or data.labels. Remove it there."
            )
        if self.weight and self.weight in (*names, self.id):
            raise ConfigError(
                f"data.weight: expected a column without another role, since a weight is not a feature; found "
                f"{self.weight!r}, which is also in data.numeric, data.categorical, data.text, data.labels or data.id. "
                "Remove it there."
            )
        if self.window.steps:
            self._check_steps(f"data.window.steps={self.window.steps}")
            self._check_windows()
        elif self.sequence.id:
            self._check_steps(f"data.sequence.id={self.sequence.id}")
        elif self.sequence.order:
            raise ConfigError(
                f"data.sequence.order={self.sequence.order}: expected data.sequence.id, the column that marks the "
                "lines of one sequence; found none. Set it, or data.sequence.order=''."
            )

    def _check_steps(self, option: str) -> None:
        """Check the options if lines are steps: only columns of numbers, without missing values.

        Args:
            option: The option by which lines are steps, for error messages.
        """
        if self.categorical or self.text:
            raise ConfigError(
                f"{option}: expected columns of numbers only, since each step is a vector of "
                f"numbers; found {', '.join([*self.categorical, *self.text])} in data.categorical or data.text. Remove "
                "them, or write categories as columns of 0 and 1."
            )
        if self.allows_missing_values:
            raise ConfigError(
                f"{option}: expected data.missing_values=refuse, since no model of "
                "sequences replaces missing values; found impute. Fill them in, for example "
                "with the value of the previous step."
            )

    def _check_windows(self) -> None:
        """Check the options of windows: one label of numbers without missing values, and splits by time."""
        wrong = {
            "one column in data.labels": "" if len(self.labels) == 1 else ", ".join(self.labels),
            "data.label_kind=real": "" if self.label_kind in (AUTO, REAL) else str(self.label_kind),
            "data.multi_label_columns={}": str(self.multi_label_columns) if self.multi_label_columns else "",
            "data.missing_labels=refuse": self.missing_labels if self.missing_labels != "refuse" else "",
            "data.split.group='' and data.split.time=''": self.split.group or self.split.time,
            "data.weight='', since a window has several lines": self.weight,
            "data.sequence.order, the times of the series": "none"
            if self.sequence.id and not self.sequence.order
            else "",
        }
        for expected, found in wrong.items():
            if found:
                raise ConfigError(f"data.window.steps={self.window.steps}: expected {expected}; found {found}. Set it.")

    def header(self, path: str) -> tuple[list[str], str]:
        """Return the names of the columns of a file, in order, and where they are. Every subclass implements this."""
        raise NotImplementedError(f"{type(self).__name__}.header")

    def fix_of_number(self, field: str) -> str:
        """Return a hint for an error message: how to read this field as a number; "" if there is none."""
        return ""

    def read_file(self, path: str, numbers: Collection[str], texts: Collection[str]) -> TableFile:
        """Read some columns of a file. Every subclass implements this method.

        Args:
            path: The file.
            numbers: The columns to read as numbers.
            texts: The columns to read as texts.
        """
        raise NotImplementedError(f"{type(self).__name__}.read_file")

    @override
    def file_of(self, split_name: str) -> str:
        return {"validation": self.validation_path, "test": self.test_path}.get(split_name, "")

    def read_chunks(
        self, path: str, numbers: Collection[str], texts: Collection[str], rows: int
    ) -> Iterator[TableFile]:
        """Read some columns of a file in chunks of `rows` rows. This implementation yields the whole file as one chunk.

        Args:
            path: The file.
            numbers: The columns to read as numbers.
            texts: The columns to read as text.
            rows: The number of rows of each chunk except the last.
        """
        yield self.read_file(path, numbers, texts)

    @property
    @override
    def allows_missing_values(self) -> bool:
        return self.missing_values == "impute"

    @property
    @override
    def requires_known_categories(self) -> bool:
        return self.unknown_categories == "refuse"

    @override
    def class_argument(self, label: str, classes: int) -> str | None:
        if self.kind_of(label) != AUTO or label in self.categories:
            return None
        return self._argument_of_kind(label, CLASS)

    def _argument_of_kind(self, label: str, kind: str) -> str:
        """Return the argument that sets the kind of one label, to paste."""
        if len(self.labels) == 1:
            return f"data.label_kind={kind}"
        kinds = self.label_kind if isinstance(self.label_kind, dict) else dict.fromkeys(self.labels, self.label_kind)
        return shell_argument("data.label_kind", {**kinds, label: kind})

    def kind_of(self, label: str) -> str:
        """Return what a label column holds: AUTO, CLASS, ORDINAL, MULTI_LABEL or REAL."""
        if self.window.steps:
            return REAL
        if label in self.multi_label_columns:
            return MULTI_LABEL
        return self.label_kind.get(label, AUTO) if isinstance(self.label_kind, dict) else self.label_kind

    def separator_of(self, label: str) -> str:
        """Return the character between the classes of a label; "" if a row has one."""
        return self.label_separator if self.kind_of(label) == MULTI_LABEL else ""

    @property
    def _ordinal_labels(self) -> list[str]:
        return [name for name in self.labels if self.kind_of(name) == ORDINAL]

    @property
    def _listed(self) -> dict[str, list[str]]:
        """Column -> its categories or classes in the order of their indices, for the columns that list them."""
        return self.categories | class_orders(self.label_order, self._ordinal_labels)

    @property
    def class_labels(self) -> list[str]:
        """The labels that are classes."""
        return [name for name in self.labels if self.kind_of(name) != REAL]

    @property
    def single_class_labels(self) -> list[str]:
        """The labels with one class per row."""
        return [name for name in self.class_labels if not self.separator_of(name)]

    # ---- reading -----------------------------------------------------------------------------------------------------

    @override
    def read(self) -> Dataset:
        return self.read_with_keys(())

    @override
    def read_with_keys(self, columns: Collection[str]) -> Dataset:
        """Return one split per file.

        All columns of numbers are one feature, NUMERIC, (columns,) float32, or (steps, columns) if lines are steps.
        Each column of categories or text is a feature of shape (1,).
        """
        header, location = self.header(self.path)
        roles = assign_roles(
            header,
            location,
            labels=self.labels,
            numeric=self.numeric,
            categorical=self.categorical,
            text=self.text,
            exclude=[*self.exclude, *self._id_columns, *self._weight_columns],
            dates=self.dates,
            members=self.multi_label_columns,
        )
        if self.window.steps:  # the past of the label is an input too
            roles = replace(roles, numeric=(*roles.numeric, *self.labels))
        required = (*self.split.keys, *columns)
        keys = self._key_columns(header, roles, required)
        train = self._read(self.path, roles, keys)
        roles = self._without_text(roles, train)
        for name in self.categories:
            if name not in (*roles.categorical, *self.labels):
                raise ConfigError(
                    f"data.categories.{name}: expected a column of data.categorical or data.labels; found {name!r}. "
                    f"{nearest(name, [*roles.categorical, *self.labels])}"
                )
        files: dict[str, TableFile] = {"train": self._checked(train, roles)}
        for split_name, path in (("validation", self.validation_path), ("test", self.test_path)):
            if path:
                files[split_name] = self._checked(self._read(path, roles, keys), roles)
        files = self._with_one_spelling(files, [*roles.categorical, *self.single_class_labels])
        for file in files.values():
            self._check_listed(file, roles)
        labels = {name: self._label(name, files["train"], roles) for name in self.labels}
        self._log_summary(roles, files["train"])
        splits = {
            split_name: self._windows(file, roles)
            if self.window.steps
            else self._table(file, roles, labels, self._keys(file, keys, required))
            for split_name, file in files.items()
        }
        dataset = describe(splits, labels=labels, location=self.path, text=roles.text)
        return replace(dataset, spec=replace(dataset.spec, features=self._named(dataset, roles)))

    @override
    def read_unlabeled(self, trained: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
        roles = _trained_roles(trained, self.path)
        dates = dates_among(roles.numeric) if self.dates else ()
        numbers = _without_parts(roles.numeric, dates)
        texts = dict.fromkeys([*roles.categorical, *roles.text, *dates, *self._id_columns])
        # the steps of a sequence may be anywhere in the file
        lines = sys.maxsize if self.sequence.id or self.window.steps else rows
        for file in self.read_chunks(self.path, numbers, [*texts], lines):
            file = with_date_parts(file, dates, self.missing)
            self._check_values(file, roles)
            if self.window.steps:
                feature = _numeric_name(roles, trained.labels)
                yield last_windows(file, self.sequence, self.window, numeric=roles.numeric, feature=feature)
                continue
            file = self._with_sequences(file, roles, self._own_ids)
            file = self._without_missing(file, roles)
            if self.merge_spellings:
                preferred = {name: self.categories.get(name) or known.get(name, ()) for name in roles.categorical}
                file = replace(file, texts=file.texts | _merged_spellings(file, preferred))
            self._check_listed(file, roles)
            features = self._features(file, roles, trained.labels)
            yield from in_chunks(Table(features, {}, file.row_location, ids=self._ids(file)), rows)

    def _without_text(self, roles: Roles, train: TableFile) -> Roles:
        """Return the roles without the columns of text, and of numbers like 00123, that only '*' selected as numbers.

        Raises:
            DataError: No column is left.
        """
        candidates = {name: train.numbers[name] for name in roles.numeric if name in roles.numbers_only}
        texts = {name: column.first_text[1] for name, column in candidates.items() if column.first_text is not None}
        identifiers = {
            name: column.leading_zero
            for name, column in candidates.items()
            if column.leading_zero and name not in texts
        }
        self._log_left_out(texts, identifiers)
        left_out = texts | identifiers
        for name in left_out:
            del train.numbers[name]
        roles = replace(roles, numeric=tuple(name for name in roles.numeric if name not in left_out))
        if not roles.numeric + roles.categorical + roles.text:
            fixes = {fix: None for fix in map(self.fix_of_number, left_out.values()) if fix}
            raise DataError(
                f"{train.location}: expected columns of numbers besides the labels; found "
                f"{f'text in {_listed_fields(left_out)}' if left_out else 'none'}.{''.join(fixes)} Name columns in "
                "data.categorical or data.text."
            )
        return roles

    def _log_left_out(self, texts: Mapping[str, str], identifiers: Mapping[str, str]) -> None:
        """Log the columns that data.numeric='*' leaves out.

        Args:
            texts: Column -> a field that is not a number.
            identifiers: Column -> a number with a leading zero.
        """
        unread = {name: field for name, field in texts.items() if categories.written_number(field) is not None}
        dates = [name for name, field in texts.items() if is_date(field)]
        if unread:
            logger.warning(
                "data: data.numeric='*' leaves out columns that look like numbers: %s. Write them as 1234.5.%s",
                _listed_fields(unread),
                self.fix_of_number(next(iter(unread.values()))),
            )
        if identifiers:
            logger.warning(
                "data: data.numeric='*' leaves out columns with leading zeros, which look like identifiers: %s. If "
                "they are numbers, set %s",
                _listed_fields(identifiers),
                shell_argument("data.numeric", [*self.numeric, *identifiers]),
            )
        if dates:
            logger.warning(
                "data: data.numeric='*' leaves out columns of dates. To use them, set %s",
                shell_argument("data.dates", [*self.dates, *dates]),
            )
        if texts:
            logger.info("data: data.numeric='*' leaves out columns of text: %s", _listed_fields(texts))

    def _read(self, path: str, roles: Roles, keys: list[str]) -> TableFile:
        label_numbers = [name for name in self.labels if self.kind_of(name) == REAL]
        label_texts = [name for name in roles.labels if name not in label_numbers]
        dates = dates_among(roles.numeric) if self.dates else ()
        texts = dict.fromkeys([*roles.categorical, *roles.text, *dates, *label_texts, *self._id_columns, *keys])
        numbers = dict.fromkeys([*_without_parts(roles.numeric, dates), *label_numbers, *self._weight_columns])
        return with_date_parts(self.read_file(path, [*numbers], [*texts]), dates, self.missing)

    def _key_columns(self, header: list[str], roles: Roles, required: Collection[str]) -> list[str]:
        """Return the columns that decide the splits, and columns without a role, which preflight checks.

        Args:
            header: The header of the training file.
            roles: The roles of its columns.
            required: Columns that are always read. They come first among the columns without a role.
        """
        headers = [header, *(self.header(path)[0] for path in (self.validation_path, self.test_path) if path)]
        dates = dates_among(roles.numeric)
        used = {
            *roles.numeric,
            *dates,
            *roles.categorical,
            *roles.text,
            *roles.labels,
            *self.split.keys,
            *self._id_columns,
            *self._weight_columns,
        }
        others = [name for name in header if name not in used and all(names.count(name) == 1 for names in headers)]
        others.sort(key=lambda name: name not in required)
        deciding = [name for name in self.split.keys if all(name in names for names in headers)]
        return [*deciding, *others[: max(MOST_KEYS, len(required))]]

    def _keys(self, file: TableFile, names: list[str], required: Collection[str]) -> dict[str, np.ndarray]:
        """Return key columns, (rows,) of str. A column that is not required is left out if its values hardly repeat."""
        return {
            name: file.texts[name].array()
            for name in names
            if name in file.texts
            if name in required or 2 * len(file.texts[name].values) <= file.rows
        }

    @property
    def _id_columns(self) -> list[str]:
        """The columns that identify rows, and order the steps of a sequence."""
        return [*self._own_ids, *self.sequence.keys]

    @property
    def _own_ids(self) -> list[str]:
        return [self.id] if self.id else []

    @property
    def _weight_columns(self) -> list[str]:
        return [self.weight] if self.weight else []

    @override
    def without_absent_weights(self) -> DataSource:
        return self if not self.weight or self.weight in self.header(self.path)[0] else replace(self, weight="")

    def _ids(self, file: TableFile) -> np.ndarray | None:
        """Return the identity of each row, (rows,) of text or numbers; None: numbers from 0."""
        column = self.id or self.sequence.id
        return file.texts[column].array() if column else file.ids

    def _windows(self, file: TableFile, roles: Roles) -> Table:
        ids = file.texts[self.id].array() if self.id else file.ids
        file, feature = replace(file, ids=ids), _numeric_name(roles, self.labels)
        return windows_of(file, self.sequence, self.window, numeric=roles.numeric, feature=feature)

    def _table(
        self, file: TableFile, roles: Roles, labels: Mapping[str, Label], keys: Mapping[str, np.ndarray]
    ) -> Table:
        features, targets = self._features(file, roles, self.labels), self._targets(file, labels, roles)
        weights = file.numbers[self.weight].values if self.weight else None
        return Table(features, targets, file.row_location, keys, self._ids(file), weights=weights)

    def _features(self, file: TableFile, roles: Roles, labels: Collection[str]) -> dict[str, FeatureColumn]:
        features: dict[str, FeatureColumn] = {}
        if roles.numeric:
            columns = [file.numbers[name].values for name in roles.numeric]
            values = np.stack(columns, axis=1) if file.sequences is None else file.sequences
            features[_numeric_name(roles, labels)] = values
        for name in (*roles.categorical, *roles.text):
            features[name] = file.texts[name].array()[:, np.newaxis]
        return features

    def _named(self, dataset: Dataset, roles: Roles) -> dict[str, Feature]:
        """Return the features with the names of their columns and their fixed categories."""
        features = dict(dataset.spec.features)
        if roles.numeric:
            name = _numeric_name(roles, self.labels)
            features[name] = replace(features[name], columns=roles.numeric)
        for name in roles.categorical:
            features[name] = replace(features[name], categories=tuple(self.categories.get(name, ())))
        return features

    # ---- missing values ----------------------------------------------------------------------------------------------

    def _checked(self, file: TableFile, roles: Roles) -> TableFile:
        """Return a file whose missing values are decided: NaN in columns of numbers, "" in columns of text.

        Raises:
            DataError: A number cannot be read, a value is missing, or it is not clear whether it is.
        """
        self._check_values(file, roles)
        constant = [*roles.labels, *(name for name in self.split.keys if name in file.texts), *self._own_ids]
        constant += self._weight_columns
        file = self._with_sequences(file, roles, constant)
        file = self._with_labels(file, roles)
        for name, column in file.texts.items():
            self._log_missing_words(name, column)
        return self._without_missing(file, roles)

    def _check_values(self, file: TableFile, roles: Roles) -> None:
        """Check that numbers and texts can be read, and that it is clear which values are missing.

        Raises:
            DataError: A field cannot be read, or it is not clear whether a value is missing.
        """
        for name, column in file.numbers.items():
            if name == self.weight:
                column_weights(file, name)
            else:
                self._check_numbers(file, name, column)
        for name, column in file.texts.items():
            _check_no_nul(file, name, column)
        for name in (*roles.categorical, *roles.labels):
            if name in file.texts:
                self._check_decided(file, name)

    def _with_sequences(self, file: TableFile, roles: Roles, constant: Collection[str]) -> TableFile:
        """Return a file whose rows are sequences, if its lines are steps.

        Args:
            file: One row per line.
            roles: The roles of its columns.
            constant: Columns that must be the same in all steps of a sequence.

        Raises:
            DataError: A step lacks a number, or `join_steps` cannot join them.
        """
        if not self.sequence.id or self.window.steps:
            return file
        for name in roles.numeric:
            self._check_no_missing(file, name)
        return join_steps(file, self.sequence, numeric=roles.numeric, constant=constant)

    def _without_missing(self, file: TableFile, roles: Roles) -> TableFile:
        """Return a file with "" for a missing value in columns of text.

        Raises:
            DataError: A value is missing, and `data.missing_values` refuses it.
        """
        texts = {
            name: column.replaced(dict.fromkeys(self._words_taken_as_missing(name, column), ""))
            for name, column in file.texts.items()
        }
        ids = [name for name in self._id_columns if name in texts and name not in self.split.keys]
        texts |= {name: file.texts[name] for name in ids}  # an id is kept as it is
        file = replace(file, texts=texts)
        if not self.allows_missing_values:
            for name in (*roles.numeric, *roles.categorical, *roles.text):
                self._check_no_missing(file, name)
        return file

    def _check_numbers(self, file: TableFile, name: str, column: NumberColumn) -> None:
        if column.first_text is not None:
            row, field = column.first_text
            if name in self.labels:
                raise DataError(
                    f"{file.row_location(row)}, column {name!r}: expected a number, since the label is real; found "
                    f"{field!r}.{self.fix_of_number(field)} If it holds classes, set "
                    f"{self._argument_of_kind(name, CLASS)}. Write a date as a number, such as days since a fixed day."
                )
            fix = self.fix_of_number(field)
            if is_date(field):
                dates = shell_argument("data.dates", [*self.dates, name])
                fix = f" If the column holds dates, set {dates} and leave it out of data.numeric."
            if not fix and not any(letter.isdecimal() for letter in field) and field.strip().casefold() not in BOOLEANS:
                fix = f" If it means a missing value, set {self._with_missing([field.strip()])}."
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected a number; found {field!r}.{fix} List columns of "
                "text in data.categorical or data.text, or leave one out of a pattern: "
                f"{shell_argument('data.exclude', [*self.exclude, name])}."
            )
        if column.rounded is not None:
            row, field = column.rounded
            fix = (
                "List the column in data.categorical if it holds a few identifiers. If it only identifies rows, remove "
                "it from data.numeric, or exclude it from a pattern: "
                f"{shell_argument('data.exclude', [*self.exclude, name])}. Otherwise subtract a reference value."
            )
            if name in self.labels:
                fix = (
                    f"If it holds classes, set {self._argument_of_kind(name, CLASS)}. "
                    "Otherwise subtract a reference value."
                )
            raise DataError(
                f"{file.row_location(row)}, column {name!r}: expected whole numbers that float64 can represent; "
                f"found {field}, which would be rounded to {int(column.values[row])}. {fix}"
            )
        if column.undecided:
            words = list(column.undecided)
            raise DataError(
                f"{file.row_location(column.undecided[words[0]])}, column {name!r}: expected a number; found "
                f"{words[0]!r}, which looks like a missing value. Set {self._with_missing(words)}."
            )

    def _check_decided(self, file: TableFile, name: str) -> None:
        """Check that each word of a column that looks like a missing value is known as one, or as a value."""
        column = file.texts[name]
        undecided = [
            value
            for value in column.values
            if categories.is_missing_word(value)
            and value.strip() not in (*self.missing, *self.not_missing)
            and value not in self._listed.get(name, ())
        ]
        if undecided:
            counts = column.counts
            words = list(dict.fromkeys(value.strip() for value in undecided))
            listed = shell_argument("data.not_missing", [*self.not_missing, *words])
            raise DataError(
                f"{file.row_location(column.first_row(undecided))}, column {name!r}: expected a value; found words "
                f"that look like a missing value: {categories.list_counts(counts, undecided)}. If they mean that, set "
                f"{self._with_missing(words)}. If they are values, set {listed}."
            )

    def _with_missing(self, words: list[str]) -> str:
        """Return the argument that adds words to those of a missing value, to paste."""
        return shell_argument("data.missing", [*self.missing, *words])

    def _words_taken_as_missing(self, name: str, column: TextColumn) -> dict[str, int]:
        """Return the values of a column that mean a missing value, with their rows."""
        kept = {*self.not_missing, *self._listed.get(name, ())}
        if name in self.labels and self.separator_of(name):
            kept.add("")  # no class
        return {
            value: rows
            for value, rows in column.counts.items()
            if rows and value.strip() in self.missing and value.strip() not in kept
        }

    def _log_missing_words(self, name: str, column: TextColumn) -> None:
        """Log the values of a column of text that count as missing."""
        taken = self._words_taken_as_missing(name, column)
        values = {word: rows for word, rows in taken.items() if word.strip()}
        if values:
            listed = shell_argument("data.not_missing", [*self.not_missing, *values])
            logger.info(
                "data: column %r: %s count as missing; if they are values, set %s",
                name,
                categories.list_counts(values, list(values)),
                listed,
            )

    def _check_no_missing(self, file: TableFile, name: str) -> None:
        number = file.numbers.get(name)
        if number is not None:
            missing = np.isnan(number.values)
        else:
            missing = file.texts[name].has(() if "" in self.not_missing else ("",))
        if missing.all():
            raise DataError(
                f"{file.location}, column {name!r}: expected values; found none in any row. Remove the column from its "
                f"role, or exclude it from a pattern: {shell_argument('data.exclude', [*self.exclude, name])}."
            )
        if missing.any():
            raise DataError(
                f"{file.row_location(int(np.argmax(missing)))}, column {name!r}: expected a value; found none. "
                f"Rows without a value: {np.count_nonzero(missing):,}. Fill them in"
                f"{'' if self.sequence.id or self.window.steps else ', or set data.missing_values=impute'}."
            )

    def _with_labels(self, file: TableFile, roles: Roles) -> TableFile:
        """Return the rows that have every label.

        Raises:
            DataError: A label is missing, and data.missing_labels=refuse.
        """
        missing = np.zeros(file.rows, bool)
        for name in roles.labels:
            if name in file.numbers:
                absent, words = np.isnan(file.numbers[name].values), {}
            else:
                words = self._words_taken_as_missing(name, file.texts[name])
                absent = file.texts[name].has(words)
            if absent.any() and self.missing_labels == "refuse":
                kept = [word.strip() for word in words if word.strip()]
                listed = f" If {', '.join(map(repr, kept))} is a class, set " if kept else ""
                listed += shell_argument("data.not_missing", [*self.not_missing, *kept]) + "." if kept else ""
                raise DataError(
                    f"{file.row_location(int(np.argmax(absent)))}, column {name!r}: expected a label; found none. Rows "
                    f"without a label: {np.count_nonzero(absent):,}. Leave them out: data.missing_labels=drop."
                    f"{listed}"
                )
            missing |= absent
        if not missing.any():
            return file
        logger.info("data: %s: %s rows without a label are left out", file.location, f"{missing.sum():,}")
        if missing.all():
            raise DataError(f"{file.location}: expected rows with a label; found none. Check data.missing.")
        return file.select(np.flatnonzero(~missing))

    # ---- classes and categories --------------------------------------------------------------------------------------

    def _with_one_spelling(self, files: dict[str, TableFile], names: Collection[str]) -> dict[str, TableFile]:
        """Return the files with the spellings of some columns merged, if the options ask for it."""
        if not self.merge_spellings:
            return files
        train = files["train"].texts
        preferred = {
            name: self._listed.get(name) or categories.most_frequent_first(train[name].counts)
            for name in names
            if name in train
        }
        return {
            split_name: replace(file, texts=file.texts | _merged_spellings(file, preferred))
            for split_name, file in files.items()
        }

    def _check_listed(self, file: TableFile, roles: Roles) -> None:
        """Check that columns of categories hold only those of data.categories, if the option names their column."""
        for name in roles.categorical if self.requires_known_categories else ():
            listed = self.categories.get(name, [])
            column = file.texts[name]
            unknown = [value for value in column.values if value and value not in listed] if listed else []
            if unknown:
                row = column.first_row(unknown)
                found = column.values[column.codes[row]]
                raise DataError(
                    f"{file.row_location(row)}, column {name!r}: expected one of {len(listed)} categories listed in "
                    f"data.categories; found {found!r}. {nearest(found, listed)} Add it to the list, or set "
                    "data.unknown_categories=accept."
                )

    def _label(self, name: str, train: TableFile, roles: Roles) -> Label:
        if name in roles.members:
            return row_label(MULTI_LABEL, roles.members[name])
        if self.kind_of(name) == REAL:
            return real_label(self.window.horizon if self.window.steps else 1)
        separator = self.separator_of(name)
        names = self._listed.get(name) or categories.class_names(count_classes(train.texts[name], separator))
        if self.kind_of(name) == ORDINAL:
            if name not in self._listed:
                check_has_order(names, name, train.location)
            return ordinal_label(names)
        return row_label(MULTI_LABEL, names) if separator else class_label(names)

    def _targets(self, file: TableFile, labels: Mapping[str, Label], roles: Roles) -> dict[str, np.ndarray]:
        targets = {}
        for name, label in labels.items():
            if name in roles.members:
                targets[name] = membership_targets(file, roles.members[name])
                continue
            if label.kind == REAL:
                targets[name] = file.numbers[name].values
                continue
            option = f"data.categories.{name}" if name in self.categories else "data.label_order"
            known = f"listed in {option}" if name in self._listed else "that occurs in the train split"
            targets[name] = class_targets(file, name, label, separator=self.separator_of(name), known=known)
        return targets

    # ---- the summary -------------------------------------------------------------------------------------------------

    def _log_summary(self, roles: Roles, train: TableFile) -> None:
        """Log in a few lines what the columns hold, and what may be wrong with it."""
        if len(roles.numeric) > len(self.numeric):
            logger.info("data: %d columns of numbers: %s", len(roles.numeric), shortened(map(repr, roles.numeric)))
        for name in self.class_labels:
            if columns := roles.members.get(name):
                rows_of_classes = membership_targets(train, columns).sum(axis=0, dtype=int)
                counts = dict(zip(columns, rows_of_classes, strict=True))
            else:
                counts = count_classes(train.texts[name], self.separator_of(name))
            description = categories.describe_counts(counts, "classes")
            logger.info("data: label %r: %s", name, description)
        for name in roles.categorical[:DESCRIBED]:
            counts = train.texts[name].counts
            missing_rows = counts.pop("", 0)
            description = categories.describe_counts(counts, "categories")
            logger.info("data: column %r: %s%s", name, description, f"; {missing_rows:,} missing" * bool(missing_rows))
        if len(roles.categorical) > DESCRIBED:
            logger.info("data: %d more columns of categories", len(roles.categorical) - DESCRIBED)
        counters = [name for name in roles.numeric if _counts_rows(train.numbers[name].values)]
        if counters:
            logger.warning(
                "data: %s: each value is one more than in the previous row. If the column only counts the rows, "
                "exclude it: %s",
                shortened(map(repr, counters)),
                shell_argument("data.exclude", [*self.exclude, *counters]),
            )
        missing: Counter[str] = Counter()
        for column in train.numbers.values():
            missing.update(column.missing)
        if missing:
            described = categories.list_counts(missing, categories.most_frequent_first(missing))
            logger.info("data: %s fields of numbers count as missing: %s", f"{missing.total():,}", described)
        for name in (*self.single_class_labels, *roles.categorical):
            counts = train.texts[name].counts
            groups = categories.look_alikes({value: rows for value, rows in counts.items() if value})
            if groups:
                logger.warning(
                    "data: column %r: spellings that may mean the same: %s. To merge them, set "
                    "data.merge_spellings=true",
                    name,
                    categories.describe_look_alikes(counts, groups),
                )


def _trained_roles(trained: DataSpec, location: str) -> Roles:
    """Return the roles of the columns of a table that a model was trained on.

    Raises:
        DataError: The model was not trained on a table.
    """
    columns = tuple(name for feature in trained.features.values() for name in feature.columns)
    texts = {name: feature.text for name, feature in trained.features.items() if feature.dtype == "string"}
    others = [name for name, feature in trained.features.items() if not feature.columns and name not in texts]
    if others:
        raise DataError(
            f"{location}: expected data like the training data, with "
            f"{trained.features[others[0]]} in {others[0]!r}; found a table. Choose another source: data=NAME."
        )
    categorical, text = (tuple(name for name in texts if texts[name] == is_text) for is_text in (False, True))
    return Roles(columns, categorical, text, frozenset())


def _check_no_nul(file: TableFile, name: str, column: TextColumn) -> None:
    """Check that no text has a NUL character, which damaged files have, and which many programs take for its end."""
    wrong = [value for value in column.values if "\0" in value]
    if wrong:
        row = column.first_row(wrong)
        raise DataError(
            f"{file.row_location(row)}, column {name!r}: expected text without NUL characters; found "
            f"{column.text(row)!r}. Fix the row or remove it."
        )


def _listed_fields(fields: Mapping[str, str]) -> str:
    """Return columns, each with a field: "'city' ('Rome')"."""
    return shortened(f"{name!r} ({field!r})" for name, field in fields.items())


def _without_parts(numeric: Collection[str], dates: Sequence[str]) -> list[str]:
    """Return the columns of numbers that are columns of the file: those that columns of dates give are left out."""
    parts = part_names(dates)
    return [name for name in numeric if name not in parts]


def _merged_spellings(file: TableFile, preferred: Mapping[str, Iterable[str]]) -> dict[str, TextColumn]:
    """Return columns of text with their spellings merged.

    Args:
        file: The file.
        preferred: Column -> the spellings that replace similar ones.
    """
    merged = {}
    for name, spellings in preferred.items():
        values = [value for value in file.texts[name].values if value]
        merged[name] = file.texts[name].replaced(categories.merged_spellings(values, spellings))
    return merged


def _counts_rows(values: np.ndarray) -> bool:
    """Return whether numbers only count the rows: each is one more than the previous one."""
    return len(values) >= FEWEST_COUNTED and bool((np.diff(values) == 1).all())


def _numeric_name(roles: Roles, labels: Collection[str]) -> str:
    """Return the name of the feature of all columns of numbers: another than that of any other column."""
    name = NUMERIC
    while name in (*roles.categorical, *roles.text, *labels):
        name += "_"
    return name
