"""Few-shot tasks: digits of one split only, alternating classes, and a pure function of the seed."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.digit_tasks import DigitTasks, draw_tasks, move_tasks
from pipeline.data.sources.digits import read_digits
from pipeline.errors import ConfigError

FEW = DigitTasks(tasks=40, held_out=30, ways=3, images=4)


def images_of(*digits):
    images, digit = read_digits()
    return {image.tobytes() for image in images[np.isin(digit, digits)]}


def test_no_image_of_a_split_is_in_a_task_of_another_and_no_digit_of_the_test_is_trained_on():
    data = splits.load(DigitTasks(tasks=400, held_out=200, move=False))
    shown = {
        split: {image.tobytes() for task in table.features["images"] for image in task}
        for split, table in data.splits.items()
    }
    assert not shown["train"] & shown["validation"]
    trained = images_of(0, 1, 3, 4, 6, 8, 9)
    assert shown["train"] <= trained and shown["validation"] <= trained and len(shown["train"]) > 800
    assert shown["test"] <= images_of(2, 5, 7) and len(shown["test"]) > 400


def test_the_classes_of_a_task_alternate_and_no_image_occurs_twice():
    table = splits.load(FEW).train
    assert table.features["images"].shape == (40, 12, 8, 8, 1)
    for images, numbers in zip(table.features["images"], table.labels["number"], strict=True):
        np.testing.assert_array_equal(numbers, [0, 1, 2] * 4)
        assert len({image.tobytes() for image in images}) == 12


def test_images_of_one_number_are_of_one_class():
    """Each class holds one grey value, so that an image tells its class."""
    classes = [np.full((9, 2, 2, 1), grey, np.uint8) for grey in range(6)]
    x, y = draw_tasks(classes, tasks=50, ways=4, images=5, seed=0)
    greys = x[..., 0, 0, 0]
    for task, numbers in zip(greys, y, strict=True):
        assert len({(grey, number) for grey, number in zip(task, numbers)}) == 4 == len(set(task))
    assert len(set(greys[:, 0])) == 6  # a class has another number in another task


def test_the_tasks_are_a_pure_function_of_the_seed():
    first, again, other = (splits.read(DigitTasks(tasks=20, seed=seed)).splits["test"] for seed in (1, 1, 2))
    assert np.array_equal(first.features["images"], again.features["images"])
    assert not np.array_equal(first.features["images"], other.features["images"])


def test_a_task_is_rotated_and_mirrored_as_a_whole_in_eight_ways():
    x = np.broadcast_to(np.arange(4, dtype=np.uint8).reshape(1, 1, 2, 2, 1), (200, 3, 2, 2, 1))
    moved = move_tasks(x, 0)
    variants = {task[0].tobytes() for task in moved}
    assert len(variants) == 8 and moved.dtype == np.uint8
    assert all((task == task[0]).all() for task in moved)
    assert all(sorted(image) == [0, 1, 2, 3] for image in variants)


@pytest.mark.parametrize(
    "wrong, message",
    [
        ({"ways": 4}, "data.test_digits: .*data.ways=4"),
        ({"test_digits": [2, 2, 5]}, "data.test_digits: .*each digit once"),
        ({"test_digits": [0, 1, 2, 3, 4, 5, 6, 7]}, "data.test_digits: .*left to train on"),
        ({"test_digits": [2, 5, 10]}, "data.test_digits"),
        ({"validation_images": 5}, "data.images"),
        ({"images": 1}, "data.images"),
    ],
    ids=str,
)
def test_tasks_that_cannot_be_drawn_are_refused_with_the_key(wrong, message):
    with pytest.raises(ConfigError, match=message):
        DigitTasks(**wrong)
