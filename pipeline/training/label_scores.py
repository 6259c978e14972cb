"""Predict the labels of a split with a Keras model, and score the predictions."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.containers import Split
from pipeline.evaluation import metrics, prediction_profiles
from pipeline.evaluation.decisions import Decision, choose, has_decision
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.prediction_intervals import PredictedQuantiles, with_intervals
from pipeline.files import atomic_write
from pipeline.label_objects import scale_of, to_probabilities
from pipeline.layer_names import by_original_name
from pipeline.quantile_objects import QuantileLoss, median_of
from pipeline.reports import predictions_csv, worst_mistakes
from pipeline.spec import REAL, DataSpec, Label


def score(
    spec: DataSpec,
    *,
    losses: Mapping[str, keras.losses.Loss],
    targets: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    options: Evaluation,
    seed: int,
    folder: Path,
    decisions: Mapping[str, Decision],
    rows: Split | None = None,
) -> list[metrics.LabelEvaluation]:
    """Score the outputs of a model for each label, and write the predictions and their profiles to a folder.

    Args:
        spec: The spec of the data.
        losses: By label.
        targets: The labels of the rows, by label: (rows, ...).
        outputs: As returned by `predict`.
        options: How to score.
        seed: The seed of the resamples behind the intervals.
        folder: Where predictions.csv.gz and prediction_profile.json are written.
        decisions: By label. For a label without a decision, the most probable class is predicted.
        rows: The scored rows, from which ids, weights and the worst mistakes are taken; None leaves them out.

    Raises:
        DataError: The outputs do not fit the labels, or are not finite.
    """
    quantiles = quantiles_of(spec, losses, outputs)
    row_losses = {name: losses_of_rows(losses[name], targets[name], outputs[name]) for name in spec.labels}
    probabilities = probabilities_of(spec, losses, outputs, len(next(iter(targets.values()))))
    ids, weights = (None, None) if rows is None else (rows.row_ids, rows.weights)
    predictions_csv.write_predictions(
        folder / predictions_csv.FILE,
        spec.labels,
        targets,
        probabilities,
        ids=ids,
        decisions=decisions,
        weights=weights,
        quantiles=quantiles,
    )
    evaluations = [
        replace(
            metrics.evaluate_label(
                name,
                label,
                targets=targets[name],
                outputs=probabilities[name],
                losses=row_losses[name],
                options=options,
                seed=seed,
                decision=decisions.get(name),
                weights=weights,
            ),
            predictions=prediction_profiles.profile_predictions(
                label, targets=targets[name], outputs=probabilities[name]
            ),
            mistakes=()
            if rows is None
            else worst_mistakes.find_mistakes(
                name,
                spec,
                rows,
                targets=targets[name],
                outputs=probabilities[name],
                decision=decisions.get(name),
            ),
        )
        for name, label in spec.labels.items()
    ]
    evaluations = [
        with_intervals(evaluation, quantiles[evaluation.name], options=options, seed=seed)
        if evaluation.name in quantiles
        else evaluation
        for evaluation in evaluations
    ]
    with atomic_write(folder / predictions_csv.PROFILE_FILE) as file:
        file.write(json.dumps(prediction_profiles.evaluations_to_json(evaluations)).encode() + b"\n")
    return evaluations


def choose_decisions(
    spec: DataSpec,
    *,
    losses: Mapping[str, keras.losses.Loss],
    targets: Mapping[str, np.ndarray],
    outputs: Mapping[str, np.ndarray],
    options: Evaluation,
    weights: np.ndarray | None = None,
) -> dict[str, Decision]:
    """Choose the decision of each label on validation rows, whose weights may be given. Arguments as for `score`.

    Raises:
        DataError: The outputs do not fit the labels, or are not finite.
    """
    probabilities = probabilities_of(spec, losses, outputs, len(next(iter(targets.values()))))
    chosen = {
        name: choose(
            label,
            members=metrics.members_of(label, targets[name]),
            probabilities=probabilities[name],
            options=options,
            weights=weights,
        )
        for name, label in spec.labels.items()
        if has_decision(label)
    }
    return {name: decision for name, decision in chosen.items() if decision is not None}


def predict(model: keras.Model, spec: DataSpec, batches: tf.data.Dataset) -> dict[str, np.ndarray]:
    """Return the outputs of a model for all rows, by label: (rows, ...)."""
    outputs = model.predict(batches, verbose=0)
    if not isinstance(outputs, dict):
        return {next(iter(spec.labels)): outputs}
    return by_original_name(outputs, spec.labels)


def probabilities_of(
    spec: DataSpec, losses: Mapping[str, keras.losses.Loss], outputs: Mapping[str, np.ndarray], rows: int
) -> dict[str, np.ndarray]:
    """Return outputs as `metrics.evaluate_label` takes them, by label: (rows, width) float64.

    Raises:
        DataError: The outputs do not fit the label or the number of rows, or are not finite.
    """
    return {
        name: metrics.check_outputs(
            as_probabilities(label, losses[name], outputs[name]), name=name, label=label, rows=rows
        )
        for name, label in spec.labels.items()
    }


def as_probabilities(label: Label, loss: keras.losses.Loss, outputs: np.ndarray) -> np.ndarray:
    """Convert the outputs for a loss to probabilities. Of real labels, return the predictions: medians of quantiles."""
    if isinstance(loss, QuantileLoss):
        return median_of(outputs, loss.quantiles)
    if label.kind == REAL:
        return outputs
    values = to_probabilities(keras.ops.convert_to_tensor(outputs), scale_of(loss), label.kind)
    return keras.ops.convert_to_numpy(values)


def quantiles_of(
    spec: DataSpec, losses: Mapping[str, keras.losses.Loss], outputs: Mapping[str, np.ndarray]
) -> dict[str, PredictedQuantiles]:
    """Return the quantiles among the outputs of a model, by label; {} if it predicts none."""
    return {
        name: PredictedQuantiles(
            levels=tuple(loss.quantiles),
            values=outputs[name].reshape(len(outputs[name]), spec.labels[name].width, -1).astype(np.float64),
        )
        for name, loss in losses.items()
        if isinstance(loss, QuantileLoss)
    }


def losses_of_rows(loss: keras.losses.Loss, targets: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return {"loss": (rows,) float64}, the loss of each row; {} if the loss is not a mean over rows."""
    targets = targets.reshape(outputs.shape) if targets.size == outputs.size else targets
    values = keras.ops.convert_to_numpy(
        loss.call(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(outputs))
    )
    return {"loss": values.astype(np.float64)} if values.shape == (len(targets),) else {}
