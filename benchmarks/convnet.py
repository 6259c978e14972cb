"""`experiment=mnist_convnet` against keras_convnet.py: plain Keras of the same model, data, epochs and threads.

CPU seconds are those of the whole processes. The step rate is that of whole epochs after the first: validation is in
both, and checkpoint, journal and TensorBoard logs in the pipeline's.
"""

import statistics
import sys
import tempfile
from itertools import pairwise
from pathlib import Path

from benchmarks import mnist
from benchmarks.measuring import PIPELINE, measure, ratios, summed_up

EPOCHS = 12
PAIRS = 3
PLAIN = Path(__file__).with_name("keras_convnet.py")


def run(folder):
    with mnist.files(folder) as path:
        pairs = [(pipeline(path), plain(path)) for _ in range(PAIRS)]
    ours, theirs = zip(*pairs, strict=True)
    cpu_ours, cpu_theirs = ([cpu for cpu, _ in side] for side in (ours, theirs))
    epoch_ours, epoch_theirs = ([seconds for _, seconds in side] for side in (ours, theirs))
    print(f"pipeline, whole      {summed_up(cpu_ours, 1)} CPU s, an epoch {summed_up(epoch_ours)} s")
    print(f"plain Keras, whole   {summed_up(cpu_theirs, 1)} CPU s, an epoch {summed_up(epoch_theirs)} s")
    print(f"CPU, pipeline / plain                {summed_up(ratios(cpu_ours, cpu_theirs), 3)}")
    print(f"steps a second, pipeline / plain     {summed_up(ratios(epoch_theirs, epoch_ours), 3)}")


def pipeline(path):
    """(CPU seconds, seconds of an epoch) of one run of the preset."""
    with tempfile.TemporaryDirectory() as root:
        overrides = [f"data.path={path}", f"training.epochs={EPOCHS}", f"run.root={root}"]
        cpu, lines = measure([*PIPELINE, "train", "experiment=mnist_convnet", *overrides])
    return cpu, epoch_seconds(lines)


def plain(path):
    """(CPU seconds, seconds of an epoch) of one run of the plain script."""
    cpu, lines = measure([sys.executable, PLAIN, path, str(EPOCHS)])
    return cpu, epoch_seconds(lines)


def epoch_seconds(lines):
    """The median from one of Keras's "Epoch 2/12" to the next, the first epoch left out."""
    begins = [moment for moment, line in lines if line.startswith("Epoch ")]
    return statistics.median(end - begin for begin, end in pairwise(begins[1:]))
