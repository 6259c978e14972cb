"""Synthetic data of any shape."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import option


@dataclass
class Synthetic(DataSource):
    """Synthetic data of any shape: a noisy linear rule that a model can learn. For benchmarks.

    Example:
        make train data=synthetic data.rows=100000 'data.shape=[64]'
    """

    rows: int = option(10_000, "number of examples", min=1)
    shape: list[int] = option(
        [28, 28, 1], "shape of one example, or of one step if `lengths` is set", required=True, min=1
    )
    classes: int = option(10, "number of classes; 0 for one real number", min=0)
    lengths: list[int] = option([], "shortest and longest row in steps; [] if all rows have `shape`", min=1)
    noise: float = option(0.1, "standard deviation of the noise added to the scores of the rule", min=0)
    seed: int = option(0, "decides every number", min=0)

    def check(self) -> None:
        super().check()
        if self.lengths and not (len(self.lengths) == 2 and self.lengths[0] <= self.lengths[1]):
            raise ConfigError(f"data.lengths: expected [shortest, longest]; found {self.lengths}.")

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.synthetic(self)
