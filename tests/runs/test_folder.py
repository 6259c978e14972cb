"""The folder of a run: new, resumed or finished, and locked by one process at a time."""

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.data.sources.digits import Digits
from pipeline.errors import RunError
from pipeline.models.cnn import Cnn
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs import folder as run_folder
from pipeline.runs.identity import identity
from pipeline.runs.options import Run
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.tape import Tape

COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}


def configured(root, name=None, **sections):
    sections = {"data": Digits(), "model": Mlp(), "objective": SupervisedOptions(), "training": Fit(), **sections}
    return Config(**{"optimizer": Optimizer("Adam", {"learning_rate": 0.01}), **sections}, run=Run(name, str(root)))


def begun(config, status):
    """Return the folder that is chosen for a config, with the files that `train` writes at the start."""
    folder, _ = run_folder.choose(config)
    folder.mkdir(parents=True)
    run_folder.write(folder, "environment.json", {"identity": identity(config)})
    run_folder.write(folder, "result.json", {"status": status})
    return folder


# ---- named runs ------------------------------------------------------------------------------------------------------


def test_named_run_without_a_folder_is_new(tmp_path):
    assert run_folder.choose(configured(tmp_path, "mine")) == (tmp_path / "mine", False)


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_unfinished_named_run_is_resumed(tmp_path, status):
    config = configured(tmp_path, "mine")
    folder = begun(config, status)
    assert run_folder.choose(config) == (folder, False)


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_resume_never_resumes_no_run(tmp_path, status):
    begun(configured(tmp_path, "mine"), status)
    with pytest.raises(RunError, match=r"training\.resume=never"):
        run_folder.choose(configured(tmp_path, "mine", training=Fit(resume="never")))
    begun(configured(tmp_path), status)
    folder, finished = run_folder.choose(configured(tmp_path, training=Fit(resume="never")))
    assert (folder.name, finished) == ("digits-mlp-2", False)


def test_finished_named_run_is_not_trained_again(tmp_path):
    config = configured(tmp_path, "mine")
    folder = begun(config, "finished")
    assert run_folder.choose(config) == (folder, True)


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_named_run_with_another_config_is_refused_with_the_differences(tmp_path, status):
    begun(configured(tmp_path, "mine"), status)
    other = configured(tmp_path, "mine", model=Mlp(hidden=[7]), training=Tape(batch_size=5))
    with pytest.raises(RunError) as raised:
        run_folder.choose(other)
    assert raised.value.status == 2
    for line in (
        "model.hidden: [64, 32] then, [7] now",
        "training.batch_size: 64 then, 5 now",
        'choices.training: "fit" then, "tape" now',
    ):
        assert line in str(raised.value)


# ---- runs without a name ---------------------------------------------------------------------------------------------


def test_run_without_a_name_is_called_after_data_and_model_with_a_number(tmp_path):
    names = [begun(configured(tmp_path), "finished").name for _ in range(11)]
    assert names == [f"digits-mlp-{number}" for number in range(1, 12)]
    assert begun(configured(tmp_path, model=Cnn()), "finished").name == "digits-cnn-1"


def test_run_without_a_name_resumes_the_newest_unfinished_run_of_the_same_config(tmp_path):
    config = configured(tmp_path)
    begun(config, "finished")
    unfinished = begun(config, "interrupted")
    assert run_folder.choose(config) == (unfinished, False)


def test_run_without_a_name_takes_the_next_number_for_another_config_or_other_code(tmp_path):
    folder = begun(configured(tmp_path), "interrupted")
    assert run_folder.choose(configured(tmp_path, seed=1))[0].name == "digits-mlp-2"
    begun_with = run_folder.read(folder, "environment.json")["identity"]
    run_folder.write(folder, "environment.json", {"identity": begun_with | {"code": "other"}})
    assert run_folder.choose(configured(tmp_path))[0].name == "digits-mlp-2"


def test_folder_without_a_number_is_not_counted(tmp_path):
    (tmp_path / "digits-mlp-old").mkdir()
    assert run_folder.choose(configured(tmp_path))[0].name == "digits-mlp-1"


# ---- locking ---------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from pipeline.runs import folder as run_folder
with run_folder.lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Start a process that locks the folder `run` until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_locked_folder_is_refused_naming_the_process(tmp_path, holder):
    with pytest.raises(RunError, match=f"process {holder.pid}"):
        with run_folder.lock(tmp_path / "run"):
            raise AssertionError("held twice")


