"""The Slurm job on a real Slurm: an interrupted job ends with the weights of a plain run.

Slurm checks limits and priorities about twice a minute. Until then, the test suspends the process of the run, so that
the run is still active when Slurm acts.
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
WAIT = 900  # seconds for any action of Slurm, which checks limits and queues only now and then


def output_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def slurm():
    """Skip the test unless Slurm answers and has the partitions low and high. Return its configuration by name."""
    try:
        partitions = output_of("sinfo", "--noheader", "--format=%R").split()
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no Slurm answers here (sinfo)")
    if not {"low", "high"} <= set(partitions):
        pytest.skip(f"expected the partitions low and high, to evict a job; Slurm has {', '.join(partitions)}")
    return dict(re.findall(r"^(\w+)\s*= (.*)$", output_of("scontrol", "show", "config"), re.MULTILINE))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    root = tmp_path_factory.mktemp("alone")
    assert main(["train", f"run.root={root}", "run.name=alone", *RUN]) == 0
    return outcome(root / "alone")


@contextmanager
def submitted(folder, runtime):
    """Submit a job to the partition low that trains in a folder. Yield its number, and cancel it at the end."""
    options = f"--partition=low --cpus-per-task=2 --time=60 --output={folder.parent}/log"
    environment = {**os.environ, "RUNTIME": runtime, "SBATCH": options}
    arguments = [f"run.root={folder.parent}", f"run.name={folder.name}", *RUN]
    submission = subprocess.run(
        [PROJECT / "scripts" / "submit", *arguments], check=True, capture_output=True, text=True, env=environment
    )
    number = re.search(r"^job +(\d+)", submission.stdout, re.MULTILINE)[1]
    assert (
        f"{folder}:" in submission.stdout
        and f"{folder.parent}/log" in submission.stdout
        and f"scancel {number}" in submission.stdout
    )
    try:
        yield number
    finally:
        subprocess.run(["scancel", number], check=True)


@pytest.fixture
def job(slurm, tmp_path):
    """Submit a job that runs in .venv. Yield its number and the folder of its run."""
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


def wait_for_checkpoint(folder):
    """Wait until a run has written a new checkpoint."""
    before = set(folder.glob("checkpoints/*.ckpt"))
    wait_until(lambda: set(folder.glob("checkpoints/*.ckpt")) - before, folder)


@contextmanager
def stopped_process(folder, signal_number):
    """Suspend the process of a run, as a debugger does, until Slurm has sent it a signal."""
    wait_for_checkpoint(folder)
    process = int(re.match(r"process (\d+) on ", (folder / ".lock").read_text())[1])

    def status_field(key):
        (line,) = (line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith(key))
        return line.split()[1]

    def signal_arrived():
        return status_field("State") != "T" or int(status_field("ShdPnd"), 16) >> (signal_number - 1) & 1

    os.kill(process, signal.SIGSTOP)
    try:
        yield
        wait_until(signal_arrived, folder)  # an eviction also continues the process
    finally:
        os.kill(process, signal.SIGCONT)


def job_field(number, key):
    return re.search(rf"\b{key}=(\S*)", output_of("scontrol", "show", "job", number))[1]


def wait_until_requeued(number, folder, times=1):
    """Wait until a job was queued again, and let it start after 3 seconds instead of Slurm's two minutes.

    An immediate start could fall into the same second as the end of the job. It would then get the credential of the
    ended job, which slurmd refuses.
    """
    wait_until(lambda: job_field(number, "Restarts") == str(times), folder)
    wait_until(lambda: job_field(number, "JobState") == "PENDING", folder)
    output_of("scontrol", "update", f"JobId={number}", "StartTime=now+3")


def require_same_weights(number, folder, alone):
    wait_until(lambda: job_field(number, "JobState") in ("COMPLETED", "FAILED", "TIMEOUT"), folder)
    log = (folder.parent / "log").read_text()
    assert job_field(number, "JobState") == "COMPLETED", log
    assert outcome(folder) == alone
    return log


@pytest.mark.slow
def test_job_near_its_time_limit_stops_and_is_queued_again(job, alone):
    number, folder = job
    with stopped_process(folder, signal.SIGUSR1):
        hours, minutes, _ = map(int, job_field(number, "RunTime").split(":"))
        nearer_than_its_signal = 60 * hours + minutes + 3
        output_of("scontrol", "update", f"JobId={number}", f"TimeLimit={nearer_than_its_signal}")
    wait_until_requeued(number, folder)
    assert json.loads((folder / "result.json").read_text())["why"].startswith("SIGUSR1: stopped after epoch")
    output_of("scontrol", "update", f"JobId={number}", "TimeLimit=60")
    log = require_same_weights(number, folder, alone)
    assert "resumes from its checkpoint" in log and "resuming after epoch" in log


@pytest.mark.slow
def test_evicted_job_resumes(job, alone):
    number, folder = job
    with stopped_process(folder, signal.SIGTERM):
        output_of("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap=true")
    wait_until_requeued(number, folder)
    assert "resuming after epoch" in require_same_weights(number, folder, alone)


@pytest.mark.slow
def test_job_resumes_after_a_restart_of_its_node_daemon(job, alone, slurm):
    number, folder = job
    if os.geteuid() != 0:
        pytest.skip("stopping slurmd takes root's rights")
    wait_for_checkpoint(folder)
    node = job_field(number, "NodeList")
    os.kill(int(Path(slurm["SlurmdPidFile"]).read_text()), signal.SIGTERM)
    try:
        wait_for_checkpoint(folder)
    finally:
        output_of("slurmd", "-N", node)
    require_same_weights(number, folder, alone)


@pytest.mark.slow
def test_interrupted_job_in_the_image_has_the_weights_of_a_run_outside(slurm, tmp_path, alone):
    engine = subprocess.run([PROJECT / "scripts" / "runtime", "engine"], capture_output=True, text=True)
    if engine.returncode:
        pytest.skip("needs a container engine (docker, podman) that answers; none does")
    output_of(str(PROJECT / "scripts" / "image"), "build", engine.stdout.strip())
    folder = tmp_path / "job"
    with submitted(folder, engine.stdout.strip()) as number:
        wait_for_checkpoint(folder)
        output_of("scancel", "--batch", "--signal=USR1", number)
        wait_until_requeued(number, folder)
        assert json.loads((folder / "result.json").read_text())["why"].startswith("SIGUSR1: stopped after epoch")
        assert "resuming after epoch" in require_same_weights(number, folder, alone)
    assert json.loads((folder / "environment.json").read_text())["image"]["id"]


def test_submit_without_slurm_names_what_is_missing(tmp_path):
    (tmp_path / "dirname").symlink_to("/usr/bin/dirname")
    submission = subprocess.run(
        ["/bin/bash", PROJECT / "scripts" / "submit"], capture_output=True, text=True, env={"PATH": str(tmp_path)}
    )
    assert submission.returncode == 1 and "expected Slurm's sbatch" in submission.stderr
