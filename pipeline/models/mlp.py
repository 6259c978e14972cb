"""Dense layers over the flattened input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.models.options import ModelOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class Mlp(ModelOptions):
    """Sequential: dense layers over the flattened input."""

    hidden: list[int] = option([64, 32], "units of each hidden layer", required=True, min=1)
    activation: str = option("relu", "of the hidden layers", keras="activation")
    dropout: float = option(0.0, "share of units dropped after each hidden layer", min=0, below=1)

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import sequential

        return sequential.mlp(self, spec, values_of)
