"""Gated recurrent units over sequences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.models.model import DataSpec, ModelOptions, TrainingValues, heads, inputs, keras, keras_objects, option


@dataclass
class Gru(ModelOptions):
    """Sequential: gated recurrent layers over sequences of any length; padding is masked."""

    units: list[int] = option([64], "units of each recurrent layer", required=True, min=1)
    bidirectional: bool = option(False, "read each sequence in both directions")
    dropout: float = option(0.0, "share of units dropped before the head", min=0, below=1)
    recurrent_initializer: Any = option("orthogonal", "of the weight matrix of the state", keras="initializer")
    reset_after: bool = option(
        True, "apply the reset gate after the matrix product, as cuDNN needs; default changed in Keras 2.3.1"
    )
    recurrent_activation: str = option("sigmoid", "of the gates; default changed in Keras 2.3.0", keras="activation")
    vocabulary: int | None = option(
        None, "integer sequences: number of token IDs of the embedding; null for real-valued steps", min=1
    )
    embedding: int = option(32, "integer sequences: width of the embedding", min=1)

    @property
    def vocabulary_size(self) -> int | None:
        """The number of token IDs of the embedding; None for real-valued steps."""
        return self.vocabulary

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model (batch, steps) or (batch, steps, values) -> (batch, width of the label)."""
        name, feature = inputs.only_feature(self, spec)
        last = len(self.units) - 1
        body = [self._recurrent(units, return_sequences=index < last) for index, units in enumerate(self.units)]
        if self.dropout:
            body.append(keras.layers.Dropout(self.dropout))
        if feature.holds_tokens:
            front = [inputs.embedding(feature, vocabulary=self.vocabulary, width=self.embedding)]
        else:
            front = inputs.preprocessing(self, feature, values_of(name))
        return keras.Sequential(
            [inputs.raw_input(name, feature), *front, *body, heads.only_head(self, spec)], name="gru"
        )

    def _recurrent(self, units: int, *, return_sequences: bool) -> keras.Layer:
        layer = keras.layers.GRU(
            units,
            return_sequences=return_sequences,
            reset_after=self.reset_after,
            recurrent_activation=self.recurrent_activation,
            recurrent_initializer=keras_objects.initializer("model.recurrent_initializer", self.recurrent_initializer),
            **self.initializers(),
        )
        return keras.layers.Bidirectional(layer) if self.bidirectional else layer
