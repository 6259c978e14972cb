"""What `train`, `evaluate` and `drift` share: predict one split, score it, keep what was said and how it looks."""

import json
import math
from dataclasses import replace

import keras
import numpy as np

from pipeline.data import blocks, checks, input_pipeline, splits
from pipeline.errors import ConfigError
from pipeline.evaluation import generation, metrics, predictions, profile
from pipeline.files import atomic_write
from pipeline.layers.image_judge import frechet_distance
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.maml import MamlOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.reports.figures import ImageGrid
from pipeline.runs.folder import PREDICTION_PROFILE
from pipeline.spec import MULTI_LABEL, REAL
from pipeline.training import adversarial, maml, sample_grid, supervised
from pipeline.training import building as objectives

STEPS_SHOWN = (0, 1, 5, 10)  # of gradient descent on a task
LOOKED_THROUGH = 50  # rows a class, for real images to show
DRAW_SEED = 0  # of the rows that stand for all of a split

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


def judge(config, spec, model, part, training_part, path):
    """Score a model on a split, as its objective has it. Returns a LabelEvaluation a label, or one ScoresOnly.

    training_part: a function that gives the training split, for objectives that are judged with its help. path: where
    predictions of labels go.
    """
    match config.objective:
        case AdversarialOptions():
            return [judge_images(config, spec, model, part, training_part())]
        case MamlOptions():
            return [judge_tasks(config, spec, model, part, training_part())]
        case _:
            return judge_labels(config, spec, model, part, path)


def refuse_without_labels(command, config):
    """Raise ConfigError where a run's objective predicts no labels that a command could look at."""
    if not isinstance(config.objective, SupervisedOptions):
        raise ConfigError(
            f"{command}: expected a run that predicts labels; this one has objective={config.objective.choice}. "
            "`evaluate` judges it."
        )


def judge_images(config, spec, model, part, training_part):
    """The ScoresOnly of a generator, by a classifier of the training split's images, against those of another split."""
    judge = adversarial.judge_of(config.data, spec, training_part)
    seen = adversarial.compare(judge, model, batches_of(config, spec, part))
    others = drawn(config, spec, training_part, len(part)).batch(config.training.batch_size)
    real = np.concatenate([judge.see(images)[0] for images, _ in others])
    return generation.evaluate(
        seen["taken_for"] == seen["labels"],
        seen["real_taken_for"] == seen["labels"],
        frechet_distance(seen["real"], seen["generated"]),
        frechet_distance(seen["real"], real),
        image_grids(config, spec, model, part),
        config.evaluation,
        config.seed,
    )


def judge_tasks(config, spec, model, part, training_part):
    """The ScoresOnly of a model that adapts to each task of a split, beside the weights that training began with."""
    (label,) = spec.labels.values()
    measure, name = ("accuracy", "accuracy") if label.classes else ("loss", "mse")
    models = {"": model, "untrained_": objectives.initial_model(config, spec, training_part)}
    columns = {}
    for whose, each in models.items():
        objective = maml.Maml(config.objective, maml.point_label(label), each)
        after = maml.adapted(objective, batches_of(config, spec, part), max(STEPS_SHOWN))[measure]
        columns |= {f"{whose}{name}_after_{steps}": after[:, steps] for steps in STEPS_SHOWN}
    scores = metrics.intervals([metrics.averages(columns)], len(part), config.evaluation, config.seed)
    if label.classes:
        scores["accuracy_by_chance"] = metrics.Score(1 / len(label.classes), np.nan, np.nan)
    note = (
        f"Each task's {'accuracy' if label.classes else 'mean squared error'} on its queries, after so many steps of "
        f"gradient descent on its first {config.objective.support} points, averaged over the tasks. untrained: that of "
        "the weights that training began with, after the same steps."
    )
    return metrics.ScoresOnly("tasks", len(part), config.evaluation.confidence, scores, note)


def image_grids(config, spec, model, part):
    """Generated images, and real ones of a split, a column a class."""
    classes = next(iter(spec.labels.values())).classes
    pairs = drawn(config, spec, part, LOOKED_THROUGH * len(classes))
    images, labels = next(pairs.batch(LOOKED_THROUGH * len(classes)).as_numpy_iterator())
    real = generation.of_each_class(images, labels, len(classes), sample_grid.ROWS)
    return [ImageGrid("generated", model.samples(sample_grid.ROWS), classes), ImageGrid("real", real, classes)]


def judge_labels(config, spec, model, part, path):
    """Score a model's predictions of a split, write them to `path` and what they look like as a whole beside it.

    Returns a LabelEvaluation a label.
    """
    outputs = outputs_of(config, spec, model, part)
    losses = {name: supervised.loss(config.objective, name, label) for name, label in spec.labels.items()}
    per_row = {name: row_losses(losses[name], part.labels[name], outputs[name]) for name in spec.labels}
    judged = probabilities(config, spec, part, outputs)
    predictions.write(path, spec.labels, part.labels, judged)
    found = {
        name: profile.predictions_as_json(profile.predictions(label, part.labels[name], judged[name]))
        for name, label in spec.labels.items()
    }
    with atomic_write(path.with_name(PREDICTION_PROFILE)) as file:
        file.write(json.dumps(found).encode() + b"\n")
    return [
        metrics.evaluate(name, label, part.labels[name], judged[name], per_row[name], config.evaluation, config.seed)
        for name, label in spec.labels.items()
    ]


def batches_of(config, spec, part):
    """All rows of a split in their own order."""
    return input_pipeline.ordered_batches(part, spec, config.data, config.training.batch_size)


def drawn(config, spec, part, count):
    """That many rows drawn from all over a split, the same each time: they may lie class by class."""
    data = replace(config.data, shuffle=True)
    return (
        input_pipeline.TrainingFeed(part, spec, data, config.training.batch_size, DRAW_SEED)
        .batches(0)
        .unbatch()
        .take(count)
    )


def rows_of(config, spec, split):
    """One split of the config's data, for a model that was trained on data of this spec: (part, fingerprint).

    Raises DataError where the model could not take a row.
    """
    part, fingerprint = splits.load_split(config.data, split, spec)
    objectives.check_words(config, spec, part)
    return part, fingerprint


def refuse_unknown_categories(data, model, part, split):
    """Raise DataError for the first category that training has not shown, unless the data is told to accept it.

    Known are those of the model's own lookups of a column, which learned them from the training rows.
    """
    lookups = [layer for layer in model.layers if isinstance(layer, keras.layers.StringLookup)]
    for layer in lookups:
        if layer._inbound_nodes and layer.input.name in data.columns_of_known_categories:
            known = {"", *layer.get_vocabulary(include_special_tokens=False)}  # "" is a missing one
            checks.check_categories(layer.input.name, known, {split: part})


def outputs_of(config, spec, model, part):
    """What a model says of every row of a split: label name -> (rows, ...)."""
    outputs = model.predict(batches_of(config, spec, part), verbose=0)
    return outputs if isinstance(outputs, dict) else {next(iter(spec.labels)): outputs}


def probabilities(config, spec, part, outputs):
    """The outputs as metrics.evaluate takes them, checked, with logits turned into probabilities."""
    found = {}
    for name, label in spec.labels.items():
        judged = as_probabilities(label, supervised.loss(config.objective, name, label), outputs[name])
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
        if isinstance(evaluation, metrics.LabelEvaluation) and evaluation.calibration
    }
