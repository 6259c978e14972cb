"""Regression tasks for meta-learning: points of sine waves."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.options import option


@dataclass
class Sinusoids(DataSource):
    """Regression tasks, one per row: points of a sine wave with its own amplitude and phase. For meta-learning."""

    tasks: int = option(50_000, "number of training tasks", min=1)
    held_out: int = option(1_000, "number of tasks in the validation split, and in the test split", min=1)
    points: int = option(20, "points of a task: the first are its support, the others its queries", min=2)
    seed: int = option(0, "decides every number", min=0)

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.sine_waves(self)
