"""Residual blocks for images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.models.model import (
    BatchNormalization,
    ConfigError,
    DataSpec,
    ModelOptions,
    TrainingValues,
    heads,
    inputs,
    keras,
    option,
    section,
)


@dataclass
class ResidualCnn(ModelOptions):
    """Functional: a convolution, stages of residual blocks, global average pooling and the head. For images."""

    kernel_initializer: Any = option("he_normal", "of every weight matrix", keras="initializer")
    filters: list[int] = option(
        [16, 32], "filters of each stage; each stage after the first halves the image", required=True, min=1
    )
    blocks: int = option(1, "residual blocks per stage", min=1, max=1_000)
    kernel_size: int = option(3, "pixels", min=1, max=1_000)
    activation: str = option("relu", "of every hidden layer", keras="activation")
    batch_normalization: BatchNormalization = section(BatchNormalization, "constants of batch normalization")

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model (batch, height, width, channels) -> (batch, width of the label); several labels give a dict.

        Residual blocks are those of He et al. 2015.
        """
        name, feature = inputs.only_feature(self, spec)
        if len(feature.shape) != 3:
            raise ConfigError(
                f"model=residual_cnn: expected images (height, width, channels); found {name} {feature.shape}."
            )
        image = inputs.raw_input(name, feature)
        x = image
        for layer in inputs.preprocessing(self, feature, values_of(name)):
            x = layer(x)
        x = self._convolution(self.filters[0])(x)
        for stage, filters in enumerate(self.filters):
            for block in range(self.blocks):
                x = self._residual_block(x, filters, stride=2 if stage and not block else 1)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, heads.outputs(self, spec, x), name="residual_cnn")

    def _residual_block(self, x: keras.KerasTensor, filters: int, *, stride: int) -> keras.KerasTensor:
        """Add two convolutions to a shortcut, which is projected if the shape changes.

        (batch, h, w, c) -> (batch, h / stride, w / stride, filters), rounded up.
        """
        shortcut = x
        if stride > 1 or x.shape[-1] != filters:
            projection = keras.layers.Conv2D(filters, 1, strides=stride, use_bias=False, **self.initializers())
            shortcut = self.batch_normalization.layer()(projection(x))
        x = self._convolution(filters, stride=stride)(x)
        x = keras.layers.Activation(self.activation)(self.batch_normalization.layer()(x))
        x = self._convolution(filters)(x)
        x = self.batch_normalization.layer()(x)
        return keras.layers.Activation(self.activation)(keras.layers.Add()([x, shortcut]))

    def _convolution(self, filters: int, *, stride: int = 1) -> keras.layers.Conv2D:
        return keras.layers.Conv2D(
            filters, self.kernel_size, strides=stride, padding="same", use_bias=False, **self.initializers()
        )
