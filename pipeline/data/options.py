"""Options of the division into splits, and of the command `shards`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, override

from pipeline.errors import ConfigError
from pipeline.options import WRITE, Options, option

STANDARD_INPUT = "-"  # as data.path, for `predict` of CSV
ROW_ORDER = "row_order"  # data.split.time of data whose rows are in the order of time


@dataclass
class SplitOptions(Options):
    """How rows are divided into splits that the data does not have."""

    key: ClassVar[str] = "data.split"

    validation: float = option(0.1, "share of the rows for the validation split, if the data has none", min=0, below=1)
    test: float = option(0.2, "share of the rows for the test split, if the data has none", min=0, below=1)
    seed: int = option(
        0,
        "assigns rows to splits; separate from `seed`, so that another training seed keeps the same test rows",
        min=0,
        below=2**31,
    )
    stratify: bool = option(True, "keep the share of each class equal in every split")
    group: str = option(
        "", "column whose equal values mark rows that stay in one split, such as those of a patient; '' for none"
    )
    time: str = option(
        "",
        "column of times (numbers or dates): training before validation before test; row_order takes the order of the "
        "rows; '' for random splits",
    )
    gap: float = option(
        0.0,
        "with data.split.time: rows this near before the next split begins are left out; in the unit of the column, "
        "days for dates",
        min=0,
        max=1e18,
    )
    column: str = option(
        "", "column that names the split of each row: train, validation (or val, valid, dev) or test; '' for none"
    )
    fold: str = option("", "k/n: the test split is the k-th of n folds of all rows, for cross-validation; '' for none")

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that decide the splits."""
        return tuple(name for name in (self.group, self.time, self.column) if name not in ("", ROW_ORDER))

    @override
    def check(self) -> None:
        if self.group and self.time:
            raise ConfigError(
                f"data.split: expected data.split.group or data.split.time; found both, {self.group!r} and "
                f"{self.time!r}. Set one of them to ''."
            )
        if self.gap and not self.time:
            raise ConfigError(
                f"data.split.gap={self.gap:g}: expected data.split.time, the column in which the gap is measured; "
                "found none. Set data.split.time, or data.split.gap=0."
            )
        if self.fold:
            self._check_fold()
        if self.validation + self.test >= 1:
            raise ConfigError(
                "data.split: expected a sum of data.split.validation and data.split.test below 1; found "
                f"{self.validation} + {self.test}, which leaves no row to train on. Lower one of them."
            )

    def _check_fold(self) -> None:
        number, folds = self.fold_of
        if not 1 <= number <= folds or folds < 2:
            raise ConfigError(
                f"data.split.fold: expected k/n with k from 1 to n and at least two folds, such as 1/5; found "
                f"{self.fold!r}."
            )
        if self.time or self.column:
            other = "data.split.time" if self.time else "data.split.column"
            raise ConfigError(
                f"data.split.fold={self.fold}: expected no other option that divides rows, except data.split.group; "
                f"found {other} too. Set one of them to ''."
            )

    @property
    def fold_of(self) -> tuple[int, int]:
        """The number of the fold from 1, and the number of folds; (0, 0) if the option has another form."""
        match = re.fullmatch(r"(\d+)/(\d+)", self.fold)
        return (int(match[1]), int(match[2])) if match else (0, 0)


@dataclass
class ShardsOutput(Options):
    """Output of the command `shards`."""

    key: ClassVar[str] = "shards"

    path: str = option("", "`shards` only: the folder to create; it must not exist yet", path=WRITE)
    rows: int = option(10_000, "`shards` only: examples per file", min=1, max=10**9)
