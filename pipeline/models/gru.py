"""Gated recurrent units over sequences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.options import ModelOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class Gru(ModelOptions):
    """Sequential: gated recurrent layers over sequences of any length; padding is masked."""

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split; for real-valued steps",
        keras="layer",
    )
    units: list[int] = option([64], "units of each recurrent layer", required=True, min=1)
    bidirectional: bool = option(False, "read each sequence in both directions")
    dropout: float = option(0.0, "share of units dropped before the head", min=0, below=1)
    recurrent_initializer: Any = option("orthogonal", "of the weight matrix of the state", keras="initializer")
    reset_after: bool = option(
        True, "apply the reset gate after the matrix product, as cuDNN needs; default changed in Keras 2.3.1"
    )
    recurrent_activation: str = option("sigmoid", "of the gates; default changed in Keras 2.3.0", keras="activation")
    vocabulary: int | None = option(
        None, "integer sequences: number of token IDs of the embedding; null for real-valued steps"
    )
    embedding: int = option(32, "integer sequences: width of the embedding", min=1)

    @property
    def vocabulary_size(self) -> int | None:
        return self.vocabulary

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import sequential

        return sequential.gru(self, spec, values_of)
