"""Scores by groups of rows: which rows are a group, which group is worst, and how sure the gap is."""

import numpy as np
import pytest

from pipeline.data.containers import Table
from pipeline.errors import DataError
from pipeline.evaluation.group_scores import MISSING, group_rows, read_groups, score_groups
from pipeline.evaluation.options import Evaluation
from pipeline.spec import DataSpec, Feature, class_label, real_label

OPTIONS = Evaluation(resamples=400)


def accuracy_by_group(names, right, seed=0):
    groups = group_rows("region", np.array(names, object))
    outputs = np.eye(2)[np.where(right, 0, 1)]
    zeros = np.zeros(len(names), np.int64)
    return score_groups(class_label("ab"), groups, targets=zeros, outputs=outputs, options=OPTIONS, seed=seed)


def test_groups_are_ordered_from_the_worst_and_the_gap_has_an_interval():
    random = np.random.default_rng(0)
    names = np.repeat(["north", "south", "west"], [200, 200, 5])
    comparison = accuracy_by_group(names, random.random(405) < np.repeat([0.6, 0.9, 0.0], [200, 200, 5]))
    assert [(group.name, group.is_compared) for group in comparison.groups] == [
        ("north", True), ("south", True), ("west", False)
    ]  # fmt: skip
    assert comparison.gap.low < 0.3 < comparison.gap.high and comparison.gap.low > 0.15
    assert comparison.groups[0].score.low < 0.6 < comparison.groups[0].score.high


def test_gap_of_groups_that_differ_by_chance_alone_is_rarely_above_zero():
    random = np.random.default_rng(0)
    names = np.repeat(list("abcdefgh"), 50)
    gaps = [accuracy_by_group(names, random.random(400) < 0.7, seed=seed).gap for seed in range(40)]
    assert sum(gap.low > 0 for gap in gaps) <= 5  # 2 are expected
    assert min(gap.value for gap in gaps) > 0.05


def test_real_labels_have_the_group_of_the_largest_error_first():
    groups = group_rows("city", np.repeat(np.array(["near", "far"], object), 50))
    errors = np.repeat([0.1, 2.0], 50)[:, np.newaxis]
    comparison = score_groups(real_label(), groups, targets=np.zeros(100), outputs=errors, options=OPTIONS, seed=0)
    assert comparison.metric == "mae" and [group.name for group in comparison.groups] == ["far", "near"]
    assert comparison.gap.value == pytest.approx(1.9)


def test_one_group_has_no_gap():
    assert accuracy_by_group(["a"] * 30, np.ones(30, bool)).gap is None


def test_many_numbers_are_divided_into_quarters():
    groups = group_rows("age", np.arange(100))
    assert groups.names == ("above 24 to 49", "above 49 to 74", "above 74", "up to 24")
    assert np.bincount(groups.indices).tolist() == [25, 25, 25, 25]


def test_few_numbers_and_missing_values_are_groups_of_their_own():
    assert group_rows("floor", np.array([1, 2, 1, np.nan])).names == (MISSING, "1.0", "2.0")
    assert group_rows("floor", np.array(["1", "", "x"], object)).names == (MISSING, "1", "x")


def test_too_many_names_are_refused():
    with pytest.raises(DataError, match="found 60 in 'id'"):
        group_rows("id", np.array([f"id{row}" for row in range(60)], object))


def test_columns_need_not_be_features_and_unknown_ones_are_answered_with_the_nearest():
    spec = DataSpec({"numeric": Feature((2,), "float32", columns=("height", "floor"))}, {"y": class_label("ab")})
    table = Table(
        {"numeric": np.ones((4, 2), np.float32)}, {"y": np.zeros(4)}, str, {"region": np.array(list("aabb"), object)}
    )
    assert [groups.column for groups in read_groups(["region", "floor"], spec, table)] == ["region", "floor"]
    with pytest.raises(DataError, match=r"found 'regon'\. Did you mean region"):
        read_groups(["regon"], spec, table)
    images = DataSpec({"image": Feature((2, 2, 1), "uint8")}, spec.labels)
    with pytest.raises(DataError, match=r"This data has none .* Set evaluation.groups=\[\]"):
        read_groups(["device"], images, Table({"image": np.ones((4, 2, 2, 1))}, table.labels, str))
