"""TFRecord shards: written, read back, and refused if they are damaged."""

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipeline.data import splits
from pipeline.data.containers import Sequences, Table
from pipeline.data.records import record_parser
from pipeline.data.shards import write_shards
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import DataError
from pipeline.spec import STEP_PADDING, DataSpec, Feature, class_label, real_label, row_label

ROWS = 10
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def mixed():
    """A spec and a table with every kind of fixed-shape feature and label."""
    spec = DataSpec(
        {
            "bytes": Feature((2, 3), "uint8"),
            "whole": Feature((2,), "int32"),
            "real": Feature((), "float32"),
            "texts": Feature((2,), "string"),
        },
        {"class": class_label("abc"), "number": real_label(), "several": row_label("multi_label", "xy")},
    )
    table = Table(
        {
            "bytes": RANDOM.integers(0, 256, (ROWS, 2, 3), np.uint8),
            "whole": RANDOM.integers(-(2**31), 2**31, (ROWS, 2), np.int32),
            "real": RANDOM.standard_normal(ROWS, np.float32),
            "texts": np.array([[f"é{row}", ""] for row in range(ROWS)], object),
        },
        {
            "class": np.arange(ROWS) % 3,
            "number": RANDOM.standard_normal(ROWS, np.float32),
            "several": RANDOM.integers(0, 2, (ROWS, 2)).astype(np.float32),
        },
        str,
    )
    return spec, table


def table_of(x, y=None):
    y = np.arange(len(x)) % 2 if y is None else y
    return Table({"x": x}, {"y": y}, str)


@pytest.fixture
def vectors(tmp_path):
    """A folder of four shards of 3, 3, 3 and 1 rows of (4,) float32."""
    x = RANDOM.standard_normal((ROWS, 4), np.float32)
    spec = DataSpec({"x": Feature((4,), "float32")}, {"y": class_label("ab")})
    write_shards(spec, {"train": table_of(x)}, tmp_path / "shards", rows_per_shard=3)
    return tmp_path / "shards"


def read(folder):
    return splits.read(TFRecord(path=str(folder)))


def refused(folder, *messages):
    with pytest.raises(DataError) as raised:
        read(folder)
    for message in messages:
        assert message in str(raised.value)


def records(source, split):
    parse = record_parser(source.spec)
    return list(tf.data.TFRecordDataset(list(source.splits[split].files)).map(parse).as_numpy_iterator())


def test_every_dtype_and_label_kind_is_read_as_it_was_written(tmp_path, mixed):
    spec, table = mixed
    write_shards(spec, {"train": table}, tmp_path / "shards", rows_per_shard=4)
    source = read(tmp_path / "shards")
    assert source.spec == spec
    for row, (features, labels) in enumerate(records(source, "train")):
        for name, column in table.features.items():
            expected = np.vectorize(str.encode, otypes=[object])(column[row]) if name == "texts" else column[row]
            np.testing.assert_array_equal(features[name], expected)
        for name, column in table.labels.items():
            np.testing.assert_array_equal(labels[name], column[row])
    for name, column in table.labels.items():
        np.testing.assert_array_equal(source.splits["train"].labels[name], column)


def test_parsed_records_have_static_shapes(mixed):
    spec, _ = mixed
    features, labels = tf.data.Dataset.from_tensors("").map(record_parser(spec)).element_spec
    assert {name: tuple(item.shape) for name, item in features.items()} == {
        name: feature.shape for name, feature in spec.features.items()
    }
    assert tuple(labels["several"].shape) == (2,)


@pytest.fixture(scope="module")
def vowels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vowels") / "shards"
    source = splits.read(JapaneseVowels())
    write_shards(source.spec, source.splits, folder, rows_per_shard=100)
    return source, folder


def test_rows_of_different_length_are_read_with_their_lengths(vowels):
    original, folder = vowels
    source = read(folder)
    for split, table in original.splits.items():
        np.testing.assert_array_equal(source.splits[split].lengths, table.lengths)
        rows = [features["utterance"] for features, _ in records(source, split)]
        np.testing.assert_array_equal(np.concatenate(rows), table.features["utterance"].values)


def test_shards_are_named_by_split_number_and_count_and_hold_the_configured_rows(vowels):
    _, folder = vowels
    assert sorted(path.name for path in folder.glob("train*")) == [
        f"train-0000{number}-of-00003.tfrecord" for number in range(3)
    ]
    assert read(folder).splits["train"].counts == (100, 100, 70)


def test_a_row_is_located_by_its_file_and_record(vowels):
    _, folder = vowels
    shards = read(folder).splits["train"]
    assert shards.row_location(99) == f"{folder}/train-00000-of-00003.tfrecord, record 99"
    assert shards.row_location(100) == f"{folder}/train-00001-of-00003.tfrecord, record 0"


def test_a_row_is_identified_by_its_file_and_record(vowels):
    _, folder = vowels
    ids = read(folder).splits["train"].row_ids
    assert len(ids) == 270 and ids[101] == "train-00001-of-00003.tfrecord:1"


def test_a_folder_of_images_is_stored_decoded(tmp_path):
    pixels = RANDOM.integers(0, 256, (2, 5, 6, 3), np.uint8)
    for name, image in zip("ab", pixels):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.fromarray(image).save(tmp_path / "images" / name / "0.png")
    source = splits.read(ImageFolder(path=str(tmp_path / "images")))
    write_shards(source.spec, source.splits, tmp_path / "shards", rows_per_shard=2)
    back = [features["image"] for features, _ in records(read(tmp_path / "shards"), "train")]
    np.testing.assert_array_equal(np.stack(back), pixels)


