"""Synthetic data of any shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import override

from pipeline.data.source import (
    ConfigError,
    Dataset,
    DataSource,
    Sequences,
    Table,
    class_label,
    describe,
    np,
    numbered_rows,
    option,
    real_label,
)


@dataclass
class Synthetic(DataSource):
    """Synthetic data of any shape: a noisy linear rule that a model can learn. For benchmarks.

    Example:
        make train data=synthetic data.rows=100000 'data.shape=[64]'
    """

    rows: int = option(10_000, "number of examples", min=1, max=10**8)
    shape: list[int] = option(
        [28, 28, 1], "shape of one example, or of one step if `lengths` is set", required=True, min=1
    )
    classes: int = option(10, "number of classes; 0 for one real number", min=0)
    lengths: list[int] = option([], "shortest and longest row in steps; [] if all rows have `shape`", min=1)
    noise: float = option(0.1, "standard deviation of the noise added to the scores of the rule", min=0)
    seed: int = option(0, "decides every number", min=0, below=2**31)

    @override
    def check(self) -> None:
        super().check()
        if self.lengths and not (len(self.lengths) == 2 and self.lengths[0] <= self.lengths[1]):
            raise ConfigError(f"data.lengths: expected [shortest, longest]; found {self.lengths}.")

    def read(self) -> Dataset:
        """Return one split: x is standard normal; y is the largest of `classes` noisy linear scores, or one score."""
        random = np.random.Generator(np.random.Philox(self.seed))
        scores = max(self.classes, 1)
        if self.lengths:
            lengths = random.integers(self.lengths[0], self.lengths[1], self.rows, endpoint=True)
            x = Sequences.from_lengths(random.standard_normal((lengths.sum(), *self.shape), np.float32), lengths)
            sums = np.add.reduceat(x.values, x.offsets[:-1]).reshape(self.rows, -1)
            flat = sums / np.sqrt(lengths)[:, np.newaxis]
        else:
            x = random.standard_normal((self.rows, *self.shape), np.float32)
            flat = x.reshape(self.rows, -1)
        rule = random.standard_normal((flat.shape[1], scores)) / np.sqrt(flat.shape[1])  # scores of variance 1
        score = flat @ rule + self.noise * random.standard_normal((self.rows, scores))
        if self.classes:
            label, y = class_label(range(self.classes)), score.argmax(axis=1)
        else:
            label, y = real_label(), score[:, 0].astype(np.float32)
        split = Table({"x": x}, {"y": y}, numbered_rows("synthetic"))
        return describe({"train": split}, labels={"y": label}, location="synthetic")
