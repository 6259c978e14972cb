"""What a run pays for being repeatable and for being able to go on: checkpoints, strict determinism, a start again.

The share of a checkpoint is that of its capturing and writing, waiting for the disk among it, in an epoch of MNIST
trained in full; strict determinism is held against relaxed in processes of their own, by CPU seconds a step. A run
that goes on is held against one that starts, both of one epoch.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks import mnist
from benchmarks.engines import CONVNET_ROWS, pace
from benchmarks.measuring import PIPELINE, measure, ratios, summed_up
from pipeline import composition
from pipeline.data import splits
from pipeline.runtime import determinism
from pipeline.training import checkpoints

PAIRS = 5
WRITES = 50


def run(folder):
    with mnist.files(folder) as path:
        rates = [(steps_a_cpu_second("strict", path), steps_a_cpu_second("relaxed", path)) for _ in range(PAIRS)]
        checkpoint_of_mnist(path)
    strict, relaxed = zip(*rates, strict=True)
    print(f"CPU of a step, strict / relaxed             {summed_up(ratios(relaxed, strict), 3)}")
    starting, going_on = zip(*(start_and_go_on() for _ in range(PAIRS)), strict=True)
    later = [again - first for first, again in zip(starting, going_on, strict=True)]
    print(
        f"a run of one epoch, going on less starting  {summed_up(later)} CPU s (starting takes {summed_up(starting)})"
    )


def convnet(path, mode):
    return ["experiment=mnist_convnet", f"data.path={path}", "training.epochs=3", f"determinism={mode}"]


def steps_a_cpu_second(mode, path):
    """Of the MNIST convnet, in a process of its own, since determinism is fixed for a whole process."""
    _, lines = measure([sys.executable, "-m", "benchmarks.checkpoints", mode, str(path)])
    return float(lines[-1][1])


def print_pace(mode, path):
    config = composition.compose(convnet(path, mode))
    determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    data = splits.load(config.data)
    print(pace(convnet(path, mode), data.spec, data.train.take(np.arange(CONVNET_ROWS)), "fit", 1)[1])


def checkpoint_of_mnist(path):
    """Train one epoch of the convnet, then write its last checkpoint again and again."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [*convnet(path, "strict"), "training.epochs=2", f"run.root={root}", "run.name=measured"]
        _, lines = measure([*PIPELINE, "train", *overrides])
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


if __name__ == "__main__":
    print_pace(*sys.argv[1:])
