"""The tape engine against fit, against a loop written by hand, with XLA and without, and with its gradients looked at.

First fit's best steps_per_execution is looked for, then both sides run with it in turn. An epoch's clock runs from its
first callback to its last; the first epoch, which traces and warms up, is left out.
"""

import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks import mnist, plain_loop
from benchmarks.measuring import ratios, summed_up
from pipeline import composition
from pipeline.data import feed, splits
from pipeline.models.build import build
from pipeline.runtime import determinism
from pipeline.runtime.signals import StopRequest
from pipeline.training import callbacks, checkpoints, engines, optimizers
from pipeline.training.objectives import build as objectives

STEPS_PER_EXECUTION = (1, 8, 32, 64)
SEARCHES = 2
PAIRS = 7


@dataclass(frozen=True)
class Problem:
    """overrides: of the config. rows: of the training split that are used; None for all."""

    title: str
    overrides: tuple[str, ...]
    rows: int | None = None
    data: splits.Data = field(init=False)

    def __post_init__(self):
        config = composition.compose([*self.overrides])
        determinism.prepare(config.determinism, config.seed, config.hardware.threads)
        object.__setattr__(self, "data", splits.load(config.data))

    @property
    def part(self):
        return self.data.train if self.rows is None else self.data.train.take(np.arange(self.rows))

    def pace(self, *overrides, average=statistics.median):
        """(steps a second, steps a CPU second) of one training, averaged over its epochs after the first."""
        keras.backend.clear_session()
        config = composition.compose([*self.overrides, *overrides])
        keras.utils.set_random_seed(config.seed)
        spec, part, epochs = self.data.spec, self.part, config.training.epochs
        model = build(config.model, spec, lambda name: feed.feature_batches(part, spec, name))
        batches = feed.TrainingFeed(part, spec, config.data, config.training.batch_size, config.seed)
        objective = objectives.build(config, self.data, model, epochs * batches.steps)
        objective.compile(optimizers.build(config.optimizer, epochs * batches.steps), config.training)
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            state, stop = checkpoints.State(), StopRequest()
            saver = callbacks.Checkpointer(
                objective, Path(folder), config.training.checkpoints, epochs, batches.steps, stop, [], state, 0.0
            )
            engines.run(config, Path(folder), objective, batches, None, [clock], saver, verbose=0)
        wall, cpu = (average(seconds) for seconds in zip(*clock.epochs[1:], strict=True))
        return batches.steps / wall, batches.steps / cpu


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
    digits = Problem("digits MLP", ("training.epochs=30",))
    vowels = Problem("Japanese Vowels GRU", ("experiment=japanese_vowels_gru", "training.epochs=5"))
    with mnist.files(folder) as path:
        images = ("experiment=mnist_convnet", f"data.path={path}", "training.epochs=3")
        convnet = Problem("MNIST convnet", images, rows=8_192)  # enough for a steady rate: 64 steps
    best, _, _ = [against_fit(problem) for problem in (digits, vowels, convnet)]
    against_hand(digits, best)
    with_xla(digits, best)
    for problem in (vowels, convnet):
        xla_alone(problem)
    gradients(digits, epochs=100)
    gradients(convnet, epochs=3)


def against_fit(problem):
    """Print tape against fit. Returns fit's best steps_per_execution."""
    found = {stride: [] for stride in STEPS_PER_EXECUTION}
    for _ in range(SEARCHES):
        for stride, paces in found.items():
            paces.append(problem.pace("training=fit", f"training.steps_per_execution={stride}"))
    best = max(found, key=lambda stride: statistics.median(cpu for _, cpu in found[stride]))
    stride = f"training.steps_per_execution={best}"
    compare(
        f"{problem.title}, {best} steps a call",
        {"tape": lambda: problem.pace("training=tape", stride), "fit": lambda: problem.pace("training=fit", stride)},
    )
    return best


def against_hand(problem, stride):
    """Print tape against a loop written by hand, on the digits MLP."""
    config = composition.compose([*problem.overrides])
    images, digits = problem.part.features["image"], problem.part.labels["digit"]

    def by_hand():
        keras.backend.clear_session()
        normalization = keras.layers.Normalization(axis=None)
        normalization.adapt(images)
        dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
        layers = [normalization, keras.layers.Flatten(), *dense, keras.layers.Dense(10, "softmax")]
        epochs, batch_size = config.training.epochs, config.training.batch_size
        every = plain_loop.paces(images, digits, layers, batch_size, epochs, stride)
        return tuple(statistics.median(paces) for paces in zip(*every[1:], strict=True))

    ours = ("training=tape", f"training.steps_per_execution={stride}")
    compare(f"{problem.title}, {stride} steps a call", {"tape": lambda: problem.pace(*ours), "by hand": by_hand})


def with_xla(problem, stride):
    """Print tape with XLA against fit at its best, and against tape without."""
    jit = ("training=tape", "training.jit=always", "training.steps_per_execution=64")
    fit = ("training=fit", f"training.steps_per_execution={stride}")
    compare(problem.title, {"tape with XLA": lambda: problem.pace(*jit), "fit": lambda: problem.pace(*fit)})
    xla_alone(problem)


def xla_alone(problem):
    """Print tape with XLA against tape without, and with what training.jit=auto takes."""
    with_jit = {jit: ("training=tape", f"training.jit={jit}") for jit in ("always", "never", "auto")}
    always, never, auto = (lambda words=words: problem.pace(*words) for words in with_jit.values())
    try:
        compare(problem.title, {"jit=always": always, "jit=never": never}, pairs=3)
    except tf.errors.UnimplementedError as error:
        print(f"{problem.title}: jit=always is refused: {error.message.splitlines()[3]}")
    compare(problem.title, {"jit=auto": auto, "jit=never": never}, pairs=3)


def gradients(problem, epochs):
    """Print what it costs to look at every 50th step's gradients; means, since not every epoch has such a step."""
    words = ("training=tape", f"training.epochs={epochs}")
    for histograms in ("true", "false"):
        looking = (*words, "training.gradients.every=50", f"training.gradients.histograms={histograms}")
        sides = {
            f"looking, histograms={histograms}": lambda words=looking: problem.pace(*words, average=statistics.fmean),
            "not looking": lambda: problem.pace(*words, average=statistics.fmean),
        }
        compare(problem.title, sides, pairs=5)


def compare(title, sides, pairs=PAIRS):
    """Print the ratio of the first side's steps a second to the other's, by the wall and by CPU."""
    found = [[side() for side in sides.values()] for _ in range(pairs)]
    first, other = sides
    for position, unit in enumerate(("second", "CPU second")):
        ours, theirs = ([pair[side][position] for pair in found] for side in range(2))
        print(
            f"{title}: {first} {statistics.median(ours):.1f}, {other} {statistics.median(theirs):.1f} steps a {unit}; "
            f"ratio {summed_up(ratios(ours, theirs))}",
            flush=True,
        )
