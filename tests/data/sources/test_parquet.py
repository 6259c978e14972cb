"""Parquet files: the types of their columns, and what is said if pyarrow is not installed."""

import sys

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.parquet import INSTALL, Parquet
from pipeline.errors import DataError, EnvironmentMismatch


def test_the_command_that_installs_pyarrow_is_named_if_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    path = tmp_path / "x.parquet"
    path.touch()
    with pytest.raises(EnvironmentMismatch, match=INSTALL):
        splits.read(Parquet(path=str(path), numeric=["*"]))


@pytest.fixture
def written(tmp_path):
    """Write a file of some columns and return its path."""
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")

    def write(**columns):
        path = tmp_path / "table.parquet"
        parquet.write_table(pyarrow.table(columns), path)
        return str(path)

    return write


def test_columns_have_the_roles_of_a_csv_file(written):
    path = written(
        size=[1, 2, None],
        tall=[True, False, True],
        **{"Zahl (€)": [0.5, float("nan"), 2.5], "town": ["Ulm", None, "Bonn"], "label": ["a", "b", "a"]},
    )
    data = splits.read(Parquet(path=path, numeric=["*"], categorical=["town"], missing_values="impute"))
    assert data.spec.features["numeric"].columns == ("size", "tall", "Zahl (€)")
    np.testing.assert_array_equal(
        data.splits["train"].features["numeric"], [[1, 1, 0.5], [2, 0, np.nan], [np.nan, 1, 2.5]]
    )
    assert data.splits["train"].features["town"].ravel().tolist() == ["Ulm", "", "Bonn"]
    assert data.spec.labels["label"].classes == ("a", "b")


def test_a_null_is_refused_naming_row_and_column(written):
    with pytest.raises(DataError, match="row 1, column 'size'"):
        splits.read(Parquet(path=written(size=[1, None], label=["a", "b"]), numeric=["size"]))


def test_whole_numbers_can_be_classes(written):
    data = splits.read(Parquet(path=written(size=[1, 2, 3], label=[10, 9, 10]), numeric=["size"]))
    assert data.spec.labels["label"].classes == ("9", "10")


def test_another_file_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "x.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="expected a Parquet file"):
        splits.read(Parquet(path=str(tmp_path / "x.parquet"), numeric=["*"]))


def test_a_whole_number_that_would_be_rounded_is_refused(written):
    path = written(size=[2**53 + 1, 2, 3], label=["a", "b", "a"])
    with pytest.raises(DataError, match=r"row 0, column 'size': .*found 9007199254740993, .* to 9007199254740992"):
        splits.read(Parquet(path=path, numeric=["size"]))


def test_times_with_nanoseconds_are_read_as_dates_to_microseconds(written):
    times = np.array(["2024-01-31T12:00:00.123456789", "1969-12-31T18:00:00"], "datetime64[ns]")
    path = written(seen=times, label=["a", "b"])
    rows = splits.read(Parquet(path=path, dates=["seen"])).splits["train"]
    np.testing.assert_allclose(rows.features["numeric"][:, 0], [19753.5, -0.25], atol=1e-5)
