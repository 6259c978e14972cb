"""The checks of every row before training: each error names the row."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data import checks, splits
from pipeline.data.containers import Sequences, Table
from pipeline.data.description import describe_feature
from pipeline.data.shards import write_shards
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import DataError
from pipeline.members import members
from pipeline.spec import STEP_PADDING, DataSpec, Feature, class_label, real_label, row_label

ROWS = 8


def where(row):
    return f"file, row {row}"


def case(x=None, y=None, label=None, split="train"):
    """Return (spec, splits) of valid data, except for the values of one split."""
    label = label or class_label("ab")
    good_x = np.ones((ROWS, 3), np.float32)
    good_y = {"class": np.arange(ROWS) % 2, "real": np.ones(ROWS, np.float32)}.get(
        label.kind, np.eye(2, dtype=np.float32)[np.arange(ROWS) % 2]
    )
    splits_by_name = {name: Table({"x": good_x}, {"y": good_y}, where) for name in ("train", "validation", "test")}
    splits_by_name[split] = Table({"x": good_x if x is None else x}, {"y": good_y if y is None else y}, where)
    feature = describe_feature(splits_by_name[split].features["x"])
    return DataSpec({"x": feature}, {"y": label}), splits_by_name


def refused(spec, splits_by_name, *messages, data=None):
    with pytest.raises(DataError) as raised:
        checks.check(spec, splits_by_name, data or Digits())
    for message in messages:
        assert message in str(raised.value)


@pytest.mark.parametrize(
    "label", [class_label("ab"), row_label("one_hot", "ab"), row_label("multi_label", "ab"), real_label()]
)
def test_valid_data_passes(label):
    checks.check(*case(label=label), Digits())


@pytest.mark.parametrize("name", ["digits", "japanese_vowels"])
def test_the_bundled_data_passes(name):
    data = members("data")[name]()
    source = splits.read(data)
    checks.check(source.spec, source.splits, data)


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_feature_that_is_not_finite_is_refused_naming_row_and_position(split, value):
    x = np.ones((ROWS, 3), np.float32)
    x[5, 2] = value
    refused(*case(x=x, split=split), "file, row 5", "'x'", str(value), "[2]")


def test_a_row_beyond_the_first_block_is_checked():
    rows = checks.BLOCK // 3 + 10
    x = np.ones((rows, 3), np.float32)
    x[rows - 2, 1] = np.nan
    refused(*case(x=x, y=np.arange(rows) % 2), f"file, row {rows - 2}")


@pytest.mark.parametrize("value", [-1, 2, 2**40])
def test_a_label_outside_the_classes_is_refused_naming_the_row(value):
    y = np.arange(ROWS) % 2
    y[6] = value
    refused(*case(y=y, split="test"), "file, row 6", "0 to 1", str(value))


def test_a_one_hot_row_that_does_not_sum_to_one_is_refused():
    y = np.eye(2, dtype=np.float32)[np.arange(ROWS) % 2]
    y[3] = [0.7, 0.7]
    refused(*case(y=y, label=row_label("one_hot", "ab")), "file, row 3", "sum to 1")


def test_a_one_hot_row_with_a_negative_number_is_refused():
    y = np.eye(2, dtype=np.float32)[np.arange(ROWS) % 2]
    y[3] = [1.5, -0.5]
    refused(*case(y=y, label=row_label("one_hot", "ab")), "file, row 3")


@pytest.mark.parametrize("value", [0.5, 2, np.nan])
def test_a_multi_label_that_is_neither_zero_nor_one_is_refused(value):
    y = np.eye(2, dtype=np.float32)[np.arange(ROWS) % 2]
    y[3, 1] = value
    refused(*case(y=y, label=row_label("multi_label", "ab")), "file, row 3", "zeros and ones")


@pytest.mark.parametrize("width", [1, 2])
def test_a_real_label_that_is_not_finite_is_refused(width):
    y = np.ones((ROWS, width), np.float32)
    y[4, -1] = np.nan
    refused(*case(y=y[:, 0] if width == 1 else y, label=real_label(width)), "file, row 4", "finite")


def test_a_complex_feature_that_is_not_finite_is_refused():
    x = np.ones((ROWS, 3), np.complex64)
    x[2, 1] = np.nan
    refused(*case(x=x), "file, row 2", "finite numbers", "[1]")


STEPS = np.eye(2, dtype=np.float32)[np.arange(ROWS * 5).reshape(ROWS, 5) % 2]  # a one-hot label for each of 5 steps


@pytest.mark.parametrize("kind", ["one_hot", "multi_label"])
def test_a_label_for_each_step_is_accepted(kind):
    checks.check(*case(y=STEPS, label=replace(row_label(kind, "ab"), shape=(5, 2)), split="train"), Digits())


@pytest.mark.parametrize(
    ("kind", "message"),
    [("one_hot", "that sum to 1"), ("multi_label", "zeros and ones")],
    ids=["one_hot", "multi_label"],
)
def test_a_wrong_label_of_one_step_is_refused_naming_the_row(kind, message):
    y = STEPS.copy()
    y[3, 4] = 0.5, 0.75
    refused(*case(y=y, label=replace(row_label(kind, "ab"), shape=(5, 2))), "file, row 3", message)


def test_a_class_that_no_step_has_is_refused():
    y = np.zeros_like(STEPS)
    y[..., 0] = 1
    refused(*case(y=y, label=replace(row_label("one_hot", "ab"), shape=(5, 2))), "no row of b")


@pytest.mark.parametrize("width", [1, 3])
def test_a_label_whose_width_is_not_its_number_of_classes_is_refused(width):
    refused(*case(label=replace(class_label("ab"), width=width)), "label 'y'", "width of 2", f"found {width}")


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_an_empty_split_is_refused(split):
    refused(*case(x=np.ones((0, 3), np.float32), y=np.zeros(0, np.int64), split=split), split, "found none")


def test_a_class_absent_from_training_is_refused_by_name():
    refused(*case(y=np.zeros(ROWS, np.int64)), "train split", "'y'", "no row of b")


def test_a_class_absent_from_test_is_accepted():
    checks.check(*case(y=np.zeros(ROWS, np.int64), split="test"), Digits())


@pytest.mark.parametrize("kind", ["one_hot", "multi_label"])
def test_a_class_column_without_training_rows_is_refused(kind):
    y = np.tile(np.float32([1, 0]), (ROWS, 1))
    refused(*case(y=y, label=row_label(kind, "ab")), "no row of b")


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.uint8])
def test_steps_of_zeros_are_data(dtype):
    values = np.zeros((2 * ROWS, 3), dtype)
    checks.check(*case(x=Sequences.from_lengths(values, [2] * ROWS)), Digits())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_step_that_equals_the_padding_is_refused_naming_row_and_step(dtype):
    values = np.ones((2 * ROWS, 3), dtype)
    values[9] = STEP_PADDING
    refused(*case(x=Sequences.from_lengths(values, [2] * ROWS)), "file, row 4, step 1", "3.4028235e+38")


def test_a_step_that_equals_the_padding_in_one_column_is_accepted():
    values = np.tile(np.float32([STEP_PADDING, 0, 1]), (2 * ROWS, 1))
    checks.check(*case(x=Sequences.from_lengths(values, [2] * ROWS)), Digits())


def test_token_zero_is_refused_naming_row_and_step():
    tokens = np.arange(1, 2 * ROWS + 1, dtype=np.int32)
    tokens[5] = 0
    refused(*case(x=Sequences.from_lengths(tokens, [2] * ROWS)), "file, row 2, step 1", "from 1")


def test_a_sequence_without_steps_is_refused():
    lengths = [2] * ROWS
    lengths[3] = 0
    values = np.ones((sum(lengths), 3), np.float32)
    refused(*case(x=Sequences.from_lengths(values, lengths)), "file, row 3", "at least one step")


def test_a_sequence_that_is_not_finite_is_refused_naming_row_and_step():
    values = np.ones((2 * ROWS, 3), np.float32)
    values[15, 0] = np.nan
    refused(*case(x=Sequences.from_lengths(values, [2] * ROWS)), "file, row 7, step 1")


# ---- CSV -------------------------------------------------------------------------------------------------------------


def table(tmp_path, cities="ABABABAB", ages="12345678", test=None, **options):
    """The config and the source of CSV files with a category and a number."""

    def write(name, cities, ages):
        rows = [f"{age},{city},{'no' if row % 2 else 'yes'}" for row, (city, age) in enumerate(zip(cities, ages))]
        (tmp_path / name).write_text("\n".join(["age,city,label", *rows]) + "\n")
        return str(tmp_path / name)

    data = Csv(
        path=write("train.csv", cities, ages),
        test_path=write("test.csv", test, "1" * len(test)) if test else "",
        numeric=["age"],
        categorical=["city"],
        **options,
    )
    return data, splits.read(data)


def test_a_category_absent_from_training_is_refused_naming_the_line(tmp_path):
    data, source = table(tmp_path, test="ABC")
    refused(source.spec, source.splits, "test.csv, line 4", "'city'", "'C'", "accept", data=data)


def test_a_category_absent_from_the_divided_train_split_is_refused_naming_the_line(tmp_path):
    data, source = table(tmp_path, cities="ABABABZA")
    whole = source.splits["train"]
    splits_by_name = {"train": whole.select(np.arange(6)), "test": whole.select(np.array([7, 6]))}
    refused(source.spec, splits_by_name, "train.csv, line 8", "'Z'", "test split", data=data)


def test_an_unknown_category_is_accepted_if_the_config_allows_it(tmp_path):
    data, source = table(tmp_path, test="ABC", unknown_categories="accept")
    checks.check(source.spec, source.splits, data)


def test_missing_numbers_are_accepted_if_the_model_imputes_them(tmp_path):
    data, source = table(tmp_path, ages=["1", "NA", *"345678"], missing_values="impute")
    checks.check(source.spec, source.splits, data)


def test_an_infinite_number_is_refused_even_if_missing_ones_are_imputed(tmp_path):
    data, source = table(tmp_path, ages=["1", "inf", *"345678"], missing_values="impute")
    refused(source.spec, source.splits, "train.csv, line 3", "inf", data=data)


def test_a_literal_nan_is_refused_if_it_does_not_mean_missing(tmp_path):
    with pytest.raises(DataError, match=r"train.csv, line 3, .*'nan'"):
        table(tmp_path, ages=["1", "nan", *"345678"], missing=[""])


def test_a_number_too_large_for_float32_is_refused_naming_the_line(tmp_path):
    data, source = table(tmp_path, ages=["1", "1e39", *"345678"])
    refused(source.spec, source.splits, "train.csv, line 3", "inf", data=data)


def test_a_column_without_any_value_in_training_is_refused(tmp_path):
    data, source = table(tmp_path, ages=["NA"] * 8, missing_values="impute")
    refused(source.spec, source.splits, "'age'", data=data)


# ---- shards ----------------------------------------------------------------------------------------------------------


def test_a_label_outside_the_classes_is_refused_in_shards_naming_file_and_record(tmp_path):
    spec = DataSpec({"x": Feature((3,), "float32")}, {"y": class_label("ab")})
    y = np.array([0, 1, 0, 1, 0, 7])
    write_shards(
        spec,
        {"train": Table({"x": np.ones((6, 3), np.float32)}, {"y": y}, where)},
        tmp_path / "shards",
        rows_per_shard=4,
    )
    data = TFRecord(path=str(tmp_path / "shards"))
    source = splits.read(data)
    refused(source.spec, source.splits, "train-00001-of-00002.tfrecord, record 1", "7", data=data)
