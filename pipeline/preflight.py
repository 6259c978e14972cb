"""What can be known to be wrong before the first step: names that Keras does not have, and parts that do not agree."""

import keras
import tensorflow as tf

from pipeline.errors import ConfigError, nearest
from pipeline.models import named
from pipeline.training import optimizers

ROWS = 97  # of a made-up batch whose shapes are known in full, so that more of what does not fit shows


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
    check_jit(training, objective.model)
    check_scores(spec, objective, check_outputs(spec, objective.model))
    known = objective.log_names() + [f"val_{name}" for name in objective.log_names() if has_validation]
    check_monitor("training.early_stopping", training.early_stopping, known, objective.model)
    check_monitor("training.plateau", training.plateau, known, objective.model)
    if training.plateau.patience is not None:
        check_settable_rate(objective.model.optimizer)


def check_jit(training, model):
    """Keras leaves XLA out without a word where it does not support it."""
    if training.jit == "always" and not model.jit_compile:
        raise ConfigError(
            "training.jit=always: Keras compiles no step with XLA while determinism=strict, or with a layer that XLA "
            "does not support. Take determinism=relaxed, or training.jit=never."
        )


def check_outputs(spec, model):
    """Every label needs an output of its width. Returns the outputs by label, symbolic."""
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
    return outputs


def check_scores(spec, objective, outputs):
    """The loss and the metrics must take these labels and outputs, and each metric be one number."""
    labels = {name: tf.TensorSpec((ROWS, *label.shape), label.dtype) for name, label in spec.labels.items()}
    outputs = {name: tf.TensorSpec((ROWS, *outputs[name].shape[1:]), outputs[name].dtype) for name in labels}
    if len(labels) == 1:
        labels, outputs = next(iter(labels.values())), next(iter(outputs.values()))

    def scores(y, predicted):
        return objective.model.compute_loss(y=y, y_pred=predicted), objective.model.compute_metrics(None, y, predicted)

    try:
        _, metrics = tf.function(scores, autograph=False).get_concrete_function(labels, outputs).structured_outputs
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"objective: the loss or a metric does not fit the labels. Keras says: {str(error).splitlines()[0]}"
        ) from None
    for name, value in metrics.items():
        if value.shape.rank:
            raise ConfigError(
                f"objective.metrics: expected metrics of one number; {name} has {value.shape}. F1Score and its like "
                "take an average: {class_name: F1Score, config: {average: macro}}."
            )


def check_monitor(key, callback, known, model):
    """What a callback watches must be in the logs of an epoch, and it must be known which way it improves."""
    if callback.patience is None:
        return
    if callback.monitor not in known:
        raise ConfigError(f"{key}.monitor: no epoch logs {callback.monitor!r}. {nearest(callback.monitor, known)}")
    watcher = keras.callbacks.EarlyStopping(callback.monitor, mode=callback.mode)
    watcher.set_model(model)
    watcher.on_train_begin()
    try:
        watcher.on_epoch_end(0, {callback.monitor: 0.0})
    except ValueError:
        raise ConfigError(
            f"{key}.mode: expected min or max, since Keras does not know whether {callback.monitor!r} should fall or "
            f"rise; found {callback.mode}."
        ) from None


def check_settable_rate(optimizer):
    """A plateau lowers the learning rate, which a schedule does not allow."""
    try:
        optimizer.learning_rate = float(optimizer.learning_rate)
    except TypeError:
        raise ConfigError(
            "training.plateau: expected optimizer.config.learning_rate to be a number; a schedule sets it already. "
            "Take one of them."
        ) from None
