"""Splits by group and by time: what belongs together stays together, and nothing looks ahead."""

import numpy as np
import pytest
from PIL import Image

from pipeline.data import column_splits, splits
from pipeline.data.containers import Dataset, Table
from pipeline.data.fingerprint import fingerprint
from pipeline.data.options import SplitOptions
from pipeline.data.shards import write_shards
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.image_folder import ImageFolder
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import ConfigError, DataError
from pipeline.spec import DataSpec, Feature, class_label

SHARES = {"validation": 0.1, "test": 0.2}


def dataset(y=None, rows=None, given=(), **keys):
    """Rows with key columns; x is the number of the row. given: Split name -> rows of splits of its own."""
    count = rows or len(next(iter(keys.values())))
    y = np.arange(count) % 2 if y is None else y
    x = np.arange(count, dtype=np.float32)[:, None]
    table = Table({"x": x}, {"y": y}, "row {}".format, {name: np.asarray(key) for name, key in keys.items()})
    spec = DataSpec({"x": Feature((1,), "float32")}, {"y": class_label(range(2))})
    return Dataset(spec, {name: table.select(np.array(rows)) for name, rows in given} or {"train": table}, "file")


def rows_of(split):
    return split.features["x"][:, 0].astype(int)


def patients(count=60, visits=10, seed=0):
    """(groups, labels) of patients of whom a third is ill, in random order."""
    order = np.random.default_rng(seed).permutation(count * visits)
    return np.repeat(np.arange(count), visits)[order], np.repeat(np.arange(count) % 3 == 0, visits)[order].astype(int)


@pytest.fixture
def divided():
    """A function from a data set and options to split name -> rows."""

    def divide(data, **options):
        return {name: rows_of(split) for name, split in splits.divide(data, SplitOptions(**options)).items()}

    return divide


# ---- groups ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_together_and_shares_and_classes_hold(divided, seed):
    groups, ill = patients(seed=seed)
    parts = divided(dataset(ill, patient=groups), group="patient", seed=seed)
    assert sorted(np.concatenate([*parts.values()])) == list(range(600))
    members = {name: set(groups[rows]) for name, rows in parts.items()}
    assert sum(map(len, members.values())) == 60
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 420, "validation": 60, "test": 120}
    assert {name: ill[rows].sum() for name, rows in parts.items()} == {"train": 140, "validation": 20, "test": 40}


def test_group_splits_are_a_function_of_the_seed(divided):
    groups, ill = patients()
    once, again, other = (divided(dataset(ill, p=groups), group="p", seed=seed) for seed in (1, 1, 2))
    for name in once:
        np.testing.assert_array_equal(once[name], again[name])
        assert set(once[name]) != set(other[name])


def test_group_splits_depend_on_which_rows_are_equal_and_not_on_the_type_of_the_column(divided):
    groups, ill = patients()
    numbers = divided(dataset(ill, p=groups), group="p")
    texts = divided(dataset(ill, p=np.array([f"P{group:03d}" for group in groups], object)), group="p")
    for name in numbers:
        np.testing.assert_array_equal(numbers[name], texts[name])


def test_groups_of_very_different_sizes_come_near_to_the_shares(divided):
    sizes = np.random.default_rng(3).zipf(1.8, 200).clip(1, 80)
    groups = np.repeat(np.arange(200), sizes)
    parts = divided(dataset(p=groups), group="p")
    for name, share in SHARES.items():
        assert len(parts[name]) / len(groups) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_few_groups_give_every_split_one(divided, count):
    parts = divided(dataset(p=np.arange(40) % count), group="p")
    assert all(len(rows) for rows in parts.values())


@pytest.mark.parametrize("count", [1, 2])
def test_fewer_groups_than_splits_are_refused(divided, count):
    with pytest.raises(DataError, match=rf"data\.split\.group=p: expected at least 3 groups.*found {count}\."):
        divided(dataset(p=np.arange(40) % count), group="p")


