"""Options of the division into splits, and of the command `shards`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, override

from pipeline.errors import ConfigError
from pipeline.options import WRITE, Options, option


@dataclass
class SplitOptions(Options):
    """How rows are divided into splits that the data does not have."""

    key: ClassVar[str] = "data.split"

    validation: float = option(0.1, "share of the rows for the validation split, if the data has none", min=0, below=1)
    test: float = option(0.2, "share of the rows for the test split, if the data has none", min=0, below=1)
    seed: int = option(
        0, "assigns rows to splits; separate from `seed`, so that another training seed keeps the same test rows"
    )
    stratify: bool = option(True, "keep the share of each class equal in every split")

    @override
    def check(self) -> None:
        if self.validation + self.test >= 1:
            raise ConfigError(
                "data.split: expected a sum of data.split.validation and data.split.test below 1; found "
                f"{self.validation} + {self.test}, which leaves no row to train on. Lower one of them."
            )


@dataclass
class ShardsOutput(Options):
    """Output of the command `shards`."""

    key: ClassVar[str] = "shards"

    path: str = option("", "`shards` only: the folder to create; it must not exist yet", path=WRITE)
    rows: int = option(10_000, "`shards` only: examples per file", min=1)
