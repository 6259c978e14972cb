"""The worst mistakes of an evaluation: which rows they are, and what the page shows of them."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pipeline.data.containers import Images, Shards, Table
from pipeline.reports import worst_mistakes
from pipeline.spec import MULTI_LABEL, DataSpec, Feature, class_label, real_label, row_label

OUTPUTS = np.array([[0.9, 0.1], [0.2, 0.8], [0.4, 0.6], [0.05, 0.95]])
TARGETS = np.array([1, 1, 0, 0])  # right in row 1 only


def find(label, targets, outputs, features=None, feature=None, ids=("a", "b", "c", "d")):
    spec = DataSpec({"x": feature or Feature((1,), "float32")}, {"y": label})
    x = np.zeros((len(targets), 1)) if features is None else features
    rows = Table({"x": x}, {"y": np.asarray(targets)}, str, ids=np.array(ids, object))
    found = worst_mistakes.find_mistakes("y", spec, rows, targets=np.asarray(targets), outputs=np.asarray(outputs))
    return found, str(worst_mistakes.render(SimpleNamespace(label=label, mistakes=found)))


def test_wrong_rows_come_by_falling_confidence():
    found, _ = find(class_label(["no", "yes"]), TARGETS, OUTPUTS)
    assert [(each.id, each.target, each.prediction, each.size) for each in found] == [
        ("d", "no", "yes", 0.95),
        ("a", "yes", "no", 0.9),
        ("c", "no", "yes", 0.6),
    ]


def test_numbers_come_by_falling_absolute_error():
    found, _ = find(real_label(), np.array([1.0, 2.0, 3.0, 4.0]), np.array([[1.5], [2.0], [1.0], [3.0]]))
    assert [(each.id, each.target, each.prediction, each.size) for each in found] == [
        ("c", "3.0", "1.0", 2.0),
        ("d", "4.0", "3.0", 1.0),
        ("a", "1.0", "1.5", 0.5),
    ]


def test_several_classes_at_once_come_by_the_worst_of_them():
    label = row_label(MULTI_LABEL, "ab")
    found, _ = find(label, [[1, 0], [0, 1], [1, 1], [0, 0]], [[0.9, 0.1], [0.7, 0.9], [0.1, 0.9], [0.4, 0.4]])
    assert [(each.id, each.target, each.prediction) for each in found] == [("c", "a|b", "b"), ("b", "b", "a|b")]


def test_only_the_worst_rows_are_kept():
    rows = worst_mistakes.MOST + 5
    found, _ = find(class_label("ab"), np.zeros(rows, int), np.tile([0.2, 0.8], (rows, 1)), ids=range(rows))
    assert [each.id for each in found] == [str(row) for row in range(worst_mistakes.MOST)]


def test_columns_of_a_table_are_shown_with_their_values_and_escaped():
    feature = Feature((2,), "float32", columns=("age", "<b>height</b>"))
    found, page = find(class_label(["no", "yes"]), TARGETS, OUTPUTS, np.arange(8.0).reshape(4, 2), feature)
    assert dict(found[0].values) == {"age": "6", "<b>height</b>": "7"}
    assert "&lt;b&gt;height" in page and "<b>height" not in page


def test_wide_table_shows_its_first_columns():
    found, _ = find(class_label("ab"), TARGETS, OUTPUTS, np.zeros((4, 99)), Feature((99,), "float32"))
    assert len(found[0].values) == worst_mistakes.MOST_COLUMNS


@pytest.mark.parametrize("stored", [True, False], ids=["files", "arrays"])
def test_images_are_shown_as_small_pictures(tmp_path, stored):
    pixels = np.zeros((4, 30, 60, 3), np.uint8)
    pixels[3, :, 30:] = 255
    images = pixels
    if stored:
        paths = [str(tmp_path / f"{row}.png") for row in range(4)]
        for path, image in zip(paths, pixels):
            Image.fromarray(image).save(path)
        images = Images(np.array(paths, object), (30, 60, 3), resize=False)
    found, page = find(class_label("ab"), TARGETS, OUTPUTS, images, Feature((30, 60, 3), "uint8"))
    assert page.count("<img") == 3
    content = base64.b64decode(found[0].image.partition(",")[2])  # of row d
    shown = np.asarray(Image.open(io.BytesIO(content)))
    assert shown.shape == (worst_mistakes.THUMBNAIL // 2, worst_mistakes.THUMBNAIL, 3)
    assert (shown[:, :30].max(), shown[:, 42:].min()) == (0, 255)


def test_no_mistake_gives_no_section():
    found, page = find(class_label("ab"), [0, 1], [[0.9, 0.1], [0.1, 0.9]], ids=("a", "b"))
    assert (found, page) == ((), "")


def test_rows_of_shards_are_named_without_their_values():
    label = class_label("ab")
    shards = Shards(
        files=("/data/train-0.tfrecord",), counts=(4,), digests=("",), labels={}, lengths=None, shuffle_buffer=1
    )
    spec = DataSpec({"x": Feature((1,), "float32")}, {"y": label})
    found = worst_mistakes.find_mistakes("y", spec, shards, targets=TARGETS, outputs=OUTPUTS)
    assert (found[0].id, dict(found[0].values)) == ("train-0.tfrecord:3", {})