def test_the_class_of_one_group_is_kept_in_training(divided):
    groups = np.arange(100) // 10
    parts = divided(dataset((groups == 4).astype(int), p=groups), group="p")
    assert set(parts["train"]) >= set(range(40, 50))


@pytest.mark.parametrize("missing", ["", " ", None])
def test_a_row_without_a_group_is_refused_by_its_location(divided, missing):
    groups = np.array(["a", "b", missing, "c"] * 5, object)
    with pytest.raises(
        DataError, match=r"row 2: expected a value in every row, since data\.split\.group=p; found none"
    ):
        divided(dataset(p=groups), group="p")
    with pytest.raises(DataError, match="row 1: expected a value"):
        divided(dataset(p=np.array([1.0, np.nan, 3.0])), group="p")


def test_an_unknown_column_is_refused_with_the_nearest(divided):
    with pytest.raises(DataError, match=r"data\.split\.group=patent: expected a column.*patient"):
        divided(dataset(patient=np.arange(20)), group="patent")
    with pytest.raises(DataError, match="give the splits yourself"):
        splits.load(Digits(split=SplitOptions(group="writer")))


def test_a_feature_can_be_the_group(divided):
    parts = divided(dataset(rows=30), group="x")
    assert sorted(np.concatenate([*parts.values()])) == list(range(30))


def test_given_splits_that_share_a_group_are_refused(divided):
    groups = np.arange(40) // 4
    whole = dataset(p=groups, given=[("train", range(28)), ("test", range(26, 40))])
    with pytest.raises(DataError, match="found '6' and 0 more in both train and test"):
        divided(whole, group="p")
    whole = dataset(p=groups, given=[("train", range(28)), ("test", range(28, 40))])
    parts = divided(whole, group="p")
    assert not set(groups[parts["train"]]) & set(groups[parts["validation"]])


# ---- time -----------------------------------------------------------------------------------------------------------


def test_training_is_before_validation_before_test(divided):
    times = np.random.default_rng(0).permutation(100) * 0.5
    parts = divided(dataset(when=times), time="when")
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 70, "validation": 10, "test": 20}
    assert times[parts["train"]].max() < times[parts["validation"]].min()
    assert times[parts["validation"]].max() < times[parts["test"]].min()


def test_rows_within_the_gap_are_left_out(divided):
    times = np.arange(100.0)
    parts = divided(dataset(when=times), time="when", gap=3)
    assert parts["train"].tolist() == list(range(67)) and parts["validation"].tolist() == list(range(70, 77))
    assert parts["test"].tolist() == list(range(80, 100))


def test_equal_times_stay_on_one_side_of_a_border(divided):
    times = np.arange(100) // 8
    parts = divided(dataset(when=times), time="when")
    members = [set(times[rows]) for rows in parts.values()]
    assert not (members[0] & members[1] or members[1] & members[2] or members[0] & members[2])
    assert {name: len(rows) for name, rows in parts.items()} == {"train": 72, "validation": 8, "test": 20}


def test_too_few_times_are_refused(divided):
    assert [len(rows) for rows in divided(dataset(when=np.arange(90) % 3), time="when").values()] == [30, 30, 30]
    with pytest.raises(DataError, match=r"data\.split\.time=when: expected at least 3 different times.*found 2\."):
        divided(dataset(when=np.arange(90) % 2), time="when")


def test_a_gap_that_leaves_no_rows_is_refused_by_name(divided):
    with pytest.raises(DataError, match=r"data\.split\.gap=15: expected a gap that leaves rows in the validation"):
        divided(dataset(when=np.arange(100.0)), time="when", gap=15)


def test_row_order_needs_no_column(divided):
    parts = divided(dataset(rows=50), time="row_order", gap=1)
    assert parts["train"].tolist() == list(range(34)) and parts["test"].tolist() == list(range(40, 50))


