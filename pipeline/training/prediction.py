"""Predict rows with a trained model, all batches of a table in one call of TensorFlow."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.containers import Table
from pipeline.data.input_pipeline import ordered_batches
from pipeline.evaluation.prediction_intervals import PredictedQuantiles
from pipeline.layer_names import by_original_name
from pipeline.spec import DataSpec
from pipeline.training.label_scores import probabilities_of, quantiles_of


class Predictor:
    """Predicts the labels of tables. For equal batches, the results equal those of `Model.predict` bit for bit."""

    def __init__(
        self, model: keras.Model, spec: DataSpec, losses: Mapping[str, keras.losses.Loss], batch_size: int
    ) -> None:
        """Create the predictor.

        Args:
            model: The trained model.
            spec: The spec of the training data.
            losses: The losses by label. They define how outputs are converted to probabilities.
            batch_size: The number of rows of a batch.
        """
        self.spec, self.losses, self.batch_size = spec, losses, batch_size
        self._predict = _compiled(model)

    def predict(self, table: Table) -> tuple[dict[str, np.ndarray], dict[str, PredictedQuantiles]]:
        """Predict the rows of a table.

        Returns:
            Probabilities by label, or the predictions of a real label, (rows, width) float64; and the predicted
            quantiles of the labels that have them.

        Raises:
            DataError: An output is not finite.
        """
        batches = ordered_batches(table, replace(self.spec, labels={}), self.batch_size)
        outputs = self._predict(iter(batches), tf.constant(len(batches)))
        arrays = tf.nest.map_structure(lambda output: output.numpy(), outputs)
        if not isinstance(arrays, dict):
            arrays = {next(iter(self.spec.labels)): arrays}
        else:
            arrays = by_original_name(arrays, self.spec.labels)
        return (
            probabilities_of(self.spec, self.losses, arrays, len(table)),
            quantiles_of(self.spec, self.losses, arrays),
        )


def _compiled(model: keras.Model) -> tf.types.experimental.PolymorphicFunction:
    """Return a function from an iterator of batches and their number to the joined outputs of the model."""

    def output_of(batch: Any) -> Any:
        return model.predict_step((batch[0],))

    @tf.function
    def predict(batches: Iterator[Any], count: tf.Tensor) -> Any:
        first = output_of(next(batches))
        joined = tf.nest.map_structure(
            lambda output: tf.TensorArray(
                output.dtype, count, infer_shape=False, element_shape=(None, *output.shape[1:])
            ).write(0, output),
            first,
        )
        for position in tf.range(1, count):
            output = output_of(next(batches))
            joined = tf.nest.map_structure(lambda array, values: array.write(position, values), joined, output)  # noqa: B023
        return tf.nest.map_structure(lambda array: array.concat(), joined)

    return predict
