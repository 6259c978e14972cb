"""CSV files: columns, missing values and classes, and which damage is refused."""

import logging
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from pipeline.cli.compose import compose
from pipeline.data import splits
from pipeline.data.shards import write_shards
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import ConfigError, DataError

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
    return str(raised.value)


def with_fix(data, message, name):
    """Return a config with the option as a message proposes it, pasted into a shell."""
    found = re.search(rf"'data\.{name}=(?:[^']|'\"'\"')*'|data\.{name}=[\w-]+", message)
    (argument,) = shlex.split(found[0])
    composed = compose([f"data={data.choice}", f"data.path={data.path}", "data.numeric=[a]", argument]).data
    return replace(data, **{name: getattr(composed, name)})


@pytest.fixture
def caplog(caplog, monkeypatch):
    """caplog, though the program's own loggers do not propagate once a command line has run."""
    monkeypatch.setattr(logging.getLogger("pipeline"), "propagate", True)
    caplog.set_level("INFO", "pipeline")
    return caplog


def test_each_column_is_a_feature_of_its_kind(table):
    source = splits.read(table())
    features = source.splits["train"].features
    assert {name: (item.shape, item.dtype) for name, item in source.spec.features.items()} == {
        "numeric": ((1,), "float32"),
        "city": ((1,), "string"),
        "note": ((1,), "string"),
    }
    assert source.spec.features["numeric"].columns == ("age",)
    assert features["numeric"].tolist() == [[31], [27], [45]]
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
    assert source.splits["test"].features["numeric"].tolist() == [[1]]
    assert source.splits["test"].labels["label"].tolist() == [0]


def test_another_delimiter_a_byte_order_mark_and_carriage_returns_are_read(table):
    text = "\ufeff" + GOOD.replace('"a, b"', "ab").replace(",", ";").replace("\n", "\r\n")
    assert splits.read(table(text, delimiter=";")).splits["train"].features["numeric"].tolist() == [[31], [27], [45]]


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
    column = splits.read(table(GOOD.replace("27", "NA"), missing_values="impute")).splits["train"].features["numeric"]
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


# ---- delimiters and encodings ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_the_delimiter_is_that_of_the_header(table, delimiter, ends):
    text = "age,city,note,label\n1.5,Köln,a b,yes\n2,Oslo,c,no\n".replace(",", delimiter).replace("\n", ends)
    part = splits.read(table(text)).splits["train"]
    assert part.features["numeric"].tolist() == [[1.5], [2]]
    assert part.features["city"].tolist() == [["Köln"], ["Oslo"]]


@pytest.mark.parametrize("typed, letter", [("tab", "\t"), (r"\t", "\t"), ("\t", "\t"), ("semicolon", ";"), ("~", "~")])
def test_a_delimiter_is_given_by_name_or_as_it_is(table, typed, letter):
    text = GOOD.replace('"a, b"', "ab").replace(",", letter)
    assert len(splits.read(table(text, delimiter=typed)).splits["train"]) == 3


def test_a_delimiter_of_several_characters_is_refused(table):
    with pytest.raises(ConfigError, match="one character"):
        table(delimiter="::")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding(table, encoding):
    part = splits.read(table(GOOD.replace("Oslo", "Köln").encode(encoding))).splits["train"]
    assert part.features["city"].tolist() == [["Rome"], ["Köln"], ["Rome"]]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "utf-16-le", "utf-16-be"])
def test_the_encoding_that_an_error_proposes_reads_the_file(table, encoding):
    text = GOOD.replace("Oslo", "Köln" + ("\x81" if encoding == "latin-1" else ""))
    message = refused(table(text.encode(encoding)), "UTF-8", "data.encoding=")
    part = splits.read(with_fix(table(text.encode(encoding)), message, "encoding")).splits["train"]
    assert part.features["city"][1, 0].startswith("Köln")


def test_an_unknown_encoding_is_refused(table):
    with pytest.raises(ConfigError, match="utf-16"):
        table(encoding="utf8000")


# ---- missing values --------------------------------------------------------------------------------------------------

WORDS = "age,city,note,label\n31,Rome,a,yes\nnan,Oslo,b,no\n45,NA,c,yes\n27,null,d,-\n"


def test_every_fix_for_words_that_look_missing_clears_it(table):
    """Follow the messages one by one, as missing values and as values; the data differs as the choice does."""
    data = table(WORDS, missing_values="impute")
    data = with_fix(data, refused(data, "line 3", "'age'", "'nan'"), "missing")
    data = with_fix(data, refused(data, "line 5", "'city'", "'null'"), "missing")
    data = with_fix(data, refused(data, "line 5", "'label'", "'-'"), "missing")
    with_labels = with_fix(data, refused(data, "line 5", "'label'"), "missing_labels")
    part = splits.read(with_labels).splits["train"]
    assert part.features["city"].tolist() == [["Rome"], ["Oslo"], [""]]
    assert part.row_location(2).endswith("line 4")
    as_class = with_fix(data, refused(data, "line 5", "'label'"), "not_missing")
    assert splits.read(as_class).spec.labels["label"].classes == ("-", "no", "yes")