def test_dates_are_times_and_a_gap_of_dates_is_in_days(divided):
    days = np.datetime64("2024-02-20") + np.arange(40)
    texts = np.array([f"{day}T06:00" for day in days], object)
    for column in (days, texts):
        parts = divided(dataset(when=column), time="when", gap=2)
        assert parts["train"].tolist() == list(range(26)) and parts["test"].tolist() == list(range(32, 40))


@pytest.mark.parametrize("value", ["yesterday", "nan", ""])
def test_a_row_without_a_time_is_refused_by_its_location(divided, value):
    with pytest.raises(DataError, match=r"row 2: expected .*data\.split\.time=when"):
        divided(dataset(when=np.array(["1", "2", value, "4"], object)), time="when")


def test_given_splits_against_the_order_of_time_are_refused(divided):
    whole = dataset(when=np.arange(40.0), given=[("train", range(10, 40)), ("test", range(10))])
    with pytest.raises(DataError, match="expected the train split before the test split"):
        divided(whole, time="when")


def test_group_and_time_exclude_each_other_and_a_gap_needs_a_time():
    with pytest.raises(ConfigError, match="found both, 'a' and 'b'"):
        SplitOptions(group="a", time="b")
    with pytest.raises(ConfigError, match=r"data\.split\.gap=2: expected data\.split\.time"):
        SplitOptions(gap=2)


# ---- where the columns come from ------------------------------------------------------------------------------------


def test_a_csv_column_without_a_role_decides_the_splits(tmp_path):
    groups, ill = patients(20, 5)
    lines = [f"P{group},{row / 7:.3f},{y}" for row, (group, y) in enumerate(zip(groups, ill, strict=True))]
    (tmp_path / "visits.csv").write_text("\n".join(["patient,m0,ill", *lines]))
    data = splits.load(
        Csv(path=f"{tmp_path}/visits.csv", numeric=["m0"], labels=["ill"], split=SplitOptions(group="patient"))
    )
    members = [set(split.keys["patient"]) for split in data.splits.values()]
    assert sum(map(len, members)) == 20 and set(data.spec.features) == {"numeric"}


def test_a_csv_row_without_a_group_is_refused_by_its_line(tmp_path):
    (tmp_path / "visits.csv").write_text("patient,m0,ill\n" + "a,1,0\nNA,2,1\nb,3,0\nc,4,1\n" * 5)
    with pytest.raises(DataError, match=r"visits\.csv, line 3: expected a value in every row"):
        splits.load(
            Csv(path=f"{tmp_path}/visits.csv", numeric=["m0"], labels=["ill"], split=SplitOptions(group="patient"))
        )


def test_a_test_file_need_not_have_the_columns_without_a_role(tmp_path):
    (tmp_path / "a.csv").write_text("id,x,y\n" + "".join(f"{row},{row},{row % 2}\n" for row in range(20)))
    (tmp_path / "b.csv").write_text("x,y\n1,0\n2,1\n")
    data = splits.load(Csv(path=f"{tmp_path}/a.csv", test_path=f"{tmp_path}/b.csv", numeric=["x"], labels=["y"]))
    assert data.rows["test"] == 2


def test_csv_columns_without_a_role_are_kept_if_they_repeat(tmp_path):
    lines = [f"{row},{row % 7},{row / 3},{row % 2}" for row in range(40)]
    (tmp_path / "a.csv").write_text("\n".join(["id,site,x,y", *lines]))
    table = splits.read(Csv(path=f"{tmp_path}/a.csv", numeric=["x"], labels=["y"])).splits["train"]
    assert set(table.keys) == {"site"} and table.keys["site"].tolist() == [str(row % 7) for row in range(40)]


