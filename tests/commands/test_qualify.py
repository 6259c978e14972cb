"""`qualify`, on real environments: the same lock, another Keras, and one whose dense layers start otherwise."""

import base64
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
OLDER = "3.15.0"


def qualify(root, capsys, *words, experiments="golden_mlp", seeds=2):
    """(status, what it said): JSON where it came to a verdict."""
    options = [f"qualify.root={root}", f"qualify.seeds={seeds}", f"golden.experiments=[{experiments}]", "--json"]
    status = main(["qualify", *options, *words])
    said = capsys.readouterr()
    return status, json.loads(said.out) if said.out else said.err


def verdicts(told):
    return {found["name"].split()[0]: found["verdict"] for found in told["comparisons"]}


def patched_keras(folder):
    """Write a wheel of the installed Keras whose Dense starts from a normal distribution of standard deviation 0.05,
    as random_normal is. Returns (version, entry in a lock)."""
    version = environment.locked(environment.CPU_LOCK)["keras"]
    info, name = f"keras-{version}.dist-info", f"{version}+fixedstd"
    content = {}
    for path in [*(SITE / "keras").rglob("*"), *(SITE / info).rglob("*")]:
        if path.is_file() and path.suffix != ".pyc" and path.name not in ("RECORD", "INSTALLER", "REQUESTED"):
            content[str(path.relative_to(SITE)).replace(info, f"keras-{name}.dist-info")] = path.read_bytes()
    dense = "keras/src/layers/core/dense.py"
    assert content[dense].count(b'kernel_initializer="glorot_uniform"') == 1
    content[dense] = content[dense].replace(b'"glorot_uniform"', b'"random_normal"')
    metadata = f"keras-{name}.dist-info/METADATA"
    content[metadata] = content[metadata].replace(f"Version: {version}".encode(), f"Version: {name}".encode(), 1)
    rows = io.StringIO()
    for path, data in content.items():
        mark = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        csv.writer(rows, lineterminator="\n").writerow([path, f"sha256={mark}", len(data)])
    record = f"keras-{name}.dist-info/RECORD"
    content[record] = f"{rows.getvalue()}{record},,\n".encode()
    wheel = folder / f"keras-{name}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in content.items():
            archive.writestr(path, data)
    return name, f"keras=={name} \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Where environments are made, of 2.5 GB each: gone after the tests. They are installed from a package index."""
    folder = tmp_path_factory.mktemp("qualify")
    smallest = f"wheel=={environment.locked(environment.CPU_LOCK)['wheel']}"
    words = ["pip", "download", "--quiet", "--retries=0", "--no-deps", f"--dest={folder}", smallest]
    asked = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, check=False)
    if re.search("No matching distribution|Could not find|ConnectionError|Max retries", asked.stderr):
        pytest.skip("no package index answers here")
    assert asked.returncode == 0, asked.stderr
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def fixed_std(root):
    """A candidate lock with the patched Keras, and pip told where its wheel is."""
    (root / "wheels").mkdir()
    _, entry = patched_keras(root / "wheels")
    text, count = re.subn(r"(?m)^keras==.*\n(    --hash=.*\n)+", lambda _: entry, environment.CPU_LOCK.read_text())
    assert count == 1
    (root / "fixed-std.txt").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIP_FIND_LINKS", f"{os.environ.get('PIP_FIND_LINKS', '')} {root / 'wheels'}".strip())
        yield root / "fixed-std.txt"


def test_neither_or_both_of_lock_and_package_are_status_2(tmp_path, capsys):
    for words in ([], ["qualify.candidate=a.txt", 'qualify.package="keras==1"']):
        status, said = qualify(tmp_path, capsys, *words)
        assert status == 2 and "expected either qualify.candidate=LOCK or qualify.package" in said


def test_a_package_is_solved_for_locks_of_the_project_only(tmp_path, capsys):
    shutil.copy(environment.CPU_LOCK, tmp_path)
    status, said = qualify(
        tmp_path, capsys, f"qualify.baseline={tmp_path}/requirements-cpu.txt", f'qualify.package="keras=={OLDER}"'
    )
    assert status == 2 and "expected a lock of the project's own" in said