def test_words_that_look_missing_are_kept_as_values_by_the_option_that_the_message_names(table):
    data = table(WORDS.replace("nan", "27"), missing_values="impute")
    data = with_fix(data, refused(data, "'null'"), "not_missing")
    data = with_fix(data, refused(data, "'-'"), "not_missing")
    part = splits.read(data).splits["train"]
    assert part.features["city"].tolist() == [["Rome"], ["Oslo"], [""], ["null"]]


def test_the_code_of_namibia_is_kept_by_the_option_that_the_log_names(table, caplog):
    data = table(GOOD.replace("Oslo", "NA"), missing_values="impute")
    assert splits.read(data).splits["train"].features["city"].tolist() == [["Rome"], [""], ["Rome"]]
    kept = with_fix(data, caplog.text, "not_missing")
    assert splits.read(kept).splits["train"].features["city"].tolist() == [["Rome"], ["NA"], ["Rome"]]
    assert splits.read(table(GOOD.replace("Oslo", "NA"), not_missing=["NA"])).splits["train"]  # without impute too


def test_a_word_that_is_kept_as_a_value_is_still_missing_among_numbers(table):
    data = table(GOOD.replace("Oslo", "NA").replace("27", "NA"), not_missing=["NA"], missing_values="impute")
    part = splits.read(data).splits["train"]
    assert np.isnan(part.features["numeric"][1, 0]) and part.features["city"][1, 0] == "NA"


def test_a_column_of_text_is_left_out_of_all_columns_but_not_one_of_numbers_with_other_words_for_missing(table, caplog):
    text = "age,city,height,label\n1,Rome,1.5,yes\n2,Oslo,N/A,no\n"
    data = table(text, numeric=["*"], categorical=[], text=[], missing_values="impute")
    data = with_fix(data, refused(data, "line 3", "'height'", "'N/A'"), "missing")
    assert splits.read(data).spec.features["numeric"].columns == ("age", "height")
    assert "leaves out columns of text: 'city'" in caplog.text


def test_a_column_of_text_in_a_pattern_is_refused_with_the_option_that_leaves_it_out(table):
    data = table("m 1,m 2,m 3,label\n1,a,2,x\n3,b,4,y\n", numeric=["m*"], categorical=[], text=[])
    data = with_fix(data, refused(data, "line 2", "'m 2'", "'a'"), "exclude")
    assert splits.read(data).spec.features["numeric"].columns == ("m 1", "m 3")


# ---- classes and categories ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "labels, classes",
    [
        (["1", "3", "2"], ("1", "2", "3")),
        (["30", "10", "20"], ("10", "20", "30")),
        (["1", "-1", "1"], ("-1", "1")),
        (["0.5", "-1", "10"], ("-1", "0.5", "10")),
        (["b", "10", "9"], ("10", "9", "b")),
    ],
)
def test_classes_keep_their_names_in_the_order_of_numbers_or_text(table, labels, classes):
    rows = "".join(f"{row},c,t,{label}\n" for row, label in enumerate(labels))
    data = splits.read(table("age,city,note,label\n" + rows))
    assert data.spec.labels["label"].classes == classes
    assert [classes[index] for index in data.splits["train"].labels["label"]] == labels


SPELLINGS = "age,city,note,label\n" + "".join(
    f"{row},{city},t,{label}\n"
    for row, (city, label) in enumerate(
        zip(["Köln", "köln ", "KÖLN", "Köln", "Bonn", "Bonn"], ["yes", "Yes", "yes", "no", "no ", "no"])
    )
)


def test_spellings_that_look_alike_are_reported_and_merged_by_the_option_that_the_log_names(table, caplog):
    data = table(SPELLINGS)
    assert splits.read(data).spec.labels["label"].classes == ("Yes", "no", "no ", "yes")
    assert "'no' (2), 'no ' (1); 'yes' (2), 'Yes' (1)" in caplog.text and "'Köln' (2)" in caplog.text
    caplog.clear()
    read = splits.read(with_fix(data, "set data.merge_spellings=true", "merge_spellings"))
    assert read.spec.labels["label"].classes == ("no", "yes")
    assert read.splits["train"].labels["label"].tolist() == [1, 1, 1, 0, 0, 0]
    assert read.splits["train"].features["city"].ravel().tolist() == ["Köln"] * 4 + ["Bonn"] * 2
    assert "may mean the same" not in caplog.text


