"""npz files: naming of splits, dtypes and labels, and which damage is refused."""

import io
import os
import zipfile

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.npz import Npz
from pipeline.errors import DataError
from pipeline.spec import class_label

X = np.arange(24.0).reshape(6, 4)
Y = np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture
def saved(tmp_path):
    """Save arrays and return the config that reads them."""

    def save(options=None, **arrays):
        path = tmp_path / "data.npz"
        np.savez_compressed(path, **arrays)
        return Npz(path=str(path), **(options or {}))

    return save


def refused(data, *messages):
    with pytest.raises(DataError) as raised:
        splits.read(data)
    for message in messages:
        assert message in str(raised.value)


def test_plain_names_are_one_split(saved):
    source = splits.read(saved(x=X, y=Y))
    assert set(source.splits) == {"train"}
    np.testing.assert_array_equal(source.splits["train"].features["x"], X.astype(np.float32))
    assert source.spec.labels["y"].classes == ("0", "1", "2")


@pytest.mark.parametrize("form", ["{split}_{name}", "{name}_{split}"], ids=["ours", "Keras's"])
def test_arrays_named_after_splits_are_splits(saved, form):
    arrays = {
        form.format(split=split, name=name): array[:rows]
        for split, rows in (("train", 6), ("validation", 3), ("test", 4))
        for name, array in (("x", X), ("y", Y))
    }
    source = splits.read(saved(**arrays))
    assert {name: len(table) for name, table in source.splits.items()} == {"train": 6, "validation": 3, "test": 4}


@pytest.mark.parametrize(
    "given, kept",
    [("float64", "float32"), ("float16", "float32"), ("int64", "int32"), ("uint16", "int32"), ("uint8", "uint8")],
)
def test_numbers_are_kept_in_a_dtype_of_features(saved, given, kept):
    source = splits.read(saved(x=X.astype(given), y=Y))
    assert source.spec.features["x"].dtype == kept
    np.testing.assert_array_equal(source.splits["train"].features["x"], X)


def test_big_endian_numbers_keep_their_values(saved):
    column = splits.read(saved(x=X.astype(">f8"), y=Y)).splits["train"].features["x"]
    assert column.dtype == np.float32
    np.testing.assert_array_equal(column, X)


def test_arrays_in_column_order_keep_their_values(saved):
    column = splits.read(saved(x=np.asfortranarray(X), y=Y)).splits["train"].features["x"]
    np.testing.assert_array_equal(column, X)


def test_booleans_become_zeros_and_ones(saved):
    source = splits.read(saved(x=X > 10, y=Y))
    assert source.spec.features["x"].dtype == "uint8"
    np.testing.assert_array_equal(source.splits["train"].features["x"], X > 10)


def test_text_becomes_a_string_feature_of_one_value_per_row(saved):
    texts = np.array(["a", "bc", "d\u00e9f", "", "e", "f"])
    source = splits.read(saved(x=texts, y=Y))
    assert source.spec.features["x"].dtype == "string"
    assert source.spec.features["x"].shape == (1,)
    assert source.splits["train"].features["x"].ravel().tolist() == texts.tolist()


@pytest.mark.parametrize("offset", [2**31, 2**52, -(2**52)])
def test_integers_beyond_int32_are_kept_in_float64(saved, offset):
    source = splits.read(saved(x=X.astype(np.int64) + offset, y=Y))
    assert source.spec.features["x"].dtype == "float64"
    np.testing.assert_array_equal(source.splits["train"].features["x"] - offset, X)


