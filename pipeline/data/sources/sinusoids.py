"""Regression tasks for meta-learning: points of sine waves (Finn et al. 2017, section 5.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource, Table, describe, np, numbered_rows, option, real_label

AMPLITUDE, PHASE, RANGE = (0.1, 5.0), (0.0, math.pi), (-5.0, 5.0)


@dataclass
class Sinusoids(DataSource):
    """Regression tasks, one per row: points of a sine wave with its own amplitude and phase. For meta-learning."""

    tasks: int = option(50_000, "number of training tasks", min=1)
    held_out: int = option(1_000, "number of tasks in the validation split, and in the test split", min=1)
    points: int = option(20, "points of a task: the first are its support, the others its queries", min=2)
    seed: int = option(0, "decides every number", min=0, below=2**31)

    def read(self) -> Dataset:
        """Return three splits of different tasks: x (points, 1) and y (points,), both float32."""
        counts = {"train": self.tasks, "validation": self.held_out, "test": self.held_out}
        splits = {}
        for number, (split_name, count) in enumerate(counts.items()):
            x, y = draw_tasks(tasks=count, points=self.points, seed=[self.seed, number])
            splits[split_name] = Table({"x": x}, {"y": y}, numbered_rows(f"sinusoids, {split_name}"))
        return describe(splits, labels={"y": real_label(self.points)}, location="sinusoids")


def draw_tasks(*, tasks: int, points: int, seed: int | list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw sine waves of random amplitude and phase as a pure function of the arguments.

    Args:
        tasks: The number of waves.
        points: The number of points of each.
        seed: One integer or several, each at least 0.

    Returns:
        x (tasks, points, 1) float32 and y (tasks, points) float32.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    amplitude = generator.uniform(*AMPLITUDE, (tasks, 1))
    phase = generator.uniform(*PHASE, (tasks, 1))
    x = generator.uniform(*RANGE, (tasks, points))
    return x[..., np.newaxis].astype(np.float32), (amplitude * np.sin(x - phase)).astype(np.float32)
