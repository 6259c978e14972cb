"""Train a config with an engine, as the command `train` does, without the other files of a run folder."""

import signal
import time
from dataclasses import dataclass, replace

import keras
import pytest

from pipeline.config import Config
from pipeline.data import input_pipeline, splits
from pipeline.data.sources.digits import Digits
from pipeline.errors import Interrupted
from pipeline.experiment import build
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runtime.signals import StopRequest
from pipeline.training import callbacks, checkpoints
from pipeline.training.optimizer import Optimizer

ADAM = Optimizer("Adam", {"learning_rate": 0.01, "epsilon": 1e-7})


@dataclass
class Result:
    """What a training left behind. journal: the bytes of metrics.jsonl. steps: that the optimizer counted."""

    model: keras.Model
    digest: str
    history: list
    journal: bytes
    steps: int
    per_epoch: int
    kept_epoch: int | None


class AskToStop(keras.callbacks.Callback):
    """Sends a StopRequest a signal once a step of an epoch, both counted from 1, or of its "validation" is done."""

    def __init__(self, stop, epoch, step):
        super().__init__()
        self.stop, self.epoch, self.step = stop, epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.now = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.now, batch + 1) == (self.epoch, self.step):
            self.stop.note(signal.SIGTERM, None)

    def on_test_batch_end(self, batch, logs=None):
        if (self.now, "validation") == (self.epoch, self.step):
            self.stop.note(signal.SIGTERM, None)


def run(folder, config, stop_at=None, watchers=()):
    """Train a config in a folder from its newest checkpoint to the end, or to the (epoch, step) to stop at."""
    keras.backend.clear_session(free_memory=False)
    data = splits.load(config.data)
    experiment = build(config, data)
    objective, training_feed = experiment.objective, experiment.feed
    model = objective.model

    folder.mkdir(exist_ok=True)
    state, _ = checkpoints.newest(folder)
    stop = StopRequest()
    journal = callbacks.Journal(folder / "metrics.jsonl")
    others = [*callbacks.of_config(config.training, str(folder / "tensorboard")), journal]
    checkpointer = callbacks.Checkpointer(
        objective, folder, config.training.checkpoints, config.training.epochs, training_feed.steps, stop, others,
        state, time.monotonic() - state.seconds,
    )  # fmt: skip
    validation = data.validation and input_pipeline.ordered_batches(
        data.validation, data.spec, config.data, config.training.batch_size
    )
    used = [*watchers, *([AskToStop(stop, *stop_at)] if stop_at else []), *others]
    config.training.train(
        objective,
        training_feed,
        validation=validation,
        callbacks=used,
        checkpointer=checkpointer,
        verbose=0,
        folder=folder,
    )
    return Result(
        model,
        checkpoints.weights_digest(model),
        journal.history,
        (folder / "metrics.jsonl").read_bytes(),
        steps_of(model.optimizer),
        training_feed.steps,
        callbacks.kept_epoch(others),
    )


def steps_of(optimizer):
    """Batches that an optimizer was given, whether or not it adds some up; the scaler of a loss counts none itself."""
    return max(int(variable) for variable in optimizer.variables if variable.name == "iteration")


@pytest.fixture
def training_run():
    """The function that trains a config in a folder of the test's own, to go on there."""
    return run


@pytest.fixture
def train(tmp_path):
    """A function that trains a config in a new folder, once or, where `stop_at` is given, in two goes."""
    numbers = iter(range(100))

    def in_new_folder(config, stop_at=None):
        folder = tmp_path / f"training-{next(numbers)}"
        if stop_at is not None:
            with pytest.raises(Interrupted, match="SIGTERM"):
                run(folder, config, stop_at)
        return run(folder, config)

    return in_new_folder


@pytest.fixture
def configured():
    """A function from what matters to a test to a whole Config, for either engine."""

    def config(engine, data=None, model=None, optimizer=ADAM, objective=None, seed=0, **training):
        return Config(
            data=data or Digits(),
            model=model or Mlp(hidden=[16], dropout=0.2),
            optimizer=replace(optimizer, config=dict(optimizer.config)),
            objective=objective or SupervisedOptions(),
            training=engine(
                **{"epochs": 3, "batch_size": 100, "steps_per_execution": 1, "tensorboard": False, **training}
            ),
            seed=seed,
        )

    return config
