"""What `train` and `check` share: from a config to a built and compiled model beside the data it will learn."""

import logging
from dataclasses import dataclass

from pipeline.data import input_pipeline, splits
from pipeline.preflight import names
from pipeline.runtime import determinism, devices
from pipeline.training import building as objectives
from pipeline.training.objective import Objective

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """device: the record of what was set before TensorFlow started work."""

    device: dict
    data: splits.SplitDataset
    objective: Objective
    feed: input_pipeline.TrainingFeed


def assemble(config):
    """The parts of a run, made in the order that matters: devices and threads before TensorFlow starts work, names
    before data, and the weights from the seed, whatever was made before. Says what will be learned from."""
    device = devices.select(config.device, config.hardware)
    device |= determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    names.check(config)
    data = splits.load(config.data)
    show_data(config, data)

    model = objectives.initial_model(config, data.spec, data.train)
    for split in data.splits.values():
        objectives.check_words(config, data.spec, split)
    model.summary()
    batch_size = config.training.batch_size
    total_steps = config.training.epochs * input_pipeline.count_steps(data.train, config.data, batch_size)
    objective = objectives.build(config, data, model, total_steps)
    weights = objective.class_weights(data.train.labels)
    training_feed = input_pipeline.TrainingFeed(data.train, data.spec, config.data, batch_size, config.seed, weights)
    objective.compile(config.optimizer.build(total_steps), config.training)
    return Parts(device, data, objective, training_feed)


def show_data(config, data):
    """Say what will be learned from."""
    rows = ", ".join(f"{count:,} {name}" for name, count in data.rows.items())
    inputs = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in data.spec.features.items())
    labels = ", ".join(
        f"{name} ({len(label.classes)} classes)" if label.classes else f"{name} ({label.kind})"
        for name, label in data.spec.labels.items()
    )
    logger.info("data: %s, %s rows: %s -> %s", config.data.choice, rows, inputs, labels)
