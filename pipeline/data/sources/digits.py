"""UCI handwritten digits, shipped with the project."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import option

LABELS = ("digit", "parity", "ink")


@dataclass
class Digits(DataSource):
    """UCI handwritten digits: 1,797 images of 8 x 8 in 10 classes. Shipped with the project.

    Seconds on two CPU cores. With model=mlp, test accuracy 98.4 % (mean of seeds 0, 1, 2: 97.8, 98.9, 98.6).
    """

    labels: list[str] = option(
        ["digit"],
        "what to predict: digit (10 classes), parity (even or odd), ink (the mean pixel, a real number)",
        choices=LABELS,
        required=True,
    )

    def check(self) -> None:
        super().check()
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"data.labels: expected each label once; found {self.labels}.")

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.digits(self)
