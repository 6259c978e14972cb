"""A small transformer encoder over sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import ConfigError
from pipeline.models.options import ModelOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class Transformer(ModelOptions):
    """Subclassed: a small encoder over sequences of any length; padding is masked."""

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split; for real-valued steps",
        keras="layer",
    )
    depth: int = option(2, "encoder blocks", min=1)
    width: int = option(64, "width of a step inside the encoder", min=1)
    heads: int = option(4, "attention heads; divides width", min=1)
    feed_forward: int = option(128, "units between the two dense layers of a block", min=1)
    dropout: float = option(0.1, "share of units dropped after attention and feed-forward", min=0, below=1)
    activation: str = option("gelu", "inside the feed-forward", keras="activation")
    epsilon: float = option(1e-6, "of layer normalization", min=0)
    vocabulary: int | None = option(
        None, "integer sequences: number of token IDs of the embedding; null for real-valued steps"
    )

    def check(self) -> None:
        if self.width % self.heads:
            raise ConfigError(f"model.heads: expected a divisor of model.width={self.width}; found {self.heads}.")

    @property
    def vocabulary_size(self) -> int | None:
        return self.vocabulary

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import encoder

        return encoder.transformer(self, spec, values_of)
