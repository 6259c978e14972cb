"""Columns of dates as numbers: their values, missing dates and the same rule for new rows."""

import datetime
import math

import numpy as np
import pytest

from pipeline.cli.compose import compose
from pipeline.data import splits, unlabeled
from pipeline.data.date_columns import PARTS, date_parts, dates_among, part_names
from pipeline.errors import DataError

DAYS = ["2024-02-29", "1969-12-31T18:00", "2023-12-31T23:30+02:00", "2023-01-01 12:00:00Z", "20240101"]


@pytest.fixture
def source(tmp_path):
    """A function that writes rows with a date, a price and a label, and returns their data source."""

    def source(*arguments, days=DAYS, header="signup,price,kind", name="rows.csv"):
        lines = [f"{days[row % len(days)]},{row * 1.5},{'ab'[row % 2]}" for row in range(60)]
        (tmp_path / name).write_text("\n".join([header, *lines]) + "\n")
        common = ["data=csv", f"data.path={tmp_path / name}", "data.labels=[kind]", "data.dates=[signup]"]
        return compose([*common, *arguments]).data

    return source


def test_parts_of_a_date_agree_with_the_calendar_of_python():
    dates = [datetime.date(1899, 3, 1), datetime.date(1970, 1, 1), datetime.date(2024, 12, 31)]
    days = [(date - datetime.date(1970, 1, 1)).days for date in dates]
    found = dict(zip(PARTS, date_parts(np.array(days, float)), strict=True))
    for index, date in enumerate(dates):
        length = (datetime.date(date.year + 1, 1, 1) - datetime.date(date.year, 1, 1)).days
        week, year = 2 * math.pi * date.weekday() / 7, 2 * math.pi * (date.timetuple().tm_yday - 1) / length
        expected = [days[index], math.sin(week), math.cos(week), math.sin(year), math.cos(year)]
        assert [found[part][index] for part in PARTS] == pytest.approx(expected)


def test_dates_are_columns_of_numbers_after_the_others_and_offsets_are_converted_to_utc(source):
    data = source("data.numeric=*").read()
    assert data.spec.features["numeric"].columns == ("price", *part_names(["signup"]))
    days = data.splits["train"].features["numeric"][: len(DAYS), 1]
    assert days.tolist() == pytest.approx([19782, -0.25, 19722 + 21.5 / 24, 19358.5, 19723])


def test_missing_date_is_refused_or_replaced_like_a_number(source):
    with pytest.raises(DataError, match=r"line 3, column 'signup\.days': expected a value; found none"):
        source(days=["2024-01-31", ""]).read()
    rows = source("data.missing_values=impute", "model=tabular", days=["2024-01-31", " NA "]).read().splits["train"]
    assert np.isnan(rows.features["numeric"][1]).all() and not np.isnan(rows.features["numeric"][0]).any()
    with pytest.raises(DataError, match=r"line 3, column 'signup\.days': .*'None', which looks like a missing value"):
        source(days=["2024-01-31", "None"]).read()


@pytest.mark.parametrize("day", ["31.01.2024", "03/04/2024", "2024-02-30", "yesterday", "1706659200"])
def test_other_forms_of_dates_are_refused_with_their_line(source, day):
    with pytest.raises(DataError, match=rf"line 3, column 'signup': expected a date like 2024-01-31 .*; found '{day}'"):
        source(days=["2024-01-31", day]).read()


def test_new_rows_without_labels_get_the_same_numbers(source):
    trained = splits.load(source("data.numeric=[price]"))
    new = source("data.numeric=[price]", name="new.csv")
    tables = list(unlabeled.read(new, trained.spec, known={}, rows=7))
    expected = new.read().splits["train"].features["numeric"]
    assert np.array_equal(np.concatenate([table.features["numeric"] for table in tables]), expected.astype(np.float32))


def test_column_that_has_the_name_of_a_part_is_refused_only_beside_dates(source):
    with pytest.raises(DataError, match=r"expected no column 'signup\.days'"):
        source("data.numeric=*", header="signup,signup.days,kind").read()
    assert dates_among(["a.days", "b"]) == ()


def test_columns_with_leading_zeros_are_numbers_only_if_they_are_named(source, caplog):
    arguments = ["data.dates=[]", "data.numeric=[price,'*']"]
    codes = source(*arguments, days=["00123", "2", "45"])
    assert codes.read().spec.features["numeric"].columns == ("price",)
    assert "leading zeros, which look like identifiers: 'signup' ('00123')" in caplog.text
    named = source("data.dates=[]", "data.numeric=[price,'*',signup]", days=["00123", "2", "45"])
    assert named.read().splits["train"].features["numeric"][:3, 1].tolist() == [123, 2, 45]


@pytest.mark.parametrize("numeric", ["*", "[price,signup]"])
def test_dates_among_numbers_are_answered_with_the_option_for_dates(source, numeric, caplog):
    data = source(f"data.numeric={numeric}", "data.dates=[]")
    if numeric == "*":
        data.read()
        assert "To use them, set 'data.dates=[signup]'" in caplog.text
    else:
        with pytest.raises(DataError, match=r"If the column holds dates, set 'data\.dates=\[signup\]'"):
            data.read()