def test_run_of_a_killed_process_is_unlocked_and_interrupted(tmp_path, holder):
    folder = tmp_path / "run"
    run_folder.write(folder, "result.json", {"status": "running"})
    assert run_folder.status(folder) == "running"
    holder.kill()
    holder.wait()
    assert run_folder.status(folder) == "interrupted"
    with run_folder.lock(folder):
        assert str(os.getpid()) in (folder / ".lock").read_text()


def test_lock_file_of_another_host_does_not_lock_the_folder(tmp_path):
    (tmp_path / ".lock").write_text("process 1 on another-host")
    with run_folder.lock(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()
    assert "another-host" not in (tmp_path / ".lock").read_text()


@contextmanager
def without_root_rights():
    """Run the block as another user, since the mode of a file does not stop root."""
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_status_needs_only_the_right_to_read():
    with tempfile.TemporaryDirectory() as path:  # other users cannot read tmp_path
        folder = Path(path)
        run_folder.write(folder, "result.json", {"status": "running"})
        with run_folder.lock(folder):
            folder.chmod(0o755)
            (folder / ".lock").chmod(0o444)
            with without_root_rights():
                assert run_folder.status(folder) == "running"


def test_reading_the_status_does_not_lock_the_folder(tmp_path):
    with run_folder.lock(tmp_path / "run"):
        pass
    run_folder.write(tmp_path / "run", "result.json", {"status": "running"})
    for _ in range(3):
        assert run_folder.status(tmp_path / "run") == "interrupted"
    with run_folder.lock(tmp_path / "run"):
        assert run_folder.status(tmp_path / "run") == "running"


# ---- stored runs -----------------------------------------------------------------------------------------------------


def test_unknown_run_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(RunError, match=r"run\.name=nope: .* no such run. There are no runs there yet"):
        run_folder.find(str(tmp_path), "nope")
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        run_folder.write(tmp_path / name, "result.json", {})
    with pytest.raises(RunError, match=r"no such run\. Known: first, second\."):
        run_folder.find(str(tmp_path), "nope")
    with pytest.raises(RunError, match=r"Did you mean second\?"):
        run_folder.find(str(tmp_path), "secnod")
    assert run_folder.find(str(tmp_path), "first") == tmp_path / "first"


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "{", '{"status": '])
def test_damaged_file_is_refused_naming_it(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"result\.json"):
        run_folder.status(tmp_path)


def test_resume_on_other_data_or_another_device_is_refused(tmp_path):
    run_folder.write(tmp_path, "environment.json", {"hardware": {"device": "cpu"}})
    run_folder.write(tmp_path, "result.json", {"status": "interrupted", "fingerprint": "abc"})
    run_folder.require_same_data_and_device(tmp_path, fingerprint="abc", device="cpu")
    with pytest.raises(RunError, match="expected the same data as at the start of this run, abc; found xyz"):
        run_folder.require_same_data_and_device(tmp_path, fingerprint="xyz", device="cpu")
    with pytest.raises(RunError, match="expected the same device as at the start of this run, cpu; found gpu"):
        run_folder.require_same_data_and_device(tmp_path, fingerprint="abc", device="gpu")


def test_run_that_another_process_finished_meanwhile_is_refused(tmp_path):
    config = configured(tmp_path, "x")
    folder, _ = run_folder.choose(config)
    folder.mkdir()
    run_folder.require_unchanged(folder, config)
    run_folder.write(folder, "environment.json", {"identity": identity(config)})
    run_folder.write(folder, "result.json", {"status": "finished", "asked_epochs": config.training.epochs})
    with pytest.raises(RunError, match="expected a run that no other process trains"):
        run_folder.require_unchanged(folder, config)


def test_finished_run_with_other_epochs_is_refused(tmp_path):
    config = configured(tmp_path, "x")
    folder, _ = run_folder.choose(config)
    folder.mkdir()
    run_folder.write(folder, "environment.json", {"identity": identity(config)})
    run_folder.write(folder, "result.json", {"status": "finished", "asked_epochs": config.training.epochs + 1})
    with pytest.raises(RunError, match=f"expected training.epochs={config.training.epochs + 1}"):
        run_folder.choose(config)