def test_spellings_of_a_test_file_are_merged_into_those_of_the_training_file(table):
    test = "age,city,note,label\n1,KÖLN,t,YES\n2,bonn,t,NO\n3,Bonn,t,NO\n"
    part = splits.read(table(SPELLINGS, test, merge_spellings=True)).splits["test"]
    assert part.labels["label"].tolist() == [1, 0, 0]
    assert part.features["city"].ravel().tolist() == ["Köln", "Bonn", "Bonn"]


def test_listed_categories_fix_the_classes_and_their_order(table):
    data = splits.read(table(categories={"label": ["yes", "no", "never"], "city": ["Rome", "Oslo", "Bonn"]}))
    assert data.spec.labels["label"].classes == ("yes", "no", "never")
    assert data.spec.features["city"].categories == ("Rome", "Oslo", "Bonn")


def test_spellings_are_merged_into_the_listed_ones(table):
    listed = {"label": ["NO", "YES"], "city": ["koeln", "KÖLN", "BONN"]}
    data = splits.read(table(SPELLINGS, merge_spellings=True, categories=listed))
    assert data.spec.labels["label"].classes == ("NO", "YES")
    assert set(data.splits["train"].features["city"].ravel()) == {"KÖLN", "BONN"}


@pytest.mark.parametrize("listed", [{"city": ["Rome"]}, {"label": ["yes"]}])
def test_a_value_that_is_not_listed_is_refused_naming_the_line(table, listed):
    refused(table(categories=listed), "line 3", "data.categories")


def test_an_unlisted_category_is_accepted_if_unknown_ones_are(table):
    assert splits.read(table(categories={"city": ["Rome"]}, unknown_categories="accept"))


def test_categories_of_a_column_without_that_role_are_refused(table):
    with pytest.raises(ConfigError, match="Did you mean city"):
        splits.read(table(categories={"citi": ["Rome"]}))


def test_a_word_for_missing_is_a_value_if_it_is_listed(table):
    data = table(GOOD.replace("Oslo", "NA"), categories={"city": ["Rome", "NA"]})
    assert splits.read(data).splits["train"].features["city"].ravel().tolist() == ["Rome", "NA", "Rome"]


def test_a_label_of_prices_is_refused_and_both_fixes_clear_it(table):
    rows = "".join(f"{row},c,t,{100_000 + 137 * row}\n" for row in range(30))
    data = table("age,city,note,label\n" + rows)
    with pytest.raises(DataError, match=r"30 different numbers .* look continuous") as raised:
        splits.load(data)
    message = str(raised.value)
    real, named = (f"data.label_kind={kind}" for kind in ("real", "class"))
    assert real in message and named in message
    assert splits.read(with_fix(data, real, "label_kind")).spec.labels["label"].kind == "real"
    assert len(splits.read(with_fix(data, named, "label_kind")).spec.labels["label"].classes) == 30


def numbered(rows, **columns):
    """Return a CSV of `rows` rows; each column is a function of the row number."""
    values = {"age": lambda row: row * row % 97, "city": lambda _: "c", "note": lambda _: "t"} | columns
    lines = (",".join(f'"{value(row)}"' for value in values.values()) for row in range(rows))
    return "\n".join([",".join(values), *lines])


def test_classes_of_one_row_each_are_refused(table):
    with pytest.raises(DataError, match="expected several rows per class; found one row of each of the 12 classes"):
        splits.load(table(numbered(12, label=lambda row: f"name {row}")))


def test_classes_that_leave_no_row_for_a_split_are_refused(table):
    with pytest.raises(DataError, match="found 12 of 13 classes with one row, so that the"):
        splits.load(table(numbered(14, label=lambda row: f"name {min(row, 12)}")))


def test_decimal_commas_are_read_with_the_option_that_the_message_proposes(table):
    data = table(GOOD.replace(",", ";").replace("31", "3,5"))
    message = refused(data, "expected a number; found '3,5'", "data.decimal")
    fixed = with_fix(data, message, "decimal")
    assert splits.read(fixed).splits["train"].features["numeric"].ravel().tolist()[0] == 3.5


def test_a_decimal_point_is_refused_if_commas_separate_decimals(table):
    refused(table(GOOD.replace(",", ";").replace("31", "3.5"), decimal=","), "found '3.5'", "leave data.decimal out")


def test_a_pattern_warns_of_columns_of_numbers_that_it_cannot_read(table, caplog):
    splits.read(table(numbered(3, price=lambda row: f"{row},234.5", label=lambda row: row % 2), numeric=["*"]))
    assert "leaves out columns that look like numbers: 'price' ('0,234.5')" in caplog.text


@pytest.mark.parametrize("field, kept", [("9007199254740993", False), ("9007199254740992", True), ("1e300", True)])
def test_a_whole_number_that_would_be_rounded_is_refused(table, field, kept):
    data = table(GOOD.replace("31", field))
    if kept:
        splits.read(data)
    else:
        message = refused(data, "line 2, column 'age': expected whole numbers that float64", f"found {field}")
        assert "would be rounded to 9007199254740992" in message


