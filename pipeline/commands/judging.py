"""What `train`, `evaluate` and `drift` share: predict one split, score it, keep what was said and how it looks."""

import json
import math

import keras
import numpy as np

from pipeline.data import blocks, feed
from pipeline.evaluation import metrics, predictions, profile
from pipeline.files import whole_file
from pipeline.spec import MULTI_LABEL, REAL
from pipeline.training.objectives import supervised

PREDICTION_PROFILE = "prediction_profile.json"  # beside predictions.csv.gz

# losses whose outputs are on the scale of the labels, though they may leave 0 to 1
DISTANCES = (
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.CosineSimilarity,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.Poisson,
)


def judge(config, spec, model, part, path):
    """Score a model on a split and write its predictions to `path`, what they look like as a whole beside it.

    Returns a LabelEvaluation a label.
    """
    outputs = outputs_of(config, spec, model, part)
    losses = {name: supervised.loss(config.objective, label) for name, label in spec.labels.items()}
    per_row = {name: row_losses(losses[name], part.labels[name], outputs[name]) for name in spec.labels}
    judged = probabilities(config, spec, part, outputs)
    predictions.write(path, spec.labels, part.labels, judged)
    found = {
        name: profile.predictions_as_json(profile.predictions(label, part.labels[name], judged[name]))
        for name, label in spec.labels.items()
    }
    with whole_file(path.with_name(PREDICTION_PROFILE)) as file:
        file.write(json.dumps(found).encode() + b"\n")
    return [
        metrics.evaluate(name, label, part.labels[name], judged[name], per_row[name], config.evaluation, config.seed)
        for name, label in spec.labels.items()
    ]


def outputs_of(config, spec, model, part):
    """What a model says of every row of a split: label name -> (rows, ...)."""
    batches = feed.ordered_batches(part, spec, config.data, config.training.batch_size)
    outputs = model.predict(batches, verbose=0)
    return outputs if isinstance(outputs, dict) else {next(iter(spec.labels)): outputs}


def probabilities(config, spec, part, outputs):
    """The outputs as metrics.evaluate takes them, checked, with logits turned into probabilities."""
    found = {}
    for name, label in spec.labels.items():
        judged = as_probabilities(label, supervised.loss(config.objective, label), outputs[name])
        found[name] = metrics.checked_outputs(name, label, len(part), judged)
    return found


def data_profile(spec, part):
    """The Profile of a split's columns."""
    return profile.profile(data_blocks(spec, part))


def data_blocks(spec, part):
    """The columns of a split, block by block."""
    for features, labels in blocks.blocks(part, spec):
        yield profile.data_columns(spec, features, labels)


def row_losses(loss, targets, outputs):
    """{"loss": (rows,)}: what each row adds to the mean; {} for a loss that is not a mean over rows."""
    targets = targets.reshape(outputs.shape) if targets.size == outputs.size else targets
    values = keras.ops.convert_to_numpy(
        loss.call(keras.ops.convert_to_tensor(targets), keras.ops.convert_to_tensor(outputs))
    )
    return {"loss": values.astype(np.float64)} if values.shape == (len(targets),) else {}


def as_probabilities(label, loss, outputs):
    """The outputs as the evaluation takes them: logits, where the loss says that it takes them, and a hinge loss's
    scores turned into probabilities, whose order and sides of the threshold stay; a distance's cut to 0 to 1."""
    if label.kind == REAL:
        return outputs
    values = keras.ops.convert_to_tensor(outputs)
    one_of_them = label.kind != MULTI_LABEL and values.shape[-1] > 1  # a lone unit is the second class's
    if loss.get_config().get("from_logits") or isinstance(loss, keras.losses.CategoricalHinge):
        values = keras.ops.softmax(values) if one_of_them else keras.ops.sigmoid(values)
    elif isinstance(loss, (keras.losses.Hinge, keras.losses.SquaredHinge)):
        values = keras.ops.sigmoid(values)
    elif isinstance(loss, DISTANCES):
        values = keras.ops.clip(values, 0.0, 1.0)
    return keras.ops.convert_to_numpy(values)


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
