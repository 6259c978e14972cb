"""The roles of the columns of a table: names, patterns and ranges."""

import pytest

from pipeline.data.roles import Roles, assign_roles
from pipeline.errors import DataError

HEADER = ["id", "m0", "m1", "m10", "town", "note", "a*b", "x..y", "y"]


def roles(**given):
    options = {"labels": ["y"], "numeric": [], "categorical": [], "text": [], "exclude": [], "dates": [], "members": {}}
    return assign_roles(HEADER, "t.csv, line 1", **options | given)


def test_a_pattern_selects_columns_in_the_order_of_the_header():
    assert roles(numeric=["m*"]).numeric == ("m0", "m1", "m10")
    assert roles(numeric=["*1*", "id"]).numeric == ("m1", "m10", "id")


def test_a_range_selects_the_columns_between_two():
    assert roles(numeric=["m1..town"]).numeric == ("m1", "m10", "town")


def test_a_name_is_meant_literally_though_it_holds_the_signs_of_a_pattern():
    assert roles(numeric=["a*b", "x..y"]).numeric == ("a*b", "x..y")


def test_everything_leaves_out_labels_other_roles_and_excluded_columns():
    found = roles(numeric=["*"], categorical=["town"], text=["n*"], exclude=["id", "x..y"])
    assert found == Roles(
        ("m0", "m1", "m10", "a*b"), ("town",), ("note",), frozenset(["m0", "m1", "m10", "a*b"]), ("y",)
    )


def test_a_column_that_is_named_is_taken_out_of_the_patterns_of_other_roles():
    assert roles(numeric=["m*"], categorical=["m1"]).numeric == ("m0", "m10")


def test_only_columns_that_everything_selects_may_turn_out_to_be_text():
    assert roles(numeric=["m0", "*"], exclude=["id"]).numbers_only == {"m1", "m10", "town", "note", "a*b", "x..y"}


@pytest.mark.parametrize(
    "given, words",
    [
        ({"numeric": ["q*"]}, "match 'q\\*'"),
        ({"numeric": ["m2"]}, "column 'm2'; found none. Known: "),
        ({"labels": ["z*"]}, "column 'z\\*'"),
        ({"numeric": ["m1..m0"]}, "Write m0..m1"),
        ({"numeric": ["id"], "exclude": ["nothing"]}, "column 'nothing'"),
    ],
)
def test_a_selector_without_a_column_is_refused(given, words):
    with pytest.raises(DataError, match=f"t.csv, line 1: .*{words}"):
        roles(**given)


def test_a_column_named_twice_is_refused_unless_it_is_left_out():
    options = {"labels": [], "numeric": ["*"], "categorical": [], "text": [], "dates": [], "members": {}}
    with pytest.raises(DataError, match=r"found it 2 times.*data.exclude=\[a\]"):
        assign_roles(["a", "b", "a"], "t.csv", **options, exclude=[])
    assert assign_roles(["a", "b", "a"], "t.csv", **options, exclude=["a"]).numeric == ("b",)
