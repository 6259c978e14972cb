"""What a run pays for being repeatable and for being able to go on: checkpoints, strict determinism, a start again.

The share of a checkpoint is that of its capturing and writing, waiting for the disk among it, in an epoch of MNIST
trained in full. Strict determinism is held against relaxed by the CPU seconds of an epoch, in two trainings that take
turns epoch by epoch, since it is fixed for a whole process. A run that goes on is held against one that starts, both of
one epoch.
"""

import json
import os
import signal
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks import mnist
from benchmarks.measuring import PIPELINE, measure, ratios, summed_up
from pipeline.training import checkpoints

PAIRS = 5
TURNS = 20  # epochs of each training, after the first
ROWS = 8_192  # of images of MNIST's size: some 50 steps an epoch
WRITES = 50
TICKS = os.sysconf("SC_CLK_TCK")


def run(folder):
    with mnist.files(folder) as path:
        checkpoint_of_mnist(path)
    strict_and_relaxed()
    starting, going_on = zip(*(start_and_go_on() for _ in range(PAIRS)), strict=True)
    later = [again - first for first, again in zip(starting, going_on, strict=True)]
    print(
        f"a run of one epoch, going on less starting  {summed_up(later)} CPU s (starting takes {summed_up(starting)})"
    )


def strict_and_relaxed():
    """Let two trainings of the MNIST convnet take turns, each first every other time."""
    with tempfile.TemporaryDirectory() as root:
        made_up = ["experiment=mnist_convnet", "data=synthetic", f"data.rows={ROWS}", f"training.epochs={TURNS + 2}"]
        sides = [TakingTurns(root, mode, [*made_up, f"determinism={mode}"]) for mode in ("strict", "relaxed")]
        turns = []
        try:
            for turn in range(TURNS):
                seconds = {side: side.epoch() for side in (sides if turn % 2 else reversed(sides))}
                turns.append([seconds[side] for side in sides])
        finally:
            for side in sides:
                side.end()
    strict, relaxed = zip(*turns, strict=True)
    print(f"CPU of an epoch, strict / relaxed           {summed_up(ratios(strict, relaxed), 3)}")
    print(f"of all {TURNS} epochs                            {sum(strict) / sum(relaxed):.3f}")


class TakingTurns:
    """A training in a process of its own, at work only while an epoch of it is asked for; its first is over."""

    def __init__(self, root, name, overrides):
        self.process = subprocess.Popen(
            [*PIPELINE, "train", f"run.root={root}", f"run.name={name}", "registry.url=none", *overrides],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        for _ in range(2):  # what begins an epoch ends the one before
            self.epoch()

    def epoch(self):
        """CPU seconds from here to the beginning of the next epoch."""
        self.process.send_signal(signal.SIGCONT)
        before = self.cpu()
        while not self.process.stdout.readline().startswith("Epoch "):
            if self.process.poll() is not None:
                raise SystemExit(f"{self.process.args}: exit status {self.process.returncode}")
        self.process.send_signal(signal.SIGSTOP)
        return self.cpu() - before

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def end(self):
        self.process.kill()
        self.process.communicate()


def checkpoint_of_mnist(path):
    """Train one epoch of the convnet, then write its last checkpoint again and again."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"data.path={path}", "training.epochs=2", f"run.root={root}", "run.name=measured"]
        _, lines = measure([*PIPELINE, "train", "experiment=mnist_convnet", *overrides])
        begins = [moment for moment, line in lines if line.startswith("Epoch ")]
        state, _ = checkpoints.newest(Path(root, "measured", "checkpoints"))
        (newest,) = Path(root, "measured", "checkpoints").glob("epoch-00002-*")
        size = newest.stat().st_size / sum(array.nbytes for array in state.arrays.values())
        seconds = []
        for _ in range(WRITES):
            began = time.perf_counter()
            for array in state.arrays.values():
                array.copy()  # as capturing does
            checkpoints.write(Path(root), state, keep=1)
            seconds.append(time.perf_counter() - began)
    epoch = begins[1] - begins[0]
    print(f"a checkpoint of the MNIST convnet           {summed_up([1e3 * each for each in seconds])} ms")
    print(f"of an epoch of {epoch:.1f} s                       {100 * statistics.median(seconds) / epoch:.3f} %")
    print(f"size / its variables                        {size:.4f}")


def start_and_go_on():
    """CPU seconds of a run of one epoch, and of a run that goes on after its first epoch for another one."""
    with tempfile.TemporaryDirectory() as root:
        command = [*PIPELINE, "train", f"run.root={root}", "run.name=measured", "registry.url=none"]
        starting, _ = measure([*command, "training.epochs=1"])
        result = Path(root, "measured", "result.json")
        result.write_text(json.dumps(json.loads(result.read_text()) | {"status": "interrupted"}))
        going_on, _ = measure([*command, "training.epochs=2"])
    return starting, going_on
