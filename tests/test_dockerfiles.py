"""Checks of the Dockerfiles that need no build; tests/test_image.py tests the built image."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# beside the interpreter, or on the PATH
HADOLINT = shutil.which("hadolint", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
DOCKERFILE = (PROJECT / "docker/Dockerfile").read_text()


@pytest.mark.parametrize("path", sorted((PROJECT / "docker").glob("*Dockerfile")), ids=lambda path: path.name)
def test_hadolint_passes(path):
    result = subprocess.run([HADOLINT, "--no-color", path], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_hadolint_finds_a_violation(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian\nRUN apt-get install gcc\n")
    assert subprocess.run([HADOLINT, tmp_path / "Dockerfile"], capture_output=True).returncode == 1


def test_base_has_a_digest_and_can_be_changed():
    assert re.search(r"^ARG BASE_IMAGE=python:3\.12[\w.-]*@sha256:[0-9a-f]{64}$", DOCKERFILE, re.MULTILINE)
    assert {line.split()[1] for line in re.findall(r"^FROM .*$", DOCKERFILE, re.MULTILINE)} == {
        "scratch", "${BASE_IMAGE}", "packages",
    }  # fmt: skip


def test_only_the_lock_decides_the_installed_packages():
    assert "apt" not in DOCKERFILE.replace("apt list", "")
    assert re.findall(r"pip \S* ?install", DOCKERFILE) == []  # scripts/install.py does it, by hash
    install = (PROJECT / "scripts/install.py").read_text()
    assert '"--require-hashes", "--no-deps"' in install


@pytest.mark.parametrize("secret", ["pip_conf", "ca_bundle"])
def test_index_and_certificate_are_secrets_and_never_arguments_or_variables(secret):
    assert f"--mount=type=secret,id={secret}" in DOCKERFILE
    stored = re.findall(r"^(?:ARG|ENV|LABEL|COPY) .*(?:\\\n.*)*", DOCKERFILE, re.MULTILINE)
    assert not any(re.search(secret + "|INDEX|CERT|TOKEN|PASSWORD", text, re.IGNORECASE) for text in stored)


def test_build_context_is_a_list_of_allowed_files():
    lines = [line for line in (PROJECT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert lines[0] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert not allowed & {".git", ".venv", "runs", "tests", "docker", ".env", "docker/.env", "releases"}


def compiled(folder, packages, compile):
    """Return the bytes of the .pyc file of package b. `compile` is the command, without the folder."""
    for name, source in packages.items():
        (folder / name).mkdir(parents=True)
        (folder / name / "module.py").write_text(source)
    subprocess.run([*compile, "."], check=True, cwd=folder)
    (path,) = folder.glob("b/__pycache__/*.pyc")
    return path.read_bytes()


@pytest.mark.parametrize(
    ("compile", "same"),
    [
        ([PROJECT / "scripts/compile", sys.executable], True),
        ([sys.executable, "-m", "compileall", "-qq", "--invalidation-mode", "unchecked-hash"], False),
    ],
    ids=["scripts/compile", "CPython's compileall, for comparison"],
)
def test_compiled_package_does_not_depend_on_the_others(tmp_path, compile, same):
    module = "one = {'unheard', 2, 3}\n\n\ndef function():\n    other = {'unheard', 2, 3}\n"
    alone = compiled(tmp_path / "alone", {"b": module}, compile)
    among = compiled(tmp_path / "among", {"a": module, "b": module}, compile)
    assert (alone == among) is same
