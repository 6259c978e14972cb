"""`make release`: it refuses what cannot be released before the build, and leaves nothing behind if it fails.

The engine and pip-compile of the clone are replaced by scripts that answer at once; docs/releases.md has the real run.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# A container engine that stores the names of images and containers as files. It fails at the argument in ENGINE_FAILS,
# and hangs at the one in ENGINE_HANGS; `run` ignores SIGINT. A container outlives its client and keeps its image.
ENGINE = """#!/bin/sh
echo "$*" >>"$ENGINE_LOG"
cd "$ENGINE_IMAGES"
after() { option=$1; while shift && [ $# -gt 1 ]; do [ "$1" != "$option" ] || echo "$2"; done; }
case " $* " in *" ${ENGINE_FAILS:-nothing at all} "*) exit 1 ;; esac
container="container-$(after --name "$@")"
[ "$1" != run ] || { touch "$container"; trap '' INT; }
case " $* " in *" ${ENGINE_HANGS:-nothing at all} "*) echo hangs; exec sleep 600 ;; esac
case $1 in
build) touch "$(after --tag "$@")" ;;
image) echo sha256:12 7 ;;
tag) touch "$3" ;;
rm) rm "container-$3" ;;
rmi) [ ! -e "container-$(echo "$2" | tr : -)" ] && rm "$2" ;;
run)
  case "$*" in
  *sbom*) echo '{"bomFormat": "CycloneDX"}' ;;
  *golden*) echo '{"runs": []}' ;;
  *) echo "3 passed in 1s" ;;
  esac
  rm "$container"
  ;;
