"""`make audit` passes only if every package was looked up. The answers of the service are files of the test."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# pip-audit with the answer in ANSWER instead of one from the network
STAND_IN = """
import os, pathlib, sys
if "ANSWER" in os.environ:
    pathlib.Path(sys.argv[sys.argv.index("--output") + 1]).write_text(os.environ["ANSWER"])
sys.exit("ANSWER" not in os.environ)
"""
HARMLESS = {"name": "one", "version": "1.0", "vulns": []}
KNOWN = {"name": "two", "version": "2.0", "vulns": [{"id": "CVE-1-2", "fix_versions": ["2.1"]}]}


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "some-lock.txt"
    path.write_text("".join(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n" for name in ("one", "two")))
    return path


def audit(lock, **variables):
    command = [sys.executable, PROJECT / "scripts/audit.py", lock]
    return subprocess.run(command, env=os.environ | variables, capture_output=True, text=True, check=False, timeout=120)


def answered(lock, tmp_path, packages):
    (tmp_path / "pip_audit.py").write_text(STAND_IN)
    return audit(lock, PYTHONPATH=str(tmp_path), ANSWER=json.dumps({"dependencies": packages, "fixes": []}))


def test_audit_without_a_network_does_not_pass(lock):
    nowhere = "http://127.0.0.1:1"
    result = audit(lock, HTTPS_PROXY=nowhere, https_proxy=nowhere, no_proxy="", NO_PROXY="")
    assert result.returncode == 3 and "network" in result.stderr and "Traceback" not in result.stderr
    assert result.stdout == ""


def test_audit_without_known_vulnerabilities_passes(lock, tmp_path):
    result = answered(lock, tmp_path, [HARMLESS, HARMLESS | {"name": "two"}])
    assert (result.returncode, result.stdout) == (0, "some-lock.txt: 0 of 2 packages have known vulnerabilities\n")


def test_known_vulnerability_is_named_with_the_version_that_fixes_it(lock, tmp_path):
    result = answered(lock, tmp_path, [HARMLESS, KNOWN])
    assert result.returncode == 1 and "two 2.0: CVE-1-2, fixed in: 2.1" in result.stdout


@pytest.mark.parametrize("packages", [[], [HARMLESS], [HARMLESS, {"name": "two", "skip_reason": "not on PyPI"}]])
def test_answer_for_fewer_packages_than_locked_does_not_pass(lock, tmp_path, packages):
    assert answered(lock, tmp_path, packages).returncode == 3
