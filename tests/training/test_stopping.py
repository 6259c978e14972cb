"""Runs in separate processes: after a stop or a kill and a resume, the weights equal those of an uninterrupted run."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.cli.main import main
from pipeline.training import checkpoints
from pipeline.training.epoch_history import EpochHistory

# enough epochs that a signal sent after the first one arrives during training
QUICK = ["training.epochs=40", "training.batch_size=32", "model.dropout=0.3", "training.tensorboard=false"]
WAIT = 600  # largest number of seconds until a process finishes an epoch


def start(root, *overrides):
    command = [sys.executable, "-m", "pipeline", "train", f"run.root={root}", *overrides]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, err = process.communicate(timeout=WAIT)
    return process.returncode, out, err


def after_an_epoch(process, folder):
    """Wait until a process has written a new checkpoint."""
    before = set(folder.glob("checkpoints/*.ckpt"))
    until = time.monotonic() + WAIT
    while not set(folder.glob("checkpoints/*.ckpt")) - before:
        assert process.poll() is None, finish(process)
        assert time.monotonic() < until
        time.sleep(0.005)


def digest(folder):
    return json.loads((folder / "result.json").read_text())["weights_digest"]


def journal(folder):
    """Return [(epoch, loss)] of the epochs in the journal of a run."""
    lines = [json.loads(line) for line in (folder / "registry.jsonl").read_text().splitlines()]
    return [(line["epoch"], line["metrics"]["loss"]) for line in lines if line.get("event") == "epoch"]


def interrupted(root, overrides, signals):
    """Train a run, interrupted by one signal to each process but the last. Return its folder."""
    folder = root / "interrupted"
    for number in signals:
        process = start(root, "run.name=interrupted", *overrides)
        after_an_epoch(process, folder)
        process.send_signal(number)
        status, _, err = finish(process)
        assert status == (-signal.SIGKILL if number == signal.SIGKILL else 75), err
        if number != signal.SIGKILL:
            assert "checkpoint saved. The same command resumes the run." in err and "Traceback" not in err
            assert json.loads((folder / "result.json").read_text())["status"] == "interrupted"
        saved = checkpoints.newest(folder / "checkpoints", run={})[0]
        assert {epoch for epoch, _ in journal(folder)} >= set(range(1, saved.epoch + 1))
    status, _, err = finish(start(root, "run.name=interrupted", *overrides))
    assert status == 0, err
    assert "resuming after epoch" in err
    return folder


def same_end(root, overrides, signals):
    folder = interrupted(root, overrides, signals)
    assert main(["train", f"run.root={root}", "run.name=whole", *overrides]) == 0
    assert digest(folder) == digest(root / "whole")
    assert (folder / "metrics.jsonl").read_bytes() == (root / "whole" / "metrics.jsonl").read_bytes()
    assert (folder / "predictions.csv.gz").read_bytes() == (root / "whole" / "predictions.csv.gz").read_bytes()


@pytest.mark.slow
def test_stopped_and_killed_run_ends_with_the_same_files(tmp_path):
    same_end(tmp_path, [*QUICK, "training=tape"], [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])


@pytest.mark.slow
def test_run_without_grace_ends_at_once_and_resumes_from_the_last_checkpoint(tmp_path):
    process = start(tmp_path, "run.name=mine", *QUICK, "run.grace=0")
    after_an_epoch(process, tmp_path / "mine")
    process.send_signal(signal.SIGUSR1)
    status, _, err = finish(process)
    assert status == 75 and "Traceback" not in err
    assert json.loads((tmp_path / "mine" / "result.json").read_text())["status"] == "interrupted"
    status, _, err = finish(start(tmp_path, "run.name=mine", *QUICK))
    assert status == 0 and "resuming after epoch" in err, err


@pytest.mark.slow
def test_second_process_is_refused_while_the_first_trains(tmp_path):
    long = ["run.name=mine", "training.epochs=100000", "training.tensorboard=false"]
    first = start(tmp_path, *long)
    try:
        after_an_epoch(first, tmp_path / "mine")
        status, _, err = finish(start(tmp_path, *long))
        assert status == 2 and f"process {first.pid}" in err and "Traceback" not in err
    finally:
        first.terminate()
        assert finish(first)[0] == 75


@pytest.mark.slow
def test_missing_gpu_is_exit_status_3(tmp_path):
    import tensorflow as tf

    if tf.config.list_physical_devices("GPU"):
        pytest.skip("this machine has a GPU")
    status, _, err = finish(start(tmp_path, "device=gpu"))
    assert status == 3 and "device=gpu" in err and "Traceback" not in err


def catches(process, number):
    """Return whether a process has a handler for a signal."""
    (mask,) = (line for line in Path(f"/proc/{process.pid}/status").read_text().splitlines() if "SigCgt" in line)
    return int(mask.split()[1], 16) >> (number - 1) & 1


def test_run_stopped_before_training_leaves_nothing(tmp_path):
    process = start(tmp_path, "run.name=mine", *QUICK)
    until = time.monotonic() + WAIT
    while not catches(process, signal.SIGUSR1):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.005)
    process.send_signal(signal.SIGUSR1)
    status, _, err = finish(process)
    assert (status, err) == (75, "SIGUSR1: stopped before training; the same command starts again.\n")
    assert not list(tmp_path.iterdir())


# ---- in this process -------------------------------------------------------------------------------------------------


def train(root, *overrides):
    return main(["train", f"run.root={root}", "training.epochs=1", "training.tensorboard=false", *overrides])


def test_finished_run_is_not_trained_again_and_refuses_another_config(tmp_path, capsys):
    assert train(tmp_path, "run.name=mine") == 0
    files = {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}
    capsys.readouterr()
    assert train(tmp_path, "run.name=mine") == 0
    assert "finished already" in capsys.readouterr().out
    assert train(tmp_path, "run.name=mine", "model.hidden=[5]") == 2
    assert "model.hidden: [64, 32] then, [5] now" in capsys.readouterr().err
    assert files == {path: path.read_bytes() for path in (tmp_path / "mine").rglob("*") if path.is_file()}


def test_run_whose_folder_is_deleted_names_what_it_could_not_write(tmp_path, capsys, monkeypatch):
    def delete_folder(history, epoch, logs=None):
        shutil.rmtree(tmp_path / "mine")

    monkeypatch.setattr(EpochHistory, "on_epoch_end", delete_folder)
    assert train(tmp_path, "run.name=mine") == 2
    assert f"{tmp_path}/mine/checkpoints: expected to write a checkpoint; No such file" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_diverging_run_fails_with_a_fix_and_its_last_epoch_is_recorded(tmp_path, capsys):
    rate = ("optimizer=sgd", "optimizer.learning_rate=null", "+optimizer.config.learning_rate=1e30")
    assert train(tmp_path, "run.name=wild", *rate) == 2
    assert "the loss became nan in epoch 1" in capsys.readouterr().err
    result = json.loads((tmp_path / "wild" / "result.json").read_text())
    assert result["status"] == "failed" and "loss" in result["why"]
    assert not (tmp_path / "wild" / "model.keras").exists()
    assert journal(tmp_path / "wild") == [(1, "nan")]
    assert '"loss": NaN' in (tmp_path / "wild" / "metrics.jsonl").read_text()


@pytest.mark.parametrize(
    "override",
    ["data.split.test=0", "objective.loss=categorical_crossentropy", "+optimizer.config.clip=1", "model=gru"],
)
def test_wrong_config_is_exit_status_2_and_leaves_no_run(tmp_path, override):
    assert train(tmp_path, override) == 2
    assert not list(tmp_path.rglob("*"))


@pytest.mark.slow
def test_run_with_only_damaged_checkpoints_fails_and_keeps_them(tmp_path, capsys):
    train(tmp_path, "run.name=mine")
    folder = tmp_path / "mine"
    change(folder / "result.json", status="interrupted")
    damaged = list(folder.glob("checkpoints/*.ckpt"))
    for path in damaged:
        path.write_bytes(b"")
    assert train(tmp_path, "run.name=mine") == 2
    assert "all damaged" in capsys.readouterr().err
    assert damaged == list(folder.glob("checkpoints/*.ckpt"))