def test_an_edited_lock_is_status_2_and_names_the_line(tmp_path, capsys):
    lines = environment.CPU_LOCK.read_text().splitlines(keepends=True)
    (number,) = [place for place, line in enumerate(lines) if line.startswith("keras==")]
    lines[number] = lines[number].replace("==", ">=")
    (tmp_path / "edited.txt").write_text("".join(lines))
    status, said = qualify(tmp_path, capsys, f"qualify.candidate={tmp_path}/edited.txt")
    assert status == 2 and f"edited.txt, line {number + 1}" in said and "keras>=" in said
    assert not (tmp_path / "environments").exists()


@pytest.mark.slow
def test_seeds_trained_in_one_process_have_the_bits_of_a_process_each(tmp_path):
    words = ["experiment=golden_cnn", "registry.url=none", "training.tensorboard=false", "training.epochs=2"]
    assert seeds.train_seeds(2, [*words, f"run.root={tmp_path}/together"]) == 0
    lock = environment.lock_in_use()
    alone = ["pipeline", "train", *words, f"run.root={tmp_path}/alone", "run.name=seed-1", "seed=1"]
    subprocesses.run_module(sys.executable, lock, alone, tmp_path / "log")
    found = [json.loads((tmp_path / side / "seed-1/result.json").read_text()) for side in ("together", "alone")]
    assert found[0]["weights_digest"] == found[1]["weights_digest"]
    assert found[0]["metrics"] == found[1]["metrics"]


@pytest.mark.slow
def test_the_same_lock_twice_is_identical_by_trainings_of_its_own(root, capsys):
    status, told = qualify(root, capsys, f"qualify.candidate={environment.CPU_LOCK}", experiments="golden_cnn", seeds=1)
    assert status == 0 and verdicts(told) == {"golden_cnn": "identical"} and told["changes"] == []
    assert len(list((root / "runs").iterdir())) == 2
    assert "identical" in Path(told["report"]).read_text()


@pytest.mark.slow
def test_a_keras_whose_dense_layers_start_otherwise_is_different_only_where_a_config_leaves_that_to_keras(
    root, fixed_std, capsys
):
    status, told = qualify(
        root, capsys, f"qualify.candidate={fixed_std}", experiments="golden_mlp,golden_defaults", seeds=5
    )
    assert verdicts(told) == {"golden_mlp": "identical", "golden_defaults": "different"}
    assert status == 4 and told["verdict"] == "different"
    (change,) = told["changes"]
    assert change.startswith("keras ") and change.endswith("+fixedstd")
    (defaults,) = [found for found in told["comparisons"] if found["name"].startswith("golden_defaults")]
    assert defaults["high"] < -0.01


@pytest.mark.slow
def test_with_every_initializer_written_out_the_same_keras_is_identical(root, fixed_std, capsys):
    status, told = qualify(root, capsys, f"qualify.candidate={fixed_std}")
    assert status == 0 and told["verdict"] == "identical"


@pytest.mark.slow
def test_two_seeds_of_it_are_not_enough(root, fixed_std, capsys):
    status, told = qualify(root, capsys, f"qualify.candidate={fixed_std}", experiments="golden_defaults")
    assert status == 5 and told["verdict"] == "not enough seeds"


@pytest.mark.slow
def test_an_environment_changed_by_hand_is_status_3_and_names_the_package(root, fixed_std, capsys):
    made = Path(candidate.python_of(fixed_std, root / "environments")).parents[1]
    (info,) = made.glob("lib/python*/site-packages/six-*.dist-info")
    metadata = info / "METADATA"
    before = metadata.read_text()
    metadata.write_text(re.sub(r"(?m)^Version: .*$", "Version: 9.9", before, count=1))
    try:
        status, said = qualify(root, capsys, f"qualify.candidate={fixed_std}")
    finally:
        metadata.write_text(before)
    assert status == 3 and re.search(r"six +\S+ +9\.9", said) and str(made) in said


@pytest.mark.slow
def test_another_release_of_keras_is_identical(root, capsys):
    status, told = qualify(
        root, capsys, f'qualify.package="keras=={OLDER}"', experiments="golden_mlp,golden_gru", seeds=1
    )
    assert status == 0, told
    assert told["verdict"] == "identical" and told["changes"] == [f"keras 3.15.1 -> {OLDER}"]
