"""Standard streams that are closed, full, or lose their reader; and many stop signals at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "pipeline"]
TINY = ["training.epochs=3", "training.tensorboard=false", "registry.url=none", "evaluation.resamples=100"]


def shell(script):
    """Run a shell script, in which $P is the program."""
    variables = os.environ | {"PYTHONPATH": str(PROJECT), "P": " ".join(COMMAND)}
    return subprocess.run(["bash", "-c", script], env=variables, capture_output=True, text=True, timeout=300)


def start(root, *options):
    variables = os.environ | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}
    command = [*COMMAND, "train", f"run.root={root}", "run.name=a", *TINY, *options]
    return subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_command_whose_reader_ends_early_ends_quietly():
    done = shell("$P reference | true; echo status ${PIPESTATUS[0]}")
    assert done.stdout == f"status {128 + signal.SIGPIPE}\n" and done.stderr == ""


@pytest.mark.parametrize("redirection", [">&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_error(redirection, tmp_path):
    done = shell(f"cd {tmp_path} && $P runs {redirection}; echo status $?")
    assert done.stdout == "status 0\n" and done.stderr == ""


def test_a_full_standard_output_is_named():
    done = shell("$P reference > /dev/full; echo status $?")
    assert done.stdout == "status 2\n"
    assert "No space left on device" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.slow
def test_a_training_survives_the_end_of_its_reader(tmp_path):
    process = start(tmp_path)
    process.stderr.readline()
    process.stdout.close()
    process.stderr.close()
    assert process.wait(timeout=300) == 0
    assert json.loads((tmp_path / "a" / "result.json").read_text())["status"] == "finished"


@pytest.mark.slow
def test_a_storm_of_stop_signals_ends_with_a_checkpoint(tmp_path):
    process = start(tmp_path, "training.epochs=100000")
    while not list(tmp_path.glob("a/checkpoints/*")):
        assert process.poll() is None
        time.sleep(0.1)
    while process.poll() is None:
        process.send_signal(signal.SIGTERM)
        time.sleep(0.002)
    assert process.returncode == 75, process.stderr.read()