def test_an_npz_array_decides_the_splits(tmp_path):
    groups, ill = patients(20, 5)
    np.savez(tmp_path / "a.npz", x=np.arange(100.0), y=ill, patient=groups, day=np.arange(100))
    data = splits.load(Npz(path=f"{tmp_path}/a.npz", split=SplitOptions(group="patient")))
    assert sum(len(set(split.keys["patient"])) for split in data.splits.values()) == 20
    data = splits.load(Npz(path=f"{tmp_path}/a.npz", split=SplitOptions(time="day", gap=2)))
    assert data.rows == {"train": 68, "validation": 8, "test": 20}
    np.savez(tmp_path / "b.npz", x=np.arange(100.0), y=ill, patient=groups[:50])
    with pytest.raises(DataError, match=r"key column 'patient', \(100,\); found \(50,\)"):
        splits.load(Npz(path=f"{tmp_path}/b.npz", split=SplitOptions(group="patient")))


def test_a_pattern_of_file_names_gives_the_groups_of_images(tmp_path):
    random = np.random.default_rng(0)
    for name in "ab":
        (tmp_path / name).mkdir()
        for patient in range(6):
            for shot in range(2):
                pixels = random.integers(0, 255, (4, 4, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(tmp_path / name / f"{patient}_{shot}.png")
    source = ImageFolder(
        path=str(tmp_path), name_pattern=r"(?P<patient>\d+)_.*", split=SplitOptions(group="patient", validation=0.2)
    )
    members = [set(split.keys["patient"]) for split in splits.load(source).splits.values()]
    assert sum(map(len, members)) == 6
    source.name_pattern = r"(?P<patient>[a-z]+)_.*"
    with pytest.raises(DataError, match=r"0_0\.png: expected a file name that matches data\.name_pattern"):
        splits.load(source)
    with pytest.raises(ConfigError, match=r"data\.name_pattern: expected a regular expression"):
        ImageFolder(path=str(tmp_path), name_pattern="(")


def test_shards_have_no_columns_for_splits(tmp_path):
    data = dataset(p=np.arange(40))
    parts = splits.divide(data, SplitOptions(group="p"))
    write_shards(data.spec, parts, tmp_path / "shards", rows_per_shard=50)
    assert splits.load(TFRecord(path=f"{tmp_path}/shards")).rows == {"train": 28, "validation": 4, "test": 8}
    with pytest.raises(DataError, match=r"data\.split\.group=p: expected a column .*give the splits yourself"):
        splits.load(TFRecord(path=f"{tmp_path}/shards", split=SplitOptions(group="p")))


def test_fingerprint_covers_the_column_of_the_splits_and_no_other():
    one, other = dataset(p=np.arange(8)), dataset(p=np.arange(8) // 2)
    assert fingerprint(one) == fingerprint(other)
    assert fingerprint(one, ["p"]) != fingerprint(other, ["p"]) != fingerprint(other)


def test_many_groups_hold_the_shares_to_within_one_group():
    groups = np.repeat(np.arange(2_000), 5)
    rows = column_splits.assign_groups(groups, groups % 7, SHARES, seed=0, option="")
    assert len(rows["validation"]) == pytest.approx(1_000, abs=5) and len(rows["test"]) == pytest.approx(2_000, abs=5)


# ---- splits by name, and folds --------------------------------------------------------------------------------------


def test_column_names_the_split_of_each_row(divided):
    names = ["train", "Test", "val", "train", "training", "test", "dev", "valid"]
    assert {name: rows.tolist() for name, rows in divided(dataset(part=names), column="part").items()} == {
        "train": [0, 3, 4],
        "validation": [2, 6, 7],
        "test": [1, 5],
    }


def test_split_that_the_column_does_not_name_is_divided_from_training(divided):
    rows = divided(dataset(part=["train"] * 80 + ["test"] * 20), column="part")
    assert rows["test"].tolist() == [*range(80, 100)] and len(rows["validation"]) == 8
    assert sorted(np.concatenate([rows["train"], rows["validation"]])) == [*range(80)]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train", "later", "test"], "row 1: expected one of train, training, .* found 'later'. Rows without .*: 1"),
        (["train", "", "test"], "row 1: expected a value in every row"),
        (["test", "validation", "test"], "expected rows with the value train; found none"),
    ],
)
def test_column_that_does_not_name_splits_is_refused(divided, names, message):
    with pytest.raises(DataError, match=message):
        divided(dataset(part=np.array(names, object)), column="part")


def test_every_row_is_in_the_test_split_of_exactly_one_fold(divided):
    y = np.array([0] * 41 + [1] * 7 + [2] * 2)
    folds = [divided(dataset(y, rows=50), fold=f"{number}/5") for number in range(1, 6)]
    tested = [fold["test"] for fold in folds]
    assert sorted(np.concatenate(tested)) == [*range(50)] and {len(rows) for rows in tested} == {10}
    counts = np.array([np.bincount(y[rows], minlength=3) for rows in tested])
    assert (np.ptp(counts, axis=0) <= 1).all()
    for fold in folds:
        assert sorted(np.concatenate([*fold.values()])) == [*range(50)] and fold["validation"].size


def test_folds_of_groups_keep_them_together(divided):
    groups, ill = patients()
    folds = [divided(dataset(ill, patient=groups), fold=f"{number}/4", group="patient") for number in range(1, 5)]
    assert sorted(np.concatenate([fold["test"] for fold in folds])) == [*range(600)]
    for fold in folds:
        splits_of_groups = [set(groups[rows]) for rows in fold.values()]
        assert sum(map(len, splits_of_groups)) == 60


@pytest.mark.parametrize("options", [{"fold": "0/5"}, {"fold": "6/5"}, {"fold": "1"}, {"fold": "1/1"}, {"fold": "a/b"}])
def test_fold_of_another_form_is_refused(options):
    with pytest.raises(ConfigError, match="expected k/n with k from 1 to n and at least two folds"):
        SplitOptions(**options).check()


@pytest.mark.parametrize("options", [{"time": "t"}, {"column": "c"}])
def test_folds_with_splits_of_another_kind_are_refused(options):
    with pytest.raises(ConfigError, match="expected no other option that divides rows"):
        SplitOptions(fold="1/5", **options).check()


@pytest.mark.parametrize("options", [{"fold": "1/5"}, {"column": "part"}])
def test_data_with_splits_of_its_own_has_no_folds_and_no_column_of_splits(divided, options):
    data = dataset(rows=10, given=[("train", range(8)), ("test", [8, 9])])
    with pytest.raises(DataError, match="expected data without splits of its own; found train, test in file"):
        divided(data, **options)


def test_more_folds_than_rows_are_refused(divided):
    with pytest.raises(DataError, match="at most one fold per row; found 3 rows"):
        divided(dataset(rows=3), fold="1/4")


def test_column_of_a_csv_names_its_splits(tmp_path):
    path = tmp_path / "rows.csv"
    lines = [f"{row % 7},{row % 2},{'test' if row >= 30 else 'train'}" for row in range(40)]
    path.write_text("\n".join(["x,label,part", *lines]) + "\n")
    data = splits.load(Csv(path=str(path), numeric=["*"], split=SplitOptions(column="part")))
    assert data.rows == {"train": 26, "validation": 4, "test": 10}


def test_new_rows_need_no_column_that_decided_the_splits_of_training(tmp_path):
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    old.write_text("x,label,patient\n" + "".join(f"{row},{row % 2},{row // 3}\n" for row in range(60)))
    new.write_text("x,label\n1,0\n2,1\n")
    options = {"numeric": ["x"], "split": SplitOptions(group="patient")}
    trained = splits.load(Csv(path=str(old), **options)).spec
    data = splits.read_matching(Csv(path=str(new), **options), trained)
    assert len(data.split("all")) == 2
    with pytest.raises(DataError, match=r"data\.split\.group=patient: expected a column of .*new\.csv for the splits"):
        data.split("test")
