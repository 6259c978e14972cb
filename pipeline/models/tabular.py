"""Several inputs, encoded inside the model."""

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
class Tabular(ModelOptions):
    """Functional: several inputs (numbers, categories, text), each encoded inside the model; one head per label."""

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split; for numeric inputs",
        keras="layer",
    )
    hidden: list[int] = option([64, 32], "units of each shared dense layer", required=True, min=1)
    activation: str = option("relu", "of the hidden layers", keras="activation")
    dropout: float = option(0.0, "share of units dropped after each hidden layer", min=0, below=1)
    vocabulary: int = option(5_000, "text columns: number of words kept, the most frequent first", min=2)

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import functional

        return functional.tabular(self, spec, values_of)
