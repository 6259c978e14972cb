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
from pipeline.training.checkpointer import Checkpointer
from pipeline.training.epoch_history import EpochHistory
from pipeline.training.optimizer import Optimizer
from pipeline.training.weights_digest import weights_digest

ADAM = Optimizer("Adam", {"learning_rate": 0.01, "epsilon": 1e-7})


@dataclass
class Result:
    """The result of a training.

    history: The logs of the epochs.
    metrics_file: The content of metrics.jsonl.
    steps: The number of batches that the optimizer counted.
    """

    model: keras.Model
    digest: str
    history: list
    metrics_file: bytes
    steps: int
    per_epoch: int
    kept_epoch: int | None


class StopAt(keras.callbacks.Callback):
    """Requests a stop after a step of an epoch, both counted from 1, or in its "validation"."""

    def __init__(self, stop, epoch, step):
        super().__init__()
        self.stop, self.epoch, self.step = stop, epoch, step

    def on_epoch_begin(self, epoch, logs=None):
        self.current = epoch + 1

    def on_train_batch_end(self, batch, logs=None):
        if (self.current, batch + 1) == (self.epoch, self.step):
            self.stop.receive(signal.SIGTERM, None)

    def on_test_batch_end(self, batch, logs=None):
        if (self.current, "validation") == (self.epoch, self.step):
            self.stop.receive(signal.SIGTERM, None)


def run(folder, config, stop_at=None, more_callbacks=()):
    """Train a config in a folder, from its newest checkpoint to the end or to the (epoch, step) to stop at."""
    keras.backend.clear_session(free_memory=False)
    data = splits.load(config.data)
    experiment = build(config, data)
    objective, training_feed = experiment.objective, experiment.feed
    model = objective.model

    folder.mkdir(exist_ok=True)
    state, _ = checkpoints.newest(folder, run={})
    stop = StopRequest()
    history = EpochHistory(lambda epoch, metrics: None, data.spec.labels)
    others = [*callbacks.from_options(config.training, folder / "tensorboard", data.spec.labels), history]
    checkpointer = Checkpointer(
        objective=objective,
        folder=folder,
        options=config.training.checkpoints,
        epochs=config.training.epochs,
        steps_per_epoch=training_feed.steps,
        stop=stop,
        callbacks=others,
        state=state,
        start_time=time.monotonic() - state.seconds,
    )
    validation = data.validation and input_pipeline.ordered_batches(
        data.validation, data.spec, config.training.batch_size
    )
    used = [*more_callbacks, *([StopAt(stop, *stop_at)] if stop_at else []), *others]
    try:
        config.training.train(
            objective,
            training_feed,
            validation=validation,
            callbacks=used,
            checkpointer=checkpointer,
            verbose=0,
            folder=folder,
        )
    finally:
        history.write(folder)
    return Result(
        model,
        weights_digest(model),
        history.rows,
        (folder / "metrics.jsonl").read_bytes(),
        steps_of(model.optimizer),
        training_feed.steps,
        callbacks.restored_epoch(others),
    )


def steps_of(optimizer):
    """Return the number of batches that an optimizer has seen; a LossScaleOptimizer itself counts none."""
    return max(int(variable) for variable in optimizer.variables if variable.name == "iteration")


@pytest.fixture
def training_run():
    """The function that trains a config in a given folder, and resumes there."""
    return run


@pytest.fixture
def train(tmp_path):
    """A function that trains a config in a new folder; with `stop_at`, it is stopped there and resumed."""
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
    """A function that makes a whole Config for an engine from the options that matter to a test."""

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
