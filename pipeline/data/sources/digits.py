"""UCI handwritten digits, shipped with the project."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import override

from pipeline.data.source import (
    ConfigError,
    Dataset,
    DataSource,
    Table,
    class_label,
    describe,
    np,
    numbered_rows,
    option,
    real_label,
)

FILE = Path(__file__).parents[3] / "datasets" / "digits" / "digits.csv.gz"
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

    @override
    def check(self) -> None:
        super().check()
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"data.labels: expected each label once; found {self.labels}.")

    def read(self) -> Dataset:
        """Return one split: image (8, 8, 1) uint8 from 0 to 16, and the chosen labels."""
        images, digits = read_digits()
        known = {
            "digit": (class_label(range(10)), digits),
            "parity": (class_label(("even", "odd")), digits % 2),
            "ink": (real_label(), images.mean(axis=(1, 2, 3), dtype=np.float32)),
        }
        split = Table({"image": images}, {name: known[name][1] for name in self.labels}, numbered_rows(str(FILE)))
        return describe({"train": split}, labels={name: known[name][0] for name in self.labels}, location=str(FILE))


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """Return the images, (1797, 8, 8, 1) uint8 from 0 to 16, and the digit of each, (1797,) int64."""
    rows = np.loadtxt(FILE, np.uint8, delimiter=",")
    return rows[:, :-1].reshape(-1, 8, 8, 1), rows[:, -1].astype(np.int64)
