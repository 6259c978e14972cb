"""The files and output of the commands, on one real run that all tests share."""

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli.main import main

PROJECT = Path(__file__).parents[2]


def pipeline(*arguments, cwd):
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment,
        timeout=300,
    )


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A working directory with one finished run, `first`, and what the command said."""
    folder = tmp_path_factory.mktemp("workplace")
    answer = pipeline("train", "run.name=first", "training.epochs=3", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    return folder, answer.stdout


@pytest.fixture(scope="module")
def finished(workplace):
    return workplace[0] / "runs" / "first"


def test_run_writes_every_documented_file(finished):
    for name in (
        *("config.yaml", "environment.json", "metrics.jsonl", "model.keras", "model.keras.sha256"),
        *(
            "predictions.csv.gz",
            "result.json",
            "report.html",
            "run.log",
            "summary.txt",
            "architecture.json",
            "spec.json",
        ),
    ):
        assert (finished / name).stat().st_size > 0, name
    for name in ("checkpoints", "plots", "tensorboard"):
        assert any((finished / name).iterdir()), name


def test_run_leaves_no_temporary_file(finished):
    assert [path for path in finished.rglob("*") if "partial" in path.name] == []


def test_train_prints_scores_paths_and_the_next_command(workplace):
    folder, said = workplace
    tail = said.splitlines()[-20:]
    for word in (
        "accuracy",
        "weights  ",
        "report   runs/first/report.html",
        "model    runs/first/model.keras",
        "next ",
    ):
        assert any(word in line for line in tail), word
    assert (folder / "runs/first/report.html").exists()


def test_output_without_a_terminal_has_one_plain_line_per_epoch(workplace):
    said = workplace[1]
    assert "\r" not in said and "\x1b" not in said and "\b" not in said
    assert said.count("val_loss") == 3


def test_result_holds_the_printed_scores(workplace):
    folder, said = workplace
    result = json.loads((folder / "runs/first/result.json").read_text())
    assert result["status"] == "finished"
    assert f"weights  {result['weights_digest']}" in said
    score = result["metrics"]["digit"]["accuracy"]
    assert score["low"] <= score["value"] <= score["high"]
    assert f"{score['value']:.4f}" in said


def test_saved_model_takes_raw_input_and_gives_the_stored_predictions(finished):
    import keras
    import numpy as np

    from pipeline.cli import compose as composition
    from pipeline.data import splits

    data = splits.load(composition.compose([]).data)
    model = keras.saving.load_model(finished / "model.keras")
    predicted = np.argmax(model.predict(data.test.features["image"], verbose=0), axis=-1)
    with gzip.open(finished / "predictions.csv.gz", "rt") as file:
        kept = [line.split(",")[3] for line in file.read().splitlines()[1:]]
    assert kept == [str(digit) for digit in predicted]


def test_model_file_has_its_digest_beside_it(finished):
    digest, name = (finished / "model.keras.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256((finished / "model.keras").read_bytes()).hexdigest(), "model.keras")


def test_finished_run_is_not_changed_by_another_start(workplace, answer):
    folder, _ = workplace
    before = {path: path.stat().st_mtime_ns for path in (folder / "runs/first").rglob("*")}
    status, said, _ = answer(folder, "train", "run.name=first", "training.epochs=3")
    assert (status, "finished already" in said) == (0, True)
    assert {path: path.stat().st_mtime_ns for path in (folder / "runs/first").rglob("*")} == before


def test_another_config_under_the_same_name_is_refused_with_the_differences(workplace, answer):
    folder, _ = workplace
    status, _, told = answer(folder, "train", "run.name=first", "training.batch_size=32")
    assert status == 2
    assert "training.batch_size: 64 then, 32 now" in told


def test_evaluate_gives_the_scores_that_train_gave(workplace, answer):
    folder, _ = workplace
    status, _, told = answer(folder, "evaluate", "run.name=first")
    assert status == 0, told
    trained = json.loads((folder / "runs/first/result.json").read_text())
    (again,) = (folder / "runs/first/evaluations").glob("test-*/result.json")
    assert json.loads(again.read_text())["metrics"] == trained["metrics"]
    assert (again.parent / "report.html").exists()


def test_evaluate_takes_other_data_of_the_same_form(workplace, answer):
    import numpy as np

    folder, _ = workplace
    rows = np.random.default_rng(0)
    np.savez(
        folder / "other.npz",
        image=rows.integers(0, 17, (50, 8, 8, 1)).astype(np.uint8),
        digit=np.arange(50) % 10,
    )
    other = ("data=npz", "data.path=other.npz", "data.features=[image]", "data.labels=[digit]")
    status, said, told = answer(folder, "evaluate", "run.name=first", *other, "evaluation.split=all")
    assert status == 0, told
    assert "digit: 50 rows" in said


@pytest.mark.parametrize("told, status", [("refuse", 2), ("accept", 0)])
def test_evaluate_accepts_unknown_categories_only_if_configured(tmp_path, capsys, told, status):
    for name, cities in (("known.csv", "abc"), ("new.csv", "abZ")):
        rows = [f"{cities[number % 3]},{number},so so,{'yes' if number % 2 else 'no'}" for number in range(60)]
        (tmp_path / name).write_text("\n".join(["city,age,review,bought", *rows]) + "\n")
    here = [f"run.root={tmp_path}", "run.name=shop", "registry.url=none"]
    columns = ["data.categorical=[city]", "data.numeric=[age]", "data.text=[review]", "data.labels=[bought]"]
    data = ["data=csv", f"data.path={tmp_path}/known.csv", *columns]
    tiny = ["model=tabular", "training.epochs=1", "training.tensorboard=false"]
    assert main(["train", *here, *data, *tiny]) == 0
    other = [f"data.path={tmp_path}/new.csv", "evaluation.split=all", f"data.unknown_categories={told}"]
    assert main(["evaluate", *here, *other]) == status
    assert ("new.csv, line 4, column 'city'" in capsys.readouterr().err) == (status == 2)


def test_evaluate_refuses_data_of_another_form(workplace, answer):
    folder, _ = workplace
    status, _, told = answer(folder, "evaluate", "run.name=first", "data=japanese_vowels")
    assert status == 2 and "utterance" in told


def test_evaluate_refuses_a_changed_model_file(workplace, tmp_path, answer):
    folder, _ = workplace
    shutil.copytree(folder / "runs/first", tmp_path / "runs/first")
    with (tmp_path / "runs/first/model.keras").open("ab") as file:
        file.write(b"x")
    status, _, told = answer(tmp_path, "evaluate", "run.name=first")
    assert status == 2 and "model.keras: expected sha256" in told


def test_runs_lists_runs_and_survives_a_damaged_one(workplace, tmp_path, capsys):
    from pipeline.cli import compose as composition
    from pipeline.commands import Invocation, runs

    shutil.copytree(workplace[0] / "runs/first", tmp_path / "first")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken/result.json").write_text("{")
    (tmp_path / "broken/environment.json").write_text("{")
    config = composition.compose([f"run.root={tmp_path}"])
    assert runs.run(config, Invocation()) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "finished" in lines["first"] and "digit accuracy 0." in lines["first"]
    assert "damaged" in lines["broken"]


def test_runs_without_runs_names_the_command_that_starts_the_first(tmp_path, capsys):
    from pipeline.cli import compose as composition
    from pipeline.commands import Invocation, runs

    assert runs.run(composition.compose([f"run.root={tmp_path}"]), Invocation()) == 0
    assert "make train" in capsys.readouterr().out


@pytest.mark.slow
def test_shards_train_like_their_data_set(workplace):
    folder, _ = workplace
    written = pipeline("shards", "shards.path=digits-shards", "shards.rows=500", cwd=folder)
    assert written.returncode == 0, written.stderr
    answer = pipeline("train", "data=tfrecord", "data.path=digits-shards", "training.epochs=3", cwd=folder)
    assert answer.returncode == 0, answer.stderr
    result = json.loads((folder / "runs/tfrecord-mlp-1/result.json").read_text())
    assert result["rows"] == {"train": 1258, "validation": 179, "test": 360}
    assert result["metrics"]["digit"]["accuracy"]["value"] > 0.6
    again = pipeline("shards", "data=tfrecord", "data.path=digits-shards", "shards.path=again", cwd=folder)
    assert again.returncode == 2 and "not written as shards yet" in again.stderr


def test_wrong_data_leaves_no_run(tmp_path, answer):
    (tmp_path / "train.csv").write_text("a,label\n1,x\n2,y\nthree,x\n")
    status, _, told = answer(tmp_path, "train", "data=csv", "data.path=train.csv", "data.numeric=[a]", "model=tabular")
    assert status == 2 and "train.csv, line 4" in told
    assert not (tmp_path / "runs").exists()
