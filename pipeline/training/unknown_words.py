"""The share of the words of each split that the vocabulary of a model lacks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import keras
import numpy as np

from pipeline.data.blocks import blocks
from pipeline.data.containers import Split
from pipeline.layer_names import layer_name
from pipeline.spec import DataSpec

PADDING, UNKNOWN = 0, 1  # the indices of no token, and of a token outside the vocabulary


@dataclass(frozen=True)
class UnknownWords:
    """The words of a text column that the vocabulary lacks.

    column: The feature.
    unit: "words", or "characters" if the texts are split into these; pairs of characters do not count.
    shares: Split name -> share of the words, from 0 to 1; 0 if there are none.
    """

    column: str
    unit: str
    shares: dict[str, float]

    def __str__(self) -> str:
        """Return the shares in one line."""
        shares = ", ".join(f"{share:.1%} in {name}" for name, share in self.shares.items())
        return f"{self.unit} of {self.column!r} that the vocabulary lacks: {shares}"


def text_layers(model: keras.Model, spec: DataSpec) -> dict[str, keras.layers.TextVectorization]:
    """Return the layer that splits each text column, by column; none of a layer outside the graph of the model."""
    features = {layer_name(name): name for name in spec.features}
    layers = {}
    for layer in model.layers:
        column = getattr(getattr(layer, "input", None), "name", None)
        if isinstance(layer, keras.layers.TextVectorization) and column in features:
            layers[features[column]] = layer
    return layers


def unknown_words(model: keras.Model, spec: DataSpec, splits: Mapping[str, Split]) -> list[UnknownWords]:
    """Count the words of each text column that the vocabulary of a model lacks.

    Args:
        model: Built; its TextVectorization layers are adapted.
        spec: The spec of the data.
        splits: By name.
    """
    found = []
    for name, layer in text_layers(model, spec).items():
        config, words = layer.get_config(), layer.get_vocabulary(include_special_tokens=False)
        is_by_character = config["split"] == "character"
        units = keras.layers.TextVectorization(
            standardize=config["standardize"],
            split=config["split"],
            vocabulary=[word for word in words if len(word) == 1] if is_by_character else words,
        )
        shares = {split_name: _unknown_share(units, name, spec, split) for split_name, split in splits.items()}
        found.append(UnknownWords(name, "characters" if is_by_character else "words", shares))
    return found


def _unknown_share(layer: keras.layers.TextVectorization, name: str, spec: DataSpec, split: Split) -> float:
    unknown = total = 0
    for features, _ in blocks(split, spec):
        tokens = np.asarray(layer(features[name]))
        unknown += int((tokens == UNKNOWN).sum())
        total += int((tokens != PADDING).sum())
    return unknown / total if total else 0.0
