"""Options of run folders, of the list of runs, and of golden runs."""

import os
from dataclasses import dataclass
from typing import ClassVar, override

from pipeline.errors import ConfigError
from pipeline.options import WRITE, Options, option

MAX_NAME = 200  # bytes of a folder's name in the encoding of the file system, which allows 255


@dataclass
class Run(Options):
    """The folder of a run."""

    key: ClassVar[str] = "run"

    name: str | None = option(
        None, "run folder under run.root; null resumes the newest matching unfinished run, or starts the next number"
    )
    root: str = option("runs", "folder of the runs, relative to the working directory", required=True, path=WRITE)
    grace: float = option(30.0, "seconds for the current step and a checkpoint after a stop is requested", min=0)

    @override
    def check(self) -> None:
        if self.name is None:
            return
        if self.name.startswith(("registry.", "drift.", "-")) or len(os.fsencode(self.name)) > MAX_NAME:
            raise ConfigError(
                f"run.name: expected at most {MAX_NAME} bytes that begin neither with - nor with registry. or "
                f"drift., as files beside the run folders do; found {self.name!r}."
            )
        # the name is that of a folder in run.root, so it must not contain a path separator
        if not all(c.isalnum() or c in "._-" for c in self.name.lstrip(".") or "/"):
            raise ConfigError(f"run.name: expected letters, digits and . _ - ; found {self.name!r}.")


@dataclass
class Predict(Options):
    """The output of `predict`."""

    key: ClassVar[str] = "predict"

    output: str = option(
        "",
        "`predict` only: the file to write: Parquet if it ends in .parquet, else CSV; - for standard output; '' for "
        "predictions/DATA.csv in the run folder",
        path=WRITE,
    )


@dataclass
class RunsTable(Options):
    """Which runs `runs` shows."""

    key: ClassVar[str] = "runs"

    name: str = option("", "`runs` only: a pattern of names, such as digits-*; '' for all")
    status: str = option("", "`runs` only: finished, running, interrupted, failed or damaged; '' for all")
    data: str = option("", "`runs` only: a data source, such as digits; '' for all")
    model: str = option("", "`runs` only: a model, such as cnn; '' for all")
    sort: str = option("started", "`runs` only: a column or a score; -accuracy sorts from the largest")
    limit: int = option(0, "`runs` only: largest number of lines; 0 for all", min=0)


@dataclass
class Golden(Options):
    """Small runs whose results are kept in the repository."""

    key: ClassVar[str] = "golden"

    experiments: list[str] = option(
        ["golden_mlp", "golden_mlp_tape", "golden_cnn", "golden_gru", "golden_defaults"],
        "presets of configs/experiment/ that `golden` and `qualify` train",
        required=True,
    )
    file: str = option(
        "golden/results.json",
        "file of their results, relative to the working directory",
        required=True,
        path=WRITE,
    )
    tolerance: float = option(
        0.02, "largest difference of an accuracy from the kept one, on any hardware; 0.02 is 2 points", min=0
    )
