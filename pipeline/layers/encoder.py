"""Subclassed Keras models: a `call` of one's own."""

import math

import keras
from keras import layers, ops

from pipeline import keras_objects
from pipeline.errors import ConfigError
from pipeline.layers import blocks


def transformer(config, spec, values_of):
    """A TransformerEncoder for the data, built on its input so that it can be summarised and saved at once."""
    name, feature = blocks.only_feature(spec, config)
    if not blocks.are_tokens(feature) and len(feature.shape) != 2:
        raise ConfigError(f"model=transformer: expected sequences (steps, values); found {name} {feature.shape}.")
    if blocks.are_tokens(feature):
        front = [blocks.embedding(config, feature, config.width)]
    else:
        front = [
            *blocks.preprocessing(config, feature, values_of(name)),
            layers.Dense(config.width, **blocks.initializers(config)),
        ]
    model = TransformerEncoder(
        front,
        blocks.only_head(config, spec),
        depth=config.depth,
        heads=config.heads,
        feed_forward=config.feed_forward,
        dropout=config.dropout,
        activation=config.activation,
        epsilon=config.epsilon,
        kernel_initializer=config.kernel_initializer,
        bias_initializer=config.bias_initializer,
        name="transformer",
    )
    model(blocks.model_input(name, feature))
    return model


@keras.saving.register_keras_serializable("pipeline")
class TransformerEncoder(keras.Model):
    """Pre-norm encoder blocks (Vaswani et al. 2017; Xiong et al. 2020), averaged over the steps that are not padding.

    front: layers from raw steps to (batch, steps, width), a mask made on the way where lengths vary. head: the output
    layer.
    (batch, steps, ...) -> (batch, width of the label).
    """

    def __init__(
        self,
        front,
        head,
        depth,
        heads,
        feed_forward,
        dropout,
        activation,
        epsilon,
        kernel_initializer,
        bias_initializer,
        **arguments,
    ):
        super().__init__(autocast=False, **arguments)  # raw values reach the front as they are, in any precision
        self.front = front
        self.head = head
        self.settings = {
            "depth": depth,
            "heads": heads,
            "feed_forward": feed_forward,
            "dropout": dropout,
            "activation": activation,
            "epsilon": epsilon,
            "kernel_initializer": kernel_initializer,
            "bias_initializer": bias_initializer,
        }
        block = {name: value for name, value in self.settings.items() if name != "depth"}
        self.blocks = [EncoderBlock(**block, dtype=self.dtype_policy) for _ in range(depth)]
        self.norm = layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy)
        self.pool = layers.GlobalAveragePooling1D(dtype=self.dtype_policy)

    def call(self, steps, training=False):
        x, mask = steps, None  # mask: (batch, steps) bool, or None where all rows are of one length
        for layer in self.front:
            mask = layer.compute_mask(x, mask)
            x = layer(x)
        x = x + ops.cast(positions(ops.shape(x)[1], x.shape[-1]), x.dtype)
        for block in self.blocks:
            x = block(x, mask=mask, training=training)
        return self.head(self.pool(self.norm(x), mask=mask))

    def get_config(self):
        nested = {
            "front": [keras.saving.serialize_keras_object(layer) for layer in self.front],
            "head": keras.saving.serialize_keras_object(self.head),
        }
        return (
            {"name": self.name, "dtype": keras.saving.serialize_keras_object(self.dtype_policy)}
            | nested
            | self.settings
        )

    @classmethod
    def from_config(cls, config):
        nested = {
            "front": [keras.saving.deserialize_keras_object(layer) for layer in config["front"]],
            "head": keras.saving.deserialize_keras_object(config["head"]),
            "dtype": keras.saving.deserialize_keras_object(config["dtype"]),
        }
        return cls(**(config | nested))


@keras.saving.register_keras_serializable("pipeline")
class EncoderBlock(layers.Layer):
    """Self-attention, then two dense layers, each behind a layer norm and beside a shortcut; shapes stay as they are.

    mask: (batch, steps) bool, False where a step is padding: no other step attends to it. None where there is none.
    """

    def __init__(
        self, heads, feed_forward, dropout, activation, epsilon, kernel_initializer, bias_initializer, **arguments
    ):
        super().__init__(**arguments)
        self.supports_masking = True
        self.heads = heads
        self.feed_forward = feed_forward
        self.dropout_rate = dropout
        self.activation = activation
        self.epsilon = epsilon
        self.kernel_initializer = kernel_initializer
        self.bias_initializer = bias_initializer

    def build(self, shape):
        width = shape[-1]
        self.attention_norm = layers.LayerNormalization(epsilon=self.epsilon, dtype=self.dtype_policy)
        self.attention = layers.MultiHeadAttention(self.heads, width // self.heads, **self._common())
        self.dense_norm = layers.LayerNormalization(epsilon=self.epsilon, dtype=self.dtype_policy)
        self.expand = layers.Dense(self.feed_forward, self.activation, **self._common())
        self.contract = layers.Dense(width, **self._common())
        self.dropout = layers.Dropout(self.dropout_rate, dtype=self.dtype_policy)
        self.attention_norm.build(shape)
        self.attention.build(shape, shape)
        self.dense_norm.build(shape)
        self.expand.build(shape)
        self.contract.build((*shape[:-1], self.feed_forward))

    def call(self, x, mask=None, training=False):
        y = self.attention_norm(x)
        y = self.attention(y, y, attention_mask=None if mask is None else mask[:, None, :], training=training)
        x = x + self.dropout(y, training=training)
        y = self.contract(self.expand(self.dense_norm(x)))
        return x + self.dropout(y, training=training)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return super().get_config() | {
            "heads": self.heads,
            "feed_forward": self.feed_forward,
            "dropout": self.dropout_rate,
            "activation": self.activation,
            "epsilon": self.epsilon,
            "kernel_initializer": self.kernel_initializer,
            "bias_initializer": self.bias_initializer,
        }

    def _common(self):
        return {
            "dtype": self.dtype_policy,  # the block's own: a loaded model keeps the precision it was trained in
            "kernel_initializer": keras_objects.initializer("model.kernel_initializer", self.kernel_initializer),
            "bias_initializer": keras_objects.initializer("model.bias_initializer", self.bias_initializer),
        }


def positions(steps, width):
    """Sinusoidal position codes (Vaswani et al. 2017, 3.5), for any number of steps: (steps, width) float32."""
    place = ops.cast(ops.arange(steps), "float32")[:, None]
    rates = ops.exp(ops.arange(0, width, 2, dtype="float32") * (-math.log(10_000.0) / width))[None, :]
    return ops.concatenate([ops.sin(place * rates), ops.cos(place * rates)], axis=-1)[:, :width]
