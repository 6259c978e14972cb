"""Names in the config that Keras, or preflight, owns: looked up before any data is read."""

import keras

from pipeline import keras_objects
from pipeline.errors import ConfigError, nearest
from pipeline.preflight.catalogue import CATALOGUE


def check(config):
    """Look up every name in the config that Keras or the catalogue of findings owns.

    Raises ConfigError naming the key, what does not exist, and the nearest that does.
    """
    for code in config.preflight.ignore:
        if code not in CATALOGUE:
            raise ConfigError(f"preflight.ignore: there is no finding {code!r}. {nearest(code, CATALOGUE)}")
    for key in ("kernel_initializer", "bias_initializer", "recurrent_initializer"):
        if hasattr(config.model, key):
            keras_objects.initializer(f"model.{key}", getattr(config.model, key))
    for key in ("activation", "recurrent_activation"):
        if hasattr(config.model, key):
            keras_objects.activation(f"model.{key}", getattr(config.model, key))
    for key in ("preprocessing", "layers"):
        for layer in getattr(config.model, key, []):
            keras_objects.layer(f"model.{key}", layer)
    config.optimizer.build(total_steps=1)
    config.objective.check_names()
    # what was made only to be looked at shall not count up the names of the real ones
    keras.backend.clear_session(free_memory=False)
