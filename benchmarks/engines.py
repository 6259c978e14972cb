"""Compare the tape engine with fit and with a hand-written loop, with and without XLA; measure gradient records.

First the best steps_per_execution of fit is searched, then both sides run with it in turn. The time of an epoch is that
from its first callback to its last; the first epoch, which traces and warms up, is left out.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks import mnist, plain_loop
from benchmarks.measuring import ratios, summed_up
from pipeline.cli import compose as composition
from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.containers import Split, Table
from pipeline.data.input_pipeline import TrainingFeed
from pipeline.experiment import build
from pipeline.models.mlp import Mlp
from pipeline.runtime import determinism
from pipeline.runtime.signals import StopRequest
from pipeline.training import checkpoints, tape
from pipeline.training.checkpointer import Checkpointer
from pipeline.training.gradients import GradientRecorder
from pipeline.training.objective import Objective
from pipeline.training.steps import Steps

STEPS_PER_EXECUTION = (1, 8, 32, 64)
SEARCHES = 2
PAIRS = 7
TURNS = 15

Pace = tuple[float, float]  # steps per second, steps per CPU second


@dataclass(frozen=True)
class Problem:
    """A data set and a model to train.

    title: Of the printed lines.
    overrides: Of the config.
    rows: The number of training rows to use; None for all.
    data: The splits that the config selects.
    """

    title: str
    overrides: tuple[str, ...]
    rows: int | None = None
    data: splits.SplitDataset = field(init=False)

    def __post_init__(self) -> None:
        config = composition.compose([*self.overrides])
        determinism.prepare(config.determinism, seed=config.seed, threads=config.hardware.threads)
        object.__setattr__(self, "data", splits.load(config.data))

    @property
    def split(self) -> Split:
        """The rows to train on."""
        if self.rows is None:
            return self.data.train
        assert isinstance(self.data.train, Table)
        return self.data.train.select(np.arange(self.rows))

    def compiled(self, config: Config) -> tuple[Objective, TrainingFeed]:
        """Return the compiled objective of a config and its batches, as the command `train` creates them."""
        keras.backend.clear_session()
        experiment = build(config, replace(self.data, train=self.split))
        return experiment.objective, experiment.feed

    def pace(self, *overrides: str) -> Pace:
        """Train once. Return the pace, from the median of the epochs after the first."""
        config = composition.compose([*self.overrides, *overrides])
        objective, feed = self.compiled(config)
        stopwatch = Stopwatch()
        with tempfile.TemporaryDirectory() as folder:
            checkpointer = Checkpointer(
                objective=objective,
                folder=Path(folder),
                options=config.training.checkpoints,
                epochs=config.training.epochs,
                steps_per_epoch=feed.steps,
                stop=StopRequest(),
                callbacks=[],
                state=checkpoints.State(),
                start_time=0.0,
            )
            config.training.train(
                objective,
                feed,
                validation=None,
                callbacks=[stopwatch],
                checkpointer=checkpointer,
                verbose=0,
                folder=Path(folder),
            )
        wall, cpu = (statistics.median(seconds) for seconds in zip(*stopwatch.epochs[1:], strict=True))
        return feed.steps / wall, feed.steps / cpu

    def epochs(self, count: int, *overrides: str) -> Iterator[None]:
        """Train so many epochs with the tape engine, and yield after each."""
        config = composition.compose([*self.overrides, "training=tape", f"training.epochs={count}", *overrides])
        training = TapeEpochs(*self.compiled(config), epochs=count)
        for epoch in range(count):
            training.train(epoch)
            yield


class TapeEpochs:
    """The epochs of the tape engine, trained one by one, without callbacks or checkpoints."""

    def __init__(self, objective: Objective, feed: TrainingFeed, epochs: int) -> None:
        """Create the compiled step and the batches of all epochs.

        Args:
            objective: Compiled.
            feed: The batches.
            epochs: The number of epochs.
        """
        self.feed = feed
        self.steps = Steps(objective, feed.batches(0).element_spec, feed.full_steps)
        self.callbacks = keras.callbacks.CallbackList([], model=objective.model)
        self.batches = iter(feed.stream(first_epoch=0, first_step=0, epochs=epochs))

    def train(self, epoch: int, recorder: GradientRecorder | None = None) -> None:
        """Train the next epoch and read its metrics."""
        self.steps.reset_metrics()
        tape.train_epoch(
            self.steps,
            self.batches,
            epoch=epoch,
            first_step=0,
            steps_per_epoch=self.feed.steps,
            callbacks=self.callbacks,
            recorder=recorder,
        )
        self.steps.metrics()


class Stopwatch(keras.callbacks.Callback):
    """Measures each epoch: (seconds, CPU seconds)."""

    def __init__(self) -> None:
        """Start without measurements."""
        super().__init__()
        self.epochs: list[tuple[float, float]] = []

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Start the measurement of an epoch."""
        self.start = time.perf_counter(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Add the measurement of an epoch."""
        self.epochs.append((time.perf_counter() - self.start[0], time.process_time() - self.start[1]))


def run(folder: str | None) -> None:
    """Run the benchmark. folder: The files of MNIST; None uses random images."""
    digits = Problem("digits MLP", ("training.epochs=30",))
    vowels = Problem("Japanese Vowels GRU", ("experiment=japanese_vowels_gru", "training.epochs=5"))
    with mnist.files(folder) as path:
        images = ("experiment=mnist_convnet", f"data.path={path}", "training.epochs=3")
        convnet = Problem("MNIST convnet", images, rows=8_192)  # 64 steps: enough for a steady pace
    best, _, _ = [compare_with_fit(problem) for problem in (digits, vowels, convnet)]
    compare_with_plain_loop(digits, best)
    compare_xla_with_fit(digits, best)
    for problem in (digits, vowels, convnet):
        compare_xla_options(problem)
    measure_gradient_records(digits, rounds=200)
    measure_gradient_records(replace(convnet, rows=1_024), rounds=40)


def compare_with_fit(problem: Problem) -> int:
    """Print the ratio of tape to fit. Return the best steps_per_execution of fit."""
    paces: dict[int, list[Pace]] = {stride: [] for stride in STEPS_PER_EXECUTION}
    for _ in range(SEARCHES):
        for stride, measured in paces.items():
            measured.append(problem.pace("training=fit", f"training.steps_per_execution={stride}"))
    best = max(paces, key=lambda stride: statistics.median(cpu for _, cpu in paces[stride]))
    stride = f"training.steps_per_execution={best}"
    compare(
        f"{problem.title}, {best} steps per call",
        {"tape": lambda: problem.pace("training=tape", stride), "fit": lambda: problem.pace("training=fit", stride)},
    )
    return best


def compare_with_plain_loop(problem: Problem, stride: int) -> None:
    """Print the ratio of tape to a hand-written loop on the digits MLP."""
    config = composition.compose([*problem.overrides])
    assert isinstance(config.model, Mlp)
    images, digits = arrays_of(problem.split)

    normalization = keras.layers.Normalization(axis=None)
    normalization.adapt(images)
    dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
    layers = [normalization, keras.layers.Flatten(), *dense, keras.layers.Dense(10, "softmax")]
    loop = plain_loop.classifier(images, digits, layers, batch_size=config.training.batch_size, steps_per_call=stride)
    overrides = (f"training.steps_per_execution={stride}",)
    compare_with_loop(f"{problem.title}, {stride} steps per call", problem, loop, overrides=overrides, epochs=60)


def compare_xla_with_fit(problem: Problem, stride: int) -> None:
    """Print the ratio of tape with XLA to fit at its best steps_per_execution."""
    jit = ("training=tape", "training.jit=always", "training.steps_per_execution=64")
    fit = ("training=fit", f"training.steps_per_execution={stride}")
    compare(problem.title, {"tape with XLA": lambda: problem.pace(*jit), "fit": lambda: problem.pace(*fit)})


def compare_xla_options(problem: Problem) -> None:
    """Print the ratios of training.jit=always and training.jit=auto to training.jit=never."""
    overrides = {jit: ("training=tape", f"training.jit={jit}") for jit in ("always", "never", "auto")}
    always, never, auto = (lambda chosen=chosen: problem.pace(*chosen) for chosen in overrides.values())
    try:
        compare(problem.title, {"jit=always": always, "jit=never": never}, pairs=3)
    except tf.errors.UnimplementedError as error:
        reason = next(line for line in error.message.splitlines() if "XLA" in line)
        print(f"{problem.title}: jit=always is refused: {reason}")
    compare(problem.title, {"jit=auto": auto, "jit=never": never}, pairs=3)


def measure_gradient_records(problem: Problem, rounds: int) -> None:
    """Print the cost of recording the gradients of every 50th step.

    Epochs with one record, with one record and histograms, and with none take turns, so that a change of the
    machine's speed cancels out.
    """
    config = composition.compose([*problem.overrides, "training=tape"])
    objective, feed = problem.compiled(config)
    with tempfile.TemporaryDirectory() as folder:
        recorders = [
            None,
            *(GradientRecorder(feed.steps, Path(folder), histograms=histograms) for histograms in (False, True)),
        ]
        training = TapeEpochs(objective, feed, epochs=(rounds + 1) * len(recorders))
        seconds: list[list[float]] = [[] for _ in recorders]
        for epoch in range((rounds + 1) * len(recorders)):
            turn = epoch % len(recorders)
            start = time.process_time()
            training.train(epoch, recorders[turn])
            seconds[turn].append(time.process_time() - start)
    without, *with_records = (of_turn[1:] for of_turn in seconds)  # the first epoch of each traces
    step = statistics.median(without) / feed.steps
    for title, epochs in zip(("without", "with"), with_records, strict=True):
        record = statistics.median(more - less for more, less in zip(epochs, without, strict=True))
        print(
            f"{problem.title}: a record {title} histograms {1000 * record:.2f} ms of CPU, a step {1000 * step:.2f}; "
            f"every 50th step {record / (50 * step):.1%}",
            flush=True,
        )


def arrays_of(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the only feature and the only label of a split."""
    assert isinstance(split, Table)
    (feature,), (label,) = split.features.values(), split.labels.values()
    assert isinstance(feature, np.ndarray)
    return feature, label


def compare(title: str, sides: Mapping[str, Callable[[], Pace]], pairs: int = PAIRS) -> None:
    """Print the ratio of the first side's pace to the second's, by wall time and by CPU time."""
    measured = [[side() for side in sides.values()] for _ in range(pairs)]
    first, other = sides
    for index, unit in enumerate(("second", "CPU second")):
        ours, theirs = ([pair[side][index] for pair in measured] for side in range(2))
        print(
            f"{title}: {first} {statistics.median(ours):.1f}, {other} {statistics.median(theirs):.1f} steps per {unit};"
            f" ratio {summed_up(ratios(ours, theirs))}",
            flush=True,
        )


def compare_with_loop(
    title: str, problem: Problem, by_hand: Iterator[None], *, epochs: int, overrides: tuple[str, ...] = ()
) -> None:
    """Print the ratio of the tape's pace to that of a hand-written loop, by wall time and by CPU time.

    The two take turns of `epochs` epochs each: long enough that batches prefetched at the end of a turn do not count,
    short enough that a change of the machine's speed cancels out.

    Args:
        title: Of the printed lines.
        problem: The problem that the tape engine trains.
        by_hand: An iterator that trains one epoch per item.
        epochs: The number of epochs of a turn.
        overrides: Of the tape engine's config.
    """
    sides = problem.epochs(1 + TURNS * epochs, *overrides), by_hand
    for side in sides:
        next(side)  # traces and warms up
    pairs = []
    for _ in range(TURNS):
        ours, theirs = (duration(side, epochs) for side in sides)
        pairs.append(theirs / ours)
    for index, unit in enumerate(("second", "CPU second")):
        print(f"{title}: tape / by hand, steps per {unit} {summed_up([pair[index] for pair in pairs])}", flush=True)


def duration(side: Iterator[None], epochs: int) -> np.ndarray:
    """Return [seconds, CPU seconds] of training some epochs."""
    start = time.perf_counter(), time.process_time()
    for _ in range(epochs):
        next(side)
    return np.subtract((time.perf_counter(), time.process_time()), start)
