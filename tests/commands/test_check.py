"""`check`, and preflight before `train`, as a user sees them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.cli import compose as composition
from pipeline.cli.main import main
from pipeline.commands import Invocation, check
from pipeline.errors import ConfigError

PROJECT = Path(__file__).parents[2]


def pipeline(*arguments, cwd):
    command = [sys.executable, "-m", "pipeline", *arguments]
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=300)


def checked(folder, *overrides):
    config = composition.compose([f"run.root={folder}/runs", *overrides])
    return check.run(config, Invocation())


def test_correct_config_passes_and_trains_nothing(tmp_path, capsys):
    assert checked(tmp_path) == 0
    said = capsys.readouterr()
    assert "no error" in said.out and "make train" in said.out and said.err.startswith("data: digits, ")
    assert len(said.err.splitlines()) == 1
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [".cache"]


def test_each_finding_is_reported_with_its_fix(tmp_path):
    with pytest.raises(ConfigError) as raised:
        checked(tmp_path, "objective.loss=categorical_crossentropy", "training.early_stopping.patience=99")
    for words in ("[integer-labels]", "objective.loss=sparse_categorical_crossentropy", "[patience-too-long]",
                  "training.early_stopping.patience=10", "docs/preflight.md"):  # fmt: skip
        assert words in str(raised.value)


def test_ignored_finding_passes_and_is_printed(tmp_path, capsys):
    assert checked(tmp_path, "training.batch_size=1257", "preflight.ignore=[last-batch-of-one]") == 0
    assert "ignored [last-batch-of-one]" in capsys.readouterr().out


@pytest.mark.slow
def test_wrong_config_is_status_2_and_leaves_no_run(tmp_path):
    answer = pipeline("train", "objective.loss=mean_squared_error", cwd=tmp_path)
    assert answer.returncode == 2 and "[integer-labels]" in answer.stderr and "Traceback" not in answer.stderr
    assert list((tmp_path / "runs").glob("*/result.json")) == []


@pytest.mark.slow
def test_ignored_finding_is_recorded_and_the_weights_are_the_same(tmp_path, capsys):
    digests = []
    for name, ignore in (("all", "[]"), ("some", "[last-batch-of-one]")):
        words = ("training.epochs=1", "training.batch_size=1257", f"preflight.ignore={ignore}")
        status = main(["train", f"run.root={tmp_path}/runs", f"run.name={name}", *words])
        told = capsys.readouterr().err
        assert status == 0, told
        assert ("last-batch-of-one" in told) is (name == "all")
        recorded = json.loads((tmp_path / "runs" / name / "environment.json").read_text())["preflight"]
        codes = [finding["code"] for finding in recorded["warnings" if name == "all" else "ignored"]]
        assert "last-batch-of-one" in codes
        digests.append(json.loads((tmp_path / "runs" / name / "result.json").read_text())["weights_digest"])
    assert digests[0] == digests[1]
    assert "last-batch-of-one" in (tmp_path / "runs/some/report.html").read_text()
