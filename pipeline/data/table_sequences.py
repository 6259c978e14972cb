"""Tables with one line per time step: the lines of an id become one row, a sequence, in the order of time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, override

from pipeline.data.containers import Sequences
from pipeline.data.table_columns import TableFile
from pipeline.errors import ConfigError, DataError
from pipeline.lazy import np
from pipeline.options import Options, option


@dataclass
class SequenceOptions(Options):
    """Lines of a table that are the steps of sequences."""

    key: ClassVar[str] = "data.sequence"

    id: str = option(
        "",
        "column whose equal values mark the lines of one sequence, one per time step; '' if each line is an example",
    )
    order: str = option(
        "", "column of times (numbers or dates) that orders the steps of a sequence; '' keeps the order of the lines"
    )

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that group lines into sequences and order them."""
        return tuple(name for name in (self.id, self.order) if name)

    @override
    def check(self) -> None:
        if self.id and self.id == self.order:
            raise ConfigError(
                f"data.sequence: expected different columns in data.sequence.id and data.sequence.order; found "
                f"{self.id!r} in both. Set data.sequence.order=''."
            )


def join_steps(
    file: TableFile, options: SequenceOptions, *, numeric: Sequence[str], constant: Collection[str]
) -> TableFile:
    """Return a file with one row per sequence. Its other columns are those of the first line of each sequence.

    Args:
        file: One row per step, with the columns of `options.keys` among its texts.
        options: The id of a sequence and the order of its steps.
        numeric: The columns of numbers, which become the values of each step.
        constant: The columns that must have the same value in all steps of a sequence. Other columns of text are left
            out if their values differ.

    Raises:
        DataError: A step has no id or no time, two steps of a sequence have the same time, or a column of `constant`
            has different values. The message names the line and the id.
    """
    starts, order = step_order(file, options)
    lengths = np.diff([*starts, len(order)])
    first_lines = np.minimum.reduceat(order, starts)
    first = np.repeat(first_lines, lengths)  # the first line of the sequence of each step
    for name in constant:
        _check_constant(file, options, name, order=order, first=first)
    texts = {
        name: column
        for name, column in file.texts.items()
        if name in constant or (column.codes[order] == column.codes[first]).all()
    }
    values = np.stack([file.numbers[name].values for name in numeric], axis=1)
    sequences = Sequences.from_lengths(values[order], lengths)
    rows = np.argsort(first_lines)  # in the order in which the ids first occur
    joined = replace(file, texts=texts).select(first_lines[rows])
    return replace(joined, sequences=sequences.select(rows))


def step_order(file: TableFile, options: SequenceOptions) -> tuple[np.ndarray, np.ndarray]:
    """Return the lines of a file sequence by sequence, each in the order of its steps.

    Args:
        file: One row per step, with the columns of `options.keys` among its texts.
        options: The id and the order of the steps. Without an id, all lines are one sequence.

    Returns:
        (sequences,) int64, the position of the first step of each sequence in the order; (lines,) int64, the order.
    """
    from pipeline.data import column_splits  # imports NumPy

    ids = np.zeros(file.rows, np.int64)
    if options.id:
        option = f"data.sequence.id={options.id}"
        ids = column_splits.index_groups(file.texts[options.id].array(), row_location=file.row_location, option=option)
    if not options.order:
        order = np.argsort(ids, kind="stable")
    else:
        times = line_times(file, options)
        order = np.lexsort((times, ids))
        same = (np.diff(ids[order]) == 0) & (np.diff(times[order]) == 0)
        if same.any():
            line, other = (int(order[np.argmax(same) + step]) for step in (1, 0))
            several = "" if options.id else "set data.sequence.id if there are several sequences, "
            raise DataError(
                f"{file.row_location(line)}: expected a later time than that of {file.row_location(other)}, in column "
                f"{options.order!r}{of_id(file, options, line)}; found the same, "
                f"{file.texts[options.order].text(line)!r}. Remove one of the lines, {several}or set "
                "data.sequence.order='' to keep the order of the lines."
            )
    return np.append(0, np.flatnonzero(np.diff(ids[order])) + 1), order


def line_times(file: TableFile, options: SequenceOptions) -> np.ndarray:
    """Return the time of each line: (lines,) float64, dates in days since 1970.

    Raises:
        DataError: A line has no time, or its time is neither a number nor a date.
    """
    from pipeline.data import column_splits  # imports NumPy

    times = file.texts[options.order].array()
    return column_splits.read_times(
        times, row_location=file.row_location, option=f"data.sequence.order={options.order}"
    )


def of_id(file: TableFile, options: SequenceOptions, line: int) -> str:
    """Return the id of a line as the end of a phrase; "" if the file has no ids."""
    return f" of id {file.texts[options.id].text(line)!r}" if options.id else ""


def _check_constant(
    file: TableFile, options: SequenceOptions, name: str, *, order: np.ndarray, first: np.ndarray
) -> None:
    """Check that a column is the same in all steps of a sequence.

    Args:
        file: One row per step.
        options: The id of a sequence, for error messages.
        name: The column.
        order: (lines,) int64, the lines in the order of the steps.
        first: (lines,) int64, the first line of the sequence of each entry of `order`.
    """
    if name in file.numbers:
        values = file.numbers[name].values
        differs = (values[order] != values[first]) & ~(np.isnan(values[order]) & np.isnan(values[first]))
    else:
        codes = file.texts[name].codes
        differs = codes[order] != codes[first]
    if differs.any():
        step = int(np.argmax(differs))
        line, other = int(order[step]), int(first[step])
        values = file.numbers[name].values if name in file.numbers else file.texts[name].array()
        raise DataError(
            f"{file.row_location(line)}, column {name!r}: expected the same value in every line"
            f"{of_id(file, options, line)}, {str(values[other])!r} as in {file.row_location(other)}; found "
            f"{str(values[line])!r}. Fix the lines, or write a separate id for the steps of each value."
        )
