"""All checks of a set-up before its first step. Every error is reported at once."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tensorflow as tf

from pipeline.data.input_pipeline import TrainingFeed
from pipeline.data.splits import SplitDataset
from pipeline.errors import ConfigError, message_of
from pipeline.preflight import (
    data_checks,
    determinism_checks,
    first_step,
    layer_checks,
    loss_checks,
    metric_checks,
    model_checks,
    optimizer_checks,
    precision_checks,
    scale_checks,
    shape_checks,
    state,
    text_checks,
    training_checks,
    weight_checks,
)
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Prediction, predict
from pipeline.preflight.setup import Setup
from pipeline.training.objective import Objective
from pipeline.training.unknown_words import UnknownWords

if TYPE_CHECKING:
    from pipeline.config import Config

logger = logging.getLogger(__name__)

SAMPLE = 256  # rows whose columns are checked for their scale, if a batch holds no more
SAMPLE_NUMBERS = 1 << 22  # numbers in these rows


@dataclass(frozen=True)
class Verdict:
    """The findings that do not stop the run, and the words that the model does not know.

    warnings: The warnings. ignored: Those that preflight.ignore names. unknown_words: Of each text column.
    """

    warnings: list[Finding]
    ignored: list[Finding]
    unknown_words: list[UnknownWords]


def check(config: Config, data: SplitDataset, objective: Objective, feed: TrainingFeed) -> Verdict:
    """Check a set-up and log its warnings. Models and random generators are afterwards as before.

    Args:
        config: The whole config.
        data: The data set.
        objective: Its model is built and compiled.
        feed: The batches of the training split.

    Raises:
        ConfigError: There are errors that preflight.ignore does not name. The message has all findings.
    """
    setup = Setup(config, data, objective, feed)
    data_findings = data_checks.check(setup)
    found = _errors_first([*data_findings, *_check_model(setup)])
    ignored = [item for item in found if item.code in config.preflight.ignore]
    reported = [item for item in found if item not in ignored]
    errors = [item for item in reported if item.is_error]
    warnings = [item for item in reported if not item.is_error]
    if errors:
        codes = ",".join(dict.fromkeys(item.code for item in errors))
        counts = " and ".join(
            _count(items, word) for items, word in ((errors, "error"), (warnings, "warning")) if items
        )
        raise ConfigError(
            f"preflight found {counts}; nothing was trained.\n"
            + "\n".join(f"{item.severity} {item}" for item in reported)
            + f"\nIf an error is intended: 'preflight.ignore=[{codes}]'. docs/preflight.md explains every finding."
        )
    data_checks.store(setup, data_findings)  # not before, so that a set-up with errors leaves no files
    for item in setup.unknown_words:
        logger.info("data: %s", item)
    for item in warnings:
        logger.warning("%s", item)
    return Verdict(warnings, ignored, setup.unknown_words)


def inspect(setup: Setup) -> list[Finding]:
    """Return all findings on a set-up, errors first."""
    return _errors_first([*data_checks.check(setup), *_check_model(setup)])


def _check_model(setup: Setup) -> list[Finding]:
    with state.generators_restored():
        found = [*shape_checks.check_batches(setup), *model_checks.check(setup), *training_checks.check(setup)]
        found += [*optimizer_checks.check(setup), *weight_checks.check(setup)]
        if not setup.is_supervised:
            return found + _check_step(setup)
        found += layer_checks.check(setup)
        inputs = [*shape_checks.check_channels(setup), *shape_checks.check_inputs(setup)]
        if not any(item.code.startswith("input-") and item.is_error for item in inputs):
            found += _check_supervised_step(setup)
        return inputs + found


def _check_step(setup: Setup) -> list[Finding]:
    """Check one training step, of any objective."""
    batch = _first_batch(setup)
    found = _check_points(setup, batch[0]) if setup.config.objective.rows_are_tasks else []
    result = first_step.run(setup, batch, found)
    if result is not None:
        found += model_checks.check_training_flag(setup, result)
    return found


def _check_points(setup: Setup, x: tf.Tensor) -> list[Finding]:
    """Check the outputs for the points of some tasks, (tasks, points, ...), against the loss of their label."""
    points, found = setup.of_points(), []
    prediction = _predict(points, tf.reshape(x, (-1, *x.shape[2:])), found)
    return found if prediction is None else [*loss_checks.check(points, prediction)]


def _check_supervised_step(setup: Setup) -> list[Finding]:
    """Check a forward pass, then a training step, of an objective that compares outputs with labels."""
    (batch, *more), found = _sample(setup), []
    prediction = _predict(setup, batch[0], found, [x for x, *_ in more])
    if prediction is None:
        return found
    found = [
        *loss_checks.check(setup, prediction),
        *metric_checks.check(setup, prediction, batch),
        *shape_checks.check_masks(setup, prediction),
        *model_checks.check_connections(setup, prediction),
        *layer_checks.check_linear(setup, prediction),
        *precision_checks.check(setup, [x for x, *_ in (batch, *more)]),
        *text_checks.check(setup),
        *scale_checks.check_inputs(setup, prediction),
        *scale_checks.check_labels(setup),
    ]
    if not setup.model.trainable_variables:
        return found
    step_findings: list[Finding] = []
    result = first_step.run(setup, weight_checks.with_weight(batch), step_findings)
    if any(item.is_error for item in found):
        # for a loss that does not fit, Keras raises too, with a less helpful message
        step_findings = [item for item in step_findings if item.code != "step-fails"]
    if result is not None:
        step_findings += model_checks.check_training_flag(setup, result)
        if not found:
            step_findings += first_step.check_initial_loss(setup, batch, prediction)
    return found + step_findings


def _predict(setup: Setup, x: Any, findings: list[Finding], more: Iterable[Any] = ()) -> Prediction | None:
    """Return the prediction for a batch; None if the model raises an error, which is added to a list of findings."""
    try:
        return predict(setup, x, more)
    except Exception as error:  # a layer may raise anything
        refused = determinism_checks.refused(setup, error)
        findings.append(refused or finding("model-refuses-data", setup.model.name, message_of(error)))
        return None


def _first_batch(setup: Setup) -> tuple:
    return next(iter(setup.feed.batches(0).take(1)))


def _sample(setup: Setup) -> list[tuple]:
    """Return the first batches of the first epoch: enough rows for the scale of their columns."""
    numbers = sum(math.prod(size or 1 for size in feature.shape) for feature in setup.spec.features.values())
    rows = min(SAMPLE, SAMPLE_NUMBERS // max(1, numbers))
    return list(setup.feed.batches(0).take(max(1, rows // setup.config.training.batch_size)))


def _errors_first(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once, errors first."""
    return sorted(dict.fromkeys(findings), key=lambda item: not item.is_error)


def _count(findings: list[Finding], word: str) -> str:
    return f"{len(findings)} {word}{'' if len(findings) == 1 else 's'}"