def test_a_large_identifier_is_kept_exactly_as_a_category(table):
    data = splits.read(table(GOOD.replace("Rome", "9007199254740993").replace("Oslo", "9007199254740992")))
    assert set(data.splits["train"].features["city"].ravel()) == {"9007199254740993", "9007199254740992"}


def test_a_column_that_counts_the_rows_is_reported_with_the_argument_that_leaves_it_out(table, caplog):
    data = table(numbered(20, **{"": lambda row: row}, label=lambda row: row % 2), numeric=["*"])
    splits.read(data)
    assert "each value is one more than in the previous row" in caplog.text
    caplog.clear()
    splits.read(replace(data, exclude=[""]))
    assert "one more" not in caplog.text


def test_a_column_without_any_value_is_refused_with_the_argument_that_leaves_it_out(table):
    data = table(numbered(20, end=lambda _: "", label=lambda row: row % 2), numeric=["*"])
    message = refused(data, "column 'end': expected values; found none in any row")
    splits.read(with_fix(data, message, "exclude"))


def test_a_name_with_blanks_around_it_is_quoted_in_the_message(table):
    refused(table(GOOD.replace("label", " label")), "Did you mean ' label'?")


def test_the_summary_names_the_rarest_classes_and_the_fields_that_count_as_missing(table, caplog):
    splits.read(table(GOOD.replace("27", "NA"), missing_values="impute"))
    assert "label 'label': 2 classes: 'no' (1), 'yes' (2)" in caplog.text
    assert "1 fields of numbers count as missing: 'NA' (1)" in caplog.text


def test_names_of_columns_and_categories_survive_shards(table, tmp_path):
    data = splits.read(table(categories={"city": ["Oslo", "Rome"]}))
    write_shards(data.spec, data.splits | {"validation": data.splits["train"], "test": data.splits["train"]},
                 str(tmp_path / "shards"), rows_per_shard=2)  # fmt: skip
    assert splits.read(TFRecord(path=str(tmp_path / "shards"))).spec == data.spec


def test_real_labels_are_float32_and_refused_if_that_would_merge_them(tmp_path):
    path = tmp_path / "times.csv"
    path.write_text("a,time\n" + "".join(f"{row},{row + 0.5}\n" for row in range(300)))
    source = Csv(path=str(path), numeric=["a"], labels=["time"], label_kind="real")
    assert splits.read(source).splits["train"].labels["time"].dtype == np.float32
    path.write_text("a,time\n" + "".join(f"{row},{1_700_000_000 + row}\n" for row in range(300)))
    with pytest.raises(DataError, match=r"'time': expected labels that stay distinct in float32.*Subtract a reference"):
        splits.read(source)


# ---- the identity of rows -------------------------------------------------------------------------------------------


def test_rows_are_identified_by_their_line(table):
    rows = splits.read(table('age,city,note,label\n1,a,"two\nlines",x\n\n2,a,b,y\n')).splits["train"]
    assert rows.row_ids.tolist() == [2, 5]


def test_rows_are_identified_by_the_column_of_data_id(table):
    rows = splits.read(table("age,city,note,label,key\n1,a,b,x,007\n2,a,b,y,008\n", id="key")).splits["train"]
    assert rows.row_ids.tolist() == ["007", "008"]
    assert rows.select(np.array([1])).row_ids.tolist() == ["008"]


def test_id_column_is_no_feature_and_leaves_the_fingerprint_alone(table):
    text = "key,age,label\n" + "".join(f"{number},{number % 7},{'xy'[number % 2]}\n" for number in range(50))
    named, unnamed = (
        splits.load(table(text, numeric=numeric, categorical=[], text=[], id=name))
        for numeric, name in ((["*"], "key"), (["age"], ""))
    )
    assert named.spec.features["numeric"].columns == ("age",)
    assert named.fingerprint == unnamed.fingerprint


def test_divided_rows_keep_their_identity(table):
    text = "age,label\n" + "".join(f"{number},{'xy'[number % 2]}\n" for number in range(50))
    data = splits.load(table(text, categorical=[], text=[]))
    for split in data.splits.values():
        assert (split.row_ids - 2).tolist() == split.features["numeric"][:, 0].tolist()


def test_rows_without_a_label_leave_the_identity_of_the_others(table):
    rows = splits.read(table(GOOD.replace('a, b",no', 'a, b",'), missing_labels="drop")).splits["train"]
    assert rows.row_ids.tolist() == [2, 4]


def test_id_that_is_a_feature_too_is_refused(table):
    with pytest.raises(ConfigError, match="'age', which is also in"):
        table(id="age")
