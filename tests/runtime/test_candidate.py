"""Candidate locks: invalid lines, solving, and environments that are installed completely or not at all."""

import hashlib
import os
import subprocess
import zipfile

import pytest

from pipeline.errors import ConfigError, EnvironmentMismatch
from pipeline.runtime import candidate, environment


def wheel(folder, name, version, needs=()):
    """Write an installable wheel of one empty module; return its entry in a lock."""
    path, info = folder / f"{name}-{version}-py3-none-any.whl", f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", metadata + "".join(f"Requires-Dist: {need}\n" for need in needs))
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return f"{name}=={version} \\\n    --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


@pytest.fixture
def lock(tmp_path, monkeypatch):
    """A function of a lock's text to its path; its packages come from tmp_path."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)

    def written(text):
        (tmp_path / "lock.txt").write_text(text)
        return tmp_path / "lock.txt"

    return written


def test_the_locks_of_the_project_are_valid():
    for path in environment.PROJECT.glob("requirements*.txt"):
        candidate.check(path)


@pytest.mark.parametrize(
    "bad",
    [
        "tiny=1.0 --hash=sha256:" + "0" * 64,
        "tiny==1.0",
        "tiny==1.0 --hash=sha256:" + "0" * 63,
        "tiny>=1.0 --hash=sha256:" + "0" * 64,
        "--index-url https://example.org",
        "-r other.txt",
    ],
)
def test_an_invalid_line_of_a_lock_is_refused_with_its_number(lock, bad):
    good = "# made by a tool\n\nfine==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n    # via x\n"
    with pytest.raises(ConfigError, match="line 6"):
        candidate.check(lock(good + bad + "\n"))


def test_an_empty_and_a_missing_lock_are_refused(lock, tmp_path):
    with pytest.raises(ConfigError, match="no package"):
        candidate.check(lock("# nothing\n"))
    with pytest.raises(ConfigError, match="expected a lock"):
        candidate.check(tmp_path / "missing.txt")


def test_changes_between_two_locks_are_listed(tmp_path):
    for name, text in (("a", "one==1\nboth==1\n"), ("b", "two==1\nboth==2\n")):
        (tmp_path / name).write_text(text)
    found = candidate.changes(baseline=tmp_path / "a", candidate=tmp_path / "b")
    assert found == ["both 1 -> 2", "one 1 -> none", "two none -> 1"]


@pytest.mark.parametrize(("package", "message"), [("keras", "NAME==VERSION"), ("kerass==3.15.1", "Did you mean keras")])
def test_an_unknown_package_is_refused(tmp_path, package, message):
    with pytest.raises(ConfigError, match=message):
        candidate.solved(package, environment.CPU_LOCK, tmp_path)


@pytest.mark.slow
def test_an_environment_is_installed_once_and_holds_the_packages_of_the_lock(lock, tmp_path):
    path = lock(wheel(tmp_path, "tiny", "1.0"))
    python = candidate.python_of(path, tmp_path / "made")
    found = subprocess.run([python, "-m", "pip", "list"], capture_output=True, text=True, check=True).stdout
    assert "tiny" in found and "1.0" in found
    (tmp_path / "tiny-1.0-py3-none-any.whl").unlink()
    assert candidate.python_of(path, tmp_path / "made") == python


@pytest.mark.slow
def test_a_wrong_hash_is_refused_with_the_message_of_pip_and_leaves_no_environment(lock, tmp_path):
    good = wheel(tmp_path, "tiny", "1.0")
    for _ in range(2):
        with pytest.raises(EnvironmentMismatch, match=r"(?s)could not install.*hash.*tiny==1.0") as raised:
            candidate.python_of(lock(good[:-5] + "0000\n"), tmp_path / "made")
        assert raised.value.status == 3


@pytest.mark.slow
def test_incompatible_packages_are_reported(lock, tmp_path):
    path = lock(wheel(tmp_path, "tiny", "1.0", needs=["other>=2"]))
    with pytest.raises(EnvironmentMismatch, match=r"tiny 1\.0 requires other"):
        candidate.python_of(path, tmp_path / "made")
