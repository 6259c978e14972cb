"""Convolution and pooling blocks."""

from __future__ import annotations

from dataclasses import dataclass, replace

from pipeline.models.model import (
    BatchNormalization,
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
class Cnn(ModelOptions):
    """Sequential: convolution and max-pooling blocks, then dropout and the head. For images."""

    filters: list[int] = option([32, 64], "filters of the convolution of each block", required=True, min=1)
    kernel_size: int = option(3, "pixels", min=1, max=1_000)
    padding: str = option("same", "valid makes the output of every convolution smaller", choices=("same", "valid"))
    pool_size: int = option(2, "pixels; 1 for no pooling", min=1)
    hidden: list[int] = option([], "units of the dense layers between the convolutions and the head", min=1)
    activation: str = option("relu", "of every hidden layer", keras="activation")
    dropout: float = option(0.5, "share of units dropped before the head", min=0, below=1)
    normalize: bool = option(False, "batch normalization after every convolution")
    batch_normalization: BatchNormalization = section(BatchNormalization, "constants of batch normalization")

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model (batch, height, width[, channels]) -> (batch, width of the label)."""
        name, feature = inputs.only_feature(self, spec)
        image, values, front, body = feature, values_of(name), [], []
        if len(feature.shape) == 2:
            image = replace(feature, shape=(*feature.shape, 1))
            values = values.map(lambda batch: batch[..., None])
            front.append(keras.layers.Reshape(image.shape, dtype=inputs.raw_precision(feature)))  # keeps raw values
        for filters in self.filters:
            body += self._block(filters)
        body.append(keras.layers.Flatten())
        body += [keras.layers.Dense(units, self.activation, **self.initializers()) for units in self.hidden]
        if self.dropout:
            body.append(keras.layers.Dropout(self.dropout))
        front += inputs.preprocessing(self, image, values)
        return keras.Sequential(
            [inputs.raw_input(name, feature), *front, *body, heads.only_head(self, spec)], name="cnn"
        )

    def _block(self, filters: int) -> list[keras.Layer]:
        layers = [keras.layers.Conv2D(filters, self.kernel_size, padding=self.padding, **self.initializers())]
        if self.normalize:
            layers.append(self.batch_normalization.layer())
        layers.append(keras.layers.Activation(self.activation))
        if self.pool_size > 1:
            layers.append(keras.layers.MaxPooling2D(self.pool_size))
        return layers
