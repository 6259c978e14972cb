"""A multi-label of a table whose classes are columns of 0 and 1."""

import numpy as np
import pytest

from pipeline.cli.compose import compose
from pipeline.data import splits
from pipeline.errors import ConfigError, DataError
from pipeline.spec import MULTI_LABEL

SYMPTOMS = ("data.labels=[symptoms]", "data.multi_label_columns={symptoms: [fever, cough, rash]}")


@pytest.fixture
def table(tmp_path):
    """A function that writes a table of patients, and returns its path."""

    def write(rows, header="x,fever,cough,rash", name="patients.csv"):
        (tmp_path / name).write_text("\n".join([header, *rows]) + "\n")
        return tmp_path / name

    return write


def source(path, *arguments):
    return compose(["data=csv", f"data.path={path}", "data.numeric=[x]", *arguments]).data


ROWS = ["1,0,1,no", "2,1,0,yes", "3,0.0,TRUE,No", "4,1,false, yes "] * 20


def test_columns_are_the_classes_of_one_label_in_any_spelling_of_no_and_yes(table):
    data = splits.load(source(table(ROWS), *SYMPTOMS))
    label = data.spec.labels["symptoms"]
    assert (label.kind, label.classes) == (MULTI_LABEL, ("fever", "cough", "rash"))
    rows = data.train.features["numeric"][:, 0].astype(int) - 1
    assert (data.train.labels["symptoms"] == np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 1]])[rows]).all()


def test_pattern_selects_classes_and_leaves_out_other_roles(table):
    path = table(ROWS, "s_x,s_fever,s_cough,s_rash")
    arguments = ["data.labels=[symptoms]", "data.multi_label_columns={symptoms: ['s_*']}", "data.numeric=[s_x]"]
    assert splits.load(source(path, *arguments)).spec.labels["symptoms"].classes == ("s_fever", "s_cough", "s_rash")
    arguments[-1] = "data.numeric=*"
    with pytest.raises(DataError, match="expected columns of numbers besides the labels; found none"):
        splits.load(source(path, *arguments))


@pytest.mark.parametrize(
    "row, arguments, words",
    [
        ("5,2,0,no", [], r"line 82, column 'fever': expected 0 or 1, .*; found '2'"),
        ("5,1,maybe,no", [], r"line 82, column 'cough': .*; found 'maybe'"),
        ("5,1,,no", [], r"line 82, column 'cough': expected a label; found none"),
        ("5,1,None,no", [], r"column 'cough': expected a value; found words that look like a missing value"),
        ("5,1,1,no", ["data.multi_label_columns.symptoms=[fever,caugh]"], r"column 'caugh'; found none"),
    ],
)
def test_other_values_and_columns_are_refused(table, row, arguments, words):
    with pytest.raises(DataError, match=words):
        splits.load(source(table([*ROWS, row]), *SYMPTOMS, *arguments))


def test_rows_that_lack_a_class_can_be_left_out(table):
    data = source(table([*ROWS, "5,1,,no"]), *SYMPTOMS, "data.missing_labels=drop").read()
    assert len(data.splits["train"]) == 80


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["data.multi_label_columns={symptoms: [fever]}"], r"Set 'data\.labels=\[symptoms\]'\."),
        ([*SYMPTOMS, "data.label_kind={symptoms: class}"], r"expected multi_label, since .*; found class"),
        ([*SYMPTOMS, "data.categories={symptoms: [fever]}"], r"expected no classes"),
        ([*SYMPTOMS, "data.categorical=[rash]"], "rash more than once"),
        (["data.labels=[symptoms]", "data.multi_label_columns={symptoms: []}"], "found none. Name them."),
    ],
)
def test_options_that_contradict_each_other_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        source("patients.csv", *arguments)


def test_new_rows_with_columns_in_another_order_get_the_columns_of_training(table):
    trained = splits.load(source(table(ROWS), *SYMPTOMS)).spec
    pattern = SYMPTOMS[1].replace("[fever, cough, rash]", "['fever..cough']")
    path = table(["1,1,1,0"], "x,fever,rash,cough", "new.csv")
    data = splits.read_matching(source(path, SYMPTOMS[0], pattern), trained)
    assert data.split("all").labels["symptoms"].tolist() == [[1, 0, 1]]
