"""Installed packages against the lock, and the environment record."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import environment

PROJECT = Path(environment.__file__).parents[2]


def put_package(folder, name, version):
    """Write the metadata by which a package counts as installed."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder on sys.path with three installed packages."""
    folder = tmp_path / "site"
    put_package(folder, "Alpha.One", "1.0")
    put_package(folder, "beta-two", "2.5")
    put_package(folder, "gamma", "3.0")
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def project(tmp_path):
    """A project with the real code and locks of two packages, in which `ask` runs code."""
    root = tmp_path / "project"
    for name in [
        "__init__.py",
        "errors.py",
        "files.py",
        "runtime/__init__.py",
        "runtime/environment.py",
        "runtime/variables.py",
    ]:
        (root / "pipeline" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "pipeline" / name, root / "pipeline" / name)
    shutil.copytree(PROJECT / "scripts", root / "scripts")
    (root / "requirements-cpu.txt").write_text("alpha==1.0 \\\n    --hash=sha256:00\n    # via beta==9\nbeta==2.0\n")
    (root / "requirements.txt").write_text("alpha==1.0\nbeta==2.0\ncuda-wheel==12.0\n")
    put_package(root / "site", "alpha", "1.0")
    put_package(root / "site", "beta", "2.0")
    return root


def ask(project, code, **variables):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PIPELINE_")}
    return subprocess.run(
        [sys.executable, "-c", f"from pipeline.runtime import environment\n{code}"],
        cwd=project,
        env=clean | {"PYTHONPATH": f"{project}:{project / 'site'}"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )


def describe(project, **variables):
    asked = ask(project, "import json; print(json.dumps(environment.describe()))", **variables)
    assert asked.returncode == 0, asked.stderr
    return json.loads(asked.stdout)


def git(folder, *arguments):
    author = ["-c", "user.name=a", "-c", "user.email=a@localhost"]
    return subprocess.run(
        ["git", *author, *arguments], cwd=folder, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_locked_versions_are_no_difference(installed, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("alpha-one==1.0 \\\n    --hash=sha256:00\n    # via\n    #   gamma==9\ngamma==3.0\n")
    assert environment.lock_differences(lock) == []


@pytest.mark.parametrize("spelling", ["alpha-one", "Alpha.One", "ALPHA__one"])
def test_package_is_found_by_any_spelling_of_its_name(installed, tmp_path, spelling):
    lock = tmp_path / "lock.txt"
    lock.write_text(f"{spelling}==1.0\n")
    assert environment.lock_differences(lock) == []


def test_other_version_and_missing_package_are_differences(installed, tmp_path):
    lock = tmp_path / "lock.txt"
    lock.write_text("gamma==3.0\nbeta-two==2.4\nnowhere-to-be-found==1.2\n")
    assert environment.lock_differences(lock) == [
        ("beta-two", "2.4", "2.5"),
        ("nowhere-to-be-found", "1.2", None),
    ]


def test_missing_lock_is_named(tmp_path):
    with pytest.raises(EnvironmentMismatch, match=r"absent\.txt"):
        environment.lock_differences(tmp_path / "absent.txt")


@pytest.mark.parametrize("edited", ["beta-two=2.5", "beta-two>=2.5", "beta-two", "-r other.txt", "beta two==2.5"])
def test_line_without_a_pinned_version_is_named(installed, tmp_path, edited):
    (tmp_path / "lock.txt").write_text(f"# made by a tool\n\ngamma==3.0 \\\n    --hash=sha256:00\n{edited}\n")
    with pytest.raises(EnvironmentMismatch, match=r"lock\.txt, line 5: expected NAME==VERSION; found"):
        environment.lock_differences(tmp_path / "lock.txt")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"\xff\xfe"])
def test_lock_without_packages_is_refused(tmp_path, content):
    (tmp_path / "lock.txt").write_bytes(content)
    with pytest.raises(EnvironmentMismatch, match=r"lock\.txt: expected the lock"):
        environment.lock_differences(tmp_path / "lock.txt")


def test_this_environment_matches_its_lock():
    assert environment.lock_differences(environment.lock_in_use()) == []


def test_environment_with_a_cuda_wheel_uses_the_gpu_lock(project):
    put_package(project / "site", "cuda-wheel", "12.0")
    assert describe(project)["lock"]["name"] == "requirements.txt"


def test_environment_without_cuda_wheels_uses_the_cpu_lock(project):
    assert describe(project)["lock"]["name"] == "requirements-cpu.txt"


def test_missing_cuda_wheel_is_a_difference_if_another_is_installed(project):
    lock = project / "requirements.txt"
    lock.write_text(lock.read_text() + "cuda-other==12.1\n")
    put_package(project / "site", "cuda-wheel", "12.0")
    assert describe(project)["lock"]["drift"] == [{"package": "cuda-other", "locked": "12.1", "installed": None}]


def test_environment_that_matches_its_lock_is_accepted(project):
    assert ask(project, "print(environment.require_lock(False))").stdout == "[]\n"


def test_drift_is_refused_with_both_versions_and_a_fix(project):
    (project / "requirements-cpu.txt").write_text("alpha==1.0\nbeta==2.1\ndelta==4.0\n")
    asked = ask(
        project,
        "from pipeline.errors import EnvironmentMismatch\n"
        "try: environment.require_lock(False)\n"
        "except EnvironmentMismatch as error: print(error.status, error)",
    )
    lines = [line.split() for line in asked.stdout.splitlines()]
    assert lines[0][:1] == ["3"] and "requirements-cpu.txt" in lines[0]
    assert lines[1:4] == [
        ["package", "locked", "installed"],
        ["beta", "2.1", "2.0"],
        ["delta", "4.0", "not", "installed"],
    ]
    assert "make train" in asked.stdout and "environment.allow_drift=true" in asked.stdout


def test_allowed_drift_is_returned(project):
    (project / "requirements-cpu.txt").write_text("alpha==1.0\nbeta==2.1\n")
    assert ask(project, "print(environment.require_lock(True))").stdout == "[('beta', '2.1', '2.0')]\n"


def test_record_has_the_digest_of_the_lock(project):
    digest = hashlib.sha256((project / "requirements-cpu.txt").read_bytes()).hexdigest()
    assert describe(project)["lock"]["sha256"] == digest


def test_record_has_the_commit_of_a_clean_tree(project):
    git(project, "init", "-q")
    (project / ".gitignore").write_text("__pycache__\n")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "first")
    assert describe(project)["git"] == {"commit": git(project, "rev-parse", "HEAD"), "dirty": False}


