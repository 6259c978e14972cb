"""Options of the division into splits, and of the command `shards`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pipeline.errors import ConfigError
from pipeline.options import WRITE, Options, option


@dataclass
class SplitOptions(Options):
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
class ShardsOutput(Options):
    """Output of the command `shards`."""

    key: ClassVar[str] = "shards"

    path: str = option("", "`shards` only: the folder to create; it must not exist yet", path=WRITE)
    rows: int = option(10_000, "`shards` only: examples per file", min=1)
