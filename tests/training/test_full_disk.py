"""Checkpoints that cannot be written: the run stops or trains on as the config says, and the last whole one stays."""

import subprocess
import sys

import numpy as np
import pytest

from pipeline.errors import RunError
from pipeline.training import checkpoints, gradients
from pipeline.training.fit import Fit
from pipeline.training.options import Checkpoints
from pipeline.training.tape import Tape

TINY = ["training.epochs=6", "model.hidden=[8]", "training.tensorboard=false", "registry.url=none", "run.name=mine"]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB, and a function that fills it up."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs takes root's rights")

    def fill():
        with (folder / "ballast").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass
        return folder / "ballast"

    yield folder, fill
    subprocess.run(["umount", "--lazy", folder], check=True)


def state(epoch, size=4096):
    return checkpoints.State(epoch, 0, False, {"0000/kernel": np.full(size, epoch, np.float32)})


def whole(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.ckpt")}


def test_a_checkpoint_that_finds_the_disk_full_leaves_those_before_and_no_draft(small_disk):
    folder, fill = small_disk
    checkpoints.write(folder, state(1), keep=1)
    before = whole(folder)
    fill()
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(folder, state(2), keep=1)
    assert whole(folder) == before and not list(folder.glob(".*partial"))
    assert checkpoints.newest(folder)[0].epoch == 1


def test_the_draft_of_a_killed_process_makes_room_before_the_next_is_written(small_disk):
    folder, fill = small_disk
    (folder / ".epoch-00001-step-0000000.ckpt.1.partial").write_bytes(bytes(65_536))
    fill()
    assert checkpoints.write(folder, state(1), keep=1).exists()


def test_a_folder_that_may_only_be_read_keeps_its_checkpoints(small_disk):
    folder, _ = small_disk
    checkpoints.write(folder, state(1), keep=1)
    before = whole(folder)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    with pytest.raises(OSError, match="Read-only"):
        checkpoints.write(folder, state(2), keep=1)
    assert whole(folder) == before


@pytest.mark.parametrize("engine", [Fit, Tape])
def test_a_training_stops_at_a_checkpoint_that_cannot_be_written(training_run, configured, small_disk, engine):
    folder, fill = small_disk
    training_run(folder, configured(engine, epochs=1))
    before = whole(folder)
    ballast = fill()
    with pytest.raises(RunError, match=r"No space left on device.*on_error=continue"):
        training_run(folder, configured(engine, epochs=2))
    assert whole(folder) == before
    ballast.unlink()
    assert len(training_run(folder, configured(engine, epochs=2)).history) == 2


def test_a_training_that_is_told_to_goes_on_without_its_checkpoints(
    training_run, train, configured, small_disk, capsys
):
    folder, fill = small_disk
    config = configured(Fit, checkpoints=Checkpoints(on_error="continue"))
    training_run(folder, configured(Fit, epochs=1))
    before = whole(folder)
    (folder / "metrics.jsonl").write_bytes(b"")  # what the test's own harness reads at the end
    fill()
    assert training_run(folder, config).digest == train(config).digest
    assert whole(folder) == before
    assert "No space left on device; the run continues" in capsys.readouterr().err


def test_a_look_at_gradients_that_finds_the_disk_full_is_left_out_and_the_next_is_kept(small_disk, capsys):
    folder, fill = small_disk
    look = gradients.Look(np.float32(1), {"dense/kernel": (np.float32(1), np.float32(1))}, {}, {})
    watch = gradients.Watch(1, folder, histograms=False)
    watch.begin(0)
    watch.keep(0, 0, {"supervised": look})
    ballast = fill()
    for step in range(1, 60):  # the page that the file has is filled up first
        watch.keep(step, 0, {"supervised": look})
    assert "No space left on device; the gradients of step 60 are not kept" in capsys.readouterr().err
    ballast.unlink()
    watch.keep(60, 0, {"supervised": look})
    steps = [line["step"] for line in gradients.read(watch.path)]
    assert steps == [*range(1, len(steps)), 61] and len(steps) < 61


def test_a_checkpoint_makes_no_folder_anew_where_the_run_was_taken_away(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoints.write(tmp_path / "gone", state(1), keep=1)
    assert not (tmp_path / "gone").exists()


@pytest.mark.slow
def test_a_run_on_a_full_disk_is_told_in_a_few_lines_and_goes_on_when_there_is_room(small_disk):
    root, fill = small_disk

    def train(*more):
        command = [sys.executable, "-m", "pipeline", "train", f"run.root={root}", *TINY, *more]
        return subprocess.run(command, capture_output=True, text=True)

    root.joinpath("mine", "checkpoints").mkdir(parents=True)
    ballast = fill()
    refused = train()
    assert refused.returncode == 2 and "No space left on device" in refused.stderr
    assert "Traceback" not in refused.stderr
    ballast.unlink()
    done = train("training.checkpoints.keep=1")
    assert done.returncode == 0, done.stderr
