"""The tape engine against fit, XLA off: steps a second on the digits MLP and on the MNIST convnet.

First fit's best steps_per_execution is looked for, then both engines run with it in turn. An epoch's clock runs from
its first callback to its last; the first epoch, which traces and warms up, is left out.
"""

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path

import keras
import numpy as np

from benchmarks import mnist
from benchmarks.measuring import ratios, summed_up
from pipeline import composition
from pipeline.data import feed, splits
from pipeline.models.build import build
from pipeline.runtime import determinism
from pipeline.runtime.signals import StopRequest
from pipeline.training import callbacks, checkpoints, fit, optimizers, tape
from pipeline.training.objectives.supervised import Supervised

ENGINES = {"fit": fit, "tape": tape}
STEPS_PER_EXECUTION = (1, 8, 32, 64)
SEARCHES = 3
PAIRS = 7
CONVNET_ROWS = 8_192  # enough for a steady rate: 64 steps


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch, on the wall and of CPU."""

    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.began = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((time.perf_counter() - self.began[0], time.process_time() - self.began[1]))


def run(folder):
    compare("digits MLP", ["training.epochs=30"], rows=None)
    with mnist.files(folder) as path:
        compare("MNIST convnet", ["experiment=mnist_convnet", f"data.path={path}", "training.epochs=3"], CONVNET_ROWS)


def compare(title, overrides, rows):
    config = composition.compose(overrides)
    determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    data = splits.load(config.data)
    part = data.train.take(np.arange(rows)) if rows else data.train
    pace_of = partial(pace, overrides, data.spec, part)
    found = {stride: [] for stride in STEPS_PER_EXECUTION}
    for _ in range(SEARCHES):
        for stride, paces in found.items():
            paces.append(pace_of("fit", stride))
    best = max(found, key=lambda stride: statistics.median(wall for wall, _ in found[stride]))
    pairs = [(pace_of("tape", best), pace_of("fit", best)) for _ in range(PAIRS)]
    for position, unit in enumerate(("second", "CPU second")):
        ours, theirs = ([pair[side][position] for pair in pairs] for side in range(2))
        print(
            f"{title}, steps_per_execution {best}: tape {statistics.median(ours):.1f}, fit "
            f"{statistics.median(theirs):.1f} steps a {unit}; ratio {summed_up(ratios(ours, theirs))}"
        )


def pace(overrides, spec, part, engine, stride):
    """(steps a second, steps a CPU second) of one training from scratch, medians over its epochs after the first."""
    keras.backend.clear_session()
    config = composition.compose([*overrides, f"training={engine}", f"training.steps_per_execution={stride}"])
    keras.utils.set_random_seed(config.seed)
    model = build(config.model, spec, lambda name: feed.feature_batches(part, spec, name))
    objective = Supervised(config.objective, spec, model)
    batches = feed.TrainingFeed(part, spec, config.data, config.training.batch_size, config.seed)
    epochs = config.training.epochs
    objective.compile(optimizers.build(config.optimizer, epochs * batches.steps), config.training)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        saver = callbacks.Checkpointer(
            Path(folder), config.training.checkpoints, epochs, batches.steps, StopRequest(), [], checkpoints.State()
        )
        ENGINES[engine].run(objective, batches, None, epochs, [clock], saver, verbose=0)
    wall, cpu = (statistics.median(seconds) for seconds in zip(*clock.epochs[1:], strict=True))
    return batches.steps / wall, batches.steps / cpu
