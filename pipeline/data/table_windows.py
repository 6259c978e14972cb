"""Windows over the lines of a table: the past of a series as the input, the next values of its label as the target."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, override

from pipeline.data.containers import Table, Windows
from pipeline.data.table_columns import TableFile
from pipeline.data.table_sequences import SequenceOptions, line_times, of_id, step_order
from pipeline.errors import ConfigError, DataError
from pipeline.lazy import np
from pipeline.options import Options, option

logger = logging.getLogger(__name__)

NAIVE, SEASONAL_NAIVE = "naive", "seasonal_naive"
GAP = 1.5  # a gap is a distance of two lines above GAP * the median distance


@dataclass
class WindowOptions(Options):
    """Windows over the lines of a table, for forecasts."""

    key: ClassVar[str] = "data.window"

    steps: int = option(0, "lines of the past that are the input of a forecast; 0 for no windows", min=0)
    horizon: int = option(1, "number of next lines whose label is predicted", min=1)
    stride: int = option(1, "lines from the start of one window to the start of the next", min=1)
    period: int = option(
        0,
        "lines of a season, such as 7 if lines are days; adds the baseline seasonal_naive; at most `steps`; 0: none",
        min=0,
    )

    @override
    def check(self) -> None:
        if self.steps and self.period > self.steps:
            raise ConfigError(
                f"data.window.period: expected at most data.window.steps={self.steps}, since the baseline repeats the "
                f"last season of the input; found {self.period}. Set data.window.steps={self.period}."
            )


def windows_of(
    file: TableFile, sequence: SequenceOptions, options: WindowOptions, *, numeric: Sequence[str], feature: str
) -> Table:
    """Return one row per window: `steps` lines of the columns of numbers, and the next `horizon` values of the label.

    A window lies in one series. The location and the id of a row are those of its first predicted line.

    Args:
        file: One row per line.
        sequence: The columns of the series and of the times.
        options: The sizes of the windows.
        numeric: The columns of the input; the last one is the label.
        feature: The name of the input.

    Raises:
        DataError: No series is long enough, or a time is missing or occurs twice in a series.
    """
    starts, order = step_order(file, sequence)
    times = (line_times(file, sequence) if sequence.order else np.arange(file.rows, dtype=np.float64))[order]
    lengths = np.diff([*starts, len(order)])
    shortest = options.steps + options.horizon
    counts = np.maximum((lengths - shortest) // options.stride + 1, 0)
    if not counts.any():
        raise DataError(
            f"{file.location}: expected a series of at least {shortest} lines, data.window.steps + "
            f"data.window.horizon; found at most {lengths.max()}. Set a smaller value, or add lines."
        )
    if not counts.all():
        few, series = np.count_nonzero(counts == 0), len(counts)
        logger.info("data: %s of %s series have fewer than %s lines and give no window", few, series, shortest)
    _report_gaps(times, starts)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    first = np.repeat(starts, counts) + options.steps + options.stride * number  # the first predicted line
    values = np.stack([file.numbers[name].values for name in numeric], axis=1)[order]
    label = values[:, -1]
    targets = label[first[:, np.newaxis] + np.arange(options.horizon)]
    baselines = {NAIVE: np.repeat(label[first - 1, np.newaxis], options.horizon, axis=1)}
    if options.period:
        season = np.arange(options.horizon) % options.period - options.period
        baselines[SEASONAL_NAIVE] = label[first[:, np.newaxis] + season]
    lines = order[first]
    return Table(
        {feature: values[first[:, np.newaxis] + np.arange(-options.steps, 0)]},
        {numeric[-1]: targets if options.horizon > 1 else targets[:, 0]},
        _location_of(file, lines),
        ids=lines if file.ids is None else file.ids[lines],
        windows=Windows(times[first], times[first + options.horizon - 1], baselines),
    )


def last_windows(
    file: TableFile, sequence: SequenceOptions, options: WindowOptions, *, numeric: Sequence[str], feature: str
) -> Table:
    """Return one row per series, without labels: its last `steps` lines, from which the next values are predicted.

    Args:
        file: One row per line.
        sequence: The columns of the series and of the times.
        options: The sizes of the windows.
        numeric: The columns of the input; the last one is the label.
        feature: The name of the input.

    Raises:
        DataError: A series is too short, or a number or a time is missing.
    """
    starts, order = step_order(file, sequence)
    ends = np.append(starts[1:], len(order))
    last = order[ends - 1]
    if (short := ends - starts < options.steps).any():
        line = int(last[np.argmax(short)])
        raise DataError(
            f"{file.row_location(line)}: expected at least {options.steps} lines{of_id(file, sequence, line)}, as in "
            f"data.window.steps; found {(ends - starts)[np.argmax(short)]}. Add earlier lines, or remove the series."
        )
    values = np.stack([file.numbers[name].values for name in numeric], axis=1)[order]
    inputs = values[ends[:, np.newaxis] + np.arange(-options.steps, 0)]
    if (missing := np.isnan(inputs)).any():
        series, step, column = (int(index[0]) for index in np.nonzero(missing))
        line = int(order[ends[series] - options.steps + step])
        raise DataError(
            f"{file.row_location(line)}, column {numeric[column]!r}: expected a number; found none. Fill it in."
        )
    ids = file.texts[sequence.id].array()[last] if sequence.id else last if file.ids is None else file.ids[last]
    return Table({feature: inputs}, {}, _location_of(file, last), ids=ids)


def _location_of(file: TableFile, lines: np.ndarray) -> Callable[[int], str]:
    return lambda row: file.row_location(int(lines[row]))


def _report_gaps(times: np.ndarray, starts: np.ndarray) -> None:
    """Log a warning if the times of a series have gaps, since windows count lines."""
    distances = np.delete(np.diff(times), starts[1:] - 1)
    if len(distances) and (gaps := np.count_nonzero(distances > GAP * np.median(distances))):
        logger.warning(
            "data: %s of %s lines follow a gap in the times. Windows count lines, not time. Add the missing lines if "
            "the distances should be equal.",
            f"{gaps:,}",
            f"{len(times):,}",
        )
