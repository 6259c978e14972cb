"""The door: what the command line answers before TensorFlow is ever imported, as a user sees it."""

import re
import subprocess
import sys

import pytest

from pipeline import stored_config
from pipeline.cli import compose as composition
from pipeline.cli.main import COMMANDS, main
from pipeline.config import Config
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError, RunError
from pipeline.members import members
from pipeline.models.cnn import Cnn
from pipeline.options import CHOICE_GROUPS


def pipeline(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, cwd=cwd, timeout=60
    )


def test_help_lists_every_command_and_the_exit_statuses():
    answer = pipeline("--help")
    assert answer.returncode == 0
    for word in (*COMMANDS, "exit status", "75"):
        assert word in answer.stdout


def test_help_of_a_command_shows_the_knobs_of_the_model_that_was_chosen():
    answer = pipeline("train", "model=gru", "--help")
    assert answer.returncode == 0
    assert "model.recurrent_activation = sigmoid" in answer.stdout
    assert "model.filters" not in answer.stdout


@pytest.mark.parametrize("command", ["runs", "drift", "golden", "qualify", "doctor"])
def test_help_of_a_command_that_knows_json_says_so(command, capsys):
    assert main([command, "--help"]) == 0
    assert re.match(rf"usage: python -m pipeline {command}.* \[--json\]", capsys.readouterr().out)


def test_help_needs_no_value_that_only_a_run_needs():
    answer = pipeline("train", "data=idx", "--help")
    assert answer.returncode == 0
    assert "data.path = ''" in answer.stdout


def test_a_bad_config_is_answered_without_importing_tensorflow():
    code = (
        "import sys; from pipeline.cli.main import main; status = main(['train', 'training.epohcs=1']);"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules; sys.exit(status)"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer.returncode == 2, answer.stderr
    assert "Did you mean training.epochs" in answer.stderr


WRONG = {
    "a misspelt command": (["trian"], "Did you mean train?"),
    "a misspelt key": (["train", "training.epohcs=3"], "Did you mean training.epochs"),
    "a misspelt choice": (["train", "model=ccn"], "Did you mean cnn?"),
    "a misspelt group": (["train", "modle=cnn"], "Did you mean model?"),
    "a misspelt word": (["train", "device=gppu"], "Did you mean gpu"),
    "a misspelt experiment": (["train", "experiment=mnist_convnt"], "Did you mean mnist_convnet?"),
    "choices that do not go together": (["train", "experiment=digits_gan", "objective=supervised"], "critic_optimizer"),
    "a key of another model": (["train", "model.filters=[8]"], "It belongs to model=cnn and model=residual_cnn"),
    "a key that + adds": (["train", "+training.epochz=3"], "Did you mean training.epochs"),
    "a key taken away": (["train", "~model"], "cannot be removed"),
    "a word for a number": (["train", "training.epochs=many"], "training.epochs"),
    "a number out of range": (["train", "training.epochs=0"], "expected a number of at least 1; found 0"),
    "a share that is no number": (["train", "data.split.test=nan"], "data.split.test"),
    "splits that leave nothing": (["train", "data.split.test=0.5", "data.split.validation=0.5"], "leave no row"),
    "a path left out": (["train", "data=idx"], "data.path"),
    "brackets left open": (["train", "model.hidden=[1"], "Expected KEY=VALUE"),
    "a word that is no KEY=VALUE": (["train", "fast"], "Expected KEY=VALUE"),
    "an option of other programs": (["train", "--fast"], "there is no such option"),
    "a sweep": (["train", "--multirun", "seed=1,2"], "sweeps are not built"),
    "a run name that leaves the folder": (["train", "run.name=../x"], "run.name"),
    "a Keras object without a class": (["train", "objective.loss={config: {}}"], "class_name"),
    "a column named twice": (["train", "data=csv", "data.path=x", "data.numeric=[a,a]"], "more than once"),
    "a run that is not there": (["evaluate", "run.name=no-such-run"], "no-such-run"),
    "no run named": (["evaluate"], "run.name"),
}


@pytest.mark.parametrize("arguments, said", WRONG.values(), ids=WRONG.keys())
def test_a_mistake_is_one_short_message_and_status_2(arguments, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    message = capsys.readouterr().err
    assert said in message
    assert message.startswith("error: ") and "Traceback" not in message
    assert len(message.splitlines()) <= 3


def test_a_mistake_leaves_nothing_behind(tmp_path):
    answer = pipeline("train", "training.epochs=0", "run.name=x", cwd=tmp_path)
    assert answer.returncode != 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_to_is_a_short_message_and_status_2(capsys):
    assert main(["runs", "page", "run.root=/sys/runs"]) == 2  # not even by root
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "/sys/runs" in said and "Traceback" not in said


def test_every_preset_of_every_group_composes():
    needed = {"idx": "data.path=x", "npz": "data.path=x", "tfrecord": "data.path=x", "image_folder": "data.path=x"}
    for group in (*composition.PRESET_GROUPS, "experiment"):
        for name in composition.choices(group):
            extra = ["data.path=x", "data.numeric=[a]"] if name == "csv" else [needed[name]] if name in needed else []
            extra += ["data.path=x"] if name == "mnist_convnet" else []
            assert isinstance(composition.compose([f"{group}={name}", *extra]), Config)


def test_every_preset_opens_with_a_comment():
    for group in (*composition.PRESET_GROUPS, "experiment"):
        for name, comment in composition.choices(group).items():
            assert comment, f"configs/{group}/{name}.yaml"


def test_a_config_comes_back_from_the_yaml_of_its_run(tmp_path):
    written = composition.compose(["data=japanese_vowels", "model=gru", "optimizer=adam_cosine", "seed=7"])
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(written))
    assert composition.stored(tmp_path / "config.yaml", []) == written


def test_another_data_set_takes_the_place_of_the_stored_one(tmp_path):
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(composition.compose(["model=cnn", "seed=7"])))
    changed = composition.stored(tmp_path / "config.yaml", ["data=npz", "data.path=other.npz"])
    assert (type(changed.data), changed.data.path) == (Npz, "other.npz")
    assert (type(changed.model), changed.seed) == (Cnn, 7)


def test_a_stored_run_keeps_its_model(tmp_path):
    (tmp_path / "config.yaml").write_text(stored_config.to_yaml(composition.compose([])))
    with pytest.raises(ConfigError, match="keeps its model"):
        composition.stored(tmp_path / "config.yaml", ["model=cnn"])


def test_a_file_that_is_no_config_of_a_run_is_refused(tmp_path):
    (tmp_path / "config.yaml").write_text("just: a file\n")
    with pytest.raises(RunError, match="expected the config"):
        composition.stored(tmp_path / "config.yaml", [])


def test_one_optimizer_replaces_another_whole():
    assert "epsilon" not in composition.compose(["optimizer=sgd"]).optimizer.config


def test_the_config_reference_is_current(pytestconfig):
    from pipeline.cli import help as reference

    assert (pytestconfig.rootpath / "docs" / "config.md").read_text() == reference.markdown(), "run `make docs`"


def test_the_reference_names_every_knob():
    from dataclasses import fields

    from pipeline.cli import help as reference

    page = reference.markdown()
    for group in CHOICE_GROUPS:
        for member in members(group).values():
            for item in fields(member):
                assert re.search(rf"`{group}\.{item.name}[.`]", page), f"{group}.{item.name}"
