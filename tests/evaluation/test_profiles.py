"""Profiles: counts block by block, columns of each kind of data, and JSON."""

import json

import numpy as np
import pytest

from pipeline.data.containers import Sequences
from pipeline.errors import DataError
from pipeline.evaluation import data_columns, prediction_profiles, profiles
from pipeline.spec import DataSpec, Feature, class_label, real_label


def numbers(*columns):
    return {f"column {index}": np.asarray(values) for index, values in enumerate(columns)}


def test_counts_do_not_depend_on_the_size_of_blocks():
    rng = np.random.default_rng(0)
    values = rng.normal(size=50_000)
    names = rng.choice(np.array(["a", "b", "ü"], dtype=object), 50_000)
    whole = profiles.build_profile([{"x": values, "name": names}])
    for size in (1_000, 19_999, 20_000, 20_001):
        row_blocks = [{"x": values[at : at + size], "name": names[at : at + size]} for at in range(0, 50_000, size)]
        found = profiles.count_rows(whole.columns, row_blocks)
        assert found == whole
        assert profiles.build_profile(row_blocks).rows == 50_000


def test_bins_hold_equal_shares_of_the_first_rows():
    counts = profiles.build_profile([numbers(np.random.default_rng(0).normal(size=20_000))]).columns["column 0"].counts
    assert len(counts) == profiles.BINS
    assert max(counts) - min(counts) <= 2


def test_few_distinct_values_have_one_bin_each():
    column = profiles.build_profile([numbers([3, 1, 1, 2, 3, 3])]).columns["column 0"]
    assert column.counts == (0, 2, 1, 3, 0)
    again = profiles.count_rows({"column 0": column}, [numbers([0, 1, 2.5, 3, 9])])
    assert again.columns["column 0"].counts == (1, 1, 1, 1, 1)


def test_nan_is_missing_and_infinity_is_not():
    column = profiles.build_profile([numbers([1.0, np.nan, 2.0, np.nan])]).columns["column 0"]
    assert (column.missing, sum(column.counts)) == (2, 2)
    again = profiles.count_rows({"column 0": column}, [numbers([np.inf, -np.inf, np.nan])])
    assert (again.columns["column 0"].missing, again.columns["column 0"].counts[-1]) == (1, 1)


def test_unknown_names_are_counted_as_others():
    values = np.array(["b", "a", "b", None], dtype=object)
    column = profiles.build_profile([{"name": values}]).columns["name"]
    assert (column.values, column.counts, column.missing) == (("a", "b"), (1, 2, 0), 1)
    again = profiles.count_rows({"name": column}, [{"name": np.array(["c", "d", "a"], dtype=object)}])
    assert again.columns["name"].counts == (1, 0, 2)


def test_other_columns_are_refused_by_name():
    columns = profiles.build_profile([{"a": np.arange(9.0)}]).columns
    with pytest.raises(DataError, match="differences in: a, b"):
        profiles.count_rows(columns, [{"b": np.arange(9.0)}])


def test_no_rows_are_refused():
    with pytest.raises(DataError, match="expected rows"):
        profiles.build_profile([])


def test_a_profile_is_read_from_its_json():
    rng = np.random.default_rng(0)
    block = {"x": rng.normal(size=300), "name": rng.choice(np.array(["a", "b"], dtype=object), 300)}
    found = profiles.build_profile([block])
    assert profiles.profile_from_json(json.loads(json.dumps(profiles.profile_to_json(found)))) == found


def test_json_that_is_not_a_profile_is_refused():
    with pytest.raises(ValueError, match="expected the entry 'columns'; found none"):
        profiles.profile_from_json({"rows": 3})


def columns_of(feature, values, label=None, labels=None):
    label = label or class_label(["no", "yes"])
    labels = np.array([0, 1, 1]) if labels is None else labels
    return data_columns.data_columns(DataSpec({"x": feature}, {"y": label}), {"x": values}, {"y": labels})


def test_each_column_of_a_table_is_profiled_under_its_own_name():
    names = tuple(f"Größe {column}" for column in range(data_columns.MAX_COLUMNS + 40))
    values = np.arange(3 * len(names), dtype=np.float32).reshape(3, -1)
    found = columns_of(Feature((len(names),), "float32", columns=names), values)
    assert list(found) == [*names, "label y"]
    assert found["Größe 7"].tolist() == values[:, 7].tolist()


def test_images_become_statistics_and_a_grid():
    images = np.zeros((3, 8, 8, 1), np.uint8)
    images[1, :2, :2] = 8
    images[2] = 5
    found = columns_of(Feature((8, 8, 1), "uint8"), images)
    assert found["x brightness"].tolist() == [0, 8 * 4 / 64, 5]
    assert found["x contrast"][2] == found["x edges"][2] == 0 < found["x edges"][1]
    assert found["x cell 0,0"].tolist() == [0, 8, 5] and found["x cell 3,3"].tolist() == [0, 0, 5]
    assert found["label y"].tolist() == ["no", "yes", "yes"]


