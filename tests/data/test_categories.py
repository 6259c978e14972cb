"""Class names and categories by meaning: words for no value, spellings, numbers that are measured, and the order."""

from decimal import Decimal

import pytest

from pipeline.data import categories


@pytest.mark.parametrize("word", ["", " ", "nan", "NaN", "None", "null", "NULL", "NA", "n/a", "#N/A", "-", "--", "?"])
def test_words_that_other_programs_write_for_no_value_look_missing(word):
    assert categories.is_missing_word(word)


@pytest.mark.parametrize("word", ["0", "no", "Nan Goldin", "Nashville", "nil", "unknown", "Null Island"])
def test_other_words_do_not_look_missing(word):
    assert not categories.is_missing_word(word)


@pytest.mark.parametrize(
    "names, ordered",
    [
        (["10", "9", "-1"], ["-1", "9", "10"]),
        (["1", "-1"], ["-1", "1"]),
        (["+1", "-1", "0"], ["-1", "0", "+1"]),
        (["30", "10", "20"], ["10", "20", "30"]),
        (["2.5", "10", "-0.5", "1e1"], ["-0.5", "2.5", "10", "1e1"]),
        (["b", "10", "9"], ["10", "9", "b"]),
        (["1_0", "2"], ["1_0", "2"]),
        (["nan", "2", "10"], ["10", "2", "nan"]),
    ],
)
def test_classes_are_in_the_order_of_their_numbers_or_else_of_their_text(names, ordered):
    assert categories.class_names(names) == ordered


@pytest.mark.parametrize(
    "spellings",
    [
        ("yes", "Yes", "YES", " yes", "yes ", "yes\u00a0", "\uff59\uff45\uff53", "y\u200bes"),
        ("1", "1.0", "+1", "1e0", " 1", "\uff11", "01"),
        ("-1", "\u22121", "-1.00"),
        ("True", "TRUE", "true"),
        ("Zu\u0308rich", "Z\u00fcrich", "z\u00dcRICH"),
        ("New York", "New  York", "new\u00a0york", "New\tYork"),
    ],
)
def test_spellings_of_one_value_look_alike(spellings):
    counts = {spelling: len(spellings) - place for place, spelling in enumerate(spellings)}
    assert categories.look_alikes(counts | {"other": 3}) == [list(spellings)]


@pytest.mark.parametrize(
    "one, other", [("1", "10"), ("1", "1.5"), ("a", "ä"), ("yes", "y"), ("1", "True"), ("ab", "a b")]
)
def test_different_values_do_not_look_alike(one, other):
    assert categories.look_alikes({one: 1, other: 1}) == []


def test_spellings_are_merged_into_the_preferred_one():
    merged = categories.merged_spellings(["no", "No ", "NO", "maybe"], ["No ", "no"])
    assert merged == {"no": "No ", "No ": "No ", "NO": "No ", "maybe": "maybe"}


def counts(values, rows):
    return {str(value): rows for value in values}


@pytest.mark.parametrize(
    "found",
    [
        counts([round(0.37 * step, 2) for step in range(12)], 3),  # decimals
        counts(range(100_000, 160_000, 1_100), 7),  # prices
        counts(range(200), 2),  # whole numbers, hardly two rows each
        counts(range(46, 110, 5), 1),  # few of them, with gaps
    ],
)
def test_many_numbers_of_few_rows_look_continuous(found):
    assert categories.looks_continuous(found)


@pytest.mark.parametrize(
    "found",
    [
        counts(range(10), 3),  # digits
        counts(range(40), 10),  # persons, as the faces of Olivetti have
        counts(range(100), 600),
        counts([1.0, 1.3, 1.7, 2.0, 2.3, 2.7, 3.0, 3.3, 3.7, 4.0, 5.0], 30),  # grades
        counts([10, 20, 30], 2),
        counts(["a", *range(100)], 1),
        counts(range(1_000, 90_000, 4_000), 40),  # codes
    ],
)
def test_class_numbers_do_not_look_continuous(found):
    assert not categories.looks_continuous(found)


@pytest.mark.parametrize(
    "text, number",
    [
        ("-0,01", "-0.01"),
        ("$3.20", "3.20"),
        ("12 %", "12"),
        ("1,234,567.5", "1234567.5"),
        ("1,234", "1234"),
        ("3,5,7", None),
        ("A1", None),
    ],
)
def test_a_number_in_the_form_of_a_report_is_recognized(text, number):
    assert categories.written_number(text) == (number and Decimal(number))


def test_labels_with_decimal_commas_look_continuous():
    assert categories.looks_continuous(counts([f"{step},37" for step in range(12)], 1))


def test_a_description_names_the_rarest_values_and_shows_what_is_hidden():
    found = {name: rows for rows, name in enumerate("abcdefg", start=1)}
    assert categories.describe_counts(found, "classes").startswith("7 classes: 'a' (1), 'b' (2)")
    assert categories.list_counts({"u\u0308": 1, "a ": 2}, ["u\u0308", "a "]) == r"'u\u0308' (1), 'a ' (2)"
