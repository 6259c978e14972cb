"""A full disk: the run stops or continues as the config says, and earlier checkpoints are unchanged."""

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
    """A file system of 1 MiB, and a function that fills it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a tmpfs needs root")

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


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.glob("*.ckpt")}


def test_checkpoint_on_a_full_disk_leaves_earlier_ones_and_no_partial_file(small_disk):
    folder, fill = small_disk
    checkpoints.write(folder, state(1), keep=1)
    before = contents(folder)
    fill()
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(folder, state(2), keep=1)
    assert contents(folder) == before and not list(folder.glob(".*partial"))
    assert checkpoints.newest(folder, run={})[0].epoch == 1


def test_partial_file_of_a_killed_process_is_removed_before_the_next_checkpoint(small_disk):
    folder, fill = small_disk
    (folder / ".epoch-00001-step-0000000.ckpt.1.partial").write_bytes(bytes(65_536))
    fill()
    assert checkpoints.write(folder, state(1), keep=1).exists()


def test_read_only_folder_keeps_its_checkpoints(small_disk):
    folder, _ = small_disk
    checkpoints.write(folder, state(1), keep=1)
    before = contents(folder)
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    with pytest.raises(OSError, match="Read-only"):
        checkpoints.write(folder, state(2), keep=1)
    assert contents(folder) == before


@pytest.mark.parametrize("engine", [pytest.param(Fit, marks=pytest.mark.slow), Tape])
def test_training_stops_at_a_checkpoint_that_cannot_be_written(training_run, configured, small_disk, engine):
    folder, fill = small_disk
    training_run(folder, configured(engine, epochs=1))
    before = contents(folder)
    ballast = fill()
    with pytest.raises(RunError, match=r"No space left on device.*on_error=continue"):
        training_run(folder, configured(engine, epochs=2))
    assert contents(folder) == before
    ballast.unlink()
    assert len(training_run(folder, configured(engine, epochs=2)).history) == 2


def test_training_continues_without_checkpoints_if_on_error_is_continue(
    training_run, train, configured, small_disk, capsys
):
    folder, fill = small_disk
    config = configured(Fit, checkpoints=Checkpoints(on_error="continue"))
    training_run(folder, configured(Fit, epochs=1))
    before = contents(folder)
    (folder / "metrics.jsonl").write_bytes(b"")  # read at the end by the fixture
    fill()
    assert training_run(folder, config).digest == train(config).digest
    assert contents(folder) == before
    assert "No space left on device; the run continues" in capsys.readouterr().err


def test_gradients_on_a_full_disk_are_skipped_and_the_next_are_recorded(small_disk, capsys):
    folder, fill = small_disk
    statistics = gradients.GradientStatistics(np.float32(1), {"dense/kernel": (np.float32(1), np.float32(1))}, {}, {})
    recorder = gradients.GradientRecorder(1, folder, histograms=False)
    recorder.start_after(0)
    recorder.write(0, 0, {"supervised": statistics})
    ballast = fill()
    for step in range(1, 60):  # the last page of the file is filled first
        recorder.write(step, 0, {"supervised": statistics})
    assert "No space left on device; the gradients of step 60 are not recorded" in capsys.readouterr().err
    ballast.unlink()
    recorder.write(60, 0, {"supervised": statistics})
    steps = [line["step"] for line in gradients.read(recorder.path)]
    assert steps == [*range(1, len(steps)), 61] and len(steps) < 61


def test_checkpoint_does_not_create_the_folder_of_a_deleted_run(tmp_path):
    with pytest.raises(FileNotFoundError):
        checkpoints.write(tmp_path / "gone", state(1), keep=1)
    assert not (tmp_path / "gone").exists()


@pytest.mark.slow
def test_run_on_a_full_disk_fails_with_a_short_message_and_resumes_when_there_is_room(small_disk):
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
