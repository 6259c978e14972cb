"""Build a model and turn what Keras objects to into an error that names the data."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pipeline.errors import ConfigError, message_of
from pipeline.models.options import ModelOptions
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


def build(model: ModelOptions, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
    """Build the model that the options describe. Arguments as for ModelOptions.build.

    Raises:
        ConfigError: Data and model do not fit together.
    """
    try:
        return model.build(spec, values_of)
    except (ValueError, TypeError) as error:
        inputs = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in spec.features.items())
        raise ConfigError(
            f"model: {type(model).__name__} does not fit the data ({inputs}). Keras says: {message_of(error)}"
        ) from error
