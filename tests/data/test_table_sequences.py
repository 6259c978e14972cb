"""Tables with one line per time step: how lines become sequences, and which lines are refused."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.csv import Csv
from pipeline.data.table_sequences import SequenceOptions
from pipeline.errors import ConfigError, DataError

# two walks and a run; the lines of an id are neither together nor in the order of time; a step is all zeros
LONG = """trip,t,x,y,user,label
b,2,5,6,u,walk
a,10,1,1,u,walk
c,1,9,9,v,run
b,1,3,4,u,walk
a,9,0,0,u,walk
a,11,2,2,u,walk
"""


@pytest.fixture
def table(tmp_path):
    """Write a CSV file and return the source that reads its lines as steps."""

    def write(content=LONG, order="t", **options):
        path = tmp_path / "trips.csv"
        path.write_text(content)
        arguments = {"numeric": ["*"], "exclude": ["user"], "sequence": SequenceOptions(id="trip", order=order)}
        return Csv(path=str(path), **arguments | options)

    return write


def rows_of(source):
    """Return the steps of each sequence, its class name, and the table."""
    dataset = splits.read(source)
    train = dataset.splits["train"]
    column = train.features["numeric"]
    rows = [column.values[start:end].tolist() for start, end in zip(column.offsets, column.offsets[1:])]
    return rows, [dataset.spec.labels["label"].classes[index] for index in train.labels["label"]], dataset


def refused(source, *messages):
    with pytest.raises(DataError) as raised:
        splits.read(source)
    for message in messages:
        assert message in str(raised.value)


def test_lines_of_an_id_are_a_sequence_in_the_order_of_time(table):
    rows, labels, dataset = rows_of(table())
    assert rows == [[[3, 4], [5, 6]], [[0, 0], [1, 1], [2, 2]], [[9, 9]]]
    assert labels == ["walk", "walk", "run"]
    assert dataset.spec.lengths == (1, 3)
    assert dataset.spec.features["numeric"].columns == ("x", "y")
    assert dataset.splits["train"].row_location(1).endswith("trips.csv, line 3")


def test_steps_keep_the_order_of_the_lines_without_a_time(table):
    rows, _, _ = rows_of(table(order="", exclude=["user", "t"]))
    assert rows == [[[5, 6], [3, 4]], [[1, 1], [0, 0], [2, 2]], [[9, 9]]]


def test_times_may_be_dates(table):
    dated = LONG.replace("\na,10,", "\na,2024-01-31T12:00,").replace("\na,9,", "\na,2024-01-31,")
    rows, _, _ = rows_of(table(dated.replace("\na,11,", "\na,2024-02-01,")))
    assert rows[1] == [[0, 0], [1, 1], [2, 2]]


def test_steps_of_an_id_are_in_one_split(table):
    lines = [
        f"{number},{step},{number},1,u,{'walk' if number % 2 else 'run'}" for step in range(3) for number in range(40)
    ]
    dataset = splits.load(table("trip,t,x,y,user,label\n" + "\n".join(lines)))
    assert sum(dataset.rows.values()) == 40
    assert all((split.lengths == 3).all() for split in dataset.splits.values())


def test_sequence_without_a_label_is_left_out_whole(table):
    content = "\n".join(line.removesuffix("run") for line in LONG.splitlines())
    rows, labels, _ = rows_of(table(content, missing_labels="drop"))
    assert len(rows) == 2 and labels == ["walk", "walk"]


REFUSED = {
    "two labels": (("a,11,2,2,u,walk", "a,11,2,2,u,run"), ["line 7, column 'label'", "id 'a'", "'walk'", "'run'"]),
    "a label in some lines": (("a,11,2,2,u,walk", "a,11,2,2,u,"), ["line 7, column 'label'", "id 'a'"]),
    "no id": (("c,1,9", ",1,9"), ["line 4", "data.sequence.id=trip"]),
    "no time": (("c,1,9", "c,,9"), ["line 4", "data.sequence.order=t"]),
    "no time in words": (("c,1,9", "c,noon,9"), ["line 4", "'noon'"]),
    "one time twice": (("b,1,3", "b,2,3"), ["line 5", "line 2", "id 'b'", "'2'"]),
    "no number": (("c,1,9", "c,1,"), ["line 4, column 'x'", "Fill them in."]),
    "no column": (("trip,t,", "trap,t,"), ["line 1", "'trip'", "trap"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_line_is_refused_by_its_number(table, case):
    (old, new), messages = REFUSED[case]
    refused(table(LONG.replace(old, new, 1)), *messages)


def test_column_that_decides_the_splits_must_be_the_same_in_all_steps(table):
    content = LONG.replace("a,11,2,2,u", "a,11,2,2,v")
    rows_of(table(content))
    refused(table(content, split=splits.SplitOptions(group="user")), "line 7, column 'user'", "id 'a'")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"categorical": ["user"]}, "found user"),
        ({"missing_values": "impute"}, "data.missing_values=refuse"),
        ({"sequence": {"id": "t", "order": "t"}}, "different columns"),
        ({"sequence": {"order": "t"}}, "expected data.sequence.id"),
    ],
)
def test_options_that_do_not_fit_steps_are_refused(table, options, message):
    with pytest.raises(ConfigError, match=message):
        given = options.pop("sequence", None)
        table(**options, **({"sequence": SequenceOptions(**given)} if given else {}))


def test_parquet_file_gives_the_same_sequences(table, tmp_path):
    pyarrow_csv = pytest.importorskip("pyarrow.csv")
    from pyarrow import parquet

    from pipeline.data.sources.parquet import Parquet

    source = table()
    parquet.write_table(pyarrow_csv.read_csv(source.path), tmp_path / "trips.parquet")
    options = {"numeric": ["*"], "exclude": ["user"], "sequence": source.sequence}
    values = splits.read(Parquet(path=str(tmp_path / "trips.parquet"), **options)).splits["train"].features["numeric"]
    np.testing.assert_array_equal(values.values, splits.read(source).splits["train"].features["numeric"].values)
