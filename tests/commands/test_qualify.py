"""`qualify` on two real environments: the locked one, and one with another initializer of dense layers in Keras.

The fixture `qualified` solves, installs and trains the candidate once; the tests after it use its environment and runs.
"""

import base64
import contextlib
import csv
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from pipeline.cli import seeds
from pipeline.cli.main import main
from pipeline.runtime import candidate, environment, subprocesses

SITE = Path(sysconfig.get_path("purelib"))
EXPERIMENTS = "golden_mlp,golden_gru"  # those that the fixture trains


def qualify(root, *arguments, experiments="golden_mlp", seeds=2):
    """Run the command. Returns its exit status and its JSON, or its messages if it gives no verdict."""
    options = [f"qualify.root={root}", f"qualify.seeds={seeds}", f"golden.experiments=[{experiments}]", "--json"]
    with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as messages:
        status = main(["qualify", *options, *arguments])
    return status, json.loads(output.getvalue()) if output.getvalue() else messages.getvalue()


def verdicts(report):
    return {comparison["name"].split()[0]: comparison["verdict"] for comparison in report["comparisons"]}


def write_patched_keras(folder, name):
    """Write a wheel of the installed Keras whose Dense starts from a normal distribution with deviation 0.05.

    Args:
        folder: The folder for the wheel.
        name: The version of the wheel: that of the lock, and a suffix.
    """
    version = environment.locked(environment.CPU_LOCK)["keras"]
    info = f"keras-{version}.dist-info"
    files = {}
    for path in [*(SITE / "keras").rglob("*"), *(SITE / info).rglob("*")]:
        if path.is_file() and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER", "REQUESTED"):
            files[str(path.relative_to(SITE)).replace(info, f"keras-{name}.dist-info")] = path.read_bytes()
    dense = "keras/src/layers/core/dense.py"
    assert files[dense].count(b'kernel_initializer="glorot_uniform"') == 1
    files[dense] = files[dense].replace(b'"glorot_uniform"', b'"random_normal"')
    metadata = f"keras-{name}.dist-info/METADATA"
    files[metadata] = files[metadata].replace(f"Version: {version}".encode(), f"Version: {name}".encode(), 1)
    rows = io.StringIO()
    for path, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        csv.writer(rows, lineterminator="\n").writerow([path, f"sha256={digest}", len(content)])
    record = f"keras-{name}.dist-info/RECORD"
    files[record] = f"{rows.getvalue()}{record},,\n".encode()
    with zipfile.ZipFile(folder / f"keras-{name}-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as archive:
        for path, content in files.items():
            archive.writestr(path, content)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """The folder of the environments, 2.5 GB each, which is removed after the tests. They need a package index."""
    folder = tmp_path_factory.mktemp("qualify")
    smallest = f"wheel=={environment.locked(environment.CPU_LOCK)['wheel']}"
    arguments = ["pip", "download", "--quiet", "--retries=0", "--no-deps", f"--dest={folder}", smallest]
    done = subprocess.run([sys.executable, "-m", *arguments], capture_output=True, text=True, check=False)
    if re.search("No matching distribution|Could not find|ConnectionError|Max retries", done.stderr):
        pytest.skip("no package index answers here")
    assert done.returncode == 0, done.stderr
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def patched_version(root):
    """The version of a patched Keras that pip finds."""
    version = f"{environment.locked(environment.CPU_LOCK)['keras']}+normal"
    (root / "wheels").mkdir()
    write_patched_keras(root / "wheels", version)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", f"{os.environ.get('PIP_FIND_LINKS', '')} {root / 'wheels'}".strip())
        yield version


@pytest.fixture(scope="module")
def qualified(root, patched_version):
    """Exit status and report of a qualification of the patched Keras by its version."""
    return qualify(root, f'qualify.package="keras=={patched_version}"', experiments=EXPERIMENTS, seeds=1)


@pytest.fixture(scope="module")
def candidate_lock(root, patched_version, qualified):
    """The lock that the qualification solved."""
    return root / "candidates" / f"keras-{patched_version}" / environment.CPU_LOCK.name


def test_neither_or_both_of_lock_and_package_are_status_2(tmp_path):
    for arguments in ([], ["qualify.candidate=a.txt", 'qualify.package="keras==1"']):
        status, message = qualify(tmp_path, *arguments)
        assert status == 2 and "expected either qualify.candidate=LOCK or qualify.package" in message


def test_package_is_solved_only_for_locks_of_the_project(tmp_path):
    shutil.copy(environment.CPU_LOCK, tmp_path)
    baseline = f"qualify.baseline={tmp_path}/requirements-cpu.txt"
    status, message = qualify(tmp_path, baseline, 'qualify.package="keras==3.15.0"')
    assert status == 2 and "expected a lock of the project" in message


def test_edited_lock_is_status_2_and_names_the_line(tmp_path):
    lines = environment.CPU_LOCK.read_text().splitlines(keepends=True)
    (index,) = [index for index, line in enumerate(lines) if line.startswith("keras==")]
    lines[index] = lines[index].replace("==", ">=")
    (tmp_path / "edited.txt").write_text("".join(lines))
    status, message = qualify(tmp_path, f"qualify.candidate={tmp_path}/edited.txt")
    assert status == 2 and f"edited.txt, line {index + 1}" in message and "keras>=" in message
    assert not (tmp_path / "environments").exists()


@pytest.mark.slow
def test_seeds_trained_in_one_process_have_the_bits_of_separate_processes(tmp_path):
    arguments = ["experiment=golden_cnn", "registry.url=none", "training.tensorboard=false", "training.epochs=2"]
    assert seeds.train_seeds(2, [*arguments, f"run.root={tmp_path}/together"]) == 0
    lock = environment.lock_in_use()
    alone = ["pipeline", "train", *arguments, f"run.root={tmp_path}/alone", "run.name=seed-1", "seed=1"]
    subprocesses.run_module(alone, python=sys.executable, lock=lock, log=tmp_path / "log")
    together, alone = (
        json.loads((tmp_path / folder / "seed-1/result.json").read_text()) for folder in ("together", "alone")
    )
    assert together["weights_digest"] == alone["weights_digest"]
    assert together["metrics"] == alone["metrics"]


@pytest.mark.slow
def test_lock_compared_with_itself_is_identical_in_separate_trainings(tmp_path):
    lock = f"qualify.candidate={environment.CPU_LOCK}"
    status, report = qualify(tmp_path, lock, experiments="golden_cnn", seeds=1)
    assert status == 0 and verdicts(report) == {"golden_cnn": "identical"} and report["changes"] == []
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert "identical" in Path(report["report"]).read_text()


@pytest.mark.slow
def test_package_at_another_version_is_solved_installed_and_compared(qualified, patched_version):
    status, report = qualified
    assert status == 0, report
    version = environment.locked(environment.CPU_LOCK)["keras"]
    assert report["verdict"] == "identical" and report["changes"] == [f"keras {version} -> {patched_version}"]
    assert verdicts(report) == dict.fromkeys(EXPERIMENTS.split(","), "identical")


@pytest.mark.slow
def test_changed_default_initializer_differs_only_for_configs_that_use_the_default(root, candidate_lock):
    experiments = "golden_mlp,golden_defaults"
    status, report = qualify(root, f"qualify.candidate={candidate_lock}", experiments=experiments, seeds=5)
    assert verdicts(report) == {"golden_mlp": "identical", "golden_defaults": "different"}
    assert status == 4 and report["verdict"] == "different"
    (change,) = report["changes"]
    assert change.startswith("keras ") and change.endswith("+normal")
    (defaults,) = [found for found in report["comparisons"] if found["name"].startswith("golden_defaults")]
    assert defaults["high"] < -0.01


@pytest.mark.slow
def test_changed_default_initializer_is_identical_if_configs_name_every_initializer(root, candidate_lock):
    status, report = qualify(root, f"qualify.candidate={candidate_lock}")
    assert status == 0 and report["verdict"] == "identical"


@pytest.mark.slow
def test_two_seeds_are_too_few_to_show_the_difference(root, candidate_lock):
    status, report = qualify(root, f"qualify.candidate={candidate_lock}", experiments="golden_defaults")
    assert status == 5 and report["verdict"] == "not enough seeds"


@pytest.mark.slow
def test_environment_changed_by_hand_is_status_3_and_names_the_package(root, candidate_lock):
    folder = Path(candidate.python_of(candidate_lock, root / "environments")).parents[1]
    (info,) = folder.glob("lib/python*/site-packages/six-*.dist-info")
    metadata, original = info / "METADATA", info / "METADATA.original"
    metadata.rename(original)  # the file may be a hard link into uv's cache, which other environments share
    metadata.write_text(re.sub(r"(?m)^Version: .*$", "Version: 9.9", original.read_text(), count=1))
    try:
        status, message = qualify(root, f"qualify.candidate={candidate_lock}")
    finally:
        original.replace(metadata)
    assert status == 3 and re.search(r"six +\S+ +9\.9", message) and str(folder) in message
