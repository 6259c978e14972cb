"""Residual blocks for images."""

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
class ResidualCnn(ModelOptions):
    """Functional: a convolution, stages of residual blocks, global average pooling and the head. For images."""

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split",
        keras="layer",
    )
    kernel_initializer: Any = option("he_normal", "of every weight matrix", keras="initializer")
    filters: list[int] = option(
        [16, 32], "filters of each stage; each stage after the first halves the image", required=True, min=1
    )
    blocks: int = option(1, "residual blocks per stage", min=1)
    kernel_size: int = option(3, "pixels", min=1)
    activation: str = option("relu", "of every hidden layer", keras="activation")
    batch_normalization: BatchNormalization = section(BatchNormalization, "constants of batch normalization")

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import functional

        return functional.residual_cnn(self, spec, values_of)
