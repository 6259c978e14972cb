"""What `train` and `evaluate` share: predict one split, score it, keep the predictions."""

import math

import keras
import numpy as np

from pipeline.data import feed
from pipeline.evaluation import metrics, predictions
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT
from pipeline.training.objectives import supervised


def judge(config, spec, model, part, path):
    """Score a model on a split and write its predictions to `path`. Returns a LabelEvaluation a label."""
    batches = feed.ordered_batches(part, spec, config.data, config.training.batch_size)
    outputs = model.predict(batches, verbose=0)
    outputs = outputs if isinstance(outputs, dict) else {next(iter(spec.labels)): outputs}
    losses = {name: supervised.loss(config.objective, label) for name, label in spec.labels.items()}
    per_row = {name: row_losses(losses[name], part.labels[name], outputs[name]) for name in spec.labels}
    judged = {name: as_probabilities(label, losses[name], outputs[name]) for name, label in spec.labels.items()}
    predictions.write(path, spec.labels, part.labels, judged)
    return [
        metrics.evaluate(name, label, part.labels[name], judged[name], per_row[name], config.evaluation, config.seed)
        for name, label in spec.labels.items()
    ]


def row_losses(loss, targets, outputs):
    """{"loss": (rows,)}: what each row adds to the mean; {} for a loss that is not a mean over rows."""
    targets = targets.reshape(outputs.shape) if targets.size == outputs.size else targets
    values = keras.ops.convert_to_numpy(
        loss.call(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(outputs))
    )
    return {"loss": values.astype(np.float64)} if values.shape == (len(targets),) else {}


def as_probabilities(label, loss, outputs):
    """The outputs with logits turned into probabilities, where the loss says that it takes logits."""
    if not loss.get_config().get("from_logits"):
        return outputs
    activation = {CLASS: keras.ops.softmax, ONE_HOT: keras.ops.softmax, MULTI_LABEL: keras.ops.sigmoid}.get(label.kind)
    return keras.ops.convert_to_numpy(activation(keras.ops.convert_to_tensor(outputs))) if activation else outputs


def as_json(evaluations):
    """The scores as result.json keeps them: label -> score -> value, low, high; null for what is not a number."""
    return {
        evaluation.name: {
            name: {part: value if math.isfinite(value) else None for part, value in vars(score).items()}
            for name, score in evaluation.scores.items()
        }
        for evaluation in evaluations
    }


def calibration_as_json(evaluations):
    """Label -> expected calibration error, and what it stays below by chance, of labels that have one."""
    return {
        evaluation.name: {"ece": evaluation.calibration.ece, "ece_by_chance": evaluation.calibration.ece_by_chance}
        for evaluation in evaluations
        if evaluation.calibration
    }
