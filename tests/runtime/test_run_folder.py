"""The folder of a run: begun, continued, left alone, and held by one process at a time."""

import json
import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.config import Config
from pipeline.data.options import SplitOptions
from pipeline.data.sources.digits import Digits
from pipeline.errors import RunError
from pipeline.evaluation.options import Evaluation
from pipeline.models.cnn import Cnn
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs import folder as run_folder
from pipeline.runs import identity
from pipeline.runs.options import Run
from pipeline.runtime.options import Environment, Hardware
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import Checkpoints, EarlyStopping
from pipeline.training.tape import Tape

COSINE = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.01}}


def configured(root, name=None, **parts):
    parts = {"data": Digits(), "model": Mlp(), "objective": SupervisedOptions(), "training": Fit(), **parts}
    return Config(**{"optimizer": Optimizer("Adam", {"learning_rate": 0.01}), **parts}, run=Run(name, str(root)))


def begun(config, status):
    """The folder that is chosen for a config, as `train` leaves it."""
    folder, _ = run_folder.choose(config)
    folder.mkdir(parents=True)
    run_folder.write(folder, "environment.json", {"identity": identity.identity(config)})
    run_folder.write(folder, "result.json", {"status": status})
    return folder


# ---- named runs ------------------------------------------------------------------------------------------------------


def test_a_named_run_that_is_not_there_is_begun(tmp_path):
    assert run_folder.choose(configured(tmp_path, "mine")) == (tmp_path / "mine", False)


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_a_named_run_that_is_unfinished_is_continued(tmp_path, status):
    config = configured(tmp_path, "mine")
    folder = begun(config, status)
    assert run_folder.choose(config) == (folder, False)


@pytest.mark.parametrize("status", ["running", "interrupted", "failed"])
def test_an_unfinished_run_is_not_continued_where_that_is_not_wanted(tmp_path, status):
    begun(configured(tmp_path, "mine"), status)
    with pytest.raises(RunError, match=r"training\.resume=never"):
        run_folder.choose(configured(tmp_path, "mine", training=Fit(resume="never")))
    begun(configured(tmp_path), status)
    folder, finished = run_folder.choose(configured(tmp_path, training=Fit(resume="never")))
    assert (folder.name, finished) == ("digits-mlp-2", False)


def test_a_named_run_that_is_finished_is_left_alone(tmp_path):
    config = configured(tmp_path, "mine")
    folder = begun(config, "finished")
    assert run_folder.choose(config) == (folder, True)


@pytest.mark.parametrize("status", ["interrupted", "finished"])
def test_a_named_run_of_another_config_is_refused_listing_what_differs(tmp_path, status):
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


@pytest.mark.parametrize(
    "parts",
    [
        {"training": Fit(epochs=99)},
        {"training": Fit(tensorboard=False, resume="auto", checkpoints=Checkpoints(keep=7))},
        {"evaluation": Evaluation(bins=7)},
        {"device": "cpu"},
        {"hardware": Hardware(memory_growth=False)},
        {"environment": Environment(allow_drift=True)},
    ],
)
def test_what_does_not_decide_the_weights_may_differ(tmp_path, parts):
    begun(configured(tmp_path, "mine"), "interrupted")
    assert run_folder.choose(configured(tmp_path, "mine", **parts)) == (tmp_path / "mine", False)


@pytest.mark.parametrize(
    "parts",
    [
        {"seed": 1},
        {"determinism": "relaxed"},
        {"hardware": Hardware(threads=3)},
        {"hardware": Hardware(tf32=True)},
        {"data": Digits(split=SplitOptions(seed=1))},
        {"training": Fit(early_stopping=EarlyStopping(patience=2))},
        {"objective": SupervisedOptions(class_weight="balanced")},
        {"optimizer": Optimizer("Adam", {"learning_rate": 0.02})},
    ],
)
def test_what_decides_the_weights_may_not_differ(tmp_path, parts):
    begun(configured(tmp_path, "mine"), "interrupted")
    with pytest.raises(RunError, match=r"then, .* now"):
        run_folder.choose(configured(tmp_path, "mine", **parts))


def test_the_length_of_a_run_decides_the_weights_where_a_schedule_follows_it(tmp_path):
    optimizer = Optimizer("Adam", {"learning_rate": COSINE})
    begun(configured(tmp_path, "mine", optimizer=optimizer, training=Fit(epochs=5)), "interrupted")
    with pytest.raises(RunError, match=r"training\.epochs: 5 then, 6 now"):
        run_folder.choose(configured(tmp_path, "mine", optimizer=optimizer, training=Fit(epochs=6)))


# ---- unnamed runs ----------------------------------------------------------------------------------------------------


def test_an_unnamed_run_is_called_after_data_and_model_and_counted(tmp_path):
    names = [begun(configured(tmp_path), "finished").name for _ in range(11)]
    assert names == [f"digits-mlp-{number}" for number in range(1, 12)]
    assert begun(configured(tmp_path, model=Cnn()), "finished").name == "digits-cnn-1"


def test_an_unnamed_run_goes_on_with_the_newest_if_it_is_unfinished_and_the_same(tmp_path):
    config = configured(tmp_path)
    begun(config, "finished")
    unfinished = begun(config, "interrupted")
    assert run_folder.choose(config) == (unfinished, False)


