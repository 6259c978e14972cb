"""Few-shot tasks for meta-learning: classify a few digits from a few images of each."""

from __future__ import annotations

from dataclasses import dataclass
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
)
from pipeline.data.sources.digits import FILE, read_digits


@dataclass
class DigitTasks(DataSource):
    """Few-shot tasks on the shipped digits, one per row: classify a few digits from a few images of each.

    The digits of the test split occur in no other split; validation has other images of the training digits.
    """

    tasks: int = option(20_000, "number of training tasks", min=1)
    held_out: int = option(1_000, "number of tasks in the validation split, and in the test split", min=1)
    ways: int = option(3, "digits to distinguish in a task; a random guess is right once in `ways`", min=2)
    images: int = option(6, "images of each digit in a task; those beyond objective.support are its queries", min=2)
    test_digits: list[int] = option(
        [2, 5, 7], "digits of the tasks of the test split; all others are for training", min=0, max=9
    )
    validation_images: int = option(
        30, "images of each training digit reserved for the validation split", min=1, below=100
    )
    move: bool = option(True, "rotate each training task by right angles and mirror it, as a whole: augmentation")
    seed: int = option(0, "decides every task", min=0, below=2**31)

    @override
    def check(self) -> None:
        super().check()
        if self.images > self.validation_images:
            raise ConfigError(
                f"data.images: expected at most data.validation_images={self.validation_images}; found {self.images}. "
                "Lower data.images, or raise data.validation_images."
            )
        test_digits = len(set(self.test_digits))
        if test_digits < len(self.test_digits) or not self.ways <= min(test_digits, 10 - test_digits):
            raise ConfigError(
                f"data.test_digits: expected each digit once, at least data.ways={self.ways} of them, and as many left "
                f"to train on; found {self.test_digits}."
            )

    def read(self) -> Dataset:
        """Return three splits: images (points, 8, 8, 1) uint8, number (points,), the digit's class within its task."""
        images, digits = read_digits()
        images_of = {digit: images[digits == digit] for digit in range(10)}
        train_images = [images_of[digit] for digit in range(10) if digit not in self.test_digits]
        classes = {
            "train": [digit_images[: -self.validation_images] for digit_images in train_images],
            "validation": [digit_images[-self.validation_images :] for digit_images in train_images],
            "test": [images_of[digit] for digit in self.test_digits],
        }
        counts = {"train": self.tasks, "validation": self.held_out, "test": self.held_out}
        splits = {}
        for number, (split_name, count) in enumerate(counts.items()):
            x, y = draw_tasks(
                classes[split_name], tasks=count, ways=self.ways, images=self.images, seed=[self.seed, number]
            )
            if self.move and split_name == "train":
                x = move_tasks(x, [self.seed, len(counts)])
            splits[split_name] = Table({"images": x}, {"number": y}, numbered_rows(f"tasks of {FILE}, {split_name}"))
        label = class_label(range(self.ways), (self.ways * self.images,))
        return describe(splits, labels={"number": label}, location=str(FILE))


def draw_tasks(
    classes: list[np.ndarray], *, tasks: int, ways: int, images: int, seed: int | list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Draw few-shot tasks as a pure function of the arguments.

    A task has `ways` of the classes, numbered from 0, and `images` different images of each. The classes alternate:
    the first k * ways points show each class k times.

    Args:
        classes: The images of each class, arrays of (rows, *image).
        tasks: The number of tasks.
        ways: The number of classes in a task.
        images: The number of images of each class in a task.
        seed: One integer or several, each at least 0.

    Returns:
        x (tasks, images * ways, *image) in the dtype of the images, and y (tasks, images * ways) int64.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    chosen = _permutations(generator, tasks, len(classes))[:, :ways]
    x = np.empty((tasks, ways, images, *classes[0].shape[1:]), classes[0].dtype)
    for number, class_images in enumerate(classes):
        in_task = chosen == number
        rows = _permutations(generator, int(in_task.sum()), len(class_images))[:, :images]
        x[in_task] = class_images[rows]
    y = np.tile(np.arange(ways, dtype=np.int64), (tasks, images))
    return x.swapaxes(1, 2).reshape(tasks, images * ways, *x.shape[3:]), y


def _permutations(generator: np.random.Generator, rows: int, count: int) -> np.ndarray:
    """Return the integers from 0 to count - 1 in an independent random order in each row: (rows, count)."""
    return generator.permuted(np.tile(np.arange(count), (rows, 1)), axis=1)


def move_tasks(x: np.ndarray, seed: int | list[int]) -> np.ndarray:
    """Rotate each task by right angles and mirror it, as a whole, as a pure function of the seed.

    Args:
        x: (tasks, points, size, size, channels).
        seed: One integer or several, each at least 0.
    """
    generator = np.random.Generator(np.random.Philox(np.random.SeedSequence(seed)))
    turns, mirrored = generator.integers(4, size=len(x)), generator.integers(2, size=len(x)).astype(bool)
    x = np.where(mirrored[:, None, None, None, None], x[:, :, :, ::-1], x)
    return np.select(
        [turns[:, None, None, None, None] == number for number in range(4)],
        [np.rot90(x, number, axes=(2, 3)) for number in range(4)],
    )
