"""Several inputs, encoded inside the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.layer_names import by_layer_name
from pipeline.layers import text
from pipeline.models.model import DataSpec, Feature, ModelOptions, TrainingValues, heads, inputs, keras, option

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass
class Tabular(ModelOptions):
    """Functional: several inputs (numbers, categories, text), each encoded inside the model; one head per label."""

    replaces_missing_values: ClassVar[bool] = True

    hidden: list[int] = option([64, 32], "units of each shared dense layer", required=True, min=1)
    activation: str = option("relu", "of the hidden layers", keras="activation")
    dropout: float = option(0.0, "share of units dropped after each hidden layer", min=0, below=1)
    vocabulary: int = option(
        5_000, "text columns: number of words (or characters and pairs of them) kept, the most frequent first", min=2
    )
    text_split: str = option(
        text.AUTO,
        "text columns: the tokens of a text; auto: words, or characters if blanks do not separate words, as in "
        "Chinese, Japanese and Thai",
        choices=(text.AUTO, text.WORDS, text.CHARACTERS),
    )

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model that encodes each input, then applies dense layers that all inputs share, and the heads.

        All columns of numbers are one input, (batch, columns): each column is normalized, and a missing value counts
        as the training mean of its column. Every other input is (batch, 1): categories are one-hot, text is a bag of
        words.
        """
        raw = {name: inputs.raw_input(name, feature) for name, feature in spec.features.items()}
        encoded = [self._encode(name, raw[name], feature, values_of(name)) for name, feature in spec.features.items()]
        x = keras.layers.Concatenate()(encoded) if len(encoded) > 1 else encoded[0]
        for units in self.hidden:
            x = keras.layers.Dense(units, self.activation, **self.initializers())(x)
            if self.dropout:
                x = keras.layers.Dropout(self.dropout)(x)
        model_inputs = by_layer_name(raw) if len(raw) > 1 else next(iter(raw.values()))
        return keras.Model(model_inputs, heads.outputs(self, spec, x), name="tabular")

    def _encode(
        self, name: str, raw: keras.KerasTensor, feature: Feature, values: tf.data.Dataset
    ) -> keras.KerasTensor:
        """Encode one input as numbers: (batch, 1) or (batch, ...) -> (batch, n)."""
        if feature.dtype == "string":
            return keras.layers.Flatten()(self._string_encoder(name, feature, values)(raw))
        x = raw
        for layer in inputs.preprocessing(self, feature, values):
            x = layer(x)
        if feature.dtype.startswith("float"):
            x = keras.ops.where(keras.ops.isnan(x), 0.0, x)  # after normalization, 0 is the training mean
        return keras.layers.Flatten()(x)

    def _string_encoder(self, name: str, feature: Feature, values: tf.data.Dataset) -> keras.Layer:
        if feature.text:
            return text.vectorization(name, values, vocabulary=self.vocabulary, split=self.text_split)
        layer = keras.layers.StringLookup(  # "" is a missing category
            mask_token="", output_mode="one_hot", vocabulary=feature.categories or None
        )
        if not feature.categories:
            layer.adapt(values)
        return layer
