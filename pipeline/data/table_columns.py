"""The columns of a table file, as its reader makes them block by block: numbers, and texts by their distinct values."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from pipeline.data.categories import is_missing_word
from pipeline.data.containers import Sequences
from pipeline.lazy import np

EXACT_IN_FLOAT64 = 2**53  # larger integers are rounded in float64


@dataclass(frozen=True)
class NumberColumn:
    """A column of numbers.

    values: (rows,) float64, NaN for a missing value.
    missing: The fields that were taken as missing -> rows.
    undecided: Fields that look as if they meant a missing value, but are not listed as such -> first row.
    first_text: The first other field that is not a number, (row, field); None if there is none. Then `values` are
        incomplete.
    rounded: The first whole number that float64 cannot represent, (row, field); None if there is none.
    leading_zero: A field like 00123, which is rather an identifier than a number; "" if the first rows have none.
    """

    values: np.ndarray
    missing: Counter[str]
    undecided: Mapping[str, int]
    first_text: tuple[int, str] | None
    rounded: tuple[int, str] | None = None
    leading_zero: str = ""


@dataclass(frozen=True)
class TextColumn:
    """A column of texts.

    values: The distinct texts in the order of their first rows.
    codes: (rows,) int64, the index of each row's text.
    """

    values: list[str]
    codes: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """The number of rows of each text."""
        return dict(zip(self.values, np.bincount(self.codes, minlength=len(self.values)).tolist()))

    def first_row(self, values: Collection[str]) -> int:
        """Return the first row that holds one of these texts, of which at least one occurs."""
        return int(np.argmax(self.has(values)))

    def has(self, values: Collection[str]) -> np.ndarray:
        """Return whether each row holds one of these texts: (rows,) bool."""
        return np.array([value in values for value in self.values], bool)[self.codes]

    def text(self, row: int) -> str:
        """Return the text of a row."""
        return self.values[self.codes[row]]

    def select(self, rows: np.ndarray) -> TextColumn:
        """Return the given rows, (n,) indices, in the given order."""
        used, codes = np.unique(self.codes[rows], return_inverse=True)
        return TextColumn([self.values[code] for code in used], codes.reshape(-1))

    def replaced(self, replacement: Mapping[str, str]) -> TextColumn:
        """Return the column with texts replaced; a text that is no key stays."""
        texts = [replacement.get(value, value) for value in self.values]
        index = {text: code for code, text in enumerate(dict.fromkeys(texts))}
        return TextColumn(list(index), np.array([index[text] for text in texts], np.int64)[self.codes])

    def array(self) -> np.ndarray:
        """Return the texts: (rows,) of dtype object."""
        return np.array(self.values, object)[self.codes]


@dataclass(frozen=True)
class TableFile:
    """The columns of one file that have a role.

    location: The file. row_location: Returns the location of a row: row_location(3) -> "people.csv, line 5".
    ids: (rows,) the line or number of each row in the file; None numbers them from 0.
    sequences: The numbers of all steps, if a row is a sequence of several lines; None if each row is one line.
    """

    location: str
    numbers: dict[str, NumberColumn]
    texts: dict[str, TextColumn]
    row_location: Callable[[int], str]
    ids: np.ndarray | None = None
    sequences: Sequences | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        for column in self.numbers.values():
            return len(column.values)
        return len(next(iter(self.texts.values())).codes)

    def select(self, rows: np.ndarray) -> TableFile:
        """Return the given rows, (n,) indices, in the given order."""
        return TableFile(
            self.location,
            {name: replace(column, values=column.values[rows]) for name, column in self.numbers.items()},
            {name: column.select(rows) for name, column in self.texts.items()},
            lambda row: self.row_location(int(rows[row])),
            rows if self.ids is None else self.ids[rows],
            None if self.sequences is None else self.sequences.select(rows),
        )


class NumberBlocks:
    """Makes a NumberColumn of blocks of fields."""

    def __init__(self, missing: Collection[str], decimal: str = ".") -> None:
        """Begin a column.

        Args:
            missing: The fields that mean a missing value, without blanks around them.
            decimal: The character before the decimals. If it is a comma, a field with a point cannot be read.
        """
        self.decimal = decimal
        self.listed = frozenset(missing)
        self.blocks: list[np.ndarray] = []
        self.missing: Counter[str] = Counter()
        self.undecided: dict[str, int] = {}
        self.first_text: tuple[int, str] | None = None
        self.rounded: tuple[int, str] | None = None
        self.leading_zero = ""

    def add(self, fields: Sequence[str], first_row: int) -> None:
        """Add a block. first_row: The row of its first field."""
        if self.first_text is not None:
            return
        # with decimal commas, a point is replaced by "_", which is refused below
        plain = fields if self.decimal == "." else [field.replace(".", "_").replace(",", ".") for field in fields]
        try:
            values = np.fromiter(map(float, plain), np.float64, len(fields))
        except ValueError:
            values = np.empty(len(fields))
            for row, field in enumerate(plain):
                try:
                    values[row] = float(field)
                except ValueError:
                    values[row] = self._unreadable(first_row + row, fields[row])
        else:
            # float() also reads the words for NaN, and the underscores of Python's literals
            for row in np.flatnonzero(np.isnan(values)).tolist():
                self._unreadable(first_row + row, fields[row])
        if "_" in "".join(plain):
            for row, field in enumerate(plain):
                if "_" in field and not math.isnan(values[row]):
                    self._unreadable(first_row + row, fields[row])
        if not self.blocks:
            self.leading_zero = next((field for field in fields if field[:1] == "0" and field[1:2].isdecimal()), "")
        if self.rounded is None:
            self.rounded = first_rounded(fields, values, first_row)
        self.blocks.append(values)

    def _unreadable(self, row: int, field: str) -> float:
        """Record a field that is not a number."""
        word = field.strip()
        if word in self.listed:
            self.missing[word] += 1
        elif is_missing_word(word):
            self.undecided.setdefault(word, row)
        elif self.first_text is None:
            self.first_text = (row, field)
        return math.nan

    def column(self) -> NumberColumn:
        """Return the column."""
        values = np.concatenate(self.blocks) if self.blocks else np.empty(0)
        return NumberColumn(values, self.missing, self.undecided, self.first_text, self.rounded, self.leading_zero)


def first_rounded(fields: Sequence[object], values: np.ndarray, first_row: int = 0) -> tuple[int, str] | None:
    """Return the first whole number that float64 rounds, (row, field); None if there is none.

    Args:
        fields: The fields as they are in the file.
        values: (rows,) float64, the numbers that were read from them.
        first_row: The row of the first field.
    """
    for row in np.flatnonzero(np.abs(values) >= EXACT_IN_FLOAT64).tolist():
        text = str(fields[row]).strip()
        if text.lstrip("+-").isdecimal() and math.isfinite(values[row]) and int(text) != int(values[row]):
            return first_row + row, text
    return None


class TextBlocks:
    """Makes a TextColumn of blocks of fields."""

    def __init__(self) -> None:
        self.codes: defaultdict[str, int] = defaultdict()
        self.codes.default_factory = self.codes.__len__
        self.blocks: list[np.ndarray] = []

    def add(self, fields: Sequence[str]) -> None:
        """Add a block."""
        self.blocks.append(np.fromiter(map(self.codes.__getitem__, fields), np.int64, len(fields)))

    def column(self) -> TextColumn:
        """Return the column."""
        return TextColumn(list(self.codes), np.concatenate(self.blocks) if self.blocks else np.empty(0, np.int64))
