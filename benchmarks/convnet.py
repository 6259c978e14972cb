"""Compare `experiment=mnist_convnet` with plain Keras (keras_convnet.py): same model, data, epochs and threads.

CPU seconds are those of the whole processes. Epochs are timed after the first. Both sides validate; only the pipeline
writes checkpoints, a journal and TensorBoard logs.
"""

import statistics
import sys
import tempfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from benchmarks import mnist
from benchmarks.measuring import PIPELINE, measure, ratios, summed_up

EPOCHS = 12
PAIRS = 3
PLAIN = Path(__file__).with_name("keras_convnet.py")


def run(folder: str | None) -> None:
    """Run the benchmark. folder: The files of MNIST; None uses random images."""
    with mnist.files(folder) as path:
        pairs = [(pipeline(path), plain(path)) for _ in range(PAIRS)]
    ours, theirs = zip(*pairs, strict=True)
    cpu_ours, cpu_theirs = ([cpu for cpu, _ in side] for side in (ours, theirs))
    epoch_ours, epoch_theirs = ([seconds for _, seconds in side] for side in (ours, theirs))
    print(f"pipeline, whole      {summed_up(cpu_ours, 1)} CPU s, an epoch {summed_up(epoch_ours)} s")
    print(f"plain Keras, whole   {summed_up(cpu_theirs, 1)} CPU s, an epoch {summed_up(epoch_theirs)} s")
    print(f"CPU, pipeline / plain                {summed_up(ratios(cpu_ours, cpu_theirs), 3)}")
    print(f"steps per second, pipeline / plain   {summed_up(ratios(epoch_theirs, epoch_ours), 3)}")


def pipeline(path: str) -> tuple[float, float]:
    """Run the preset once. Return CPU seconds and seconds per epoch. path: The files of MNIST."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"data.path={path}", f"training.epochs={EPOCHS}", f"run.root={root}"]
        cpu, lines = measure([*PIPELINE, "train", "experiment=mnist_convnet", *overrides])
    return cpu, epoch_seconds(lines)


def plain(path: str) -> tuple[float, float]:
    """Run the plain script once. Return CPU seconds and seconds per epoch. path: The files of MNIST."""
    cpu, lines = measure([sys.executable, PLAIN, path, str(EPOCHS)])
    return cpu, epoch_seconds(lines)


def epoch_seconds(lines: Sequence[tuple[float, str]]) -> float:
    """Return the median duration of an epoch after the first. lines: As `measure` returns them."""
    starts = [moment for moment, line in lines if line.startswith("Epoch ")]
    return statistics.median(end - start for start, end in pairwise(starts[1:]))
