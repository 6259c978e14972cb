"""The optimizer of a run, with its learning-rate schedule."""

import inspect

import keras

from pipeline import keras_objects


def build_optimizer(config, total_steps, key="optimizer"):
    """A new Keras optimizer. config: a config.Optimizer, at `key` for messages. total_steps: of the whole run, where a
    schedule whose `decay_steps` is left out ends, its warm-up included. Raises ConfigError for what Keras does not
    have."""
    arguments = dict(config.config)
    match arguments.get("learning_rate"):
        case int(rate) if not isinstance(rate, bool):
            arguments["learning_rate"] = float(rate)  # YAML's 1, which Keras refuses
        case {"class_name": name, **rest} if _decays(name):
            given = rest.get("config", {})
            warmup = given.get("warmup_steps", 0) if given.get("warmup_target") is not None else 0
            spelled = {"decay_steps": max(total_steps - warmup, 1), **given}
            arguments["learning_rate"] = {"class_name": name, "config": spelled}
    return keras_objects.optimizer(key, {"class_name": config.class_name, "config": arguments})


def _decays(name):
    schedule = getattr(keras.optimizers.schedules, name, None)
    return inspect.isclass(schedule) and "decay_steps" in inspect.signature(schedule.__init__).parameters
