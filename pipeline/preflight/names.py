"""Names in the config that Keras, or preflight, owns: looked up before any data is read."""

import keras

from pipeline.errors import ConfigError, nearest
from pipeline.models import named
from pipeline.preflight.catalogue import CATALOGUE
from pipeline.training import optimizers


def check(config):
    """Look up every name in the config that Keras or the catalogue of findings owns.

    Raises ConfigError naming the key, what does not exist, and the nearest that does.
    """
    for code in config.preflight.ignore:
        if code not in CATALOGUE:
            raise ConfigError(f"preflight.ignore: there is no finding {code!r}. {nearest(code, CATALOGUE)}")
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
