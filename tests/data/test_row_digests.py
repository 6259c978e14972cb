"""Digests of rows: equal for equal rows only, wherever they are stored."""

import shutil

import numpy as np
import pytest
from PIL import Image

from pipeline.data import splits
from pipeline.data.containers import Sequences, Table
from pipeline.data.row_digests import digest_columns, digest_table, is_among
from pipeline.data.sources.image_folder import ImageFolder

RANDOM = np.random.default_rng(0)
WORDS = np.array([["a", "bc"], ["ab", "c"], ["a", "bc"]], object)
STEPS = np.array([[1, 2], [0, 0], [1, 2], [1, 2], [0, 0], [3, 4]], np.float32)


@pytest.mark.parametrize(
    "column",
    [
        RANDOM.normal(size=(200, 5)).astype(np.float32),
        RANDOM.integers(0, 255, (200, 3, 3, 1)).astype(np.uint8),
        np.arange(200, dtype=np.int32)[:, None] - 100,
        np.arange(200, dtype=np.int64) << 40,
        np.array([[str(row)] for row in range(200)], object),
        Sequences.from_lengths(np.arange(200 * 3, dtype=np.int32), np.arange(200) % 5 + 1),
    ],
    ids=["float", "image", "integer", "wide integer", "text", "sequences"],
)
def test_digests_of_different_rows_differ_and_are_those_of_the_row_alone(column):
    if isinstance(column, Sequences):
        column = Sequences(column.values[: column.offsets[-1]], column.offsets)
    digests = digest_columns([column])
    assert digests.dtype == np.uint64 and len(set(digests.tolist())) == 200
    rows = np.array([7, 150, 0, 199])
    alone = column.select(rows) if isinstance(column, Sequences) else column[rows]
    np.testing.assert_array_equal(digest_columns([alone]), digests[rows])


def test_digest_of_text_depends_on_where_a_word_ends():
    first, second, third = digest_columns([WORDS])
    assert first == third != second


def test_digest_of_sequences_depends_on_their_lengths():
    rows = Sequences.from_lengths(STEPS, [2, 1, 2, 0, 1])
    padded, short, again, empty, _ = digest_columns([rows])
    assert padded == again and len({int(padded), int(short), int(empty)}) == 3


def test_digest_depends_on_the_column_of_a_value():
    one, other = RANDOM.normal(size=(2, 50, 1)).astype(np.float32)
    assert not set(digest_columns([one, other]).tolist()) & set(digest_columns([other, one]).tolist())


def test_digest_depends_on_labels_and_not_on_the_order_of_features():
    x, z, y = np.arange(6.0, dtype=np.float32).reshape(6, 1), np.ones((6, 2), np.float32), np.arange(6) % 2
    table = Table({"x": x, "z": z}, {"y": y}, str)
    turned = Table({"z": z, "x": x}, {"y": y}, str)
    other = Table({"x": x, "z": z}, {"y": 1 - y}, str)
    np.testing.assert_array_equal(digest_table(table), digest_table(turned))
    assert not set(digest_table(table).tolist()) & set(digest_table(other).tolist())


def test_an_image_is_found_again_after_it_was_moved(tmp_path):
    for name in "ab":
        (tmp_path / "one" / name).mkdir(parents=True)
        for row in range(3):
            pixels = RANDOM.integers(0, 255, (4, 4, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "one" / name / f"{row}.png")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    (tmp_path / "two" / "a" / "0.png").rename(tmp_path / "two" / "a" / "renamed.png")
    one, two = (splits.read(ImageFolder(path=str(tmp_path / name))).splits["train"] for name in ("one", "two"))
    assert sorted(digest_table(one)) == sorted(digest_table(two))


def test_large_data_is_hashed_block_by_block_as_at_once(monkeypatch):
    sequences = Sequences.from_lengths(STEPS, [2, 1, 2, 0, 1]).select(np.arange(100) % 5)
    columns = [RANDOM.normal(size=(100, 7)).astype(np.float32), sequences]
    at_once = digest_columns(columns)
    monkeypatch.setattr("pipeline.data.row_digests.BLOCK", 30)
    np.testing.assert_array_equal(digest_columns(columns), at_once)


def test_digests_are_the_same_in_every_version():
    """Runs store digests: other keys would make their rows unknown."""
    assert digest_columns([np.arange(6, dtype=np.float32).reshape(2, 3)]).tolist() == [
        2793258127697346643,
        6697355087931618977,
    ]


def test_each_known_row_is_found_once():
    rows = np.array([5, 7, 5, 9, 5, 8], np.uint64)
    known = np.array([5, 5, 8, 10], np.uint64)
    assert is_among(rows, known).tolist() == [True, False, True, False, False, True]
    assert not is_among(rows, np.array([], np.uint64)).any()
