"""Windows over the lines of a table: their inputs, targets, splits and baselines, and what is refused."""

import logging

import numpy as np
import pytest

from pipeline.data import column_splits, splits, unlabeled
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.table_sequences import SequenceOptions
from pipeline.data.table_windows import WindowOptions
from pipeline.errors import ConfigError, DataError


@pytest.fixture
def table(tmp_path):
    """Write the sales of two shops, day by day in reverse order, and return the source of their windows."""

    def write(days=60, window=None, change=lambda text: text, **options):
        lines = [
            f"{shop},{day},{day / 10},{1000 * number + day}" for number, shop in enumerate("AB") for day in range(days)
        ]
        path = tmp_path / "sales.csv"
        path.write_text(change("shop,day,temp,sales\n" + "\n".join(lines[::-1]) + "\n"))
        arguments = {
            "numeric": ["temp"],
            "labels": ["sales"],
            "sequence": SequenceOptions(id="shop", order="day"),
            "window": WindowOptions(**{"steps": 4, "horizon": 2, "period": 3} | (window or {})),
        }
        return Csv(path=str(path), **arguments | options)

    return write


def test_window_holds_the_past_of_one_series_and_the_next_values_of_its_label(table):
    dataset = splits.read(table(days=7))
    train, feature = dataset.splits["train"], dataset.spec.features["numeric"]
    assert feature.shape == (4, 2) and feature.columns == ("temp", "sales")
    assert train.features["numeric"].shape == (4, 4, 2)  # two windows in each of two series of seven lines
    np.testing.assert_allclose(train.features["numeric"][2], [[0, 1000], [0.1, 1001], [0.2, 1002], [0.3, 1003]])
    np.testing.assert_array_equal(train.labels["sales"], [[4, 5], [5, 6], [1004, 1005], [1005, 1006]])
    assert train.row_location(0).endswith("sales.csv, line 11")  # day 4 of shop A, which comes last in the file


def test_stride_moves_the_windows(table):
    train = splits.read(table(days=12, window={"stride": 3})).splits["train"]
    np.testing.assert_array_equal(train.labels["sales"][:3, 0], [4, 7, 10])


def test_baselines_repeat_the_last_value_and_the_last_season(table):
    windows = splits.read(table(days=7, window={"horizon": 3})).splits["train"].windows
    np.testing.assert_array_equal(windows.baselines["naive"], [[3] * 3, [1003] * 3])
    np.testing.assert_array_equal(windows.baselines["seasonal_naive"], [[1, 2, 3], [1001, 1002, 1003]])
    season = splits.read(table(days=9, window={"horizon": 5})).splits["train"].windows.baselines["seasonal_naive"]
    np.testing.assert_array_equal(season[0], [1, 2, 3, 1, 2])


def test_no_predicted_time_is_in_two_splits(table):
    data = splits.load(table(window={"horizon": 5}))
    days = {
        name: set((split.labels["sales"] % 1000).ravel().astype(int).tolist()) for name, split in data.splits.items()
    }
    assert max(days["train"]) < min(days["validation"]) and max(days["validation"]) < min(days["test"])
    spans = [(split.windows.first.min(), split.windows.last.max()) for split in data.splits.values()]
    assert sorted(spans) == spans and all(len(split) for split in data.splits.values())


def test_windows_are_assigned_by_all_their_predicted_times():
    first = np.arange(10.0)
    rows = column_splits.assign_windows(first, first + 2, {"test": 0.3})
    assert rows["test"].tolist() == [7, 8, 9]
    assert rows["train"].tolist() == [0, 1, 2, 3, 4]  # 5 and 6 predict times before and after 7


def test_lines_without_times_are_in_the_order_of_the_file(table):
    source = table(days=7, sequence=SequenceOptions(), window={"steps": 6})
    train = splits.read(source).splits["train"]
    assert train.features["numeric"][0, :, 1].tolist() == [1006, 1005, 1004, 1003, 1002, 1001]


def test_gap_in_the_times_is_reported(table, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger("pipeline"), "propagate", True)
    splits.read(table(change=lambda text: text.replace("A,30,3.0,30\n", "")))
    assert "1 of 119 lines follow a gap" in caplog.text


WRONG_LINES = {
    "no label": ("A,30,3.0,30\n", "A,30,3.0,\n", ["line 91, column 'sales'"]),
    "no number": ("A,30,3.0,30\n", "A,30,,30\n", ["line 91, column 'temp'", "Fill them in."]),
    "one time twice": ("A,30,3.0,30\n", "A,31,3.0,30\n", ["line 91", "line 90", "id 'A'"]),
    "a label of text": ("A,30,3.0,30\n", "A,30,3.0,many\n", ["line 91, column 'sales'", "'many'"]),
}


@pytest.mark.parametrize("case", WRONG_LINES)
def test_wrong_line_is_refused_by_its_number(table, case):
    old, new, messages = WRONG_LINES[case]
    with pytest.raises(DataError) as raised:
        splits.read(table(change=lambda text: text.replace(old, new)))
    for message in messages:
        assert message in str(raised.value)


@pytest.mark.parametrize(("days", "window"), [(5, {}), (60, {"steps": 59})])
def test_series_shorter_than_a_window_are_refused(table, days, window):
    with pytest.raises(DataError, match=rf"a series of at least \d+ lines.*found at most {days}"):
        splits.read(table(days=days, window=window))


WRONG_OPTIONS = {
    "several labels": {"labels": ["sales", "day"]},
    "classes": {"label_kind": "class"},
    "dropped lines": {"missing_labels": "drop"},
    "other splits": {"split": SplitOptions(time="day")},
    "series without times": {"sequence": SequenceOptions(id="shop")},
    "categories": {"categorical": ["shop"]},
    "missing values": {"missing_values": "impute"},
    "a season longer than the input": {"window": {"period": 9}},
}


@pytest.mark.parametrize("case", WRONG_OPTIONS)
def test_options_that_do_not_fit_windows_are_refused(table, case):
    with pytest.raises(ConfigError, match=r"data\.window"):
        table(**WRONG_OPTIONS[case])


def test_inputs_and_fingerprint_depend_on_the_times(table):
    shifted = table(change=lambda text: text.replace("A,59,", "A,99,"))
    other = splits.load(shifted).fingerprint
    assert splits.load(table()).fingerprint != other


def test_predicted_rows_are_the_last_lines_of_each_series(table):
    source = table()
    trained = splits.read(source).spec
    (rows,) = unlabeled.read(source, trained, known={}, rows=100)
    assert rows.row_ids.tolist() == ["A", "B"] and rows.labels == {}
    assert rows.features["numeric"][:, :, 1].tolist() == [[56, 57, 58, 59], [1056, 1057, 1058, 1059]]


@pytest.mark.parametrize(
    ("days", "change", "message"),
    [
        (3, str, r"line 5: expected at least 4 lines of id 'A', as in data\.window\.steps; found 3"),
        (60, lambda text: text.replace("A,58,5.8,58", "A,58,,58"), r"line 63, column 'temp': expected a"),
    ],
    ids=["series too short", "missing number"],
)
def test_series_that_cannot_be_continued_is_refused_by_its_line(table, days, change, message):
    trained = splits.read(table()).spec
    with pytest.raises(DataError, match=message):
        list(unlabeled.read(table(days=days, change=change), trained, known={}, rows=100))
