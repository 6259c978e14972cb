"""evaluate, drift and compare on data that a run was trained on in part: those rows are counted and left out."""

import json
import shlex
import shutil

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.data import splits
from pipeline.data.sources.csv import Csv

LINES = 400
GROWTH = 60


def lines(count, seed):
    """Rows of noise: a model can only know their labels by heart."""
    random = np.random.default_rng(seed)
    values, labels = random.normal(size=(count, 4)).round(4), random.integers(0, 2, count)
    return [",".join(map(str, [*row, "yes" if label else "no"])) for row, label in zip(values, labels, strict=True)]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a run on before.csv, and grown.csv, which holds its rows and others."""
    folder = tmp_path_factory.mktemp("grown")
    header, before, added = "a,b,c,d,y", lines(LINES, 0), lines(GROWTH, 1)
    (folder / "before.csv").write_text("\n".join([header, *before]))
    (folder / "grown.csv").write_text("\n".join([header, *added, *before]))
    (folder / "new.csv").write_text("\n".join([header, *added]))
    assert main(train(folder, "mine")) == 0
    return folder


def train(folder, name):
    return [
        "train", f"run.name={name}", f"run.root={folder}/runs", "data=csv", f"data.path={folder}/before.csv",
        "data.numeric=[a,b,c,d]", "data.labels=[y]", "model=tabular", "training.epochs=1", "training.tensorboard=false",
        "preflight.ignore=[few-steps]",
    ]  # fmt: skip


@pytest.fixture
def answer(workplace, capsys):
    """A function of a command and options on the run: (exit status, stdout, stderr)."""

    def call(command, *options):
        capsys.readouterr()
        path = (
            [] if any(option.startswith("data.path=") for option in options) else [f"data.path={workplace}/before.csv"]
        )
        status = main([command, "run.name=mine", f"run.root={workplace}/runs", *path, *options])
        return status, *capsys.readouterr()

    return call


def stored(workplace, split):
    (result,) = sorted((workplace / "runs/mine/evaluations").glob(f"{split}-*/result.json"))
    return json.loads(result.read_text())


def test_own_test_split_is_scored_as_it_was(workplace, answer):
    status, _, said = answer("evaluate")
    assert status == 0 and "was trained on" not in said
    trained, again = json.loads((workplace / "runs/mine/result.json").read_text()), stored(workplace, "test")
    assert again["metrics"] == trained["metrics"] and again["rows"] == 80 and again["trained_rows"] == []
    for path in (workplace / "runs/mine/evaluations").glob("test-*/result.json"):
        path.unlink()


def test_trained_rows_of_a_grown_file_are_left_out(workplace, answer):
    status, _, said = answer("evaluate", f"data.path={workplace}/grown.csv", "evaluation.split=all")
    assert status == 0 and "mine was trained on 280 of 460 rows; they are left out." in said
    assert "40 rows were in its validation split" in said
    assert stored(workplace, "all")["rows"] == 180
    page = next((workplace / "runs/mine/evaluations").glob("all-*/report.html")).read_text()
    assert "trained on 280 of 460 rows" in page


def test_trained_rows_are_scored_if_asked_for(workplace, answer):
    status, _, said = answer(
        "evaluate", f"data.path={workplace}/grown.csv", "evaluation.split=all", "evaluation.trained_rows=keep"
    )
    assert status == 0 and "mine was trained on 280 of 460 rows; they are kept." in said
    assert stored(workplace, "all")["rows"] == 460


def test_the_test_split_of_a_grown_file_is_cut_anew_and_cleared_of_trained_rows(answer, workplace):
    status, _, said = answer("evaluate", f"data.path={workplace}/grown.csv", "evaluation.split=test")
    assert status == 0 and "of 92 rows; they are left out." in said


def test_another_cut_of_the_own_file_is_cleared_of_trained_rows(answer):
    status, _, said = answer("evaluate", "data.split.seed=7")
    assert status == 0 and "of 80 rows; they are left out." in said


def test_the_train_split_is_scored_since_its_name_asks_for_it(answer):
    status, _, said = answer("evaluate", "evaluation.split=train")
    assert status == 0 and "mine was trained on 280 of 280 rows; they are kept." in said


def test_rows_that_were_all_trained_on_are_refused(answer, workplace):
    rows = (workplace / "before.csv").read_text().splitlines()
    data = splits.load(Csv(path=f"{workplace}/before.csv", numeric=["a", "b", "c", "d"], labels=["y"]))
    kept = [int(data.train.row_location(row).rpartition(" ")[2]) for row in range(50)]
    (workplace / "known.csv").write_text("\n".join([rows[0], *(rows[line - 1] for line in kept)]))
    status, _, said = answer("evaluate", f"data.path={workplace}/known.csv", "evaluation.split=all")
    assert status == 2 and "expected rows that it was not trained on; found all 50" in said
    remedy = "evaluation.trained_rows=keep"
    assert remedy in said
    assert answer("evaluate", f"data.path={workplace}/known.csv", "evaluation.split=all", remedy)[0] == 0


def test_drift_holds_out_the_rows_of_the_training(answer, workplace):
    status, _, noted = answer("drift", f"data.path={workplace}/grown.csv")
    assert status in (0, 4, 5) and "mine was trained on 280 of 460 rows; they are left out." in noted
    _, _, noted = answer("drift", f"data.path={workplace}/new.csv")
    assert "was trained on" not in noted


def test_other_data_is_evaluated_whole_and_the_first_line_names_its_rows(answer, workplace):
    status, said, _ = answer("evaluate", f"data.path={workplace}/new.csv")
    assert status == 0 and said.splitlines()[0] == f"60 rows: all rows of {workplace}/new.csv"
    _, said, _ = answer("evaluate", f"data.path={workplace}/grown.csv")
    assert said.splitlines()[0] == f"180 of 460 rows: all rows of {workplace}/grown.csv"
    _, said, _ = answer("evaluate", f"data.path={workplace}/new.csv", "evaluation.split=test")
    assert said.splitlines()[0] == f"12 rows: the test split of {workplace}/new.csv"


def test_own_data_is_evaluated_on_its_test_split_wherever_it_lies(answer, workplace, tmp_path):
    shutil.copy(workplace / "before.csv", tmp_path / "moved.csv")
    for command in ("evaluate", "drift"):
        status, said, _ = answer(command, f"data.path={tmp_path}/moved.csv")
        first = f"80 rows: the test split of {tmp_path}/moved.csv, the data that mine was trained on"
        assert status in (0, 5) and said.splitlines()[0] == first


def test_other_data_with_splits_of_its_own_is_evaluated_on_its_test_split(answer, workplace):
    path = f"data.path={workplace}/grown.csv"
    status, said, _ = answer("evaluate", path, f"data.test_path={workplace}/new.csv")
    assert status == 0 and said.splitlines()[0] == f"60 rows: the test split of {workplace}/new.csv"
    status, _, said = answer("evaluate", path, f"data.validation_path={workplace}/new.csv")
    assert status == 2 and "found train and validation. Choose one of them: evaluation.split=validation" in said


@pytest.mark.slow
def test_the_test_file_of_the_training_is_not_taken_for_new_data(workplace, capsys):
    assert main([*train(workplace, "tested"), f"data.test_path={workplace}/new.csv"]) == 0
    (workplace / "newer.csv").write_text("\n".join(["a,b,c,d,y", *lines(30, 2)]))
    own = [f"data.path={workplace}/before.csv", f"data.test_path={workplace}/new.csv"]
    for paths, rows in (
        ([f"data.path={workplace}/newer.csv"], "30 rows: all rows"),
        (own, "60 rows: the test split"),
    ):
        capsys.readouterr()
        arguments = ["run.name=tested", f"run.root={workplace}/runs", *paths]
        assert main(["evaluate", *arguments]) == 0
        assert capsys.readouterr().out.startswith(rows)


def test_drift_of_the_training_rows_with_themselves_is_refused(answer):
    for options in (["drift.split=train"], ["drift.split=all", "evaluation.trained_rows=keep"]):
        status, _, said = answer("drift", *options)
        assert status == 2 and "expected rows that mine was not trained on" in said
    status, said, note = answer("drift", "drift.split=test")
    assert status == 5 and "input:" in said and "prediction:" not in said and "are the reference" in note
    _, said, _ = answer("drift", "drift.split=validation")
    assert "prediction:" in said


def test_a_run_without_digests_says_that_it_is_unknown(answer, workplace):
    names = [workplace / "runs/mine" / name for name in ("rows.npz", "rows.npz.sha256")]
    for path in names:
        path.rename(path.with_suffix(path.suffix + "~"))
    try:
        status, _, said = answer("evaluate", f"data.path={workplace}/grown.csv", "evaluation.split=all")
    finally:
        for path in names:
            path.with_suffix(path.suffix + "~").rename(path)
    assert status == 0 and "Whether mine was trained on these rows is unknown" in said


@pytest.mark.slow
def test_compare_and_drift_of_runs_with_other_splits_say_which_rows_they_share(workplace, answer, capsys):
    assert main([*train(workplace, "other"), "data.split.seed=5"]) == 0
    capsys.readouterr()
    assert main(["runs", "compare", "mine", "other", f"run.root={workplace}/runs"]) == 0
    said = capsys.readouterr().out
    (line,) = [line for line in said.splitlines() if line.startswith("other was trained on")]
    count = int(line.split()[4])
    assert 40 < count < 70 and "of the 80 test rows of mine" in line
    command = shlex.split(line.partition("python -m pipeline ")[2])
    assert main([*command, f"run.root={workplace}/runs"]) in (0, 4, 5)
    assert f"other was trained on {count} of 80 rows; they are left out." in capsys.readouterr().err
