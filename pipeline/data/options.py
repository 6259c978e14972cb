"""Options that every data source has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigError
from pipeline.options import WRITE, Options, option, section

if TYPE_CHECKING:
    from pipeline.data.containers import Source


@dataclass
class Split(Options):
    """How rows are divided into splits, if the data gives no splits of its own."""

    key: ClassVar[str] = "data.split"

    validation: float = option(
        0.1, "share of the rows held out for validation, if the data gives no such split", min=0, below=1
    )
    test: float = option(
        0.2, "share of the rows held out for the test, if the data gives no such split", min=0, below=1
    )
    seed: int = option(
        0, "assigns rows to splits; separate from `seed`, so that another training seed keeps the same test rows"
    )
    stratify: bool = option(True, "keep the share of each class equal in every split")

    def check(self) -> None:
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"data.split: validation {self.validation} and test {self.test} leave no row to train on. "
                "Expected their sum below 1."
            )


@dataclass
class DataSource(Options):
    """Base class of the data sources: options, and `read` to turn files into rows."""

    key: ClassVar[str] = "data"

    split: Split = section(Split, "how rows are divided into splits")
    shuffle: bool = option(True, "use a new order in every epoch, a pure function of (seed, epoch)")
    buckets: list[int] = option(
        [],
        "variable lengths: upper bounds of the length buckets in steps; a batch holds rows of one bucket; "
        "[] makes four buckets of equal size",
        min=1,
    )

    def check(self) -> None:
        if any(a >= b for a, b in zip(self.buckets, self.buckets[1:], strict=False)):
            raise ConfigError(f"data.buckets: expected increasing lengths; found {self.buckets}.")

    def read(self) -> Source:
        """Read the rows and describe them.

        Returns:
            The splits that the data gives itself; none is cut here.

        Raises:
            DataError: Something cannot be read. The message names the file and the line or row.
        """
        raise NotImplementedError(f"{type(self).__name__}.read")

    @property
    def allows_missing_values(self) -> bool:
        """Whether NaN in a feature means a missing value, which the model replaces."""
        return False

    @property
    def columns_of_known_categories(self) -> list[str]:
        """The columns whose values must all occur in the training split."""
        return []


@dataclass
class ShardsOutput(Options):
    """Where the command `shards` writes."""

    key: ClassVar[str] = "shards"

    path: str = option("", "`shards` only: the folder to create; it must not exist yet", path=WRITE)
    rows: int = option(10_000, "`shards` only: examples per file", min=1)
