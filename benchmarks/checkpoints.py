"""Measure the cost of checkpoints, of strict determinism, and of resuming a run.

Checkpoints: the time of copying the variables and writing the file, as a share of an epoch of MNIST. Strict
determinism: its CPU seconds per epoch against relaxed, in two trainings that take turns epoch by epoch, since the mode
is fixed for a whole process. Resuming: a run that resumes for one epoch, against one that starts and has one epoch.
"""

import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import mnist
from benchmarks.measuring import PIPELINE, measure, ratios, summed_up
from pipeline.training import checkpoints

PAIRS = 5
TURNS = 20  # epochs of each training, after the first
ROWS = 8_192  # images of MNIST's size: 51 steps per epoch
WRITES = 50
TICKS = os.sysconf("SC_CLK_TCK")


def run(folder: str | None) -> None:
    """Run the benchmark. folder: The files of MNIST; None uses random images."""
    with mnist.files(folder) as path:
        measure_checkpoints(path)
    compare_determinism()
    starting, resuming = zip(*(start_and_resume() for _ in range(PAIRS)), strict=True)
    extra = [again - first for first, again in zip(starting, resuming, strict=True)]
    print(f"a run of one epoch                          {summed_up(starting)} CPU s")
    print(f"resuming for one epoch takes longer by      {summed_up(extra)} CPU s")


def compare_determinism() -> None:
    """Let two trainings of the MNIST convnet take turns, each first every other time."""
    with tempfile.TemporaryDirectory() as root:
        synthetic = ["experiment=mnist_convnet", "data=synthetic", f"data.rows={ROWS}", f"training.epochs={TURNS + 2}"]
        sides = [PausedTraining(root, mode, [*synthetic, f"determinism={mode}"]) for mode in ("strict", "relaxed")]
        turns = []
        try:
            for turn in range(TURNS):
                seconds = {side: side.train_epoch() for side in (sides if turn % 2 else reversed(sides))}
                turns.append([seconds[side] for side in sides])
        finally:
            for side in sides:
                side.kill()
    strict, relaxed = zip(*turns, strict=True)
    print(f"CPU of an epoch, strict / relaxed           {summed_up(ratios(strict, relaxed), 3)}")
    print(f"of all {TURNS} epochs                            {sum(strict) / sum(relaxed):.3f}")


class PausedTraining:
    """A training in its own process, which is paused except during `train_epoch`."""

    def __init__(self, root: str, name: str, overrides: Sequence[str]) -> None:
        """Start the training and wait until its first epoch is over.

        Args:
            root: The folder of the runs.
            name: Of the run.
            overrides: Of the config.
        """
        self.process = subprocess.Popen(
            [*PIPELINE, "train", f"run.root={root}", f"run.name={name}", "registry.url=none", *overrides],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        for _ in range(2):  # the line that starts an epoch ends the one before
            self.train_epoch()

    def train_epoch(self) -> float:
        """Train until the next epoch starts. Return the CPU seconds of the process."""
        self.process.send_signal(signal.SIGCONT)
        before = self.cpu_seconds()
        assert self.process.stdout is not None
        while not self.process.stdout.readline().startswith("Epoch "):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.process.args}: exit status {self.process.returncode}")
        self.process.send_signal(signal.SIGSTOP)
        return self.cpu_seconds() - before

    def cpu_seconds(self) -> float:
        """Return the CPU seconds of the process so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def kill(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.communicate()


def measure_checkpoints(path: str) -> None:
    """Train two epochs of the convnet on MNIST, then write its last checkpoint many times."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"data.path={path}", "training.epochs=2", f"run.root={root}", "run.name=measured"]
        _, lines = measure([*PIPELINE, "train", "experiment=mnist_convnet", *overrides])
        starts = [moment for moment, line in lines if line.startswith("Epoch ")]
        state, _ = checkpoints.newest(Path(root, "measured", "checkpoints"), run={})
        (newest,) = Path(root, "measured", "checkpoints").glob("epoch-00002-*")
        size = newest.stat().st_size / sum(array.nbytes for array in state.arrays.values())
        seconds = []
        for _ in range(WRITES):
            start = time.perf_counter()
            for array in state.arrays.values():
                array.copy()  # as `capture` does
            checkpoints.write(Path(root), state, keep=1)
            seconds.append(time.perf_counter() - start)
    epoch = starts[1] - starts[0]
    print(f"a checkpoint of the MNIST convnet           {summed_up([1e3 * each for each in seconds])} ms")
    print(f"of an epoch of {epoch:.1f} s                       {100 * statistics.median(seconds) / epoch:.3f} %")
    print(f"size / its variables                        {size:.4f}")


def start_and_resume() -> tuple[float, float]:
    """Return the CPU seconds of a run of one epoch, and of one that resumes after its first epoch for another."""
    with tempfile.TemporaryDirectory() as root:
        command = [*PIPELINE, "train", f"run.root={root}", "run.name=measured", "registry.url=none"]
        starting, _ = measure([*command, "training.epochs=1"])
        result = Path(root, "measured", "result.json")
        result.write_text(json.dumps(json.loads(result.read_text()) | {"status": "interrupted"}))
        resuming, _ = measure([*command, "training.epochs=2"])
    return starting, resuming