esac
"""
LOCK = """#!/bin/sh
# the lock as it is, or with one more line
folder=$1
[ -z "${LOCK_MOVES-}" ] || echo "new==1.0" >>"$folder/requirements.txt"
"""
IMAGE_TESTS = "def test_image():\n    pass\n"


class Clone:
    """A repository of the scripts of a release with one commit, at version 1.2.3."""

    def __init__(self, folder):
        self.root, self.images, self.log = folder / "clone", folder / "images", folder / "engine.log"
        (folder / "bin").mkdir()
        self.images.mkdir()
        self.log.touch()
        for name in ("scripts", "docker"):
            shutil.copytree(PROJECT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*PROJECT.glob("requirements*"), PROJECT / ".python-version"]:
            shutil.copy(path, self.root)
        self.set_version("1.2.3")
        self.script(self.root / "scripts/lock", LOCK)
        self.script(folder / "bin/docker", ENGINE)
        (self.root / "tests").mkdir()
        (self.root / "tests/test_image.py").write_text(f"import pytest\n\n\n@pytest.mark.slow\n{IMAGE_TESTS}")
        (self.root / "pytest.ini").write_text("[pytest]\nmarkers = slow\naddopts = -p no:cacheprovider\n")
        (self.root / ".gitignore").write_text("__pycache__\n")
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("GIT_", "MAKE", "RUNTIME", "TESTS"))
        }
        self.environment = clean | {
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "RUNTIME": "docker",
            "BASE_IMAGE": "base@sha256:34",
            "ENGINE_LOG": str(self.log),
            "ENGINE_IMAGES": str(self.images),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"GIT_{who}_{what}": f"a@{what}" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
        }
        self.git("init", "--quiet")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "first")

    def set_version(self, version):
        (self.root / "pyproject.toml").write_text(f'[project]\nname = "pipeline"\nversion = "{version}"\n')

    def script(self, path, text):
        path.write_text(text)
        path.chmod(0o755)

    def git(self, *arguments):
        call = ["git", *arguments]
        result = subprocess.run(call, cwd=self.root, env=self.environment, capture_output=True, text=True, check=True)
        return result.stdout.strip()

    def release(self, *arguments, **variables):
        command = [sys.executable, "scripts/release.py", *arguments]
        environment = self.environment | variables
        return subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)

    def leftovers(self):
        """Return everything that a release has left behind: tags, images, files."""
        return [
            *self.git("tag").split(),
            *(path.name for path in self.images.iterdir()),
            *(path.name for path in self.root.glob("releases/*")),
            *self.git("status", "--porcelain").splitlines(),
        ]


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


def refused(clone, result, word):
    """Return whether a release ended with one error, built nothing and left nothing behind."""
    assert result.returncode == 1 and word in result.stderr, result.stderr
    assert result.stderr.startswith("error: ") and "Traceback" not in result.stderr
    assert "build" not in clone.log.read_text()
    return clone.leftovers() == []


# ---- refused before the build ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["", "1", "1.2", "v1.2.3", "1.2.3; rm", "../1.2.3", "1.2.3.4", "latest"])
def test_version_that_is_not_three_numbers_is_refused(clone, version):
    assert refused(clone, clone.release(version), "VERSION")


def test_version_other_than_that_of_the_project_is_refused(clone):
    assert refused(clone, clone.release("1.2.4"), "expected 1.2.3, the version in pyproject.toml; found 1.2.4")


def test_changed_file_is_refused_by_name(clone):
    with (clone.root / "requirements.in").open("a") as file:
        file.write("\n")
    result = clone.release("1.2.3")
    assert result.returncode == 1 and "requirements.in" in result.stderr and "Commit" in result.stderr
    assert "build" not in clone.log.read_text()


def test_new_file_is_refused_by_name(clone):
    (clone.root / "new.py").touch()
    assert "new.py" in clone.release("1.2.3").stderr
    assert "build" not in clone.log.read_text()


def test_tree_without_a_commit_is_refused(clone):
    shutil.rmtree(clone.root / ".git")
    result = clone.release("1.2.3", GIT_CEILING_DIRECTORIES=str(clone.root.parent))
    assert result.returncode == 1 and "git" in result.stderr and "Traceback" not in result.stderr


def test_version_that_has_a_tag_is_refused(clone):
    clone.git("tag", "v1.2.3")
    result = clone.release("1.2.3")
    assert result.returncode == 1 and "v1.2.3" in result.stderr
    assert "build" not in clone.log.read_text()


def test_engine_that_does_not_answer_is_refused(clone):
    result = clone.release("1.2.3", ENGINE_FAILS="info")
    assert refused(clone, result, "docker does not answer")


def test_lock_that_differs_from_its_solved_in_file_is_refused_with_the_lines(clone):
    assert refused(clone, clone.release("1.2.3", LOCK_MOVES="1"), "+new==1.0")


# ---- failures -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fails", "message"),
    [
        ("--no-cache", "image could not be built"),
        ("docker/tests.Dockerfile", "image for the tests could not be built"),
        ("not release", "a test failed in the image"),
        ("golden", "golden runs differ"),
        ("/opt/sbom.json", "sbom.json"),
        ("tag", "tag"),
    ],
)
def test_failed_release_leaves_no_tag_record_or_image(clone, fails, message):
    result = clone.release("1.2.3", ENGINE_FAILS=fails)
    assert result.returncode == 1 and message in result.stderr, result.stderr
    assert "Traceback" not in result.stderr and "Nothing was released." in result.stderr
    assert clone.leftovers() == []


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
@pytest.mark.parametrize("hangs", ["--no-cache", "not release"], ids=["building", "testing"])
def test_interrupted_release_leaves_nothing_and_no_running_engine(clone, hangs, number):
    command = [sys.executable, "scripts/release.py", "1.2.3"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=clone.root, env=clone.environment | {"ENGINE_HANGS": hangs}, **pipes) as process:
        next(line for line in process.stdout if line == "hangs\n")
        process.send_signal(number)
        # returns when every process, including the engine, has closed the pipe
        output, _ = process.communicate(timeout=60)
    assert process.returncode == 128 + number and "Traceback" not in output
    assert clone.leftovers() == []


@pytest.mark.slow
def test_failed_test_of_the_image_ends_the_release(clone):
    path = clone.root / "tests/test_image.py"
    path.write_text(path.read_text().replace("pass", "assert False"))
    clone.git("commit", "--quiet", "--all", "--message", "second")
    result = clone.release("1.2.3")
    assert result.returncode == 1 and "test of the image failed" in result.stderr
    assert clone.leftovers() == []


@pytest.mark.slow
def test_records_are_removed_if_the_disk_is_full(clone):
    folder = clone.root / "releases"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a tmpfs takes root's rights")
    try:
        result = clone.release("1.2.3")
        assert result.returncode == 1 and "No space left" in result.stderr and "Traceback" not in result.stderr
        assert clone.leftovers() == []
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_tree_that_changes_during_the_release_is_refused(clone):
    path = clone.root / "tests/test_image.py"
    path.write_text(path.read_text().replace("pass", 'open("moved", "w").close()'))
    clone.git("commit", "--quiet", "--all", "--message", "second")
    result = clone.release("1.2.3")
    assert result.returncode == 1 and "expected the tree to stay" in result.stderr
    assert clone.git("tag") == "" and list(clone.images.iterdir()) == []


# ---- success --------------------------------------------------------------------------------------------------------


def test_release_is_one_tag_one_image_and_two_records(clone):
    result = clone.release("1.2.3")
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in clone.images.iterdir()) == ["pipeline:1.2.3"]
    assert clone.git("rev-parse", "v1.2.3^{commit}") == clone.git("rev-parse", "HEAD")
    record = json.loads((clone.root / "releases/1.2.3.json").read_text())
    assert record["revision"] == clone.git("rev-parse", "HEAD")
    assert record["base"] == {"name": "base", "digest": "sha256:34"}
    assert record["image"]["digest"] == "sha256:12" and record["golden"] == {"runs": []}
    assert record["tests"]["in_the_image"] == "3 passed in 1s" and "1 passed" in record["tests"]["of_the_image"]
    assert record["tests"]["selection"] == "-m 'not release'"
    bill = (clone.root / "releases" / record["sbom"]["name"]).read_bytes()
    assert json.loads(bill)["bomFormat"] == "CycloneDX"


@pytest.mark.slow
def test_only_a_base_with_a_digest_is_pulled(clone):
    clone.release("1.2.3")
    clone.set_version("1.2.4")
    clone.git("add", "--all")
    clone.git("commit", "--quiet", "--message", "releases")
    before = len(clone.log.read_text())
    clone.release("1.2.4", BASE_IMAGE="base:latest")
    assert "--pull" in clone.log.read_text()[:before] and "--pull" not in clone.log.read_text()[before:]
    assert clone.log.read_text().count("--no-cache") == 2


@pytest.mark.slow
def test_record_names_the_tests_of_a_trial(clone):
    assert clone.release("1.2.3", TESTS="-m 'not slow' tests/runtime").returncode == 0
    record = json.loads((clone.root / "releases/1.2.3.json").read_text())
    assert record["tests"]["selection"] == "-m 'not slow' tests/runtime"
    assert "-m not slow tests/runtime" in clone.log.read_text()
