"""Row weights: read from each format, checked row by row, in batches, and counted in the fingerprint."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.input_pipeline import TrainingFeed, ordered_batches
from pipeline.data.shards import write_shards
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.data.table_windows import WindowOptions
from pipeline.errors import ConfigError, DataError

ROWS = 40
WEIGHTS = np.random.default_rng(0).integers(1, 9, ROWS) / 4


@pytest.fixture
def table(tmp_path):
    """Return a function that writes a CSV with the given weights, and returns its source."""

    def write(weights=WEIGHTS, **options):
        path = tmp_path / "people.csv"
        rows = [f"{row * 7 % 13},{'xy'[row % 2]},{weight},{row}" for row, weight in enumerate(weights)]
        path.write_text("\n".join(["age,label,w,number", *rows]) + "\n")
        return Csv(
            **{"path": str(path), "numeric": ["*"], "exclude": ["number"], "id": "number", "weight": "w"} | options
        )

    return write


def weights_by_row(data):
    """Return {number of the row: weight} over all splits."""
    return {int(row): weight for split in data.splits.values() for row, weight in zip(split.row_ids, split.weights)}


def test_column_of_weights_stays_with_its_rows_and_is_no_feature(table):
    data = splits.load(table())
    assert weights_by_row(data) == dict(enumerate(WEIGHTS))
    assert data.spec.features["numeric"].columns == ("age",)


def test_weights_decide_the_fingerprint_only_if_they_are_set(table):
    weighted, without = (
        splits.load(table()).fingerprint,
        splits.load(table(weight="", exclude=["number", "w"])).fingerprint,
    )
    assert weighted != without
    assert splits.load(table(2 * WEIGHTS)).fingerprint != weighted
    assert splits.load(table(2 * WEIGHTS, weight="", exclude=["number", "w"])).fingerprint == without


@pytest.mark.parametrize(
    ("wrong", "found"),
    [("-1", "-1"), ("inf", "inf"), ("1e39", "1e\\+39"), ("many", "'many'"), ("", "none"), ("NA", "none")],
)
def test_wrong_weight_is_refused_with_its_line(table, wrong, found):
    weights = [*WEIGHTS.astype(str)]
    weights[4] = wrong
    with pytest.raises(DataError, match=rf"people\.csv, line 6, column 'w': expected a weight.*; found {found}\."):
        splits.load(table(weights))


def test_weights_that_are_all_0_are_refused(table):
    with pytest.raises(
        DataError, match="the train split, column 'w': expected a weight above 0; found 0 in all 28 rows"
    ):
        splits.load(table(np.zeros(ROWS)))


def test_weights_with_another_role_or_of_windows_are_refused(table):
    with pytest.raises(ConfigError, match=r"data\.weight: expected a column without another role"):
        table(numeric=["w"])
    with pytest.raises(ConfigError, match=r"expected data\.weight='', since a window has several lines; found w"):
        table(labels=["age"], numeric=[], window=WindowOptions(steps=3))


def test_sequence_has_the_weight_of_its_lines(tmp_path):
    lines = [f"{row // 2},{row % 7},{'ab'[row // 2 % 2]},{1 + row // 2}" for row in range(40)]
    path = tmp_path / "steps.csv"
    path.write_text("\n".join(["trip,x,label,w", *lines]) + "\n")
    source = Csv(path=str(path), numeric=["x"], weight="w")
    source.sequence.id = "trip"
    data = splits.load(source)
    assert weights_by_row(data) == {trip: trip + 1 for trip in range(20)}
    path.write_text(path.read_text().replace("3,6,b,4", "3,6,b,5"))
    with pytest.raises(DataError, match="line 9, column 'w': expected the same value in every line of id '3'"):
        splits.load(source)


def npz(path, **arrays):
    np.savez(path, **arrays)
    return Npz(path=str(path), weight="weight")


def test_npz_arrays_of_weights_are_named_like_those_of_the_splits(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(ROWS, 3)), np.arange(ROWS) % 2
    data = splits.load(npz(tmp_path / "one.npz", x=x, y=y, weight=WEIGHTS))
    assert weights_by_row(data) == dict(enumerate(WEIGHTS))
    parts = {f"{split}_{name}": values for split in ("train", "test") for name, values in (("x", x), ("y", y))}
    data = splits.load(npz(tmp_path / "two.npz", **parts, train_weight=WEIGHTS, test_weight=np.ones(ROWS)))
    assert (data.test.weights == 1).all() and set(data.train.weights) <= set(WEIGHTS)
    with pytest.raises(
        DataError, match=r"'weight': expected one weight per row, \(rows,\) numbers; found float64 \(40, 2\)"
    ):
        splits.load(npz(tmp_path / "wide.npz", x=x, y=y, weight=np.ones((ROWS, 2))))


def test_shards_keep_weights_and_stream_them_with_their_rows(table, tmp_path):
    source = table()
    data = splits.load(source)
    write_shards(data.spec, data.splits, tmp_path / "shards", rows_per_shard=10)
    shards = splits.load(TFRecord(path=str(tmp_path / "shards")))
    for name, split in data.splits.items():
        assert shards.splits[name].weights.tolist() == split.weights.tolist()
    batches = [
        np.concatenate([w for _, _, w in ordered_batches(each.test, each.spec, 4).as_numpy_iterator()])
        for each in (data, shards)
    ]
    assert batches[0].tolist() == batches[1].tolist() == data.test.weights.tolist()


def test_shuffled_batches_have_the_weights_of_their_rows(tmp_path):
    x = np.arange(ROWS, dtype=np.float32)
    source = npz(tmp_path / "rows.npz", x=x, y=np.arange(ROWS) % 2, weight=x + 1)
    data = splits.load(source)
    feed = TrainingFeed(split=data.train, spec=data.spec, source=source, batch_size=8, seed=1)
    assert all((weights == rows[:, 0] + 1).all() for rows, _, weights in feed.batches(0).as_numpy_iterator())


def test_new_data_need_not_have_the_weights_of_the_training(table):
    source = table()
    spec = splits.load(source).spec
    assert splits.read_matching(source, spec).split("all").weights.tolist() == WEIGHTS.tolist()
    renamed = replace(source, weight="v", exclude=["number", "w"])
    assert splits.read_matching(renamed, spec).split("all").weights is None
    with pytest.raises(DataError, match="expected a column 'v'; found none"):
        splits.load(renamed)
