"""Convolution and pooling blocks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.models.options import BatchNormalization, ModelOptions
from pipeline.options import option, section
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class Cnn(ModelOptions):
    """Sequential: convolution and max-pooling blocks, then dropout and the head. For images."""

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split",
        keras="layer",
    )
    filters: list[int] = option([32, 64], "filters of the convolution of each block", required=True, min=1)
    kernel_size: int = option(3, "pixels", min=1)
    padding: str = option("same", "valid makes the output of every convolution smaller", choices=("same", "valid"))
    pool_size: int = option(2, "pixels; 1 for no pooling", min=1)
    hidden: list[int] = option([], "units of the dense layers between the convolutions and the head", min=1)
    activation: str = option("relu", "of every hidden layer", keras="activation")
    dropout: float = option(0.5, "share of units dropped before the head", min=0, below=1)
    normalize: bool = option(False, "batch normalization after every convolution")
    batch_normalization: BatchNormalization = section(BatchNormalization, "constants of batch normalization")

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import sequential

        return sequential.cnn(self, spec, values_of)
