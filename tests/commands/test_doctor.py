"""`doctor`: the whole state, whatever of it is broken, and a status that says whether a run could start."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.config import Config
from pipeline.errors import EnvironmentMismatch
from pipeline.registry.options import Registry
from pipeline.runs.options import Run
from pipeline.runtime import environment, gpus
from pipeline.runtime.options import Environment, Hardware

PROJECT = Path(__file__).parents[2]
SUBJECTS = [
    "python", "lock", "image", "code", "tensorflow", "cuda", "driver", "gpus", "threads", "determinism", "disk",
    "database",
]  # fmt: skip
SEEN = {
    "version": "2.21.0", "keras": "3.15.1", "cuda": "12.5.1", "cudnn": "9",
    "architectures": ["sm_80", "compute_90"], "gpus": [{"name": "A100", "compute_capability": [8, 0]}],
}  # fmt: skip
AROUND = gpus.Surroundings(driver="550.54.15", device=True, visible=None, libraries=True, container=True)


def call(*words, **variables):
    command = [sys.executable, "-m", "pipeline", "doctor", *words]
    return subprocess.run(
        command, cwd=PROJECT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300
    )


def states(asked):
    return {finding["subject"]: finding for finding in json.loads(asked.stdout)["findings"]}


@pytest.mark.slow
def test_in_the_locked_environment_a_run_can_start_and_each_subject_has_a_line(tmp_path):
    asked = call(f"run.root={tmp_path}")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert [line.split()[0] for line in asked.stdout.splitlines() if line[:1].strip()][: len(SUBJECTS)] == SUBJECTS
    assert asked.stdout.endswith("a run can start\n")


@pytest.mark.slow
def test_packages_that_differ_and_a_tensorflow_that_fails_are_told_together_with_status_3(tmp_path):
    (tmp_path / "site/jinja2-9.9.dist-info").mkdir(parents=True)
    (tmp_path / "site/jinja2-9.9.dist-info/METADATA").write_text("Name: jinja2\nVersion: 9.9\n")
    (tmp_path / "site/tensorflow.py").write_text("raise ImportError('symbol not found: _Zabc')\n")
    asked = call("--json", f"run.root={tmp_path}", PYTHONPATH=str(tmp_path / "site"))
    assert asked.returncode == 3 and asked.stderr == ""
    found = states(asked)
    assert "jinja2" in found["lock"]["found"] and "9.9" in found["lock"]["found"] and found["lock"]["advice"]
    assert found["lock"]["state"] == "wrong"
    assert found["disk"]["state"] == "ok"


def test_drift_that_was_allowed_is_no_hindrance(monkeypatch):
    monkeypatch.setattr(environment, "lock_differences", lambda path: [("keras", "3.15.1", None)])
    assert doctor.lock(Config(environment=Environment(allow_drift=False))).state == doctor.WRONG
    finding = doctor.lock(Config(environment=Environment(allow_drift=True)))
    assert finding.state == doctor.NOTE and "keras 3.15.1 is missing" in finding.found


def test_many_differences_are_counted_and_the_first_named(monkeypatch):
    differences = [(f"p{number}", "1", "2") for number in range(9)]
    monkeypatch.setattr(environment, "lock_differences", lambda path: differences)
    assert "9 differ" in doctor.lock(Config()).found and "and 5 more" in doctor.lock(Config()).found


def test_a_lock_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "CPU_LOCK", tmp_path / "gone.txt")
    finding = doctor.lock(Config())
    assert finding.state == doctor.WRONG and "gone.txt" in finding.found


def test_a_tensorflow_that_does_not_load_is_wrong_and_the_driver_is_told_still(monkeypatch):
    def fails():
        raise EnvironmentMismatch("TensorFlow does not load, status -4: Illegal instruction")

    monkeypatch.setattr(gpus, "ask_tensorflow", fails)
    found = {finding.subject: finding for finding in doctor.tensorflow_and_gpus(Config())}
    assert found["tensorflow"].state == doctor.WRONG and "Illegal instruction" in found["tensorflow"].found
    assert "driver" in found


@pytest.mark.parametrize(
    ("device", "indices", "gpus_there", "state"),
    [
        ("auto", None, 1, doctor.OK),
        ("gpu", None, 1, doctor.OK),
        ("gpu", None, 0, doctor.WRONG),
        ("auto", None, 0, doctor.NOTE),
        ("auto", [1], 1, doctor.WRONG),
        ("cpu", [1], 1, doctor.OK),
    ],
)
def test_a_missing_gpu_is_wrong_only_where_the_config_insists_on_it(device, indices, gpus_there, state):
    config = Config(device=device, hardware=Hardware(gpus=indices))
    assert doctor.seen(config, SEEN | {"gpus": SEEN["gpus"][:gpus_there]}, AROUND).state == state


@pytest.mark.parametrize(("capability", "words"), [([12, 0], "first start compiles"), ([5, 0], "device=cpu")])
def test_a_gpu_that_is_served_badly_is_noted(capability, words):
    found = SEEN | {"gpus": [{"name": "other", "compute_capability": capability}]}
    finding = doctor.seen(Config(), found, AROUND)
    assert finding.state == doctor.NOTE and words in finding.advice


def test_more_threads_than_processors_are_noted():
    assert doctor.threads(Config(hardware=Hardware(threads=1))).state == doctor.OK
    assert doctor.threads(Config(hardware=Hardware(threads=4096))).state == doctor.NOTE


def test_variables_that_change_the_bits_are_noted(monkeypatch):
    assert doctor.determinism(Config()).state == doctor.OK
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert "TF_ENABLE_ONEDNN_OPTS=0" in doctor.determinism(Config()).found


def test_a_disk_that_is_full_or_closed_is_wrong(monkeypatch, tmp_path):
    assert doctor.disk(tmp_path / "not there yet").state in (doctor.OK, doctor.NOTE)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert doctor.disk(tmp_path).state == doctor.WRONG
    (tmp_path / "file").touch()
    assert doctor.disk(tmp_path / "file").state == doctor.WRONG


def test_a_database_is_looked_at_and_not_made(tmp_path):
    config = Config(run=Run(root=str(tmp_path / "runs")))
    assert "not there yet" in doctor.database(config).found
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_answer_hinders_no_run():
    config = Config(registry=Registry(url="postgresql://nobody@127.0.0.1:1/none"))
    finding = doctor.database(config)
    assert finding.state == doctor.NOTE and "ingest" in finding.advice and "refused" in finding.found


def test_a_file_that_is_no_registry_is_told(tmp_path):
    (tmp_path / "registry.db").write_text("not a database, but long enough to be looked at as one" * 20)
    assert doctor.database(Config(run=Run(root=str(tmp_path)))).state == doctor.NOTE
