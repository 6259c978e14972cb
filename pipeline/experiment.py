"""Prepare the data, the model, the objective and the batches of a config for training."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.input_pipeline import TrainingFeed
from pipeline.data.oversampling import oversample
from pipeline.data.splits import SplitDataset
from pipeline.evaluation import calibrators, decisions, group_scores
from pipeline.preflight import names
from pipeline.runtime import determinism, devices
from pipeline.training import weighted_losses
from pipeline.training.initial_model import initial_model
from pipeline.training.model_inputs import check_tokens
from pipeline.training.objective import Objective

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A config that is ready to train.

    Attributes:
        data: The splits of the data.
        objective: The compiled objective, with the initial weights.
        feed: The batches of the training split.
        total_steps: The number of steps of the whole run.
        device: The record of the device settings; {} after `build`, which sets no device.
    """

    data: SplitDataset
    objective: Objective
    feed: TrainingFeed
    total_steps: int
    device: dict[str, Any] = field(default_factory=dict)


def prepare(config: Config) -> Experiment:
    """Prepare the device, the data, the model and the objective of a run.

    The order matters: devices and threads are set before TensorFlow starts work, and names are checked before data is
    read.

    Raises:
        ConfigError: The config cannot work with the data.
        DataError: The data cannot be read, or the model cannot take a row.
        EnvironmentMismatch: The device is missing.
    """
    device = devices.select(config.device, config.hardware)
    device |= determinism.prepare(config.determinism, seed=config.seed, threads=config.hardware.threads)
    names.check(config)
    data = splits.load(config.data, keys=config.evaluation.groups)
    group_scores.read_groups(config.evaluation.groups, data.spec, data.test)  # an error is reported before training
    log_data(config, data)
    experiment = build(config, data)
    experiment.objective.model.summary()
    return replace(experiment, device=device)


def build(config: Config, data: SplitDataset) -> Experiment:
    """Build and compile the model and the objective for data that is already loaded.

    Raises:
        ConfigError: The config cannot work with the data.
        DataError: The model cannot take a row.
    """
    spec = data.spec
    decisions.check(config.evaluation, spec, data.validation)
    no_predictions = None if config.objective.predicts_labels else config.objective.choice
    calibrators.check(config.evaluation, spec, data.validation, objective=no_predictions)
    model = initial_model(config, spec, data.train)
    for rows in data.splits.values():
        check_tokens(config, spec, rows)
    weights = config.objective.class_weights(spec, data.train.labels)
    feed = TrainingFeed(
        split=oversample(data.train, spec, share=config.data.oversample, seed=config.data.split.seed),
        spec=spec,
        source=config.data,
        batch_size=config.training.batch_size,
        seed=config.seed,
        weights=weights,
    )
    total_steps = config.training.total_steps(feed.steps)
    objective = config.objective.build(config, data, model, total_steps)
    if data.is_weighted:
        weighted_losses.check(config)
        objective.weigh_rows(weights)
    objective = config.regularization.wrap(objective, config.seed)
    objective.compile(config.optimizer.build(total_steps), config.training)
    return Experiment(data=data, objective=objective, feed=feed, total_steps=total_steps)


def log_data(config: Config, data: SplitDataset) -> None:
    """Log the source, the number of rows per split, the features and the labels of the data."""
    rows = ", ".join(f"{count:,} {name}" for name, count in data.rows.items())
    inputs = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in data.spec.features.items())
    labels = ", ".join(
        f"{name} ({len(label.classes)} classes)" if label.classes else f"{name} ({label.kind})"
        for name, label in data.spec.labels.items()
    )
    logger.info("data: %s, %s rows: %s -> %s", config.data.choice, rows, inputs, labels)
