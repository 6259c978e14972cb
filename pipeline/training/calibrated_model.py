"""A trained model with calibrated outputs.

The calibration is part of the graph: a Functional model that calls the trained one, and converts its outputs. Whatever
loads model.keras therefore predicts calibrated outputs, on the scale that the loss of the training expects. The trained
model keeps its layers and weights. A temperature needs layers and operations of Keras only.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops

from pipeline.data.containers import Split
from pipeline.data.input_pipeline import ordered_batches
from pipeline.data.splits import SplitDataset
from pipeline.evaluation import calibrators, metrics
from pipeline.evaluation.calibration_change import calibration_change
from pipeline.evaluation.calibrators import Calibrator
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
from pipeline.evaluation.options import ISOTONIC, NO_CALIBRATION, TEMPERATURE
from pipeline.evaluation.weighted_scores import only_scored
from pipeline.keras_internals import FUNCTIONAL
from pipeline.label_objects import from_logits, from_probabilities, is_softmax, scale_of, to_logits, to_probabilities
from pipeline.layer_names import layer_name
from pipeline.layers import inputs
from pipeline.layers.isotonic_calibration import IsotonicCalibration
from pipeline.spec import MULTI_LABEL, DataSpec, Label
from pipeline.training import label_scores

if TYPE_CHECKING:
    from pipeline.config import Config

logger = logging.getLogger(__name__)

FEW_ROWS = 1_000  # for isotonic regression
NAME = "calibrated"  # of the model around the trained one
TEMPERATURE_NAME = "_temperature"  # ends the name of the layer that divides the logits of a label


def calibrate(config: Config, data: SplitDataset, model: keras.Model) -> tuple[keras.Model, dict[str, Calibrator]]:
    """Fit the calibration of each label with classes on the validation rows.

    Args:
        config: The config of the run.
        data: The splits.
        model: The trained model. It is not changed.

    Returns:
        The calibrated model, and the calibrators by label; the model itself and {} if config.evaluation names none.
    """
    if config.evaluation.calibrate == NO_CALIBRATION:
        return model, {}
    assert data.validation is not None  # checked before training
    losses = config.objective.label_losses(data.spec)
    outputs = label_scores.predict(
        model, data.spec, ordered_batches(data.validation, data.spec, config.training.batch_size)
    )
    fitted = {
        name: fit(
            label,
            losses[name],
            targets=data.validation.labels[name],
            outputs=outputs[name],
            method=config.evaluation.calibrate,
            weights=data.validation.weights,
        )
        for name, label in data.spec.labels.items()
        if label.classes
    }
    for name, calibrator in fitted.items():
        log = logger.warning if calibrator.note else logger.info
        log("calibration: %s: %s", name, calibrator.describe())
        if calibrator.method == ISOTONIC and calibrator.rows < FEW_ROWS:
            logger.warning(
                "calibration: %s: isotonic regression overfits fewer than %s validation rows; "
                "evaluation.calibrate=%s needs fewer",
                *(name, f"{FEW_ROWS:,}", TEMPERATURE),
            )
    return with_calibrators(model, data.spec, losses, fitted), fitted


def fit(
    label: Label,
    loss: keras.losses.Loss,
    *,
    targets: np.ndarray,
    outputs: np.ndarray,
    method: str,
    weights: np.ndarray | None = None,
) -> Calibrator:
    """Fit the calibrator of a label.

    Args:
        label: The label.
        loss: Its loss, which defines the scale of the outputs.
        targets: The labels of the validation rows, as `metrics.evaluate_label` takes them.
        outputs: (rows, units), the outputs of the model for these rows.
        method: TEMPERATURE or ISOTONIC.
        weights: (rows,) from 0 on, the weights of the rows; None: every row counts once.
    """
    weights, targets, outputs = only_scored(weights, targets, outputs)
    rows, scale = ops.convert_to_tensor(outputs.reshape(len(outputs), -1)), scale_of(loss)
    members = metrics.members_of(label, targets)
    if rows.shape[-1] == 1 and label.kind != MULTI_LABEL:
        members = members[:, 1:]  # one unit belongs to the second of two classes
    if method == TEMPERATURE:
        logits = ops.convert_to_numpy(to_logits(rows, scale, label.kind)).astype(np.float64)
        return calibrators.fit_temperature(logits, members, exclusive=is_softmax(rows, label.kind), weights=weights)
    probabilities = ops.convert_to_numpy(to_probabilities(rows, scale, label.kind)).astype(np.float64)
    if is_softmax(rows, label.kind) and label.width == 2:
        probabilities, members = probabilities[:, 1:], members[:, 1:]
    return calibrators.fit_isotonic(probabilities, members, weights)


def with_calibrators(
    model: keras.Model,
    spec: DataSpec,
    losses: Mapping[str, keras.losses.Loss],
    fitted: Mapping[str, Calibrator],
) -> keras.Model:
    """Return a model with calibrated outputs; the model itself if no calibrator changes them.

    Args:
        model: The trained model.
        spec: The spec of the data.
        losses: By label.
        fitted: The calibrators by label; other labels keep their outputs.
    """
    changing = {name: calibrator for name, calibrator in fitted.items() if not calibrator.note}
    if not changing:
        return model
    raw = {layer_name(name): inputs.raw_input(name, feature) for name, feature in spec.features.items()}
    taken = raw if len(raw) > 1 else next(iter(raw.values()))
    given = model(taken)
    outputs = given if isinstance(given, dict) else {layer_name(next(iter(spec.labels))): given}
    calibrated = outputs | {
        layer_name(name): calibrated_output(name, spec.labels[name], losses[name], outputs[layer_name(name)], each)
        for name, each in changing.items()
    }
    return keras.Model(taken, calibrated if isinstance(given, dict) else next(iter(calibrated.values())), name=NAME)


def calibrated_output(
    name: str, label: Label, loss: keras.losses.Loss, output: keras.KerasTensor, calibrator: Calibrator
) -> Any:
    """Return the calibrated output of a label, (batch, units), on the scale of its loss."""
    scale = scale_of(loss)
    output = ops.cast(output, "float32") if "16" in str(output.dtype) else output
    if calibrator.temperature is not None:
        logits = to_logits(output, scale, label.kind)
        divide = keras.layers.Rescaling(
            1 / calibrator.temperature, dtype=str(output.dtype), name=f"{layer_name(name)}{TEMPERATURE_NAME}"
        )
        return from_logits(divide(logits), scale, label.kind)
    layer = IsotonicCalibration(
        calibrator.curves,
        exclusive=is_softmax(output, label.kind),
        dtype=str(output.dtype),
        name=f"{layer_name(name)}_isotonic",
    )
    return from_probabilities(layer(to_probabilities(output, scale, label.kind)), scale, label.kind)


def without_calibrators(model: keras.Model) -> keras.Model:
    """Return the trained model inside a calibrated one; the model itself if it is not calibrated."""
    if not isinstance(model, FUNCTIONAL) or model.name != NAME:
        return model
    return next(layer for layer in model.layers if isinstance(layer, keras.Model))


def with_changes(
    evaluations: Sequence[LabelEvaluation | ScoresOnly],
    config: Config,
    spec: DataSpec,
    model: keras.Model,
    *,
    rows: Split,
    fitted: Mapping[str, Calibrator],
) -> list[LabelEvaluation | ScoresOnly]:
    """Return evaluations with the scores before and after the calibration, for the labels that have a calibrator.

    Args:
        evaluations: Those of the calibrated model.
        config: The config of the run.
        spec: The spec of the data.
        model: The calibrated model.
        rows: The scored rows.
        fitted: The calibrators by label.
    """
    if not fitted:
        return [*evaluations]
    outputs = label_scores.predict(
        without_calibrators(model), spec, ordered_batches(rows, spec, config.training.batch_size)
    )
    before = label_scores.probabilities_of(spec, config.objective.label_losses(spec), outputs, len(rows))
    return [
        replace(
            evaluation,
            calibration_change=calibration_change(
                evaluation,
                fitted[evaluation.name],
                before=before[evaluation.name],
                options=config.evaluation,
                seed=config.seed,
            ),
        )
        if isinstance(evaluation, LabelEvaluation) and evaluation.name in fitted
        else evaluation
        for evaluation in evaluations
    ]
