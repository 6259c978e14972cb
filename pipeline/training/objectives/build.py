"""Picks the objective that the config names."""

from functools import partial

from pipeline import config as c
from pipeline.training import optimizers
from pipeline.training.objectives import adversarial, maml, regularized
from pipeline.training.objectives.multi_task import MultiTask
from pipeline.training.objectives.supervised import Supervised


def build(config, data, model, total_steps):
    """The objective of a run with its regularisers around it, not compiled yet.

    config: a config.Config. data: a splits.Data. model: built for `model_spec`. total_steps: of the whole run, for the
    schedules of optimizers that an objective has beside the run's own.
    """
    objective = unregularized(config, data, model, total_steps)
    asked = config.regularization
    if asked.mixup:
        objective = regularized.Mixup(objective, asked.mixup, config.seed)
    if asked.gradient_penalty:
        objective = regularized.GradientPenalty(objective, asked.gradient_penalty)
    if asked.weight_decay:
        objective = regularized.WeightDecay(objective, asked.weight_decay)
    return objective


def unregularized(config, data, model, total_steps):
    """The objective that the config names."""
    spec = data.spec
    match config.objective:
        case c.Adversarial():
            critic_optimizer = optimizers.build(adversarial.critic_optimizer(config), total_steps)
            judge = partial(adversarial.judge_of, config.data, spec, data.train)
            return adversarial.Adversarial(config.objective, spec, model, critic_optimizer, judge)
        case c.Maml():
            return maml.Maml(config.objective, model)
        case c.MultiTask():
            return MultiTask(config.objective, spec, model)
        case c.Supervised():
            return Supervised(config.objective, spec, model)


def model_spec(config, spec):
    """The DataSpec that the model is built for, of a config.Config and the data's spec.

    Raises ConfigError where the objective or the regularisation has no meaning for the data.
    """
    if isinstance(config.objective, c.Maml):
        return maml.point_spec(config.objective, spec)
    if config.regularization.mixup:
        regularized.check_mixable(spec)
    if config.regularization.mixup or config.regularization.gradient_penalty:
        spec = regularized.with_float_inputs(spec)
    return spec
