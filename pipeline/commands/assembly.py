"""What `train` and `check` share: from a config to a built and compiled model beside the data it will learn."""

from dataclasses import dataclass

from pipeline import config as c
from pipeline.data import feed, splits
from pipeline.preflight import names
from pipeline.runtime import determinism, devices
from pipeline.training import optimizers
from pipeline.training.objectives import build as objectives
from pipeline.training.objectives.objective import Objective


@dataclass(frozen=True)
class Parts:
    """device: the record of what was set before TensorFlow started work."""

    device: dict
    data: splits.Data
    objective: Objective
    feed: feed.TrainingFeed


def assemble(config):
    """The parts of a run, made in the order that matters: devices and threads before TensorFlow starts work, names
    before data, and the weights from the seed, whatever was made before. Says what will be learned from."""
    device = devices.select(config.device, config.hardware)
    device |= determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    names.check(config)
    data = splits.load(config.data)
    show_data(config, data)

    model = objectives.initial_model(config, data.spec, data.train)
    for part in data.parts.values():
        objectives.check_words(config, data.spec, part)
    model.summary()
    batch_size = config.training.batch_size
    total_steps = config.training.epochs * feed.count_steps(data.train, config.data, batch_size)
    objective = objectives.build(config, data, model, total_steps)
    weights = objective.class_weights(data.train.labels)
    training_feed = feed.TrainingFeed(data.train, data.spec, config.data, batch_size, config.seed, weights)
    objective.compile(optimizers.build(config.optimizer, total_steps), config.training)
    return Parts(device, data, objective, training_feed)


def show_data(config, data):
    """Say what will be learned from."""
    rows = ", ".join(f"{count:,} {name}" for name, count in data.rows.items())
    inputs = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in data.spec.features.items())
    labels = ", ".join(
        f"{name} ({len(label.classes)} classes)" if label.classes else f"{name} ({label.kind})"
        for name, label in data.spec.labels.items()
    )
    print(f"data: {c.chosen(config)['data']}, {rows} rows: {inputs} -> {labels}")
