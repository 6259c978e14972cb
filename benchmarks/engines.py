"""The tape engine against fit, against a loop written by hand, with XLA and without, and with its gradients looked at.

First fit's best steps_per_execution is looked for, then both sides run with it in turn. An epoch's clock runs from its
first callback to its last; the first epoch, which traces and warms up, is left out.
"""

import math
import statistics
import tempfile
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from benchmarks import mnist, plain_loop
from benchmarks.measuring import ratios, summed_up
from pipeline.cli import compose as composition
from pipeline.data import splits
from pipeline.experiment import build
from pipeline.runtime import determinism
from pipeline.runtime.signals import StopRequest
from pipeline.training import callbacks, checkpoints, gradients, tape_loop
from pipeline.training.steps import Steps

STEPS_PER_EXECUTION = (1, 8, 32, 64)
SEARCHES = 2
PAIRS = 7
TURNS = 15


@dataclass(frozen=True)
class Problem:
    """overrides: of the config. rows: of the training split that are used; None for all."""

    title: str
    overrides: tuple[str, ...]
    rows: int | None = None
    data: splits.SplitDataset = field(init=False)

    def __post_init__(self):
        config = composition.compose([*self.overrides])
        determinism.prepare(config.determinism, config.seed, config.hardware.threads)
        object.__setattr__(self, "data", splits.load(config.data))

    @property
    def part(self):
        return self.data.train if self.rows is None else self.data.train.select(np.arange(self.rows))

    def prepared(self, config):
        """(objective, feed) of a config, compiled, as `train` has them."""
        keras.backend.clear_session()
        experiment = build(config, replace(self.data, train=self.part))
        return experiment.objective, experiment.feed

    def pace(self, *overrides):
        """(steps a second, steps a CPU second) of one training, the medians of its epochs after the first."""
        config = composition.compose([*self.overrides, *overrides])
        objective, batches = self.prepared(config)
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            saver = callbacks.Checkpointer(
                objective,
                Path(folder),
                config.training.checkpoints,
                config.training.epochs,
                batches.steps,
                StopRequest(),
                [],
                checkpoints.State(),
                0.0,
            )
            config.training.train(
                objective,
                batches,
                validation=None,
                callbacks=[clock],
                checkpointer=saver,
                verbose=0,
                folder=Path(folder),
            )
        wall, cpu = (statistics.median(seconds) for seconds in zip(*clock.epochs[1:], strict=True))
        return batches.steps / wall, batches.steps / cpu

    def epochs(self, count, *overrides):
        """Yield after each epoch that the tape trains, of so many."""
        config = composition.compose([*self.overrides, "training=tape", f"training.epochs={count}", *overrides])
        objective, batches = self.prepared(config)
        steps = Steps(objective, batches.batches(0).element_spec, batches.full_steps)
        silent = keras.callbacks.CallbackList([], model=objective.model)
        stream = iter(batches.stream(0, 0, config.training.epochs))
        for epoch in range(config.training.epochs):
            steps.reset_metrics()
            tape_loop.train_epoch(
                steps, stream, epoch, 0, batches, objective.model, silent, math.inf, gradients.Unwatched()
            )
            steps.metrics()
            yield


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
    look_at_gradients(digits, rounds=200)
    look_at_gradients(replace(convnet, rows=1_024), rounds=40)


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

    normalization = keras.layers.Normalization(axis=None)
    normalization.adapt(images)
    dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
    layers = [normalization, keras.layers.Flatten(), *dense, keras.layers.Dense(10, "softmax")]
    theirs = plain_loop.classifier(images, digits, layers, config.training.batch_size, stride)
    ours = (f"training.steps_per_execution={stride}",)
    in_turn(f"{problem.title}, {stride} steps a call", problem, ours, theirs, epochs=60)


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
        reason = next(line for line in error.message.splitlines() if "XLA" in line)
        print(f"{problem.title}: jit=always is refused: {reason}")
    compare(problem.title, {"jit=auto": auto, "jit=never": never}, pairs=3)


def look_at_gradients(problem, rounds):
    """Print what it costs to look at every 50th step's gradients: epochs with one look, with one that keeps
    histograms, and with none, in turn, so that a machine whose speed drifts does not count."""
    config = composition.compose([*problem.overrides, "training=tape"])
    objective, batches = problem.prepared(config)
    steps = Steps(objective, batches.batches(0).element_spec, batches.full_steps)
    silent = keras.callbacks.CallbackList([], model=objective.model)
    with tempfile.TemporaryDirectory() as folder:
        watches = [
            gradients.Unwatched(),
            *(gradients.Watch(batches.steps, Path(folder), histograms) for histograms in (False, True)),
        ]
        stream = iter(batches.stream(0, 0, (rounds + 1) * len(watches)))
        seconds = [[] for _ in watches]
        for epoch in range((rounds + 1) * len(watches)):  # the first of each traces
            turn = epoch % len(watches)
            steps.reset_metrics()
            began = time.process_time()
            tape_loop.train_epoch(
                steps, stream, epoch, 0, batches, objective.model, silent, look_every=math.inf, watch=watches[turn]
            )
            seconds[turn].append(time.process_time() - began)
    none, *looking = (of_turn[1:] for of_turn in seconds)
    step = statistics.median(none) / batches.steps
    for title, epochs in zip(("without", "with"), looking, strict=True):
        look = statistics.median(more - less for more, less in zip(epochs, none, strict=True))
        print(
            f"{problem.title}: a look {title} histograms {1000 * look:.2f} ms of CPU, a step {1000 * step:.2f}; every "
            f"50th step {look / (50 * step):.1%}",
            flush=True,
        )


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


def in_turn(title, problem, overrides, by_hand, epochs):
    """Print the ratio of the tape's pace to that of a loop by hand, by the wall and by CPU. They train so many epochs
    each in turn: long enough that what one has prefetched when its turn is over does not count, short enough for a
    machine whose speed drifts.

    by_hand: an iterator that trains an epoch when it is asked for the next one.
    """
    sides = problem.epochs(1 + TURNS * epochs, *overrides), by_hand
    for side in sides:
        next(side)  # traces and warms up
    pairs = []
    for _ in range(TURNS):
        ours, theirs = (seconds_of(side, epochs) for side in sides)
        pairs.append(theirs / ours)
    for position, unit in enumerate(("second", "CPU second")):
        print(f"{title}: tape / by hand, steps a {unit} {summed_up([pair[position] for pair in pairs])}", flush=True)


def seconds_of(side, epochs):
    """(on the wall, of CPU) that so many epochs take, an array."""
    began = time.perf_counter(), time.process_time()
    for _ in range(epochs):
        next(side)
    return np.subtract((time.perf_counter(), time.process_time()), began)
