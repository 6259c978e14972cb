"""Picks the model that the config names and fits it to the data."""

from pipeline import config as c
from pipeline.errors import ConfigError, words_of
from pipeline.models import adversarial, functional, sequential, subclassed


def build(config, spec, values_of):
    """A built, uncompiled Keras model that takes the raw features of the data.

    config: a member of config.GROUPS["model"]. values_of: feature name -> tf.data.Dataset of its training values, for
    the layers that adapt to them. Raises ConfigError where data and model do not go together.
    """
    try:
        match config:
            case c.Mlp():
                return sequential.mlp(config, spec, values_of)
            case c.Cnn():
                return sequential.cnn(config, spec, values_of)
            case c.Gru():
                return sequential.gru(config, spec, values_of)
            case c.Layers():
                return sequential.stack(config, spec, values_of)
            case c.ResidualCnn():
                return functional.residual_cnn(config, spec, values_of)
            case c.Tabular():
                return functional.tabular(config, spec, values_of)
            case c.Gan():
                return adversarial.gan(config, spec, values_of)
            case c.Transformer():
                return subclassed.transformer(config, spec, values_of)
    except (ValueError, TypeError) as error:
        inputs = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in spec.features.items())
        raise ConfigError(
            f"model: {type(config).__name__} does not fit the data ({inputs}). Keras says: {words_of(error)}"
        ) from error
    raise ConfigError(f"model: expected one of {', '.join(c.GROUPS['model'])}; found {type(config).__name__}.")