def test_an_unnamed_run_of_another_config_or_other_code_takes_the_next_number(tmp_path):
    folder = begun(configured(tmp_path), "interrupted")
    assert run_folder.choose(configured(tmp_path, seed=1))[0].name == "digits-mlp-2"
    identity = run_folder.read(folder, "environment.json")["identity"]
    run_folder.write(folder, "environment.json", {"identity": identity | {"code": "other"}})
    assert run_folder.choose(configured(tmp_path))[0].name == "digits-mlp-2"


def test_a_folder_that_only_looks_like_a_numbered_run_is_not_counted(tmp_path):
    (tmp_path / "digits-mlp-old").mkdir()
    assert run_folder.choose(configured(tmp_path))[0].name == "digits-mlp-1"


# ---- holding ---------------------------------------------------------------------------------------------------------

HOLD = """
import sys
from pathlib import Path
from pipeline.runs import folder as run_folder
with run_folder.held(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the folder `run` until its stdin is closed."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "run")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_run_that_another_process_holds_is_refused_naming_it(tmp_path, holder):
    with pytest.raises(RunError, match=f"process {holder.pid}"):
        with run_folder.held(tmp_path / "run"):
            raise AssertionError("held twice")


def test_a_run_whose_process_was_killed_is_free_and_counts_as_interrupted(tmp_path, holder):
    folder = tmp_path / "run"
    run_folder.write(folder, "result.json", {"status": "running"})
    assert run_folder.status(folder) == "running"
    holder.kill()
    holder.wait()
    assert run_folder.status(folder) == "interrupted"
    with run_folder.held(folder):
        assert str(os.getpid()) in (folder / ".lock").read_text()


def test_a_lock_left_by_a_dead_process_of_another_host_does_not_keep_the_run(tmp_path):
    (tmp_path / ".lock").write_text("process 1 on another-host")
    with run_folder.held(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / ".lock").read_text()
    assert "another-host" not in (tmp_path / ".lock").read_text()


@contextmanager
def less_than_root():
    """Root is stopped by no file's mode, so that it goes on as nobody meanwhile."""
    mine = os.geteuid()
    os.seteuid(mine or 65534)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_the_status_of_a_run_can_be_asked_by_who_may_only_read_it():
    with tempfile.TemporaryDirectory() as place:  # tmp_path is closed to others
        folder = Path(place)
        run_folder.write(folder, "result.json", {"status": "running"})
        with run_folder.held(folder):
            folder.chmod(0o755)
            (folder / ".lock").chmod(0o444)
            with less_than_root():
                assert run_folder.status(folder) == "running"


def test_asking_for_the_status_of_a_run_does_not_hold_it(tmp_path):
    with run_folder.held(tmp_path / "run"):
        pass
    run_folder.write(tmp_path / "run", "result.json", {"status": "running"})
    for _ in range(3):
        assert run_folder.status(tmp_path / "run") == "interrupted"
    with run_folder.held(tmp_path / "run"):
        assert run_folder.status(tmp_path / "run") == "running"


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [None, "", "{", '{"status": '])
def test_a_file_of_a_run_that_is_not_whole_is_refused_naming_it(tmp_path, content):
    if content is not None:
        (tmp_path / "result.json").write_text(content)
    with pytest.raises(RunError, match=r"result\.json"):
        run_folder.status(tmp_path)


def test_an_update_changes_only_what_it_names(tmp_path):
    run_folder.write(tmp_path, "result.json", {"status": "running", "started": "now"})
    run_folder.update(tmp_path, status="finished", seconds=3)
    assert json.loads((tmp_path / "result.json").read_text()) == {"status": "finished", "started": "now", "seconds": 3}


def test_a_run_is_not_continued_on_other_data_or_another_device(tmp_path):
    run_folder.write(tmp_path, "environment.json", {"hardware": {"device": "cpu"}})
    run_folder.write(tmp_path, "result.json", {"status": "interrupted", "fingerprint": "abc"})
    run_folder.refuse_other(tmp_path, "abc", "cpu")
    with pytest.raises(RunError, match="expected the data this run began with, abc; found xyz"):
        run_folder.refuse_other(tmp_path, "xyz", "cpu")
    with pytest.raises(RunError, match="expected the device this run began with, cpu; found gpu"):
        run_folder.refuse_other(tmp_path, "abc", "gpu")


def test_a_run_that_another_process_finished_meanwhile_is_not_gone_on_with(tmp_path):
    config = configured(tmp_path, "x")
    folder, _ = run_folder.choose(config)
    folder.mkdir()
    run_folder.confirm(folder, config)
    run_folder.write(folder, "environment.json", {"identity": identity.identity(config)})
    run_folder.write(folder, "result.json", {"status": "finished", "asked_epochs": config.training.epochs})
    with pytest.raises(RunError, match="another process took this run"):
        run_folder.confirm(folder, config)


def test_a_finished_run_is_not_said_to_be_finished_for_other_epochs(tmp_path):
    config = configured(tmp_path, "x")
    folder, _ = run_folder.choose(config)
    folder.mkdir()
    run_folder.write(folder, "environment.json", {"identity": identity.identity(config)})
    run_folder.write(folder, "result.json", {"status": "finished", "asked_epochs": config.training.epochs + 1})
    with pytest.raises(RunError, match=f"expected training.epochs={config.training.epochs + 1}"):
        run_folder.choose(config)
