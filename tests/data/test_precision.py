"""Columns that float32 cannot hold are kept in float64 everywhere; others stay float32."""

import numpy as np
import pytest

from pipeline.data import blocks, input_pipeline, splits
from pipeline.data.fingerprint import fingerprint
from pipeline.data.options import SplitOptions
from pipeline.data.precision import merged_columns
from pipeline.data.shards import write_shards
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import DataError

SECONDS = 1.7e9 + np.arange(240)
NUMBERS = np.random.default_rng(0)
MEASURED = NUMBERS.normal(size=5_000)


@pytest.fixture
def saved(tmp_path):
    """Save arrays and return the config that reads them."""

    def save(name="data.npz", options=None, **arrays):
        path = tmp_path / name
        if "x" in arrays:
            arrays.setdefault("y", np.arange(len(arrays["x"])) % 2)
        np.savez(path, **arrays)
        return Npz(path=str(path), **(options or {}))

    return save


@pytest.mark.parametrize(
    "values",
    [
        SECONDS,
        SECONDS.astype(np.int32),
        np.append(SECONDS, 0),
        np.append(SECONDS, [0] * 200),
        np.append(SECONDS, [-1] * 400),
        np.append(SECONDS, [np.nan, np.inf]),
        np.where(np.arange(300) % 5, 1.7e9, 1.7e9 + 1),
        2_460_000 + NUMBERS.random(300),
    ],
    ids=["seconds", "int32", "outlier", "zeros", "mostly -1", "not finite", "two values", "Julian days"],
)
def test_a_large_offset_merges_values(values):
    (column,) = merged_columns(values)
    assert column.index == 0 and column.after < column.before


@pytest.mark.parametrize(
    "values",
    [
        MEASURED,
        NUMBERS.random((20_000, 3)),
        np.exp(4 * MEASURED),
        293.15 + MEASURED,
        np.round(np.exp(10 + 2 * MEASURED), 2),
        np.where(NUMBERS.random((2_000, 50)) < 0.05, NUMBERS.random((2_000, 50)), 0),
        np.full(100, 1.7e9 + 0.1),
        np.append(MEASURED, 1e39),
        np.array([1.7e9]),
        np.full((10, 2), np.nan),
        NUMBERS.integers(0, 2**31 - 1, 1_000),
        NUMBERS.integers(0, 2**24, 1_000),
        SECONDS.astype(np.float32),
    ],
    ids=[
        *(
            "normal",
            "random",
            "log-normal",
            "kelvin",
            "prices",
            "sparse",
            "constant",
            "too large",
            "one row",
            "missing",
        ),
        *("ids", "small integers", "float32"),
    ],
)
def test_ordinary_numbers_are_not_taken_for_merged_ones(values):
    assert merged_columns(values) == []


def test_one_column_of_many_is_found():
    values = np.stack([MEASURED[:240], SECONDS, MEASURED[240:480]], axis=1)
    assert [(column.index, column.before, column.after) for column in merged_columns(values)] == [(1, 240, 3)]


def test_a_feature_is_kept_in_float64_and_the_log_names_the_column(saved, caplog):
    with caplog.at_level("INFO"):
        source = splits.read(saved(x=np.stack([MEASURED[:240], SECONDS], axis=1)))
    assert source.spec.features["x"].dtype == "float64"
    np.testing.assert_array_equal(source.splits["train"].features["x"][:, 1], SECONDS)
    assert "'x' is kept in float64" in caplog.text and "column 1 (240 distinct values become 3)" in caplog.text


def test_all_splits_get_the_dtype_that_one_of_them_needs(saved):
    arrays = {"train_x": SECONDS, "train_y": np.arange(240) % 2, "test_x": SECONDS[:1], "test_y": np.zeros(1, int)}
    source = splits.read(saved(**arrays))
    assert [split.features["x"].dtype for split in source.splits.values()] == [np.float64] * 2
    arrays |= {"train_x": np.arange(240.0), "test_x": SECONDS, "test_y": np.arange(240) % 2}
    assert splits.read(saved(**arrays)).spec.features["x"].dtype == "float64"


def test_sequences_are_kept_in_float64(saved):
    source = splits.read(saved(options={"lengths": "n"}, x=SECONDS[:, None], y=np.arange(80) % 2, n=np.full(80, 3)))
    assert source.spec.features["x"].dtype == "float64"
    np.testing.assert_array_equal(source.splits["train"].features["x"].values[:, 0], SECONDS)


def test_rows_for_a_trained_model_get_its_dtype(saved):
    wide, narrow = (splits.read(saved(x=values)).spec for values in (SECONDS, SECONDS - 1.7e9))
    rows, _ = splits.load_split(saved(x=SECONDS[:1]), "all", wide)
    assert rows.features["x"].tolist() == [[1.7e9]]
    rows, _ = splits.load_split(saved(x=SECONDS[:2].astype(np.int64), y=np.array([0, 1])), "all", wide)
    assert rows.features["x"].dtype == np.float64
    rows, _ = splits.load_split(saved(x=SECONDS - 1.7e9), "all", narrow)
    assert rows.features["x"].dtype == np.float32


def test_rows_that_the_dtype_of_a_trained_model_merges_are_named(saved, caplog):
    narrow = splits.read(saved(x=SECONDS - 1.7e9)).spec
    rows, _ = splits.load_split(saved(x=SECONDS), "all", narrow)
    assert rows.features["x"].dtype == np.float32
    assert "float32, as in training, merges values: column 0 (240 distinct values become 3)" in caplog.text


def test_integers_beyond_those_that_were_trained_are_refused(saved):
    trained = splits.read(saved(x=np.arange(240))).spec
    with pytest.raises(DataError, match="fit into int32, as in training"):
        splits.load_split(saved(x=np.arange(240) + 2**40), "all", trained)


def test_float64_keeps_its_values_in_batches_blocks_and_shards(saved, tmp_path):
    data = splits.load(saved(options={"split": SplitOptions(stratify=False)}, x=SECONDS))
    write_shards(data.spec, data.splits, tmp_path / "shards", rows_per_shard=100)
    stream = splits.load(TFRecord(path=str(tmp_path / "shards")))
    assert stream.spec == data.spec
    for split in (data.test, stream.test):
        (x, _), *_ = input_pipeline.ordered_batches(split, data.spec, 100)
        ((features, _),) = blocks.blocks(split, data.spec)
        for values in (x.numpy(), features["x"]):
            assert values.dtype == np.float64
            np.testing.assert_array_equal(values, data.test.features["x"])


def test_shards_with_a_number_that_is_not_finite_are_refused(saved, tmp_path):
    data = splits.load(saved(x=SECONDS))
    data.train.features["x"][3] = np.nan
    write_shards(data.spec, data.splits, tmp_path / "shards", rows_per_shard=100)
    with pytest.raises(DataError, match="record 3: expected finite numbers"):
        splits.load(TFRecord(path=str(tmp_path / "shards")))


def test_the_fingerprint_tells_seconds_apart(saved):
    one, other = (fingerprint(splits.read(saved(x=SECONDS + shift))) for shift in (0, 1))
    assert one != other