@pytest.mark.parametrize("name", ["requirements.txt", "new.py"])
def test_changed_or_new_file_makes_the_commit_dirty(project, name):
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-q", "-m", "first")
    with (project / name).open("a") as file:
        file.write("\n")
    assert describe(project)["git"]["dirty"] is True


def test_tree_outside_git_has_no_commit(project):
    assert describe(project, GIT_CEILING_DIRECTORIES=str(project))["git"] == {"commit": None, "dirty": None}


def test_record_in_a_container_has_commit_host_and_image(project):
    record = describe(
        project,
        PIPELINE_REVISION="0123abc-dirty",
        PIPELINE_HOST="node7",
        PIPELINE_IMAGE="sha256:77",
        PIPELINE_IMAGE_LOCK="88",
        PIPELINE_VERSION="v1",
    )
    assert record["git"] == {"commit": "0123abc", "dirty": True}
    assert record["hostname"] == "node7"
    assert record["image"] == {"id": "sha256:77", "version": "v1", "lock_sha256": "88"}


def test_record_outside_a_container_has_no_image(project):
    assert describe(project)["image"] is None


def test_record_has_python_processor_and_memory(project):
    record = describe(project)
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["cpu"]["count"] == os.cpu_count()
    assert 2**28 < record["memory"] < 2**50


def test_record_has_variables_that_may_change_the_bits(project):
    record = describe(project, TF_ENABLE_ONEDNN_OPTS="0", OMP_NUM_THREADS="3")
    assert record["variables"].items() >= {"TF_ENABLE_ONEDNN_OPTS": "0", "OMP_NUM_THREADS": "3"}.items()


def test_environment_is_read_without_tensorflow(project):
    asked = ask(project, "import sys; environment.describe(); print('tensorflow' in sys.modules)")
    assert asked.stdout == "False\n"


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build  (u@h)\n", "570.86.15"),
        ("something else\n", None),
    ],
)
def test_driver_version_is_read_from_both_forms_of_its_line(text, version):
    assert environment.driver_version(text) == version


@pytest.mark.parametrize("year", [1970, 2108])
def test_a_clock_that_is_not_set_is_refused(year):
    environment.require_clock(datetime(2026, 1, 1, tzinfo=UTC))
    with pytest.raises(EnvironmentMismatch, match=f"expected a year from 1980 to 2107; found {year}-01-01"):
        environment.require_clock(datetime(year, 1, 1, tzinfo=UTC))
