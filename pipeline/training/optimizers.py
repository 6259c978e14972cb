"""The optimizer of a run, with its learning-rate schedule."""

import inspect

import keras

from pipeline.models import named


def build(config, total_steps):
    """A new Keras optimizer. config: a config.Optimizer. total_steps: of the whole run, the length of a schedule whose
    `decay_steps` is left out. Raises ConfigError for what Keras does not have."""
    arguments = dict(config.config)
    match arguments.get("learning_rate"):
        case {"class_name": name, **rest} if _decays(name):
            spelled = {"decay_steps": total_steps, **rest.get("config", {})}
            arguments["learning_rate"] = {"class_name": name, "config": spelled}
    return named.optimizer("optimizer", {"class_name": config.class_name, "config": arguments})


def _decays(name):
    schedule = getattr(keras.optimizers.schedules, name, None)
    return inspect.isclass(schedule) and "decay_steps" in inspect.signature(schedule.__init__).parameters
