"""Everything that can be known to be wrong before the first step, told at once."""

import logging
from dataclasses import dataclass

import tensorflow as tf

from pipeline.errors import ConfigError, message_of
from pipeline.preflight import (
    data_checks,
    determinism_checks,
    first_step,
    loss_checks,
    metric_checks,
    model_checks,
    shape_checks,
    state,
    training_checks,
)
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import predict
from pipeline.preflight.setup import Setup

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """What was found and does not stop the run: warnings, and what preflight.ignore names."""

    warnings: list[Finding]
    ignored: list[Finding]


def check(config, data, objective, training_feed):
    """Look at a set-up whose model is built and compiled. Returns a Verdict, its warnings printed to stderr.

    config: a config.Config. data: a SplitDataset. training_feed: a TrainingFeed. The model's state and every
    generator of random numbers are afterwards what they were before. Raises ConfigError listing all findings where one
    of them is an error that preflight.ignore does not name.
    """
    setup = Setup(config, data, objective, training_feed)
    of_data = data_checks.check(setup)
    found = _in_order([*of_data, *_of_model(setup)])
    ignored = [item for item in found if item.code in config.preflight.ignore]
    told = [item for item in found if item not in ignored]
    errors = [item for item in told if item.is_error]
    warnings = [item for item in told if not item.is_error]
    if errors:
        codes = ",".join(dict.fromkeys(item.code for item in errors))
        raise ConfigError(
            f"preflight found {_count(errors, 'error')}{f' and {_count(warnings, "warning")}' if warnings else ''}; "
            "nothing was trained.\n"
            + "\n".join(f"{item.severity} {item}" for item in [*errors, *warnings])
            + f"\nWhere one is meant to be so: 'preflight.ignore=[{codes}]'. Each is explained in docs/preflight.md."
        )
    data_checks.keep(setup, of_data)  # only now: a set-up that is refused leaves nothing behind
    for item in warnings:
        logger.warning("%s", item)
    return Verdict(warnings, ignored)


def inspect(setup):
    """Every Finding on a Setup, errors first."""
    return _in_order([*data_checks.check(setup), *_of_model(setup)])


def _of_model(setup):
    with state.generators_restored():
        found = [*shape_checks.check_batches(setup), *model_checks.check(setup), *training_checks.check(setup)]
        if not setup.is_supervised:
            return found + _on_any_batch(setup)
        found = [*shape_checks.check_channels(setup), *shape_checks.check_inputs(setup), *found]
        if not any(item.code.startswith("input-") and item.is_error for item in found):
            batch = next(iter(setup.feed.batches(0).take(1)))
            found += _on_batch(setup, batch)
    return found


def _in_order(findings):
    """Each finding once, errors first."""
    return sorted(dict.fromkeys(findings), key=lambda item: not item.is_error)


def _on_any_batch(setup):
    """What a training step of an objective of any kind shows on a real batch."""
    batch = next(iter(setup.feed.batches(0).take(1)))
    found = _on_points(setup, batch[0]) if setup.config.objective.rows_are_tasks else []
    result = first_step.run(setup, batch, found)
    if result is not None:
        found += model_checks.check_training_flag(setup, result)
    return found


def _on_points(setup, x):
    """Of tasks (tasks, points, ...), what their points show: whether the loss that fits the label fits the output."""
    points, found = setup.of_points(), []
    prediction = _predicted(points, tf.reshape(x, (-1, *x.shape[2:])), found)
    return found if prediction is None else [*loss_checks.check(points, prediction)]


def _predicted(setup, x, findings):
    """The Prediction of the batch x; None where the model refuses it, which is added to a list of findings."""
    try:
        return predict(setup, x)
    except Exception as error:  # whatever a layer raises of data it was not made for
        refused = determinism_checks.refused(setup, error)
        findings.append(refused or finding("model-refuses-data", setup.model.name, message_of(error)))
        return None


def _on_batch(setup, batch):
    """Of a supervised objective, what a real batch shows: first in prediction, then in a training step."""
    found = []
    prediction = _predicted(setup, batch[0], found)
    if prediction is None:
        return found
    found = [
        *loss_checks.check(setup, prediction),
        *metric_checks.check(setup, prediction, batch),
        *shape_checks.check_masks(setup, prediction),
        *model_checks.check_connections(setup, prediction),
        *shape_checks.check_scale(prediction),
    ]
    if not setup.model.trainable_variables:
        return found
    tried = []
    result = first_step.run(setup, batch, tried)
    if any(item.is_error for item in found):
        # a loss that does not fit is refused by Keras too, in words that say less
        tried = [item for item in tried if item.code != "step-fails"]
    if result is not None:
        tried += model_checks.check_training_flag(setup, result)
        if not found:
            tried += first_step.check_initial_loss(setup, batch, prediction)
    return found + tried


def _count(findings, word):
    return f"{len(findings)} {word}{'' if len(findings) == 1 else 's'}"
