"""Mutated data files and command lines: refused with status 2, or read right.

FUZZ_SEED=N repeats a run; without it the seed is new each time. The files of a failing case stay in pytest's folder of
temporary files, with the command in REPEAT.txt.
"""

import io
import shutil
from contextlib import redirect_stderr, redirect_stdout
from functools import reduce
from random import Random

import pytest
from fuzz.cases import FORMATS, SEED, run
from fuzz.command_lines import COMMAND_LINES, readable
from fuzz.outcomes import fault

from pipeline.cli import compose as composition
from pipeline.cli.main import main
from pipeline.errors import ConfigError

# rounds, in each of which every mutation has its turn
ROUNDS = {"csv": 2, "npz": 2, "idx": 2, "sequences": 3, "image_folder": 1, "tfrecord": 1}
ROUNDS_OF_A_RELEASE = {"csv": 30, "npz": 40, "idx": 50, "sequences": 60, "image_folder": 20, "tfrecord": 20}


@pytest.mark.parametrize("name", FORMATS)
def test_mutated_files_are_refused_or_read_right(name, tmp_path, capsys):
    run_rounds(name, ROUNDS[name], tmp_path, capsys)


@pytest.mark.release
@pytest.mark.parametrize("name", FORMATS)
def test_thousands_of_mutated_files_are_refused_or_read_right(name, tmp_path, capsys):
    run_rounds(name, ROUNDS_OF_A_RELEASE[name], tmp_path, capsys)


def run_rounds(name, rounds, folder, capsys):
    with capsys.disabled():
        print(f"\n{name}: FUZZ_SEED={SEED}")
    format = FORMATS[name]
    faults = [run(format, number, folder / str(number)) for number in range(rounds * len(format.mutations))]
    found = [f"{item.mutation}, case {item.number}: {item.reason}\n{item.repeat}" for item in faults if item]
    assert not found, "\n\n".join([f"FUZZ_SEED={SEED}", *found])


@pytest.fixture
def presets(tmp_path, monkeypatch):
    """A folder of presets that a test may change."""
    shutil.copytree(composition.PRESETS, tmp_path / "configs")
    monkeypatch.setattr(composition, "PRESETS", tmp_path / "configs")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "configs"


def test_wrong_command_lines_end_with_status_2(presets):
    run_command_lines(1, presets)


@pytest.mark.release
def test_hundreds_of_wrong_command_lines_end_with_status_2(presets):
    run_command_lines(40, presets)


def run_command_lines(rounds, presets):
    found = []
    for number in range(rounds * len(COMMAND_LINES)):
        line, verdict = COMMAND_LINES[number % len(COMMAND_LINES)]
        arguments = line(Random(f"{SEED} command line {number}"), presets)
        reason = fault(lambda arguments=arguments: list_runs(arguments), verdict, dict)
        if reason:
            found.append(f"{line.__name__}, case {number}: python -m pipeline runs {arguments}: {reason}")
    assert not found, "\n\n".join([f"FUZZ_SEED={SEED}", *found])


def list_runs(arguments):
    """Run the command `runs`, which takes every option, without its output."""
    messages = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(messages):
        status = main(["runs", "run.root=.", "registry.url=none", *arguments])
    if status == 2:
        raise ConfigError(messages.getvalue())
    assert status == 0, f"status {status}: {messages.getvalue()}"
    return {}


def test_arguments_are_read_as_they_are_typed():
    for number in range(3):
        arguments, values = readable(Random(f"{SEED} readable {number}"))
        config = composition.compose(arguments)
        read = {key: reduce(getattr, key.split("."), config) for key in values}
        assert read == values, f"FUZZ_SEED={SEED}: {arguments}"
