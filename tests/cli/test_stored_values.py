"""A stored config may come from anyone: what it may set, and what only the caller of a command sets."""

import logging
import shlex

import pytest

from pipeline import stored_config
from pipeline.cli import compose as composition
from pipeline.errors import ConfigError, RunError

URL = "postgresql://them@db.example:5432/runs"
CSV = ["data=csv", "data.path=/theirs/train.csv", "data.test_path=/theirs/test.csv", "data.numeric=[a]", "seed=7"]


def write(folder, *overrides, **texts):
    """Write a config.yaml, in which some texts are replaced afterwards."""
    text = stored_config.to_yaml(composition.compose(list(overrides)))
    for old, new in texts.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "config.yaml").write_text(text)


def test_values_that_decide_the_result_are_refused_until_the_caller_sets_them(tmp_path, stored):
    write(tmp_path, "hardware.threads=64", "hardware.tf32=true")
    with pytest.raises(ConfigError, match=r"expected hardware.tf32, hardware.threads in the command") as error:
        stored(tmp_path)
    arguments = shlex.split(str(error.value).rpartition("add: ")[2])
    assert stored_config.to_yaml(stored(tmp_path, *arguments)) == (tmp_path / "config.yaml").read_text()


def test_values_of_the_caller_are_used_instead_of_the_stored_ones_which_are_shown(tmp_path, caplog, stored):
    write(
        tmp_path,
        f"registry.url={URL}",
        "registry.password_file=/theirs/.netrc",
        "registry.patience=3600.0",
        "hardware.gpus=[3]",
        "environment.allow_drift=true",
        "predict.output=/theirs/.profile",
        "golden.file=/theirs/.profile",
        "qualify.candidate=/theirs/lock.txt",
    )
    logging.getLogger("pipeline").addHandler(caplog.handler)
    used = stored(tmp_path)
    logging.getLogger("pipeline").removeHandler(caplog.handler)
    assert used == composition.compose([])
    arguments = shlex.split(caplog.text.rpartition("add: ")[2])
    assert len(arguments) == 8
    assert stored_config.to_yaml(stored(tmp_path, *arguments)) == (tmp_path / "config.yaml").read_text()


def test_the_paths_of_the_training_are_named_as_arguments_that_can_be_pasted(tmp_path, stored):
    write(tmp_path, *CSV)
    with pytest.raises(ConfigError) as error:
        stored(tmp_path)
    arguments = shlex.split(str(error.value).rpartition("add: ")[2])
    assert arguments == ["data.path=/theirs/train.csv", "data.test_path=/theirs/test.csv"]
    assert stored(tmp_path, *arguments).data.test_path == "/theirs/test.csv"


def test_another_data_file_leaves_out_the_other_files_of_the_training(tmp_path, stored):
    write(tmp_path, *CSV)
    changed = stored(tmp_path, "data.path=/mine/new.csv")
    assert (changed.data.path, changed.data.test_path, changed.data.numeric) == ("/mine/new.csv", "", ["a"])


def test_the_folder_of_runs_and_the_name_are_those_of_the_caller(tmp_path, stored):
    write(tmp_path, "run.root=/theirs", "run.name=other")
    assert stored(tmp_path, "run.root=/mine", "run.name=a").run.root == "/mine"


def test_the_registry_of_the_caller_is_used(tmp_path, stored):
    write(tmp_path, f"registry.url={URL}")
    assert stored(tmp_path, "registry.url=none").registry.url == "none"


def test_interpolations_of_a_stored_config_are_text(tmp_path, monkeypatch, stored):
    monkeypatch.setenv("SECRET", "hidden")
    write(tmp_path, *CSV[:2], "data.numeric=[MARK]", MARK="${oc.env:SECRET}")
    assert stored(tmp_path, "data.path=x.csv").data.numeric == ["${oc.env:SECRET}"]


def test_a_path_with_an_interpolation_stays_text_when_its_argument_is_pasted(tmp_path, monkeypatch, stored):
    monkeypatch.setenv("SECRET", "hidden")
    write(tmp_path, *CSV[:2], "data.numeric=[a]", **{"/theirs/train.csv": "${oc.env:SECRET}"})
    with pytest.raises(ConfigError) as error:
        stored(tmp_path)
    assert "hidden" not in str(error.value)
    pasted = shlex.split(str(error.value).rpartition("add: ")[2])
    assert stored(tmp_path, *pasted).data.path == "${oc.env:SECRET}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: &x [1]\nb: *x\n", r"alias \(\*x\) in line 2"),
        ("a: !!python/object/apply:os.system [ls]\n", "tag .*in line 1"),
        ("a: [1\nb: 2\n", "no valid YAML in line 2"),
        ("a: " + "[" * 20_000, "more than 50 levels in line 1"),
        ("- 1\n", "no keys and values"),
        ("x" * 2**21, "expected at most 1,048,576 bytes; found 2,097,152"),
    ],
)
def test_yaml_that_is_no_config_is_refused(tmp_path, text, message):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(RunError, match=message):
        stored_config.load(tmp_path / "config.yaml")


def test_a_stored_value_outside_its_limits_is_refused_if_the_caller_sets_it_too(tmp_path, stored):
    write(tmp_path, "hardware.threads=64", **{"threads: 64": "threads: 100000000"})
    with pytest.raises(ConfigError, match=r"add: hardware\.threads=100000000"):
        stored(tmp_path)
    with pytest.raises(ConfigError, match=r"hardware\.threads: expected a number from 1 to 1,024"):
        stored(tmp_path, "hardware.threads=100000000")


def test_a_name_that_looks_like_an_interpolation_is_kept(tmp_path, stored):
    write(tmp_path, *CSV[:2], r"data.numeric=['a\${b','\${c}']")
    assert stored(tmp_path, "data.path=x.csv").data.numeric == ["a${b", "${c}"]
