"""Few-shot tasks for meta-learning: classify a few digits from a few images of each."""

from dataclasses import dataclass

from pipeline.data.source import Dataset, DataSource
from pipeline.errors import ConfigError
from pipeline.options import option


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
    seed: int = option(0, "decides every task", min=0)

    def check(self) -> None:
        super().check()
        if self.images > self.validation_images:
            raise ConfigError(
                f"data.images: expected at most data.validation_images={self.validation_images}; found {self.images}."
            )
        kept = len(set(self.test_digits))
        if kept < len(self.test_digits) or not self.ways <= min(kept, 10 - kept):
            raise ConfigError(
                f"data.test_digits: expected each digit once, at least data.ways={self.ways} of them, and as many left "
                f"to train on; found {self.test_digits}."
            )

    def read(self) -> Dataset:
        from pipeline.data import readers

        return readers.digit_tasks(self)
