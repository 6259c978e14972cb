"""Options of the machine and the environment."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline.options import READ, WRITE, Options, option


@dataclass
class Hardware(Options):
    """The resources of the device that a run may use."""

    key: ClassVar[str] = "hardware"

    gpus: list[int] | None = option(
        None, "indices of the GPUs to use; null: all of them", min=0, max=1_023, changes_result=False
    )
    memory_growth: bool = option(
        True, "allocate GPU memory when it is needed, not all of it at the start", changes_result=False
    )
    tf32: bool = option(False, "round the inputs of matrix products on the GPU to TensorFloat-32: faster, less exact")
    threads: int = option(
        2, "threads of one operation, and of the graph; written out, since it changes the bits", min=1, max=1_024
    )


@dataclass
class Environment(Options):
    """What to do if the environment is not the locked one."""

    key: ClassVar[str] = "environment"

    allow_drift: bool = option(
        False,
        "run although packages differ from the lock, or code or packages changed since the run began; recorded "
        "permanently",
    )


@dataclass
class Qualify(Options):
    """A candidate for the lock, compared with the lock in use by training in both environments."""

    key: ClassVar[str] = "qualify"

    candidate: str = option("", "`qualify` only: the candidate lock file; '' if qualify.package is set", path=READ)
    package: str = option("", "`qualify` only: NAME==VERSION, from which the candidate is solved")
    baseline: str = option("", "`qualify` only: the lock file to compare with; '' for the one in use", path=READ)
    seeds: int = option(
        10, "`qualify` only: runs of each experiment per environment, with seeds 0 to seeds - 1", min=1, max=1_000
    )
    metric: str = option("accuracy", "`qualify` only: the score of the test split to compare")
    margin: float = option(
        0.005, "`qualify` only: smallest difference of the score that matters; 0.005 is half a point", above=0
    )
    confidence: float = option(
        0.95, '`qualify` only: 1 - the chance of a wrong "different" or "equivalent"', min=0.5, below=1
    )
    overrides: list[str] = option([], "`qualify` only: KEY=VALUE overrides of every run, such as training.epochs=5")
    root: str = option(
        ".qualify", "`qualify` only: folder of the environments, runs and reports", required=True, path=WRITE
    )
