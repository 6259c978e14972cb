"""The command line: help and error messages, given before TensorFlow is imported."""

import re
import subprocess
import sys

import pytest

from pipeline.cli.main import COMMANDS, main


def pipeline(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60
    )


def test_help_lists_every_command_and_the_exit_statuses():
    answer = pipeline("--help")
    assert answer.returncode == 0
    for expected in (*COMMANDS, "exit status", "75"):
        assert expected in answer.stdout


def test_help_of_a_command_shows_the_options_of_the_chosen_model():
    answer = pipeline("train", "model=gru", "--help")
    assert answer.returncode == 0
    assert "model.recurrent_activation = sigmoid" in answer.stdout
    assert "model.filters" not in answer.stdout


@pytest.mark.parametrize("command", ["runs", "drift", "golden", "qualify", "doctor"])
def test_help_shows_the_json_flag_of_a_command(command, capsys):
    assert main([command, "--help"]) == 0
    assert re.match(rf"usage: python -m pipeline {command}.* \[--json\]", capsys.readouterr().out)


def test_help_works_without_required_values():
    answer = pipeline("train", "data=idx", "--help")
    assert answer.returncode == 0
    assert "data.path = ''" in answer.stdout


def test_wrong_config_is_refused_without_importing_numpy_or_tensorflow():
    code = (
        "import sys; from pipeline.cli.main import main; status = main(['train', 'training.epohcs=1']);"
        "assert not {'numpy._core', 'tensorflow.python', 'keras.src'} & {*sys.modules}; sys.exit(status)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2, answer.stderr
    assert "Did you mean training.epochs" in answer.stderr


WRONG = {
    "a misspelt command": (["trian"], "Did you mean train?"),
    "a misspelt key": (["train", "training.epohcs=3"], "Did you mean training.epochs"),
    "a misspelt choice": (["train", "model=ccn"], "Did you mean cnn?"),
    "a misspelt group": (["train", "modle=cnn"], "Did you mean model?"),
    "a misspelt value": (["train", "device=gppu"], "Did you mean gpu"),
    "a misspelt experiment": (["train", "experiment=mnist_convnt"], "Did you mean mnist_convnet?"),
    "incompatible choices": (["train", "experiment=digits_gan", "objective=supervised"], "critic_optimizer"),
    "a key of another model": (["train", "model.filters=[8]"], "It belongs to model=cnn and model=residual_cnn"),
    "a key that + adds": (["train", "+training.epochz=3"], "Did you mean training.epochs"),
    "a removed key": (["train", "~model"], "cannot be removed"),
    "text instead of a number": (["train", "training.epochs=many"], "training.epochs"),
    "a number out of range": (["train", "training.epochs=0"], "expected a number from 1 to 1,000,000; found 0"),
    "a share that is not a number": (["train", "data.split.test=nan"], "data.split.test"),
    "splits that leave nothing": (["train", "data.split.test=0.5", "data.split.validation=0.5"], "leaves no row"),
    "a missing path": (["train", "data=idx"], "data.path"),
    "an open bracket": (["train", "model.hidden=[1"], "Expected KEY=VALUE"),
    "an argument without =": (["train", "fast"], "Expected KEY=VALUE"),
    "an unknown flag": (["train", "--fast"], "there is no such option"),
    "a sweep": (["train", "--multirun", "seed=1,2"], "sweeps are not supported"),
    "a run name that leaves the folder": (["train", "run.name=../x"], "run.name"),
    "a Keras object without a class": (["train", "objective.loss={config: {}}"], "class_name"),
    "a column named twice": (["train", "data=csv", "data.path=x", "data.numeric=[a,a]"], "more than once"),
    "a value without a key": (["train", "=3"], "found no key"),
    "a choice that is a number": (["train", "model=3"], "expected the name of a choice. Known: cnn"),
    "a choice that is null": (["train", "data=null"], "expected the name of a choice. Known: csv"),
    "a list in place of a dict": (
        ["train", "data=csv", "data.path=x", "data.multi_label_columns=[a]"],
        "expected 'data.multi_label_columns={NAME: VALUE}'",
    ),
    "a NUL character": (["train", "data=npz", "data.path=a\0b"], "without NUL characters"),
    "a name longer than a file system allows": (["train", f"run.name={'日' * 100}"], "at most 200 bytes"),
    "a run named as a page": (["train", "run.name=drift.html"], "drift."),
    "a port that is no number": (["train", "registry.url=postgresql://a@b:c/d"], "registry.url"),
    "a database without a file": (["train", "registry.url=sqlite:///"], "registry.url"),
    "a layer that fills the memory": (
        ["train", "model=layers", "model.layers=[{class_name: Dense, config: {units: 1000000000}}]"],
        "expected units of at most 1,000,000",
    ),
    "a run that does not exist": (["evaluate", "run.name=no-such-run"], "no-such-run"),
    "no run named": (["evaluate"], "run.name"),
    "a file as the folder of the runs": (["runs", f"run.root={__file__}"], "expected a folder"),
    "a name that controls the terminal": (["evaluate", "run.name=a\x1b]0;b\x07"], r"a\x1b]0;b\x07"),
}


@pytest.mark.parametrize("arguments, expected", WRONG.values(), ids=WRONG.keys())
def test_wrong_command_line_gives_one_short_message_and_status_2(arguments, expected, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert expected in message
    assert message.startswith("error: ") and "Traceback" not in message
    assert len(message.splitlines()) <= 3


def test_wrong_command_line_writes_no_file(tmp_path):
    answer = pipeline("train", "training.epochs=0", "run.name=x", cwd=tmp_path)
    assert answer.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_unwritable_folder_gives_a_short_message_and_status_2(capsys):
    assert main(["runs", "page", "run.root=/sys/runs"]) == 2  # not even by root
    message = capsys.readouterr().err
    assert message.startswith("error: ") and "/sys/runs" in message and "Traceback" not in message


def test_help_of_runs_shows_its_own_options_only(capsys):
    assert main(["runs", "--help"]) == 0
    page = capsys.readouterr().out
    for key in ("runs.sort", "runs.limit", "run.root", "registry.url"):
        assert f"{key} = " in page
    for key in ("training.epochs", "model.hidden", "run.grace", "seed"):
        assert f"{key} = " not in page
    assert len(page.splitlines()) < 50


def test_help_of_an_option_shows_type_range_and_choices(capsys):
    assert main(["train", "--help"]) == 0
    page = capsys.readouterr().out
    assert "training.epochs = 30   (int from 1 to 1,000,000)" in page
    assert "determinism = strict   (one of strict, relaxed)" in page
    assert "run.root = runs   (path)" in page
