"""The locks: one version per package, a hash for every file, nothing of the machine that solved them."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
NAMES = ["requirements-cpu", "requirements", "requirements-dev", "requirements-install", "requirements-parquet"]


def requirements(name):
    """Return the lines of a .in or .txt file that name a package, continued lines joined."""
    text = (PROJECT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith(("#", "-r ", "-c "))]


def pins(name):
    """Return the version of each normalised package name in a .in or .txt file."""
    found = (re.match(r"([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)", line) for line in requirements(name))
    return {re.sub(r"[-_.]+", "-", pin[1]).lower(): pin[2] for pin in found if pin}


@pytest.mark.parametrize(("one", "other"), [(NAMES[0], NAMES[1]), (NAMES[0], NAMES[2]), (NAMES[1], NAMES[2])])
def test_package_in_two_locks_has_one_version(one, other):
    one, other = pins(f"{one}.txt"), pins(f"{other}.txt")
    shared = one.keys() & other.keys()
    assert shared
    assert {name: one[name] for name in shared} == {name: other[name] for name in shared}


def test_image_has_all_packages_of_the_cpu_lock():
    assert pins("requirements-cpu.txt").keys() <= pins("requirements.txt").keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_package_of_a_lock_is_pinned_with_hashes(name):
    lines = requirements(f"{name}.txt")
    assert len(lines) >= len(requirements(f"{name}.in")) > 0
    loose = [line for line in lines if not re.fullmatch(r"[\w.-]+==[\w.+!]+(\s+--hash=sha256:[0-9a-f]{64})+\s*", line)]
    assert loose == []


@pytest.mark.parametrize("name", [f"{name}.{end}" for name in NAMES for end in ("in", "txt")])
def test_lock_and_its_source_contain_no_index_and_no_path_of_a_machine(name):
    text = (PROJECT / name).read_text(encoding="utf-8")
    machine = r"\w+://|(?<!no-emit-)(index-url|find-links|trusted-host)|(?:^|[\s=])(?:/|~/|[A-Z]:\\)\w|\s@\s"
    assert [line for line in text.splitlines() if re.search(machine, line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_direct_dependency_is_exact_and_has_a_reason(name):
    lines = requirements(f"{name}.in")
    assert lines
    assert [line for line in lines if not re.fullmatch(r"[\w.-]+(\[[\w,-]+\])?==[\w.+!]+\s+# \w.{5,}", line)] == []


@pytest.mark.parametrize("name", NAMES)
def test_every_direct_dependency_is_locked_at_its_version(name):
    assert pins(f"{name}.in").items() <= pins(f"{name}.txt").items()


@pytest.mark.parametrize("name", NAMES)
def test_lock_is_solved_for_the_projects_python_by_make_lock(name):
    header = (PROJECT / f"{name}.txt").read_text(encoding="utf-8").split("\n\n")[0][:400]
    version = (PROJECT / ".python-version").read_text().strip()
    assert f"with Python {version}\n" in header
    assert "make lock\n" in header


def test_image_requires_a_driver_of_the_locked_cuda_series():
    asked = re.search(r"NVIDIA_REQUIRE_CUDA=cuda>=(\d+)\.", (PROJECT / "docker/Dockerfile").read_text())
    series = {version.split(".")[0] for name, version in pins("requirements.txt").items() if "cuda-runtime" in name}
    assert series == {asked[1]}
