"""CSV files: columns, missing values and classes, and which damage is refused."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.csv import Csv
from pipeline.errors import DataError

GOOD = 'age,city,note,label\n31,Rome,fine,yes\n27,Oslo,"a, b",no\n45,Rome,odd,yes\n'
COLUMNS = {"numeric": ["age"], "categorical": ["city"], "text": ["note"]}


@pytest.fixture
def table(tmp_path):
    """Write CSV files (the training rows first) and return the config that reads them."""

    def write(train=GOOD, test=None, **options):
        (tmp_path / "train.csv").write_bytes(train if isinstance(train, bytes) else train.encode())
        if test is not None:
            (tmp_path / "test.csv").write_text(test)
            options["test_path"] = str(tmp_path / "test.csv")
        return Csv(path=str(tmp_path / "train.csv"), **COLUMNS | options)

    return write


def refused(data, *messages):
    with pytest.raises(DataError) as raised:
        splits.read(data)
    for message in messages:
        assert message in str(raised.value)


def test_each_column_is_a_feature_of_its_kind(table):
    source = splits.read(table())
    features = source.splits["train"].features
    assert {name: (item.shape, item.dtype) for name, item in source.spec.features.items()} == {
        "age": ((1,), "float32"),
        "city": ((1,), "string"),
        "note": ((1,), "string"),
    }
    assert features["age"].tolist() == [[31], [27], [45]]
    assert features["note"].tolist() == [["fine"], ["a, b"], ["odd"]]


def test_classes_are_the_sorted_labels_of_the_training_file(table):
    source = splits.read(table())
    assert source.spec.labels["label"].classes == ("no", "yes")
    assert source.splits["train"].labels["label"].tolist() == [1, 0, 1]


def test_whole_numbers_as_classes_are_sorted_as_numbers(table):
    source = splits.read(table("age,city,note,label\n1,a,b,10\n2,a,b,9\n3,a,b,-1\n"))
    assert source.spec.labels["label"].classes == ("-1", "9", "10")
    assert source.splits["train"].labels["label"].tolist() == [2, 1, 0]


def test_real_labels_are_numbers(table):
    source = splits.read(table(labels=["age"], numeric=[], label_kind="real"))
    assert source.splits["train"].labels["age"].tolist() == [31, 27, 45]
    assert source.spec.labels["age"].shape == ()


def test_several_columns_can_be_labels(table):
    source = splits.read(table(labels=["label", "city"], categorical=[]))
    assert source.spec.labels["city"].classes == ("Oslo", "Rome")


def test_a_test_file_is_the_test_split(table):
    source = splits.read(table(test="label,note,city,age\nno,x,Oslo,1\n"))
    assert source.splits["test"].features["age"].tolist() == [[1]]
    assert source.splits["test"].labels["label"].tolist() == [0]


def test_another_delimiter_a_byte_order_mark_and_carriage_returns_are_read(table):
    text = "\ufeff" + GOOD.replace('"a, b"', "ab").replace(",", ";").replace("\n", "\r\n")
    assert splits.read(table(text, delimiter=";")).splits["train"].features["age"].tolist() == [[31], [27], [45]]


def test_a_row_is_located_by_its_first_line_if_fields_span_lines(table):
    split = splits.read(table('age,city,note,label\n1,a,"two\nlines",yes\n\n2,a,b,no\n')).splits["train"]
    assert split.row_location(0).endswith("train.csv, line 2")
    assert split.row_location(1).endswith("train.csv, line 5")


def test_a_ragged_row_is_refused_naming_the_line(table):
    refused(table(GOOD + "\n50,Rome,short\n"), "train.csv, line 6", "expected 4 fields", "found 3")


def test_a_number_that_cannot_be_read_is_refused_naming_line_and_column(table):
    refused(table(GOOD.replace("45", "forty")), "train.csv, line 4", "'age'", "'forty'")


def test_digits_joined_by_an_underscore_are_refused(table):
    refused(table(GOOD.replace("45", "4_5")), "train.csv, line 4", "'4_5'")


def test_a_missing_column_is_refused_with_the_nearest_name(table):
    refused(table(numeric=["agee"]), "line 1", "'agee'", "Did you mean age")


def test_a_column_named_twice_is_refused(table):
    refused(table(GOOD.replace("note", "age"), text=[]), "line 1", "'age'", "2 times")


@pytest.mark.parametrize("content, found", [("", "empty file"), ("age,city,note,label\n", "none")])
def test_a_file_without_rows_is_refused(table, content, found):
    refused(table(content), "train.csv", found)


def test_bytes_that_are_not_utf_8_are_refused_naming_the_line(table):
    # far enough into the file that the reader's blocks end before it
    good = GOOD + "31,Rome,fine,yes\n" * 5000
    refused(table(good.encode() + "9,K\u00f6ln,x,no\n".encode("latin-1")), "line 5005", "UTF-8", "0xf6")


def test_an_unclosed_quote_is_refused_naming_its_line(table):
    refused(table(GOOD + '50,Rome,"open,yes\n1,Rome,x,yes\n'), "train.csv, line 5")


@pytest.mark.parametrize("column, field", [("age", "27"), ("city", "Oslo"), ("note", '"a, b"')])
@pytest.mark.parametrize("sign", ["", "NA", " ? "])
def test_a_missing_value_is_refused_naming_line_and_column(table, column, field, sign):
    refused(table(GOOD.replace(field, sign)), "train.csv, line 3", f"'{column}'", "impute")


def test_a_missing_number_is_nan_if_the_model_imputes_it(table):
    column = splits.read(table(GOOD.replace("27", "NA"), missing_values="impute")).splits["train"].features["age"]
    np.testing.assert_array_equal(column, [[31], [np.nan], [45]])


def test_a_missing_category_becomes_empty_text_if_missing_values_are_accepted(table):
    column = splits.read(table(GOOD.replace("Oslo", "?"), missing_values="impute")).splits["train"].features["city"]
    assert column.tolist() == [["Rome"], [""], ["Rome"]]


def test_a_missing_label_is_refused_even_if_missing_values_are_accepted(table):
    refused(table(GOOD.replace(",no\n", ",\n"), missing_values="impute"), "train.csv, line 3", "'label'")


def test_a_label_absent_from_the_training_file_is_refused_naming_the_line(table):
    refused(
        table(test="age,city,note,label\n1,Rome,x,no\n2,Rome,x,yess\n"),
        "test.csv, line 3",
        "'yess'",
        "Did you mean yes",
    )


def test_a_missing_file_is_refused_naming_it(tmp_path):
    refused(Csv(path=str(tmp_path / "none.csv"), numeric=["age"]), "none.csv")
