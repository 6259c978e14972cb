"""Dense layers over the flattened input."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.models.model import DataSpec, ModelOptions, TrainingValues, heads, inputs, keras, option


@dataclass
class Mlp(ModelOptions):
    """Sequential: dense layers over the flattened input."""

    hidden: list[int] = option([64, 32], "units of each hidden layer", required=True, min=1)
    activation: str = option("relu", "of the hidden layers", keras="activation")
    dropout: float = option(0.0, "share of units dropped after each hidden layer", min=0, below=1)

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return a model (batch, ...) -> (batch, width of the label)."""
        name, feature = inputs.only_feature(self, spec)
        body = [keras.layers.Flatten()]
        for units in self.hidden:
            body.append(keras.layers.Dense(units, self.activation, **self.initializers()))
            if self.dropout:
                body.append(keras.layers.Dropout(self.dropout))
        front = inputs.preprocessing(self, feature, values_of(name))
        return keras.Sequential(
            [inputs.raw_input(name, feature), *front, *body, heads.only_head(self, spec)], name="mlp"
        )
