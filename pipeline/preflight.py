"""What can be known to be wrong before the first step: names that Keras does not have, and parts that do not agree."""

import keras

from pipeline.errors import ConfigError, nearest
from pipeline.models import named
from pipeline.training import optimizers


def check_names(config):
    """Look up every name in the config that Keras owns, before any data is read.

    Raises ConfigError naming the key, what Keras does not have, and the nearest that it has.
    """
    for key in ("kernel_initializer", "bias_initializer", "recurrent_initializer"):
        if hasattr(config.model, key):
            named.initializer(f"model.{key}", getattr(config.model, key))
    for key in ("activation", "recurrent_activation"):
        if hasattr(config.model, key):
            named.activation(f"model.{key}", getattr(config.model, key))
    for key in ("preprocessing", "layers"):
        for layer in getattr(config.model, key, []):
            named.layer(f"model.{key}", layer)
    optimizers.build(config.optimizer, total_steps=1)
    if config.objective.loss is not None:
        named.loss("objective.loss", config.objective.loss)
    for metric in config.objective.metrics or []:
        named.metric("objective.metrics", metric)
    keras.backend.clear_session()  # what was made only to be looked at shall not count up the names of the real ones


def check(training, spec, objective, has_validation):
    """Hold the built model, its objective and the training config against each other. Raises ConfigError.

    training: a config.Training. has_validation: whether epochs log val_ metrics.
    """
    check_outputs(spec, objective.model)
    known = objective.log_names() + [f"val_{name}" for name in objective.log_names() if has_validation]
    check_monitor("training.early_stopping", training.early_stopping, known)
    check_monitor("training.plateau", training.plateau, known)


def check_outputs(spec, model):
    """Every label needs an output of its width."""
    inputs = {name: keras.KerasTensor((None, *item.shape), item.dtype) for name, item in spec.features.items()}
    outputs = model.compute_output_spec(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    outputs = outputs if isinstance(outputs, dict) else {next(iter(spec.labels)): outputs}
    for name, label in spec.labels.items():
        found = outputs[name].shape[1:]
        if found != (label.width,):
            raise ConfigError(
                f"model: expected an output of shape (batch, {label.width}) for label {name!r} ({label.kind}); found "
                f"{('batch', *found)}. Mend the last layer in model.layers: units: {label.width}."
            )


def check_monitor(key, callback, known):
    """What a callback watches must be in the logs of an epoch."""
    if callback.patience is not None and callback.monitor not in known:
        raise ConfigError(f"{key}.monitor: no epoch logs {callback.monitor!r}. {nearest(callback.monitor, known)}")
