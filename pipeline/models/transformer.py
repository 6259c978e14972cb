"""A small transformer encoder over sequences."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.models.model import ConfigError, DataSpec, ModelOptions, TrainingValues, heads, inputs, keras, option


@dataclass
class Transformer(ModelOptions):
    """Subclassed: a small encoder over sequences of any length; padding is masked."""

    depth: int = option(2, "encoder blocks", min=1, max=1_000)
    width: int = option(64, "width of a step inside the encoder", min=1)
    heads: int = option(4, "attention heads; divides width", min=1, max=10_000)
    feed_forward: int = option(128, "units between the two dense layers of a block", min=1)
    dropout: float = option(0.1, "share of units dropped after attention and feed-forward", min=0, below=1)
    activation: str = option("gelu", "inside the feed-forward", keras="activation")
    epsilon: float = option(1e-6, "of layer normalization", min=0)
    vocabulary: int | None = option(
        None, "integer sequences: number of token IDs of the embedding; null for real-valued steps", min=1
    )

    def check(self) -> None:
        """Check that the width can be divided among the heads."""
        if self.width % self.heads:
            raise ConfigError(f"model.heads: expected a divisor of model.width={self.width}; found {self.heads}.")

    @property
    def vocabulary_size(self) -> int | None:
        """The number of token IDs of the embedding; None for real-valued steps."""
        return self.vocabulary

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model (batch, steps) or (batch, steps, values) -> (batch, width of the label)."""
        from pipeline.layers.transformer_encoder import EncoderBlock, TransformerEncoder

        name, feature = inputs.only_feature(self, spec)
        if not feature.holds_tokens and len(feature.shape) != 2 and feature.shape != (None,):
            raise ConfigError(f"model=transformer: expected sequences (steps, values); found {name} {feature.shape}.")
        if feature.holds_tokens:
            front = [inputs.embedding(feature, vocabulary=self.vocabulary, width=self.width)]
        else:
            front = inputs.preprocessing(self, feature, values_of(name))
            front.append(keras.layers.Dense(self.width, **self.initializers()))
        head = heads.only_head(self, spec)
        blocks = [
            EncoderBlock(
                heads=self.heads,
                feed_forward=self.feed_forward,
                dropout=self.dropout,
                activation=self.activation,
                epsilon=self.epsilon,
                kernel_initializer=self.kernel_initializer,
                bias_initializer=self.bias_initializer,
            )
            for _ in range(self.depth)
        ]
        model = TransformerEncoder(front=front, blocks=blocks, head=head, epsilon=self.epsilon, name="transformer")
        model(inputs.raw_input(name, feature))  # a subclassed model is built when it is first called
        return model
