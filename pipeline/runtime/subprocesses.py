"""Run a module of this project in a process of its own, with the Python of this environment or of another."""

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import EnvironmentMismatch, ExitStatus, Interrupted, PipelineError
from pipeline.runtime import environment

MAX_LINES = 12  # lines of a failed command's output that an error repeats


def run_module(arguments: Sequence[str], *, python: str | Path, lock: Path, log: Path) -> None:
    """Run `python -m ARGUMENTS` with the code of this project.

    Args:
        arguments: The module and its arguments.
        python: The Python to run.
        lock: The lock file that its environment must match.
        log: The file for its output.

    Raises:
        PipelineError: It failed; with its exit status and the end of its output.
        Interrupted: It was stopped.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    variables = inherited | {"PYTHONPATH": str(environment.PROJECT), "PIPELINE_LOCK": str(lock.absolute())}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w") as file:
        status = subprocess.run(
            [python, "-m", *arguments], env=variables, stdout=file, stderr=subprocess.STDOUT, check=False
        ).returncode
    if status:
        raise failure(arguments, status, log)


def failure(arguments: Sequence[str], status: int, log: Path) -> PipelineError:
    """Return the error for a module that ended with an exit status other than 0."""
    if status == ExitStatus.INTERRUPTED:
        return Interrupted("stopped by a signal; the same command resumes")
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    start = next((index for index, line in enumerate(lines) if line.startswith("error: ")), -MAX_LINES)
    kind = EnvironmentMismatch if status == ExitStatus.ENVIRONMENT else PipelineError
    error = kind("\n  ".join([f"`{shlex.join(arguments)}` ended with exit status {status}:", *lines[start:]]))
    error.status = ExitStatus(status) if status in ExitStatus else ExitStatus.DEFECT  # killed by a signal, for example
    return error
