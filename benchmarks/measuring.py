"""Measure CPU seconds of whole processes, and summarize repeated measurements."""

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

PIPELINE = [sys.executable, "-m", "pipeline"]


def measure(
    command: Sequence[str | Path], environment: Mapping[str, str] = os.environ
) -> tuple[float, list[tuple[float, str]]]:
    """Run a command to its end. If it fails, exit with its error output.

    Args:
        command: Program and arguments.
        environment: Its environment variables.

    Returns:
        CPU seconds of the process and its children, and the lines that it printed: [(time in seconds, line)].
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as stderr:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
        ) as process:
            assert process.stdout is not None
            lines = [(time.perf_counter(), line.strip()) for line in process.stdout]
        if process.returncode:
            stderr.seek(0)
            sys.exit(f"{shlex.join(map(str, command))}: exit status {process.returncode}\n{stderr.read()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, lines


def ratios(numerators: Sequence[float], denominators: Sequence[float]) -> list[float]:
    """Return the ratio of each pair measured in turn: the speed of the machine drifts, but little within a pair."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def summed_up(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and, in brackets, the minimum and the maximum."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} [{low}, {high}]"


def memory_field(pid: int | str, name: str) -> int:
    """Return a field of /proc/PID/status in KiB.

    Args:
        pid: A process ID, or "self".
        name: "VmRSS" for the resident memory, "VmHWM" for its maximum so far.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"/proc/{pid}/status: expected {name}; found none, because the process has ended")
