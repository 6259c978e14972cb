"""The fingerprint of a data set depends on its examples and on nothing else."""

import gzip
import shutil
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.data import splits
from pipeline.data.containers import Dataset, Sequences, Table
from pipeline.data.description import describe_feature
from pipeline.data.fingerprint import fingerprint
from pipeline.data.shards import write_shards
from pipeline.data.sources.idx import Idx
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.spec import DataSpec, class_label


def source(x, y=None, names=("x", "y"), location="here"):
    feature, label = names
    y = np.arange(4) % 2 if y is None else y
    spec = DataSpec({feature: describe_feature(x)}, {label: class_label("ab")})
    return Dataset(spec, {"train": Table({feature: x}, {label: y}, str)}, location)


X = np.arange(12, dtype=np.float32).reshape(4, 3)


def test_the_fingerprint_of_data_without_named_columns_stays_what_it_was():
    assert fingerprint(source(X)) == "79852131c8c4807113263c98f4f816f34f671852d0eebeb6431bf22a2f57d761"


def test_the_names_of_columns_are_part_of_the_fingerprint():
    found = set()
    for columns in ((), ("a", "b", "c"), ("a", "c", "b")):
        dataset = source(X)
        features = {"x": replace(dataset.spec.features["x"], columns=columns)}
        found.add(fingerprint(replace(dataset, spec=replace(dataset.spec, features=features))))
    assert len(found) == 3


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    "other",
    [
        source(changed(X, (2, 1), 7.5)),
        source(X.astype(np.int32)),
        source(X.reshape(4, 1, 3)),
        source(X, np.array([0, 1, 1, 0])),
        source(X, names=("z", "y")),
        source(Sequences.from_lengths(X, [1, 1, 1, 1])),
    ],
    ids=["value", "dtype", "shape", "label", "name", "sequences"],
)
def test_fingerprint_changes_with_any_example(other):
    assert fingerprint(source(X)) != fingerprint(other)


def test_fingerprint_depends_on_the_lengths_of_sequences():
    assert fingerprint(source(Sequences.from_lengths(X, [1, 1, 1, 1]))) != fingerprint(
        source(Sequences.from_lengths(X, [2, 1, 1, 0]))
    )


def test_fingerprint_depends_on_where_texts_end():
    texts = [np.array([[a], [b], ["x"], ["y"]], object) for a, b in (("ab", "c"), ("a", "bc"))]
    assert fingerprint(source(texts[0])) != fingerprint(source(texts[1]))


def test_fingerprint_does_not_depend_on_the_location():
    assert fingerprint(source(X)) == fingerprint(source(X, location="there"))


def test_fingerprint_does_not_depend_on_path_and_compression_of_idx_files(tmp_path):
    images = bytes([0, 0, 8, 3, 0, 0, 0, 4, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(16))
    labels = bytes([0, 0, 8, 1, 0, 0, 0, 4, 0, 1, 0, 1])
    prints = set()
    for name, pack in (("plain", bytes), ("packed", gzip.compress)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "images").write_bytes(pack(images))
        (tmp_path / name / "labels").write_bytes(pack(labels))
        prints.add(
            fingerprint(
                splits.read(
                    Idx(
                        path=str(tmp_path / name),
                        train_images="images",
                        train_labels="labels",
                        test_images="",
                        test_labels="",
                        classes=2,
                    )
                )
            )
        )
    assert len(prints) == 1


def test_fingerprint_depends_on_the_bytes_of_image_files(tmp_path):
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / "one" / name).mkdir(parents=True)
        Image.fromarray(np.full((2, 2, 3), value, np.uint8)).save(tmp_path / "one" / name / "0.png")
    shutil.copytree(tmp_path / "one", tmp_path / "two")

    def read(folder):
        return fingerprint(splits.read(ImageFolder(path=str(tmp_path / folder))))

    assert read("one") == read("two")
    Image.fromarray(np.full((2, 2, 3), 3, np.uint8)).save(tmp_path / "two" / "b" / "0.png")
    assert read("one") != read("two")


def test_fingerprint_depends_on_the_content_of_shards_but_not_their_path(tmp_path):
    def written(name, x):
        given = source(x)
        write_shards(given.spec, given.splits, tmp_path / name, rows_per_shard=3)
        return fingerprint(splits.read(TFRecord(path=str(tmp_path / name))))

    first = written("one", X)
    assert first == written("two", X)
    assert first != written("three", X + 1)
