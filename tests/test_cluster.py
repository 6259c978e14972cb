"""The Slurm job, on a real Slurm: signalled, evicted or left by its daemon, it ends with the weights of a run alone."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from pipeline.__main__ import main

PROJECT = Path(__file__).parents[1]
LONG = [  # longer than Slurm takes between two looks at limits, half a minute
    *("training.epochs=800", "training.batch_size=128", "model.hidden=[16]", "model.dropout=0.3"),
    *("training.tensorboard=false", "registry.url=none", "evaluation.resamples=100"),
]
WAIT = 400  # seconds for anything that Slurm does: it looks at limits, and starts what was queued again, now and then


def asked(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def slurm():
    """Slurm answers, with the partitions low and high; what a test needs of its configuration, by name."""
    try:
        partitions = asked("sinfo", "--noheader", "--format=%R").split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no Slurm answers here (sinfo)")
    if not {"low", "high"} <= set(partitions):
        pytest.skip(f"expected the partitions low and high, to evict a job; Slurm has {', '.join(partitions)}")
    return dict(re.findall(r"^(\w+)\s*= (.*)$", asked("scontrol", "show", "config"), re.MULTILINE))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    assert main(["train", f"run.root={root}", "run.name=alone", *LONG]) == 0
    return outcome(root / "alone")


@pytest.fixture
def job(slurm, tmp_path):
    """A job in the partition low, cancelled at the end: its number, and the folder of its run."""
    options = f"--partition=low --cpus-per-task=2 --time=60 --output={tmp_path}/log"
    environment = {**os.environ, "RUNTIME": "local", "SBATCH": options}
    words = [f"run.root={tmp_path}", "run.name=job", *LONG]
    sent = subprocess.run(
        [PROJECT / "scripts" / "submit", *words], check=True, capture_output=True, text=True, env=environment
    )
    number = re.search(r"^job +(\d+)", sent.stdout, re.MULTILINE)[1]
    assert f"{tmp_path}/job" in sent.stdout and f"scancel {number}" in sent.stdout
    yield number, tmp_path / "job"
    subprocess.run(["scancel", number], check=True)


def outcome(folder):
    return json.loads((folder / "result.json").read_text())["weights_digest"], (folder / "metrics.jsonl").read_bytes()


def wait_until(happened, folder):
    until = time.monotonic() + WAIT
    while not happened():
        log = folder.parent / "log"
        assert time.monotonic() < until, log.read_text() if log.exists() else "the job did not start"
        time.sleep(0.2)


def at_work(folder):
    """Wait until a run has written a checkpoint that was not there."""
    before = set(folder.glob("checkpoints/*.ckpt"))
    wait_until(lambda: set(folder.glob("checkpoints/*.ckpt")) - before, folder)


def shown(number, key):
    return re.search(rf"\b{key}=(\S*)", asked("scontrol", "show", "job", number))[1]


def queued_again(number, folder, times=1):
    """Wait until a job was queued again, and have it start at once."""
    wait_until(lambda: shown(number, "Restarts") == str(times), folder)
    wait_until(lambda: shown(number, "JobState") == "PENDING", folder)
    asked("scontrol", "update", f"JobId={number}", "StartTime=now")


def same_end(number, folder, alone):
    wait_until(lambda: shown(number, "JobState") in ("COMPLETED", "FAILED", "TIMEOUT"), folder)
    assert outcome(folder) == alone
    return (folder.parent / "log").read_text()


@pytest.mark.slow
def test_a_job_that_comes_near_its_limit_stops_and_is_queued_again(job, alone):
    number, folder = job
    at_work(folder)
    asked("scontrol", "update", f"JobId={number}", "TimeLimit=3")  # nearer than its --signal
    queued_again(number, folder)
    assert json.loads((folder / "result.json").read_text())["why"].startswith("SIGUSR1: stopped after epoch")
    asked("scontrol", "update", f"JobId={number}", "TimeLimit=60")
    log = same_end(number, folder, alone)
    assert "goes on from its checkpoint" in log and "going on after epoch" in log


@pytest.mark.slow
def test_a_job_that_is_evicted_goes_on(job, alone):
    number, folder = job
    at_work(folder)
    asked("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true")
    queued_again(number, folder)
    assert "going on after epoch" in same_end(number, folder, alone)


@pytest.mark.slow
def test_a_job_whose_node_daemon_is_started_again_goes_on(job, alone, slurm):
    number, folder = job
    if os.geteuid() != 0:
        pytest.skip("stopping slurmd takes root's rights")
    at_work(folder)
    node = shown(number, "NodeList")
    os.kill(int(Path(slurm["SlurmdPidFile"]).read_text()), signal.SIGTERM)
    try:
        at_work(folder)
    finally:
        asked("slurmd", "-N", node)
    same_end(number, folder, alone)


def test_without_slurm_submit_says_what_it_needs(tmp_path):
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    sent = subprocess.run(
        ["/bin/bash", PROJECT / "scripts" / "submit"], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert sent.returncode == 1 and "expected Slurm's sbatch" in sent.stderr
