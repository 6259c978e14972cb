"""Splits: which row is in which, and which data fits the spec of a model."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.containers import Dataset, Table
from pipeline.data.options import SplitOptions
from pipeline.data.shards import write_shards
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import ConfigError, DataError
from pipeline.spec import DataSpec, Feature, class_label, real_label

ROWS = 103


def numbered(rows=ROWS, classes=3, label=None, seed=5):
    """A Source whose feature x holds the number of its row, so that a split can be traced back."""
    y = np.random.default_rng(seed).integers(0, classes, rows)
    label = label or class_label(range(classes))
    y = y if label.kind == "class" else y.astype(np.float32)
    table = Table({"x": np.arange(rows, dtype=np.float32)[:, None]}, {"y": y}, "row {}".format)
    return Dataset(DataSpec({"x": Feature((1,), "float32")}, {"y": label}), {"train": table}, "file")


def rows_of(table):
    return table.features["x"][:, 0].astype(int).tolist()


def test_every_row_is_in_exactly_one_split():
    tables = splits.divide(numbered(), SplitOptions())
    assert sorted(itertools.chain(*map(rows_of, tables.values()))) == list(range(ROWS))


def test_a_division_is_a_function_of_its_seed():
    once, again, other = (
        {name: rows_of(table) for name, table in splits.divide(numbered(), SplitOptions(seed=seed)).items()}
        for seed in (0, 0, 1)
    )
    assert once == again
    assert all(once[name] != other[name] for name in once)


@pytest.mark.parametrize("validation, test", [(0.1, 0.2), (0.15, 0.15), (0.0, 0.5), (0.33, 0.34)])
def test_every_split_has_its_share_of_every_class_to_within_one_row(digits, validation, test):
    source = splits.read(Digits())
    labels = source.splits["train"].labels["digit"]
    tables = splits.divide(source, SplitOptions(validation=validation, test=test))
    for name, share in (("validation", validation), ("test", test), ("train", 1 - validation - test)):
        found = np.bincount(tables[name].labels["digit"], minlength=10) if name in tables else np.zeros(10)
        assert np.abs(found - share * np.bincount(labels)).max() <= 1


def test_the_bundled_digits_have_the_recorded_splits(digits):
    assert digits.rows == {"train": 1258, "validation": 179, "test": 360}


@pytest.mark.parametrize(
    "source, split", [(numbered(label=real_label()), SplitOptions()), (numbered(), SplitOptions(stratify=False))]
)
def test_shares_hold_over_all_rows_if_there_is_no_class_label(source, split):
    sizes = {name: len(table) for name, table in splits.divide(source, split).items()}
    assert sizes == {"train": 72, "validation": 10, "test": 21}


def test_a_split_of_the_data_is_kept_and_only_the_missing_one_is_divided(vowels):
    given = splits.read(JapaneseVowels()).splits
    np.testing.assert_array_equal(vowels.test.features["utterance"].values, given["test"].features["utterance"].values)
    assert vowels.rows == {"train": 243, "validation": 27, "test": 370}


def test_splits_of_the_data_are_kept_whole():
    source = numbered()
    given = dict.fromkeys(("train", "validation", "test"), source.splits["train"])
    assert splits.divide(replace(source, splits=given), SplitOptions()) == given


def test_another_training_seed_has_the_same_test_rows(digits):
    keras.utils.set_random_seed(7)
    again = splits.load(Digits())
    np.testing.assert_array_equal(again.test.features["image"], digits.test.features["image"])


def test_a_validation_share_of_zero_gives_no_validation_split():
    data = splits.load(Digits(split=SplitOptions(validation=0)))
    assert data.validation is None and set(data.splits) == {"train", "test"}


def test_a_missing_test_split_is_refused_naming_the_key():
    with pytest.raises(ConfigError, match=r"data\.split\.test"):
        splits.load(Digits(split=SplitOptions(test=0)))


def test_rows_keep_their_locations_after_the_division():
    table = splits.divide(numbered(), SplitOptions())["test"]
    assert table.row_location(4) == f"row {rows_of(table)[4]}"


def test_a_stream_that_lacks_a_split_is_refused_since_it_cannot_be_divided(tmp_path):
    source = numbered()
    write_shards(source.spec, source.splits, tmp_path / "shards", rows_per_shard=50)
    with pytest.raises(DataError, match="validation and test"):
        splits.load(TFRecord(path=str(tmp_path / "shards")))


# ---- another data set for a trained model ----------------------------------------------------------------------------


def csv(tmp_path, rows, header="size,kind"):
    path = tmp_path / "animals.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return Csv(path=str(path), numeric=[header.split(",")[0]], labels=["kind"])


TRAINED = DataSpec(
    {"numeric": Feature((1,), "float32", columns=("size",))}, {"kind": class_label(["cat", "dog", "eel"])}
)


def test_classes_are_matched_by_name_not_by_index(tmp_path):
    table, _ = splits.load_split(csv(tmp_path, ["1,eel", "2,dog", "3,eel"]), "all", TRAINED)
    assert table.labels["kind"].tolist() == [2, 1, 2]


def test_a_class_that_the_model_does_not_know_is_refused(tmp_path):
    with pytest.raises(DataError, match="owl"):
        splits.load_split(csv(tmp_path, ["1,owl", "2,dog"]), "all", TRAINED)


def test_other_features_are_refused(tmp_path):
    with pytest.raises(DataError, match="found no numbers in 'size'"):
        splits.load_split(csv(tmp_path, ["1,cat", "2,dog"], "weight,kind"), "all", TRAINED)


def test_columns_of_numbers_that_were_not_trained_are_named_with_the_option_that_leaves_them_out(tmp_path):
    source = csv(tmp_path, ["1,cat,5", "2,dog,6"], "size,kind,new one")
    with pytest.raises(DataError, match="found 1 more") as refused:
        splits.load_split(replace(source, numeric=["*"]), "all", TRAINED)
    assert "'data.exclude=[\"new one\"]'" in str(refused.value)
    part, _ = splits.load_split(replace(source, numeric=["*"], exclude=["new one"]), "all", TRAINED)
    assert part.features["numeric"].tolist() == [[1], [2]]


def test_a_run_with_one_input_for_each_column_is_refused_with_the_reason(tmp_path):
    trained = DataSpec({"size": Feature((1,), "float32")}, TRAINED.labels)
    with pytest.raises(DataError, match="by an earlier version"):
        splits.load_split(csv(tmp_path, ["1,cat", "2,dog"]), "all", trained)


def test_a_label_of_another_kind_is_refused(tmp_path):
    data = csv(tmp_path, ["1,0.5", "2,0.25"])
    data.label_kind = "real"
    with pytest.raises(DataError, match="as trained"):
        splits.load_split(data, "all", TRAINED)


def test_a_split_that_the_data_does_not_have_is_refused():
    with pytest.raises(DataError, match="expected a validation split"):
        splits.load_split(Digits(split=SplitOptions(validation=0)), "validation", splits.load(Digits()).spec)


def test_all_rows_of_data_with_several_splits_are_refused(vowels):
    with pytest.raises(DataError, match="without splits"):
        splits.load_split(JapaneseVowels(), "all", vowels.spec)


def test_a_split_loaded_alone_equals_that_of_training(digits):
    table, fingerprint = splits.load_split(Digits(), "test", digits.spec)
    np.testing.assert_array_equal(table.features["image"], digits.test.features["image"])
    assert fingerprint == digits.fingerprint


def test_classes_too_small_for_every_split_are_divided_together():
    strata = np.repeat(np.arange(100), 4)
    rows = splits.assign(strata, {"validation": 0.1, "test": 0.2}, seed=0)
    assert {name: len(table) for name, table in rows.items()} == {"train": 280, "validation": 40, "test": 80}
    assert set(strata[rows["train"]]) == set(range(100))
