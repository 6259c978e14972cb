"""Ordinal labels of tables: the order of their classes."""

import shlex

import pytest

from pipeline.cli.compose import compose
from pipeline.data import splits
from pipeline.errors import ConfigError, DataError
from pipeline.spec import class_label, ordinal_label

ORDINAL = ("data.labels=[pain]", "data.label_kind=ordinal")
ORDER = "data.label_order=[none,mild,severe]"


@pytest.fixture
def load(tmp_path):
    """A function that writes rows with the labels pain and stage, and loads them."""

    def load(*arguments, pains=("mild", "none", "severe"), stages=("10", "2", "3.5")):
        lines = [f"{row},{pains[row % len(pains)]},{stages[row % len(stages)]}" for row in range(60)]
        (tmp_path / "rows.csv").write_text("\n".join(["x,pain,stage", *lines]) + "\n")
        return splits.load(
            compose(["data=csv", f"data.path={tmp_path / 'rows.csv'}", "data.numeric=[x]", *arguments]).data
        )

    return load


def test_classes_have_the_given_order_also_if_a_class_looks_like_a_missing_value(load):
    assert load(*ORDINAL, ORDER).spec.labels == {"pain": ordinal_label(["none", "mild", "severe"])}


def test_order_of_true_and_false_is_that_of_the_words_in_the_file(load):
    labels = load(*ORDINAL, "data.label_order=[true,false]", pains=("true", "false")).spec.labels
    assert labels["pain"].classes == ("true", "false")


def test_numbers_need_no_order(load):
    stage = load("data.labels=[stage]", "data.label_kind=ordinal").spec.labels["stage"]
    assert (stage.classes, stage.ordered) == (("2", "3.5", "10"), True)


def test_each_label_has_its_own_order_or_all_share_one(load):
    kinds = "data.label_kind={pain: ordinal, stage: class}"
    labels = load("data.labels=[pain,stage]", kinds, "data.label_order={pain: [severe, mild, none]}").spec.labels
    assert labels["pain"] == ordinal_label(["severe", "mild", "none"])
    assert labels["stage"] == class_label(["2", "3.5", "10"])
    shared = load("data.labels=[pain,stage]", *ORDINAL[1:], ORDER, stages=("severe", "none", "mild")).spec.labels
    assert shared["stage"] == ordinal_label(["none", "mild", "severe"])


def test_fix_for_words_without_an_order_works_when_it_is_pasted(load):
    with pytest.raises(DataError, match=r"column 'pain': .*found the class 'a little'") as raised:
        load(*ORDINAL, pains=("a little", "much"))
    (argument,) = shlex.split(str(raised.value).split("Set ")[1].split(", and put")[0])
    assert load(*ORDINAL, argument, pains=("a little", "much")).spec.labels["pain"].classes == ("a little", "much")


def test_class_outside_the_order_is_refused_with_its_line(load):
    with pytest.raises(DataError, match=r"line 3: expected a class listed in data\.label_order; found 'mild'"):
        load(*ORDINAL, "data.label_order=[none,severe]", pains=("none", "mild", "severe"))


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["data.labels=[pain]", ORDER], r"found none\. Set data\.label_kind=ordinal"),
        ([*ORDINAL, "data.label_order={stage: [a, b]}"], r"data\.label_order\.stage: expected an ordinal label"),
        ([*ORDINAL, "data.label_order=[mild,mild]"], "List each class once"),
        ([*ORDINAL, "data.label_order=mild"], "expected a list of different classes"),
        ([*ORDINAL, ORDER, "data.categories={pain: [mild]}"], r"found them in data\.categories\.pain too"),
    ],
)
def test_orders_that_do_not_fit_are_refused(load, arguments, words):
    with pytest.raises(ConfigError, match=words):
        load(*arguments)
