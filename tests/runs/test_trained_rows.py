"""The rows that a run was trained on: found again in other data, whatever its order, and left out."""

import numpy as np
import pytest

from pipeline.data.containers import Shards, Table
from pipeline.errors import DataError, RunError
from pipeline.runs import trained_rows
from pipeline.runs.trained_rows import KEEP, LEAVE_OUT


def table(rows, seed=0, decimals=6):
    x = np.random.default_rng(seed).normal(size=(rows, 3)).round(decimals).astype(np.float32)
    return Table({"x": x}, {"y": np.arange(rows) % 2}, str)


WHOLE = table(200)
SPLITS = {
    "train": WHOLE.select(np.arange(120)),
    "validation": WHOLE.select(np.arange(120, 150)),
    "test": WHOLE.select(np.arange(150, 180)),
}
STREAM = Shards(files=(), counts=(), digests=(), labels={}, lengths=None, shuffle_buffer=1)


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "mine"
    folder.mkdir()
    trained_rows.write(folder, SPLITS)
    return folder


def test_trained_rows_are_left_out_and_counted(run):
    shuffled = np.random.default_rng(1).permutation(np.arange(100, 200))
    selection = trained_rows.select(WHOLE.select(shuffled), run, policy=LEAVE_OUT)
    assert selection.notes == (
        "mine was trained on 20 of 100 rows; they are left out.",
        "30 rows were in its validation split, which may have chosen the epoch; they are kept.",
    )
    np.testing.assert_array_equal(selection.rows.features["x"], WHOLE.select(shuffled[shuffled >= 120]).features["x"])


def test_trained_rows_are_kept_if_asked_for(run):
    rows = WHOLE.select(np.arange(100, 200))
    selection = trained_rows.select(rows, run, policy=KEEP)
    assert selection.rows is rows and "trained on 20 of 100 rows; they are kept" in selection.notes[0]


def test_nothing_is_said_of_rows_that_are_new(run):
    rows = table(50, seed=9)
    assert trained_rows.select(rows, run, policy=LEAVE_OUT) == trained_rows.Selection(rows)


def test_rows_that_were_all_trained_on_are_refused_with_a_remedy_that_works(run):
    with pytest.raises(DataError, match=r"found all 120 in its training split\. Take .* evaluation\.trained_rows=keep"):
        trained_rows.select(SPLITS["train"], run, policy=LEAVE_OUT)
    assert len(trained_rows.select(SPLITS["train"], run, policy=KEEP).rows) == 120


def test_of_equal_rows_as_many_are_left_out_as_were_trained_on(tmp_path):
    x = np.repeat(np.arange(5, dtype=np.float32), 10)[:, None]
    coarse = Table({"x": x}, {"y": np.zeros(50, int)}, str)
    trained_rows.write(tmp_path, {"train": coarse.select(np.arange(0, 50, 2))})
    selection = trained_rows.select(coarse, tmp_path, policy=LEAVE_OUT)
    assert len(selection.rows) == 25 and "trained on 25 of 50 rows" in selection.notes[0]
    with pytest.raises(DataError, match="In its training split 80% of the rows repeat another"):
        trained_rows.select(coarse.select(np.arange(0, 50, 5)), tmp_path, policy=LEAVE_OUT)


def test_rows_of_a_run_without_digests_are_unknown(tmp_path):
    rows = table(5)
    selection = trained_rows.select(rows, tmp_path, policy=LEAVE_OUT)
    assert selection.rows is rows
    assert selection.notes == (
        f"Whether {tmp_path.name} was trained on these rows is unknown: the run keeps no digests of its rows.",
    )


def test_rows_of_shards_are_unknown_and_not_kept(run, tmp_path):
    assert "streamed from shards" in trained_rows.select(STREAM, run, policy=LEAVE_OUT).notes[0]
    trained_rows.write(tmp_path, {"train": STREAM, "test": SPLITS["test"]})
    assert trained_rows.read(tmp_path) is None


def test_digests_take_eight_bytes_a_row(tmp_path):
    trained_rows.write(tmp_path, {"train": table(10_000)})
    assert (tmp_path / trained_rows.FILE).stat().st_size < 80_000 + 1_000


def test_digests_are_written_once(run):
    before = (run / trained_rows.FILE).stat().st_mtime_ns
    trained_rows.write(run, SPLITS)
    assert (run / trained_rows.FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"", lambda content: content + b"x"])
def test_damaged_digests_are_refused(run, damage):
    path = run / trained_rows.FILE
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"rows\.npz: expected sha256"):
        trained_rows.read(run)
    path.unlink()
    with pytest.raises(RunError, match=r"rows\.npz: expected the digests of the rows of a run"):
        trained_rows.read(run)


def test_shared_rows_of_two_runs_are_counted_without_coincidences(run, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    assert trained_rows.count_shared(run, other) is None
    trained_rows.write(other, {"train": WHOLE.select(np.arange(80, 160)), "test": WHOLE.select(np.arange(60, 80))})
    assert trained_rows.count_shared(run, other) == (10, 30)
    assert trained_rows.count_shared(other, run) == (20, 20)
    assert trained_rows.count_shared(run, run) == (0, 30)