def test_progress_is_reported_after_every_shard(tmp_path, mixed):
    spec, table = mixed
    calls = []
    write_shards(
        spec, {"train": table}, tmp_path / "shards", rows_per_shard=4, progress=lambda *call: calls.append(call)
    )
    assert calls == [("train", 4, 10), ("train", 8, 10), ("train", 10, 10)]


def test_an_existing_folder_is_never_overwritten(tmp_path, mixed):
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "mine.txt").write_text("mine")
    with pytest.raises(DataError, match="exists"):
        write_shards(*mixed_parts(mixed), tmp_path / "shards", rows_per_shard=4)
    assert [path.name for path in (tmp_path / "shards").iterdir()] == ["mine.txt"]


def mixed_parts(mixed):
    spec, table = mixed
    return spec, {"train": table}


def test_a_failure_while_writing_leaves_nothing_behind(tmp_path, mixed):
    def fail(split, rows, total):
        if rows == 8:
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError):
        write_shards(*mixed_parts(mixed), tmp_path / "shards", rows_per_shard=4, progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_writing_twice_gives_the_same_bytes(tmp_path, mixed):
    for name in ("one", "two"):
        write_shards(*mixed_parts(mixed), tmp_path / name, rows_per_shard=4)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_truncated_shard_is_refused_naming_the_file_and_both_sizes(vectors):
    path = vectors / "train-00001-of-00004.tfrecord"
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    refused(vectors, str(path), f"expected {len(whole)} bytes", f"found {len(whole) - 5}")


def test_a_changed_byte_is_refused_naming_the_file_and_the_record(vectors):
    path = vectors / "train-00001-of-00004.tfrecord"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1  # in the second of three records
    path.write_bytes(content)
    refused(vectors, str(path), "record 1 is damaged")


def test_a_shard_that_was_replaced_by_another_is_refused(vectors):
    first, second = vectors / "train-00000-of-00004.tfrecord", vectors / "train-00001-of-00004.tfrecord"
    second.write_bytes(first.read_bytes())
    refused(vectors, str(second), "sha256", "not the same")


def test_a_missing_shard_is_refused_naming_it(vectors):
    (vectors / "train-00002-of-00004.tfrecord").unlink()
    refused(vectors, "train-00002-of-00004.tfrecord", "found none")


def test_a_folder_without_its_manifest_is_refused(vectors):
    (vectors / "spec.json").unlink()
    refused(vectors, str(vectors / "spec.json"))


def changed(folder, change):
    path = folder / "spec.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "change",
    [
        lambda manifest: manifest.pop("spec"),
        lambda manifest: manifest.update(format=3),
        lambda manifest: manifest["splits"].pop("train"),
        lambda manifest: manifest["splits"].update(train=[]),
        lambda manifest: manifest["splits"]["train"][0].update(file="../elsewhere"),
        lambda manifest: manifest["splits"]["train"][0].update(rows=-1),
        lambda manifest: manifest["spec"]["features"]["x"].update(dtype="complex64"),
        lambda manifest: manifest["spec"]["labels"]["y"].update(dtype="object"),
        lambda manifest: manifest["spec"]["labels"]["y"].update(unknown=1),
        lambda manifest: manifest["spec"].update(features=[1]),
    ],
)
def test_a_manifest_of_another_form_is_refused_naming_it(vectors, change):
    changed(vectors, change)
    refused(vectors, str(vectors / "spec.json"))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff"])
def test_a_manifest_that_is_not_a_json_object_is_refused(vectors, content):
    (vectors / "spec.json").write_bytes(content)
    refused(vectors, str(vectors / "spec.json"))


def test_records_that_the_manifest_does_not_describe_are_refused_naming_the_first(vectors):
    changed(vectors, lambda manifest: manifest["spec"]["features"]["x"].update(shape=[5]))
    refused(vectors, "train-00000-of-00004.tfrecord, record 0", "spec.json")


def test_another_number_of_rows_than_in_the_manifest_is_refused(vectors):
    changed(vectors, lambda manifest: manifest["splits"]["train"][3].update(rows=2))
    refused(vectors, "expected 11 rows", "found 10")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused_naming_file_and_record(tmp_path, value):
    x = np.ones((ROWS, 4), np.float32)
    x[7, 2] = value
    spec = DataSpec({"x": Feature((4,), "float32")}, {"y": class_label("ab")})
    write_shards(spec, {"train": table_of(x)}, tmp_path / "shards", rows_per_shard=4)
    refused(tmp_path / "shards", "train-00001-of-00003.tfrecord, record 3", "'x'", "NaN")


def test_a_step_that_looks_like_padding_is_refused_naming_file_and_record(tmp_path):
    values = np.ones((6, 2), np.float32)
    values[4] = STEP_PADDING
    spec = DataSpec({"x": Feature((None, 2), "float32")}, {"y": class_label("ab")}, (2, 4))
    write_shards(
        spec, {"train": table_of(Sequences(values, np.array([0, 2, 6])))}, tmp_path / "shards", rows_per_shard=4
    )
    refused(tmp_path / "shards", "train-00000-of-00001.tfrecord, record 1", "padding")
