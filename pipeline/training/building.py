"""Picks the objective that the config names, and builds the model that it begins with."""

from functools import partial

import keras
import tensorflow as tf

from pipeline.data import input_pipeline, token_checks
from pipeline.models.model import build_model
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.maml import MamlOptions
from pipeline.objectives.multi_task import MultiTaskOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training import adversarial, maml, regularization
from pipeline.training.multi_task import MultiTask
from pipeline.training.supervised import Supervised


def build(config, data, model, total_steps):
    """The objective of a run with its regularisers around it, not compiled yet.

    config: a config.Config. data: a SplitDataset. model: built for `model_spec`. total_steps: of the whole run, for the
    schedules of optimizers that an objective has beside the run's own.
    """
    objective = unregularized(config, data, model, total_steps)
    asked = config.regularization
    if asked.mixup:
        objective = regularization.Mixup(objective, asked.mixup, config.seed)
    if asked.gradient_penalty:
        objective = regularization.GradientPenalty(objective, asked.gradient_penalty)
    if asked.weight_decay:
        objective = regularization.WeightDecay(objective, asked.weight_decay)
    return objective


def unregularized(config, data, model, total_steps):
    """The objective that the config names."""
    spec = data.spec
    match config.objective:
        case AdversarialOptions():
            critic_moves = total_steps * config.objective.critic_steps  # for a schedule that is to last the whole run
            critic_optimizer = adversarial.critic_optimizer(config.objective, config.optimizer).build(critic_moves)
            judge = partial(adversarial.judge_of, config.data, spec, data.train)
            return adversarial.Adversarial(config.objective, spec, model, critic_optimizer, judge)
        case MamlOptions():
            (label,) = maml.point_spec(config.objective, spec).labels.values()
            return maml.Maml(config.objective, label, model)
        case MultiTaskOptions():
            return MultiTask(config.objective, spec, model)
        case SupervisedOptions():
            return Supervised(config.objective, spec, model)


def initial_model(config, spec, part):
    """The model that a run begins with, its weights from the seed, whatever was made before.

    config: a config.Config. spec: of the data. part: the training split, whose values layers in front adapt to. Raises
    ConfigError where objective, model and data do not go together.
    """
    keras.config.set_dtype_policy(config.training.precision)
    keras.utils.set_random_seed(config.seed)
    own = model_spec(config, spec)

    def values_of(name):
        values, feature = input_pipeline.feature_batches(part, spec, name), own.features[name]
        if feature.shape == spec.features[name].shape:
            return values
        return values.map(lambda tasks: tf.reshape(tasks, (-1, *feature.shape)))  # of points

    return build_model(config.model, own, values_of)


def model_spec(config, spec):
    """The DataSpec that the model is built for, of a config.Config and the data's spec.

    Raises ConfigError where the objective or the regularisation has no meaning for the data.
    """
    spec = config.objective.model_spec(spec)
    if config.regularization.mixup:
        regularization.check_mixable(spec)
    if config.regularization.mixup or config.regularization.gradient_penalty:
        spec = regularization.with_float_inputs(spec)
    return spec


def check_words(config, spec, part):
    """Raise DataError for the first row of a split with words that the model of a config.Config does not know."""
    token_checks.check(spec, part, config.model.vocabularies(model_spec(config, spec)))
