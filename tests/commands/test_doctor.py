"""`doctor`: every subject is checked, whatever is broken, and the status says whether a run could start."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import doctor
from pipeline.commands.doctor import State
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
AROUND = gpus.GpuSetup(driver="550.54.15", device=True, visible=None, libraries=True, container=True)


def call(*words, **variables):
    command = [sys.executable, "-m", "pipeline", "doctor", *words]
    return subprocess.run(
        command, cwd=PROJECT, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=300
    )


def states(asked):
    return {check["subject"]: check for check in json.loads(asked.stdout)["checks"]}


@pytest.mark.slow
def test_locked_environment_can_start_a_run_and_each_subject_has_a_line(tmp_path):
    asked = call(f"run.root={tmp_path}")
    assert asked.returncode == 0, asked.stdout + asked.stderr
    assert [line.split()[0] for line in asked.stdout.splitlines() if line[:1].strip()][: len(SUBJECTS)] == SUBJECTS
    assert asked.stdout.endswith("a run can start\n")


@pytest.mark.slow
def test_differing_packages_and_a_failing_tensorflow_are_reported_together_with_status_3(tmp_path):
    (tmp_path / "site/jinja2-9.9.dist-info").mkdir(parents=True)
    (tmp_path / "site/jinja2-9.9.dist-info/METADATA").write_text("Name: jinja2\nVersion: 9.9\n")
    (tmp_path / "site/tensorflow.py").write_text("raise ImportError('symbol not found: _Zabc')\n")
    asked = call("--json", f"run.root={tmp_path}", PYTHONPATH=str(tmp_path / "site"))
    assert asked.returncode == 3 and asked.stderr == ""
    found = states(asked)
    assert "jinja2" in found["lock"]["detail"] and "9.9" in found["lock"]["detail"] and found["lock"]["fix"]
    assert found["lock"]["state"] == "wrong"
    assert found["disk"]["state"] == "ok"


def test_allowed_drift_is_a_note(monkeypatch):
    monkeypatch.setattr(environment, "lock_differences", lambda path: [("keras", "3.15.1", None)])
    assert doctor.check_lock(Config(environment=Environment(allow_drift=False))).state == State.WRONG
    check = doctor.check_lock(Config(environment=Environment(allow_drift=True)))
    assert check.state == State.NOTE and "keras 3.15.1 is missing" in check.detail


def test_many_differing_packages_are_counted_and_the_first_are_named(monkeypatch):
    differences = [(f"p{number}", "1", "2") for number in range(9)]
    monkeypatch.setattr(environment, "lock_differences", lambda path: differences)
    assert "9 differ" in doctor.check_lock(Config()).detail and "and 5 more" in doctor.check_lock(Config()).detail


def test_missing_lock_is_wrong(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "CPU_LOCK", tmp_path / "gone.txt")
    check = doctor.check_lock(Config())
    assert check.state == State.WRONG and "gone.txt" in check.detail


def test_tensorflow_that_does_not_load_is_wrong_and_the_driver_is_still_reported(monkeypatch):
    def fails():
        raise EnvironmentMismatch("TensorFlow does not load, status -4: Illegal instruction")

    monkeypatch.setattr(gpus, "probe_tensorflow", fails)
    found = {check.subject: check for check in doctor.check_tensorflow_and_gpus(Config())}
    assert found["tensorflow"].state == State.WRONG and "Illegal instruction" in found["tensorflow"].detail
    assert "driver" in found


@pytest.mark.parametrize(
    ("device", "indices", "gpus_there", "state"),
    [
        ("auto", None, 1, State.OK),
        ("gpu", None, 1, State.OK),
        ("gpu", None, 0, State.WRONG),
        ("auto", None, 0, State.NOTE),
        ("auto", [1], 1, State.WRONG),
        ("cpu", [1], 1, State.OK),
    ],
)
def test_missing_gpu_is_wrong_only_if_the_config_requires_it(device, indices, gpus_there, state):
    config = Config(device=device, hardware=Hardware(gpus=indices))
    assert doctor.check_gpus(config, SEEN | {"gpus": SEEN["gpus"][:gpus_there]}, AROUND).state == state


@pytest.mark.parametrize(("capability", "words"), [([12, 0], "first start compiles"), ([5, 0], "device=cpu")])
def test_gpu_without_compiled_kernels_is_a_note(capability, words):
    found = SEEN | {"gpus": [{"name": "other", "compute_capability": capability}]}
    check = doctor.check_gpus(Config(), found, AROUND)
    assert check.state == State.NOTE and words in check.fix


def test_more_threads_than_processors_are_a_note():
    assert doctor.check_threads(Config(hardware=Hardware(threads=1))).state == State.OK
    assert doctor.check_threads(Config(hardware=Hardware(threads=1024))).state == State.NOTE


def test_variables_that_change_the_bits_are_named(monkeypatch):
    assert doctor.check_determinism(Config()).state == State.OK
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert "TF_ENABLE_ONEDNN_OPTS=0" in doctor.check_determinism(Config()).detail


def test_full_or_unwritable_disk_is_wrong(monkeypatch, tmp_path):
    assert doctor.check_disk(tmp_path / "not there yet").state in (State.OK, State.NOTE)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    assert doctor.check_disk(tmp_path).state == State.WRONG
    (tmp_path / "file").touch()
    assert doctor.check_disk(tmp_path / "file").state == State.WRONG


def test_database_is_checked_and_not_created(tmp_path):
    config = Config(run=Run(root=str(tmp_path / "runs")))
    assert "not there yet" in doctor.check_database(config).detail
    assert list(tmp_path.iterdir()) == []


def test_database_that_does_not_answer_is_a_note():
    config = Config(registry=Registry(url="postgresql://nobody@127.0.0.1:1/none"))
    check = doctor.check_database(config)
    assert check.state == State.NOTE and "ingest" in check.fix and "refused" in check.detail


def test_file_that_is_no_registry_is_a_note(tmp_path):
    (tmp_path / "registry.db").write_text("not a database, but long enough to be looked at as one" * 20)
    assert doctor.check_database(Config(run=Run(root=str(tmp_path)))).state == State.NOTE