@pytest.mark.parametrize(
    "values, words, fixed",
    [
        (X.astype(np.int64) + 2**60, "Subtract a reference value, such as 1152921504606846976", lambda x: x - 2**60),
        (X.astype(np.uint64) + 2**63, "Subtract a reference value, such as 9223372036854775808", lambda x: x - 2**63),
        (X.astype(np.int64) * 2**58, "Divide", lambda x: x // 2**20),
    ],
    ids=["large offset", "unsigned", "wide"],
)
def test_integers_beyond_float64_are_refused_with_a_fix_that_works(saved, values, words, fixed):
    refused(saved(x=values, y=Y), "'x'", "2^53", words)
    splits.read(saved(x=fixed(values), y=Y))


@pytest.mark.parametrize(
    "values, dtype, fixed",
    [
        (X.astype("datetime64[s]"), "datetime64", lambda x: (x - np.datetime64("1970-01-01")) / np.timedelta64(1, "s")),
        (X.astype("timedelta64[ms]"), "timedelta64", lambda x: x / np.timedelta64(1, "s")),
        (X * 1j, "complex128", lambda x: np.stack([x.real, x.imag], axis=-1)),
    ],
)
def test_dtypes_that_are_no_numbers_are_refused_with_a_fix_that_works(saved, values, dtype, fixed):
    refused(saved(x=values, y=Y), "'x'", dtype, "Save ")
    splits.read(saved(x=fixed(values), y=Y))


def test_longer_floats_become_float32_unless_they_lose_values(saved):
    source = splits.read(saved(x=X.astype(np.longdouble), y=Y))
    assert source.spec.features["x"].dtype == "float32"
    close = X.astype(np.longdouble) + np.longdouble(2) ** 58
    refused(saved(x=close, y=Y), "'x'", "24 distinct values", "Subtract a reference value")
    splits.read(saved(x=(close - close.min()).astype("float64"), y=Y))


def test_bytes_are_read_as_text(saved):
    source = splits.read(
        saved(x=np.array([b"a", "\u00e9".encode(), b"c", b"", b"e", b"f"]), y=np.array([b"n", b"y"] * 3))
    )
    assert source.splits["train"].features["x"].ravel().tolist() == ["a", "\u00e9", "c", "", "e", "f"]
    assert source.spec.labels["y"].classes == ("n", "y")
    refused(saved(x=np.array([b"\xff"] * 6), y=Y), "'x'", "UTF-8")


def test_complex_numbers_are_refused(saved):
    refused(saved(x=X * 1j, y=Y), "'x'", "complex128")


def test_concatenated_rows_become_sequences(saved):
    lengths = np.array([1, 2, 1, 1, 0, 1])
    source = splits.read(saved({"lengths": "n"}, x=X, y=Y, n=lengths))
    column = source.splits["train"].features["x"]
    assert source.spec.features["x"].shape == (None, 4)
    assert source.spec.lengths == (0, 2)
    np.testing.assert_array_equal(column.select([1]).values, X[1:3])


@pytest.mark.parametrize(
    "lengths, messages",
    [
        ([1, 2, 1, 1, 0, 2], ["7 steps", "found 6"]),
        ([1, 2, 1, 1, -1, 2], ["lengths"]),
        ([1.0, 2, 1, 1, 0, 1], ["lengths", "float64"]),
        ([2, 2, 2], ["expected 6 rows", "found 3"]),
        ([2**63 - 1, 2**63 - 1, 8, 0, 0, 0], ["steps"]),
    ],
    ids=["sum", "negative", "not whole", "rows", "overflow"],
)
def test_lengths_that_do_not_match_the_values_are_refused(saved, lengths, messages):
    refused(saved({"lengths": "n"}, x=X, y=Y, n=np.array(lengths)), "'x'", *messages)


def test_classes_can_have_an_axis_of_size_one(saved):
    assert splits.read(saved(x=X, y=Y[:, np.newaxis])).splits["train"].labels["y"].shape == (6,)


def test_rows_that_are_tasks_have_a_class_for_each_point(saved):
    data = saved(
        {"split": SplitOptions(stratify=True)}, x=np.arange(160.0).reshape(40, 4), y=np.arange(160).reshape(40, 4) % 3
    )
    loaded = splits.load(data)
    assert loaded.spec.labels["y"] == class_label(range(3), (4,))
    assert loaded.train.labels["y"].shape == (28, 4) and loaded.rows == {"train": 28, "validation": 4, "test": 8}


def test_tasks_of_other_lengths_in_another_split_are_refused(saved):
    points = np.arange(24).reshape(6, 4) % 3
    refused(saved(train_x=X, train_y=points, test_x=X, test_y=points[:, :3]), "'y'", "points", "(3,)", "(4,)")


def test_class_names_are_indexed_in_order(saved):
    source = splits.read(saved(x=X, y=np.array(["b", "a", "c", "b", "a", "c"])))
    assert source.spec.labels["y"].classes == ("a", "b", "c")
    assert source.splits["train"].labels["y"].tolist() == [1, 0, 2, 1, 0, 2]


def test_a_class_name_that_training_lacks_is_refused_naming_the_row(saved):
    data = saved(train_x=X, train_y=np.array(list("abcabc")), test_x=X[:2], test_y=np.array(["a", "d"]))
    refused(data, "test", "row 1", "'d'")


@pytest.mark.parametrize("kind", ["one_hot", "multi_label"])
def test_one_number_per_class_is_kept_as_float32(saved, kind):
    source = splits.read(saved({"label_kind": kind}, x=X, y=np.eye(3)[Y]))
    label = source.spec.labels["y"]
    assert (label.kind, label.shape, label.classes) == (kind, (3,), ("0", "1", "2"))
    np.testing.assert_array_equal(source.splits["train"].labels["y"], np.eye(3)[Y])


@pytest.mark.parametrize("shape, kept", [((6,), ()), ((6, 1), ()), ((6, 4), (4,))])
def test_real_labels_have_one_number_or_several(saved, shape, kept):
    source = splits.read(saved({"label_kind": "real"}, x=X, y=X[:, : shape[1] if len(shape) > 1 else 1].reshape(shape)))
    assert source.spec.labels["y"].shape == kept
    assert source.splits["train"].labels["y"].shape == (6, *kept)


@pytest.mark.parametrize(
    "kind, labels",
    [("class", X), ("class", Y + 0.5), ("one_hot", Y), ("multi_label", Y), ("real", np.array(list("abcdef")))],
)
def test_labels_that_do_not_match_their_kind_are_refused(saved, kind, labels):
    refused(saved({"label_kind": kind}, x=X, y=labels), "'y'")


def test_a_label_row_of_another_width_than_the_classes_is_refused(saved):
    refused(saved({"label_kind": "one_hot", "classes": 4}, x=X, y=np.eye(3)[Y]), "expected 4", "found 3")


def test_a_huge_class_number_is_a_class_rather_than_counted_up_to(saved):
    source = splits.read(saved(x=X, y=np.array([0, 1, 2, 0, 1, 10**15])))
    assert source.spec.labels["y"].classes == ("0", "1", "2", "1000000000000000")
    refused(saved({"classes": 10**15}, x=X, y=Y), "'y'", "data.classes=null")


@pytest.mark.parametrize(
    "labels, classes",
    [
        ([10, 20, 30, 10, 20, 30], ("10", "20", "30")),
        ([1, -1, 1, -1, 1, -1], ("-1", "1")),
        ([3, 1, 2, 3, 1, 2], ("1", "2", "3")),
        ([0, 1, 3, 0, 1, 3], ("0", "1", "3")),
        ([9, 10, 9, 10, 9, 10], ("9", "10")),
        ([1.0, 2.0, 1.0, 2.0, 1.0, 2.0], ("1", "2")),
        ([True, False, True, False, True, False], ("False", "True")),
    ],
)
def test_class_numbers_are_mapped_in_numeric_order(saved, labels, classes):
    source = splits.read(saved(x=X, y=np.array(labels)))
    label, indices = source.spec.labels["y"], source.splits["train"].labels["y"]
    assert label.classes == classes and indices.dtype == np.int64
    assert [float(classes[index]) if classes[0] != "False" else bool(index) for index in indices] == labels


def test_a_mapping_of_class_numbers_is_logged_with_how_to_count_the_gaps(saved, caplog):
    with caplog.at_level("INFO"):
        splits.read(saved(x=X, y=np.array([0, 1, 3, 0, 1, 3])))
    assert "label 'y': 0, 1, 3 are classes 0 to 2, in numeric order; data.classes=4 takes all" in caplog.text
    source = splits.read(saved({"classes": 4}, x=X, y=np.array([0, 1, 3, 0, 1, 3])))
    assert source.spec.labels["y"].classes == ("0", "1", "2", "3")
    assert source.splits["train"].labels["y"].tolist() == [0, 1, 3, 0, 1, 3]


def test_indices_without_gaps_are_not_mapped(saved, caplog):
    with caplog.at_level("INFO"):
        source = splits.read(saved(x=X, y=Y))
    assert source.splits["train"].labels["y"].tolist() == Y.tolist() and "numeric order" not in caplog.text


def test_any_numbers_of_the_given_count_are_classes_and_other_counts_are_refused(saved):
    labels = np.array([10, 20, 30, 10, 20, 30])
    assert splits.read(saved({"classes": 3}, x=X, y=labels)).spec.labels["y"].classes == ("10", "20", "30")
    refused(saved({"classes": 4}, x=X, y=labels), "'y'", "found 3: 10, 20, 30", "data.classes=null")


def test_numbers_with_decimals_are_refused_as_classes_with_a_fix_that_works(saved):
    refused(saved(x=X, y=Y + 0.25), "'y'", "0.25", "looks continuous. Set data.label_kind=real.")
    splits.read(saved({"label_kind": "real"}, x=X, y=Y + 0.25))


def test_a_class_that_is_no_number_is_refused_naming_the_row(saved):
    refused(saved(x=X, y=np.array([0, 1, np.nan, 0, 1, 0])), "row 2", "nan")


@pytest.mark.parametrize("given, other", [([10, 20, 30], 40), ([0, 1, 2], 3)])
def test_a_class_number_that_training_lacks_is_refused_naming_the_row(saved, given, other):
    test = np.array([given[0], other])
    refused(saved(train_x=X, train_y=np.array(given * 2), test_x=X[:2], test_y=test), "test", "row 1", str(other))


def many(labels):
    """Arrays of 400 rows."""
    return {"x": np.arange(400.0)[:, np.newaxis], "y": labels}


def test_whole_numbers_that_look_continuous_are_refused_with_fixes_that_work(saved):
    arrays = many(np.arange(400) // 4 * 7 + 5_000)
    with pytest.raises(
        DataError, match=r"100 different numbers .* look continuous. Set data.label_kind=real .* or data"
    ):
        splits.load(saved(**arrays))
    assert splits.load(saved({"classes": 100}, **arrays)).spec.labels["y"].width == 100
    assert splits.load(saved({"label_kind": "real"}, **arrays)).spec.labels["y"].kind == "real"


def test_whole_numbers_of_one_row_each_are_refused_before_they_are_divided(saved):
    with pytest.raises(DataError, match=r"15 different numbers .* look continuous"):
        splits.load(saved(x=np.arange(15.0)[:, np.newaxis], y=np.arange(15) * 37))


def test_few_rows_of_new_data_never_look_continuous(saved):
    labels = np.arange(400) % 25 * 7
    trained = splits.load(saved({"classes": 25}, **many(labels))).spec
    rows, _ = splits.load_split(saved(x=np.arange(25.0)[:, np.newaxis], y=labels[:25]), "all", trained)
    assert len(rows) == 25


@pytest.mark.parametrize("labels", [np.arange(400) % 100, np.arange(400) % 10 * 1_000], ids=["no gaps", "few"])
def test_class_numbers_do_not_look_continuous_without_gaps_or_with_many_rows_each(saved, labels):
    splits.load(saved(**many(labels)))


def test_classes_of_other_rows_are_matched_by_their_numbers(saved):
    trained = splits.read(saved(x=X, y=np.array([10, 20, 30, 10, 20, 30]))).spec
    rows, _ = splits.load_split(saved(x=X[:3], y=np.array([30, 10, 30])), "all", trained)
    assert rows.labels["y"].tolist() == [2, 0, 2]
    with pytest.raises(DataError, match="that were trained: 10, 20, 30; found also 40"):
        splits.load_split(saved(x=X[:3], y=np.array([30, 40, 30])), "all", trained)


def test_real_labels_that_float32_would_merge_are_refused_with_a_fix_that_works(saved):
    seconds = 1.7e9 + np.arange(400)
    refused(
        saved({"label_kind": "real"}, **many(seconds)), "'y'", "400 distinct values", "would become 4", "1700000200"
    )
    labels = splits.read(saved({"label_kind": "real"}, **many(seconds - 1700000200))).splits["train"].labels["y"]
    assert len(np.unique(labels)) == 400


def test_several_features_and_labels_are_read_together(saved):
    options = {"features": ["a", "b"], "labels": ["u", "v"]}
    source = splits.read(saved(options, a=X, b=X[:, 0], u=Y, v=Y))
    assert {name: feature.shape for name, feature in source.spec.features.items()} == {"a": (4,), "b": (1,)}
    assert set(source.spec.labels) == {"u", "v"}


def test_features_of_another_row_count_than_labels_are_refused(saved):
    refused(saved(x=X[:5], y=Y), "feature 'x'", "expected 6", "found 5")


def test_splits_of_different_shapes_are_refused(saved):
    refused(saved(train_x=X, train_y=Y, test_x=X[:, :3], test_y=Y), "test split", "'x'")


def test_a_missing_array_is_refused_with_the_nearest_names(saved):
    refused(saved({"features": ["imges"]}, images=X, y=Y), "'imges'", "Did you mean images")


def test_a_missing_array_of_a_split_is_refused(saved):
    refused(saved(train_x=X, train_y=Y, test_x=X), "'test_y'")


def test_an_array_without_rows_is_refused(saved):
    refused(saved(x=X[:0], y=Y[:0]), "expected rows")


class Trap:
    """Its pickle, once loaded, leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


def test_objects_are_refused_and_their_pickle_is_never_loaded(tmp_path, saved):
    sprung = tmp_path / "sprung"
    refused(saved(x=np.array([Trap(str(sprung))], object), y=Y[:1]), "array 'x'", "Python objects")
    assert not sprung.exists()


def test_a_pickle_in_place_of_the_file_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    with path.open("wb") as file:
        np.save(file, np.array([Trap(str(tmp_path / "sprung"))], object))
    refused(Npz(path=str(path)), str(path), ".npz")
    assert not (tmp_path / "sprung").exists()


def test_a_file_cut_short_is_refused(saved):
    data = saved(x=X, y=Y)
    os.truncate(data.path, 200)
    refused(data, data.path)


def test_a_changed_byte_is_refused_naming_the_array(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y)
    content = bytearray(path.read_bytes())
    content[content.index(X.tobytes()) + 9] ^= 1
    path.write_bytes(content)
    refused(Npz(path=str(path)), str(path), "array 'x'", "CRC")


@pytest.mark.parametrize("damage", ["a nested header", "a damaged LZMA stream"])
def test_damage_that_other_libraries_report_is_refused_naming_the_array(tmp_path, damage):
    path = tmp_path / "data.npz"
    header = b"{'descr': " + b"(" * 300 + b"\n"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    if damage == "a damaged LZMA stream":
        content = bytearray(path.read_bytes())
        content[50:60] = b"\xff" * 10
        path.write_bytes(content)
    refused(Npz(path=str(path)), "data.npz, array 'x'")


def test_an_array_header_that_claims_more_than_the_file_holds_is_refused(tmp_path):
    path = tmp_path / "data.npz"
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 4)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", header.getvalue() + X.tobytes())
    refused(Npz(path=str(path)), "array 'x'", "claims 32,000,000,000,000 bytes")


def test_a_missing_file_is_refused_naming_it(tmp_path):
    refused(Npz(path=str(tmp_path / "none.npz")), "none.npz")