def test_a_moved_turned_or_blurred_image_differs_in_its_moments_or_sharpness():
    images = np.zeros((4, 12, 12, 1), np.float32)
    images[0, 3:9, 5] = images[1, 3:9, 7] = 1  # an upright stroke, and the same two pixels aside
    images[2, np.arange(3, 9), np.arange(3, 9)] = 1  # leaning
    images[3, 3:9, 4:7] = 1 / 3  # wider and paler
    found = columns_of(Feature((12, 12, 1), "float32"), images, labels=np.array([0, 1, 1, 0]))
    assert found["x centre across"].tolist() == pytest.approx([5, 7, 5.5, 5])
    assert found["x centre down"].tolist() == pytest.approx([5.5] * 4)
    assert found["x spread across"].tolist() == pytest.approx([0, 0, np.sqrt(35 / 12), np.sqrt(2 / 3)])
    assert found["x slant"].tolist() == pytest.approx([0, 0, 1, 0], abs=1e-5)
    assert found["x sharpness"][3] < found["x sharpness"][0] == found["x sharpness"][1]


def test_an_image_of_one_shade_has_no_moments_and_no_sharpness():
    found = columns_of(Feature((8, 8, 1), "uint8"), np.full((3, 8, 8, 1), 7, np.uint8))
    for name in ("sharpness", "centre down", "spread across", "slant"):
        assert found[f"x {name}"].tolist() == [0, 0, 0]


def test_sequences_become_lengths_means_and_spreads():
    steps = np.array([[1.0, 0.0], [3.0, 0.0], [5.0, 2.0], [7.0, 7.0]])
    found = columns_of(Feature((None, 2), "float32"), Sequences(steps, np.array([0, 2, 3, 4])))
    assert found["x steps"].tolist() == [2, 1, 1]
    assert found["x mean 0"].tolist() == [2, 5, 7] and found["x spread 0"].tolist() == [1, 0, 0]
    assert found["x mean 1"].tolist() == [0, 2, 7]


def test_text_becomes_its_length_and_categories_stay():
    values = np.array(["a", "bcd", ""], dtype=object)
    assert columns_of(Feature((), "string", text=True), values)["x"].tolist() == [1, 3, 0]
    assert columns_of(Feature((), "string"), values)["x"].tolist() == ["a", "bcd", ""]


def test_a_wide_feature_is_averaged_over_neighbours():
    wide = np.arange(3 * 1_000, dtype=np.float32).reshape(3, 1_000)
    found = columns_of(Feature((1_000,), "float32"), wide, real_label(), np.ones(3, np.float32))
    assert len(found) == data_columns.MAX_COLUMNS + 1
    assert found["x 0"].tolist() == [1.0, 1_001.0, 2_001.0]


def test_the_profile_of_every_bundled_data_set_counts_all_rows(digits, vowels):
    from pipeline.data.blocks import blocks

    for data in (digits, vowels):
        found = profiles.build_profile(
            data_columns.data_columns(data.spec, *block) for block in blocks(data.train, data.spec)
        )
        assert found.rows == len(data.train)
        assert {sum(column.counts) + column.missing for column in found.columns.values()} == {len(data.train)}


def test_shards_have_the_profile_of_the_rows_they_were_written_from(vowels, tmp_path):
    from pipeline.data.blocks import blocks
    from pipeline.data.shards import write_shards
    from pipeline.data.sources.tfrecord import TFRecord

    write_shards(vowels.spec, {"train": vowels.train}, tmp_path / "shards", rows_per_shard=100)
    stream = TFRecord(path=str(tmp_path / "shards")).read().splits["train"]
    one, other = (
        profiles.build_profile(data_columns.data_columns(vowels.spec, *block) for block in blocks(split, vowels.spec))
        for split in (vowels.train, stream)
    )
    assert one == other


def test_predictions_of_classes_are_counted_with_their_calibration():
    label = class_label(["no", "yes"])
    outputs = np.array([[0.9, 0.1], [0.2, 0.8], [0.45, 0.55]])
    found = prediction_profiles.profile_predictions(label, targets=np.array([0, 1, 0]), outputs=outputs)
    counts = {
        name: dict(zip(column.values, column.counts))
        for name, column in found.profile.columns.items()
        if isinstance(column, profiles.CategoryColumn)
    }
    assert counts == {"predicted class": {"no": 1, "yes": 2}, "right or wrong": {"right": 2, "wrong": 1}}
    assert found.calibration["rows"][5] == 1 and found.calibration["right"][5] == 0
    assert sum(found.calibration["confidence"]) == pytest.approx(0.9 + 0.8 + 0.55)
    content = json.loads(json.dumps(prediction_profiles.prediction_profile_to_json(found)))
    assert prediction_profiles.prediction_profile_from_json(content) == found
