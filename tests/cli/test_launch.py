"""The options of a container, found from a command line without any installed package."""

import subprocess
import sys
from pathlib import Path

from pipeline.cli import launch
from pipeline.config import Config
from pipeline.members import members
from pipeline.options import CHOICE_GROUPS, fields, is_section

PROJECT = Path(launch.__file__).parents[2]


def declared_paths(owner, prefix=""):
    """Yield (dotted key, mode) of every path option of an imported dataclass."""
    for item in fields(owner):
        if is_section(item):
            yield from declared_paths(item.metadata["section"], f"{prefix}{item.name}.")
        elif item.metadata["path"]:
            yield prefix + item.name, item.metadata["path"].upper()


def test_launch_finds_every_path_option_that_the_program_declares():
    expected = dict(declared_paths(Config))
    for group in CHOICE_GROUPS:
        for member in members(group).values():
            expected |= dict(declared_paths(member, f"{group}."))
    assert {"data.path", "data.validation_path", "data.test_path", "run.root"} <= expected.keys()
    assert launch.path_options() == expected


def test_launch_uses_the_standard_library_only():
    isolated = [sys.executable, "-S", "-m", "pipeline.cli.launch", "folder", "run.name=a"]
    result = subprocess.run(isolated, cwd=PROJECT, capture_output=True, text=True, check=True)
    assert result.stdout == "runs/a\n"


def test_last_run_name_of_a_command_line_is_used(capsys):
    assert launch.main(["folder", "run.name=slurm-1", "run.root=/elsewhere", "run.name='mine'"]) == 0
    assert capsys.readouterr().out == "/elsewhere/mine\n"


def test_declarations_of_the_users_own_data_sources_are_found():
    source = 'class Sensors(DataSource):\n    log: str = option("", "", path=READ)\n    rows: int = option(1, "")\n'
    declared = launch.declarations(source)
    assert declared["Sensors"].bases == ["DataSource"] and declared["Sensors"].paths == {"log": "READ"}


def test_a_path_in_the_home_folder_is_mounted_and_the_container_knows_that_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "rows.csv").touch()
    arguments = ["pipeline", "train", f"run.root={tmp_path}/runs", "data.path=~/rows.csv"]
    options = launch.engine_options(arguments, PROJECT, {"HOME": str(tmp_path)})
    assert f'type=bind,"src={tmp_path}/rows.csv","dst={tmp_path}/rows.csv",readonly' in options
    assert f"CALLER_HOME={tmp_path}" in options


def test_paths_of_a_stored_run_are_not_mounted(tmp_path):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "rows.csv").touch()
    (tmp_path / "runs" / "first" / "config.yaml").write_text(
        f"choices:\n  data: csv\ndata:\n  path: {tmp_path}/rows.csv\nregistry:\n  url: postgresql://u@h:1/d\n"
    )
    arguments = ["pipeline", "evaluate", f"run.root={tmp_path}/runs", "run.name=first"]
    options = launch.engine_options(arguments, PROJECT, {"HOME": str(tmp_path)})
    assert not any("rows.csv" in option for option in options)
    assert options[-2:] == ["--network", "none"]


def test_cache_of_a_stored_run_on_keras_data_is_mounted(tmp_path):
    (tmp_path / "runs" / "first").mkdir(parents=True)
    (tmp_path / "runs" / "first" / "config.yaml").write_text("choices:\n  objective: x\n  data: keras\n  model: y\n")
    arguments = ["pipeline", "evaluate", f"run.root={tmp_path}/runs", "run.name=first"]
    assert f"KERAS_HOME={tmp_path}/.keras" in launch.engine_options(arguments, PROJECT, {"HOME": str(tmp_path)})


def test_standard_output_is_no_path_to_mount(tmp_path):
    arguments = ["pipeline", "predict", f"run.root={tmp_path}/runs", "run.name=first", "predict.output=-"]
    options = launch.engine_options(arguments, PROJECT, {"HOME": str(tmp_path)})
    assert not [
        option
        for option in options
        if option.startswith("type=bind") and f'"src={Path.cwd()}",' in option and not option.endswith("readonly")
    ]
