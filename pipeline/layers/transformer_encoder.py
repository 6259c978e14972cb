"""A transformer encoder as a subclassed Keras model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self, cast

import keras
from keras import layers, ops

from pipeline import keras_objects


@keras.saving.register_keras_serializable("pipeline")
class TransformerEncoder(keras.Model):
    """Pre-norm encoder blocks (Vaswani et al. 2017; Xiong et al. 2020), averaged over the steps that are not padding.

    The model maps (batch, steps, ...) to (batch, width of the label).
    """

    def __init__(
        self,
        *,
        front: Sequence[keras.Layer],
        blocks: Sequence[EncoderBlock],
        head: keras.Layer,
        epsilon: float,
        **arguments: Any,
    ) -> None:
        """Join the layers.

        Args:
            front: Layers from raw steps to (batch, steps, width). They make the mask if lengths vary.
            blocks: The encoder blocks in order.
            head: The output layer.
            epsilon: The epsilon of the layer normalization after the blocks.
            arguments: The arguments of keras.Model.
        """
        super().__init__(autocast=False, **arguments)  # raw values reach the front unchanged in any precision
        self.front = front
        self.head = head
        self.blocks = blocks
        self.epsilon = epsilon
        self.norm = layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy)
        self.pool = layers.GlobalAveragePooling1D(dtype=self.dtype_policy)

    def call(self, inputs: keras.KerasTensor, training: bool = False) -> keras.KerasTensor:
        """Return the outputs of the head."""
        x, mask = inputs, None  # mask: (batch, steps) bool, or None if all rows have the same length
        for layer in self.front:
            mask = layer.compute_mask(x, mask)
            x = layer(x)
        steps, width = ops.shape(x)[1:]
        x = x + ops.cast(position_codes(steps, width), x.dtype)
        for block in self.blocks:
            x = block(x, mask=mask, training=training)
        return self.head(self.pool(self.norm(x), mask=mask))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of a new model like this one."""
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "dtype": serialize(self.dtype_policy),
            "front": [serialize(layer) for layer in self.front],
            "blocks": [serialize(block) for block in self.blocks],
            "head": serialize(self.head),
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None) -> Self:
        """Return a new model from the result of get_config.

        Args:
            config: The result of get_config.
            custom_objects: Name -> class, for layers that are not registered.
        """
        return cls(**keras.saving.deserialize_keras_object(config, custom_objects))


@keras.saving.register_keras_serializable("pipeline")
class EncoderBlock(layers.Layer):
    """Self-attention, then two dense layers, each after a layer normalization and with a residual connection.

    The block maps (batch, steps, width) to the same shape.
    """

    def __init__(
        self,
        *,
        heads: int,
        feed_forward: int,
        dropout: float,
        activation: str,
        epsilon: float,
        kernel_initializer: Any,
        bias_initializer: Any,
        **arguments: Any,
    ) -> None:
        """Store the options of the block.

        Args:
            heads: Attention heads.
            feed_forward: Units between the two dense layers.
            dropout: Share of units dropped after attention and after the dense layers.
            activation: Between the dense layers.
            epsilon: The epsilon of the layer normalizations.
            kernel_initializer: The initializer of every weight matrix, in the form of the config.
            bias_initializer: The initializer of every bias, in the form of the config.
            arguments: The arguments of keras.Layer.
        """
        super().__init__(**arguments)
        self.supports_masking = True
        self.heads = heads
        self.feed_forward = feed_forward
        self.dropout_rate = dropout
        self.activation = activation
        self.epsilon = epsilon
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer

    def build(self, shape: tuple[int | None, ...]) -> None:
        """Create the layers of the block."""
        width = cast(int, shape[-1])  # only the batch size and the number of steps may be unknown
        self.attention_norm = layers.LayerNormalization(epsilon=self.epsilon, dtype=self.dtype_policy)
        self.attention = layers.MultiHeadAttention(self.heads, width // self.heads, **self._common_arguments())
        self.dense_norm = layers.LayerNormalization(epsilon=self.epsilon, dtype=self.dtype_policy)
        self.expand = layers.Dense(self.feed_forward, self.activation, **self._common_arguments())
        self.contract = layers.Dense(width, **self._common_arguments())
        self.dropout = layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)
        self.attention_norm.build(shape)
        self.attention.build(shape, shape)
        self.dense_norm.build(shape)
        self.expand.build(shape)
        self.contract.build((*shape[:-1], self.feed_forward))

    def call(  # pyrefly: ignore[bad-override]  # the method of keras.Layer raises an error, so it returns Never
        self, x: keras.KerasTensor, mask: keras.KerasTensor | None = None, training: bool = False
    ) -> keras.KerasTensor:
        """Return the new steps.

        Args:
            x: (batch, steps, width).
            mask: (batch, steps) bool, False for padding, which no other step attends to; None if there is no padding.
            training: Whether dropout is applied.
        """
        y = self.attention_norm(x)
        y = self.attention(y, y, attention_mask=None if mask is None else mask[:, None, :], training=training)
        x = x + self.dropout(y, training=training)
        y = self.contract(self.expand(self.dense_norm(x)))
        return x + self.dropout(y, training=training)

    def compute_output_shape(self, shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        """Return the shape of the input."""
        return shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of a new block like this one."""
        return super().get_config() | {
            "heads": self.heads,
            "feed_forward": self.feed_forward,
            "dropout": self.dropout_rate,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def _common_arguments(self) -> dict[str, Any]:
        return {
            "dtype": self.dtype_policy,  # of the block: a loaded model keeps the precision it was trained in
            "kernel_initializer": keras_objects.initializer("model.kernel_initializer", self.kernel_initializer),
            "bias_initializer": keras_objects.initializer("model.bias_initializer", self.bias_initializer),
        }


def position_codes(steps: int | keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Return sinusoidal position codes (Vaswani et al. 2017, section 3.5): (steps, width) float32."""
    position = ops.cast(ops.arange(steps), "float32")[:, None]
    rates = ops.exp(ops.arange(0, width, 2, dtype="float32") * (-math.log(10_000.0) / width))[None, :]
    return ops.concatenate([ops.sin(position * rates), ops.cos(position * rates)], axis=-1)[:, :width]
