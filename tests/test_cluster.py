"""The Slurm job, on a real Slurm: signalled, evicted or left by its daemon, it ends with the weights of a run alone.

Slurm looks at limits and priorities about twice a minute. A run is held still until then, so that it is met at work
whether it would take seconds or hours.
"""

import json
import os
import re
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipeline.cli.main import main

PROJECT = Path(__file__).parents[1]
RUN = [
    *("training.epochs=150", "training.batch_size=128", "model.hidden=[16]", "model.dropout=0.3", "device=cpu"),
    *("training.tensorboard=false", "registry.url=none", "evaluation.resamples=100"),
]
WAIT = 900  # seconds for anything that Slurm does: it looks at limits, and starts what was queued again, now and then


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
    assert main(["train", f"run.root={root}", "run.name=alone", *RUN]) == 0
    return outcome(root / "alone")


@contextmanager
def submitted(folder, runtime):
    """The number of a job in the partition low that trains in a folder, cancelled at the end."""
    options = f"--partition=low --cpus-per-task=2 --time=60 --output={folder.parent}/log"
    environment = {**os.environ, "RUNTIME": runtime, "SBATCH": options}
    words = [f"run.root={folder.parent}", f"run.name={folder.name}", *RUN]
    sent = subprocess.run(
        [PROJECT / "scripts" / "submit", *words], check=True, capture_output=True, text=True, env=environment
    )
    number = re.search(r"^job +(\d+)", sent.stdout, re.MULTILINE)[1]
    assert f"{folder}:" in sent.stdout and f"{folder.parent}/log" in sent.stdout and f"scancel {number}" in sent.stdout
    try:
        yield number
    finally:
        subprocess.run(["scancel", number], check=True)


@pytest.fixture
def job(slurm, tmp_path):
    """A job in .venv: its number, and the folder of its run."""
    with submitted(tmp_path / "job", "local") as number:
        yield number, tmp_path / "job"


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


@contextmanager
def held_still(folder, asked_by):
    """Stop the process of a run, as a debugger does, until Slurm has sent it a signal."""
    at_work(folder)
    process = int(re.match(r"process (\d+) on ", (folder / ".lock").read_text())[1])

    def kept(key):
        (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(key))
        return line.split()[1]

    def was_asked():
        return kept("State") != "T" or int(kept("ShdPnd"), 16) >> (asked_by - 1) & 1

    os.kill(process, signal.SIGSTOP)
    try:
        yield
        wait_until(was_asked, folder)  # an eviction wakes it up too
    finally:
        os.kill(process, signal.SIGCONT)


def shown(number, key):
    return re.search(rf"\b{key}=(\S*)", asked("scontrol", "show", "job", number))[1]


def queued_again(number, folder, times=1):
    """Wait until a job was queued again, and have it start in seconds instead of Slurm's two minutes.

    Not at once: a start in the second of the end before it has the ended job's credential, which slurmd refuses.
    """
    wait_until(lambda: shown(number, "Restarts") == str(times), folder)
    wait_until(lambda: shown(number, "JobState") == "PENDING", folder)
    asked("scontrol", "update", f"JobId={number}", "StartTime=now+3")


def same_end(number, folder, alone):
    wait_until(lambda: shown(number, "JobState") in ("COMPLETED", "FAILED", "TIMEOUT"), folder)
    log = (folder.parent / "log").read_text()
    assert shown(number, "JobState") == "COMPLETED", log
    assert outcome(folder) == alone
    return log


@pytest.mark.slow
def test_job_near_its_time_limit_stops_and_is_queued_again(job, alone):
    number, folder = job
    with held_still(folder, signal.SIGUSR1):
        hours, minutes, _ = map(int, shown(number, "RunTime").split(":"))
        nearer_than_its_signal = 60 * hours + minutes + 3
        asked("scontrol", "update", f"JobId={number}", f"TimeLimit={nearer_than_its_signal}")
    queued_again(number, folder)
    assert json.loads((folder / "result.json").read_text())["why"].startswith("SIGUSR1: stopped after epoch")
    asked("scontrol", "update", f"JobId={number}", "TimeLimit=60")
    log = same_end(number, folder, alone)
    assert "resumes from its checkpoint" in log and "resuming after epoch" in log


@pytest.mark.slow
def test_evicted_job_resumes(job, alone):
    number, folder = job
    with held_still(folder, signal.SIGTERM):
        asked("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true")
    queued_again(number, folder)
    assert "resuming after epoch" in same_end(number, folder, alone)


@pytest.mark.slow
def test_job_resumes_after_a_restart_of_its_node_daemon(job, alone, slurm):
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


@pytest.mark.slow
def test_interrupted_job_in_the_image_has_the_weights_of_a_run_outside(slurm, tmp_path, alone):
    engine = subprocess.run([PROJECT / "scripts" / "runtime", "engine"], capture_output=True, text=True)
    if engine.returncode:
        pytest.skip("needs a container engine (docker, podman) that answers; none does")
    asked(str(PROJECT / "scripts" / "image"), "build", engine.stdout.strip())
    folder = tmp_path / "job"
    with submitted(folder, engine.stdout.strip()) as number:
        at_work(folder)
        asked("scancel", "--batch", "--signal=USR1", number)
        queued_again(number, folder)
        assert json.loads((folder / "result.json").read_text())["why"].startswith("SIGUSR1: stopped after epoch")
        assert "resuming after epoch" in same_end(number, folder, alone)
    assert json.loads((folder / "environment.json").read_text())["image"]["id"]


def test_submit_without_slurm_names_what_is_missing(tmp_path):
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    sent = subprocess.run(
        ["/bin/bash", PROJECT / "scripts" / "submit"], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert sent.returncode == 1 and "expected Slurm's sbatch" in sent.stderr
