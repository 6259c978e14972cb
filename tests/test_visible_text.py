"""Text from elsewhere that is shown on a terminal or written into a table."""

import pytest

from pipeline.visible_text import csv_cell, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\rb", r"a\x0db"),
        ("\x9b2J", r"\x9b2J"),
        ("größe\t1\n2", "größe\t1\n2"),
    ],
)
def test_control_characters_are_shown_as_escapes(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize("text", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "-1 to 3"])
def test_text_that_a_spreadsheet_takes_for_a_formula_gets_an_apostrophe(text):
    assert csv_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["-1", "+1", "-1.5e-3", "-.5", "-", "a=b", "1-2", ""])
def test_numbers_and_other_text_stay_as_they_are(text):
    assert csv_cell(text) == text
