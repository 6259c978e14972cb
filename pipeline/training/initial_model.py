"""The model that a run starts from."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import tensorflow as tf

from pipeline.data import input_pipeline
from pipeline.data.containers import Split
from pipeline.models.model import build_model
from pipeline.spec import DataSpec
from pipeline.training.label_scale import with_normalized_labels
from pipeline.training.model_inputs import model_spec

if TYPE_CHECKING:
    from pipeline.config import Config


def initial_model(config: Config, spec: DataSpec, training_rows: Split) -> keras.Model:
    """Build the model of a run. Its weights depend on the seed only, whatever was built before.

    Args:
        config: The config of the run.
        spec: The spec of the data.
        training_rows: The training split, whose values preprocessing layers adapt to, and real labels.

    Raises:
        ConfigError: Objective, model and data do not fit together.
    """
    keras.config.set_dtype_policy(config.training.precision)
    keras.utils.set_random_seed(config.seed)
    taken = with_normalized_labels(config, model_spec(config, spec), training_rows.labels)

    def values_of(name: str) -> tf.data.Dataset:
        values, feature = input_pipeline.feature_batches(training_rows, spec, name), taken.features[name]
        if not config.objective.rows_are_tasks:
            return values
        return values.map(lambda tasks: tf.reshape(tasks, (-1, *feature.shape)))  # points

    return build_model(config.model, taken, values_of)
