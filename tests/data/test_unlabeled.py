"""Rows without labels: the same features as in training, in every format, in tables of any size."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline.data import splits, unlabeled
from pipeline.data.containers import Sequences
from pipeline.data.fingerprint import StreamFingerprint
from pipeline.data.shards import write_shards
from pipeline.data.source import DataSource, Table, class_label, describe
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.parquet import Parquet
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import DataError
from pipeline.spec import DataSpec, Feature

RANDOM = np.random.default_rng(0)
ROWS = 25


def tables(source, spec, rows=4):
    return list(unlabeled.read(source, spec, known={}, rows=rows))


def joined(found, name):
    """Return a feature of all tables as a list of rows, and check that no table has labels or too many rows."""
    assert all(table.labels == {} and 0 < len(table) <= 4 for table in found)
    rows = []
    for table in found:
        column = table.features[name]
        if isinstance(column, Sequences):
            rows += [column.select(slice(row, row + 1)).values.tolist() for row in range(len(column))]
        else:
            rows += column.tolist()
    return rows


def ids(found):
    return [row for table in found for row in table.row_ids.tolist()]


def refused(source, spec, *messages):
    with pytest.raises(DataError) as raised:
        tables(source, spec)
    for message in messages:
        assert message in str(raised.value)


# ---- npz ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_without_labels_has_the_features_of_the_array(tmp_path, order, save):
    x = RANDOM.normal(size=(ROWS, 3))
    save(tmp_path / "new.npz", x=np.array(x, order=order))
    found = tables(Npz(path=str(tmp_path / "new.npz")), DataSpec({"x": Feature((3,), "float32")}, {}))
    assert joined(found, "x") == x.astype(np.float32).tolist()
    assert ids(found) == list(range(ROWS))


def test_rows_of_different_length_are_read_by_their_lengths(tmp_path):
    lengths = RANDOM.integers(1, 6, ROWS)
    values = RANDOM.normal(size=(lengths.sum(), 2)).astype(np.float32)
    np.savez(tmp_path / "new.npz", x=values, n=lengths)
    spec = DataSpec({"x": Feature((None, 2), "float32")}, {}, (1, 5))
    found = tables(Npz(path=str(tmp_path / "new.npz"), lengths="n"), spec)
    assert joined(found, "x") == [rows.tolist() for rows in np.split(values, np.cumsum(lengths)[:-1])]


def test_splits_of_an_npz_are_read_one_after_the_other(tmp_path):
    np.savez(tmp_path / "new.npz", train_x=np.zeros((3, 1)), test_x=np.ones((2, 1)), train_y=[0, 1, 0], test_y=[0, 1])
    found = tables(Npz(path=str(tmp_path / "new.npz")), DataSpec({"x": Feature((1,), "float32")}, {}))
    assert joined(found, "x") == [[0], [0], [0], [1], [1]]
    assert ids(found) == ["train 0", "train 1", "train 2", "test 0", "test 1"]


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"z": np.zeros((2, 3))}, "expected an array 'x'; found none"),
        ({"x": np.zeros((2, 4))}, "expected the features"),
        ({"x": np.array([[1, 2, 3], [4, np.nan, 6]])}, "new.npz, row 1: expected finite numbers"),
        ({"x": np.zeros((2, 3), np.int64)}, "expected the features"),
    ],
)
def test_npz_that_does_not_fit_the_training_is_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "new.npz", **arrays)
    refused(Npz(path=str(tmp_path / "new.npz")), DataSpec({"x": Feature((3,), "float32")}, {}), message)


def test_arrays_of_different_numbers_of_rows_are_refused(tmp_path):
    np.savez(tmp_path / "new.npz", a=np.zeros((3, 1)), b=np.zeros((4, 1)))
    spec = DataSpec({"a": Feature((1,), "float32"), "b": Feature((1,), "float32")}, {})
    refused(Npz(path=str(tmp_path / "new.npz"), features=["a", "b"]), spec, "'b': expected 3 rows", "found 4")


# ---- images ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """A flat folder of nine images, and their pixels."""
    folder, pixels = tmp_path / "photos", RANDOM.integers(0, 256, (9, 6, 8, 3), np.uint8)
    folder.mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{number}.png")
    (folder / ".hidden").touch()
    return folder, pixels


SPEC = DataSpec({"image": Feature((6, 8, 3), "uint8")}, {})


def test_flat_folder_of_images_is_read_in_the_order_of_the_names(photos):
    folder, pixels = photos
    found = tables(ImageFolder(path=str(folder)), SPEC)
    assert joined(found, "image") == pixels.tolist()
    assert ids(found) == [f"{number}.png" for number in range(9)]


def test_subfolders_are_read_too(photos):
    folder, _ = photos
    (folder / "more").mkdir()
    (folder / "0.png").rename(folder / "more" / "0.png")
    assert ids(tables(ImageFolder(path=str(folder)), SPEC))[-1] == "more/0.png"


def test_image_of_another_size_is_refused_unless_images_are_resized(photos):
    folder, _ = photos
    Image.fromarray(np.zeros((5, 5, 3), np.uint8)).save(folder / "7.png")
    refused(ImageFolder(path=str(folder)), SPEC, "7.png: expected 6 x 8 pixels, as in training; found 5 x 5")
    assert len(ids(tables(ImageFolder(path=str(folder), height=6, width=8), SPEC))) == 9


def test_size_that_was_not_trained_is_answered_with_the_options_to_set(photos):
    refused(ImageFolder(path=str(photos[0]), height=4, width=4), SPEC, "Set data.height=6 data.width=8")


def test_damaged_image_is_named(photos):
    folder, _ = photos
    (folder / "5.png").write_bytes((folder / "5.png").read_bytes()[:100])
    refused(ImageFolder(path=str(folder)), SPEC, "5.png: expected a whole image")


def test_other_file_and_empty_folder_are_refused(photos, tmp_path):
    (tmp_path / "none").mkdir()
    refused(ImageFolder(path=str(tmp_path / "none")), SPEC, "expected images; found none")
    (photos[0] / "notes.txt").touch()
    refused(ImageFolder(path=str(photos[0])), SPEC, "expected only images", "notes.txt")


# ---- shards, Parquet, and sources of one's own ----------------------------------------------------------------------


def test_shards_give_the_rows_of_all_splits_with_their_records(tmp_path):
    spec = DataSpec({"x": Feature((2,), "float32")}, {"y": class_label("ab")})
    x = RANDOM.standard_normal((ROWS, 2), np.float32)
    split = Table({"x": x}, {"y": np.arange(ROWS) % 2}, str)
    parts = {"train": split.select(np.arange(20)), "test": split.select(np.arange(20, ROWS))}
    write_shards(spec, parts, tmp_path / "shards", rows_per_shard=7)
    found = tables(TFRecord(path=str(tmp_path / "shards")), spec)
    assert joined(found, "x") == x.tolist()
    assert ids(found)[:2] == ["train-00000-of-00003.tfrecord:0", "train-00000-of-00003.tfrecord:1"]
    assert ids(found)[-1] == "test-00000-of-00001.tfrecord:4"


def test_shards_that_were_changed_are_refused(tmp_path):
    spec = DataSpec({"x": Feature((1,), "float32")}, {"y": class_label("ab")})
    write_shards(
        spec, {"train": Table({"x": np.zeros((2, 1))}, {"y": np.arange(2)}, str)}, tmp_path / "s", rows_per_shard=2
    )
    file = next((tmp_path / "s").glob("*.tfrecord"))
    content = bytearray(file.read_bytes())
    content[-6] ^= 1
    file.write_bytes(content)
    refused(TFRecord(path=str(tmp_path / "s")), spec, "expected the content whose sha256")


def test_parquet_without_labels_has_the_rows_of_a_csv_file(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    age, town = RANDOM.normal(size=ROWS), ["Ulm", "Rome"] * 12 + ["Oslo"]
    parquet.write_table(pyarrow.table({"town": town, "age": age}), tmp_path / "new.parquet", row_group_size=10)
    (tmp_path / "new.csv").write_text("town,age\n" + "".join(f"{name},{x!r}\n" for name, x in zip(town, age.tolist())))
    spec = DataSpec({"numeric": Feature((1,), "float32", columns=("age",)), "town": Feature((1,), "string")}, {})
    found, expected = (
        tables(kind(path=str(tmp_path / name), numeric=["age"], categorical=["town"]), spec)
        for kind, name in ((Parquet, "new.parquet"), (Csv, "new.csv"))
    )
    for name in spec.features:
        assert joined(found, name) == joined(expected, name)
    assert ids(found) == list(range(ROWS))


class Readings(DataSource):
    """A source as in the README: it only reads everything."""

    def read(self):
        splits_of_it = {
            name: Table({"x": np.full((rows, 1), value, np.float64)}, {"y": np.arange(rows) % 2}, str)
            for name, rows, value in (("test", 5, 2.0), ("train", 6, 1.0))
        }
        return describe(splits_of_it, labels={"y": class_label("ab")}, location="readings")


def test_source_that_only_reads_everything_is_predicted_split_by_split():
    found = tables(Readings(), splits.read(Readings()).spec)
    assert joined(found, "x") == [[1]] * 6 + [[2]] * 5


def test_table_is_refused_by_a_model_of_images(tmp_path):
    (tmp_path / "new.csv").write_text("a\n1\n")
    refused(Csv(path=str(tmp_path / "new.csv"), numeric=["a"]), SPEC, "data like the training data", "found a table")


# ---- fingerprint and size -------------------------------------------------------------------------------------------


def test_fingerprint_of_a_stream_does_not_depend_on_its_tables():
    lengths = RANDOM.integers(1, 5, ROWS)
    table = Table(
        {
            "x": RANDOM.normal(size=(ROWS, 3)),
            "text": np.array([f"é{row}" for row in range(ROWS)], object)[:, np.newaxis],
            "steps": Sequences.from_lengths(RANDOM.normal(size=lengths.sum()), lengths),
        },
        {},
        str,
    )
    digests = set()
    for rows in (ROWS, 7, 1):
        stream = StreamFingerprint()
        for start in range(0, ROWS, rows):
            stream.add(table.select(np.arange(start, min(start + rows, ROWS))))
        digests.add(stream.hexdigest())
    assert len(digests) == 1
    stream = StreamFingerprint()
    stream.add(replace(table, features=table.features | {"x": table.features["x"] + 1e-9}))
    assert stream.hexdigest() not in digests


@pytest.mark.parametrize("shape, dtype", [((20,), "float32"), ((5_000,), "float32"), ((224, 224, 3), "uint8")])
def test_tables_hold_whole_batches_in_bounded_memory(shape, dtype):
    rows = unlabeled.rows_per_table(DataSpec({"x": Feature(shape, dtype)}, {}), 64)
    size = np.prod(shape) * (1 if dtype == "uint8" else 8)
    assert rows % 64 == 0 and rows <= unlabeled.MOST_ROWS and (rows == 64 or rows * size <= unlabeled.MOST_BYTES)
