"""Runs a command of this program in a process of its own, of this environment or of another."""

import os
import subprocess

from pipeline.errors import EnvironmentMismatch, ExitStatus, Interrupted, PipelineError
from pipeline.runtime import environment

SHOWN = 12  # lines of a failed command's own words that an error repeats


def call(python, lock, words, log):
    """Run `python -m WORDS` with this tree's code, held to a lock; what it prints goes to the file `log`.

    Raises PipelineError with its last words and its exit status where it fails, Interrupted where it was stopped.
    """
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    surroundings = kept | {"PYTHONPATH": str(environment.PROJECT), "PIPELINE_LOCK": str(lock.absolute())}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        status = subprocess.run(
            [python, "-m", *words], env=surroundings, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status:
        raise failure(words, status, log)


def failure(words, status, log):
    if status == ExitStatus.INTERRUPTED:
        return Interrupted("stopped on request; the same command goes on with it")
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    told = next((place for place, line in enumerate(lines) if line.startswith("error: ")), -SHOWN)
    error = EnvironmentMismatch if status == ExitStatus.ENVIRONMENT else PipelineError
    found = error("\n  ".join([f"`{' '.join(words)}` ended with status {status}:", *lines[told:]]))
    found.status = ExitStatus(status) if status in ExitStatus else ExitStatus.DEFECT  # killed by a signal, for one
    return found
