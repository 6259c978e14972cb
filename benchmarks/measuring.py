"""CPU seconds of whole processes, and how repeated measurements are summed up."""

import os
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time

PIPELINE = [sys.executable, "-m", "pipeline"]


def measure(command, environment=os.environ):
    """Run a command to its end; where it fails, end with what it said.

    Returns (seconds of CPU, its children's too; [(moment in seconds, line)] of what it printed).
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryFile("w+") as stderr:
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, env={**environment, "PYTHONUNBUFFERED": "1"}
        ) as process:
            lines = [(time.perf_counter(), line.strip()) for line in process.stdout]
        if process.returncode:
            stderr.seek(0)
            sys.exit(f"{shlex.join(map(str, command))}: exit status {process.returncode}\n{stderr.read()}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, lines


def ratios(numerators, denominators):
    """The ratio of each alternated pair: the machine's speed drifts, yet little within a pair."""
    return [above / below for above, below in zip(numerators, denominators, strict=True)]


def summed_up(values, digits=2):
    """The median and, in brackets, the least and the most."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} [{low}, {high}]"
