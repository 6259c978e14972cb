"""Everything that the author of a model imports.

A model is one file: pipeline/models/NAME.py, or custom/models/NAME.py for your own; `model=NAME` selects it. It holds
one dataclass that derives from `ModelOptions`, with the options and the method `build`. Every command imports the
file, so it should not import TensorFlow, which takes seconds: classes that derive from Keras classes belong in a file
of their own, such as custom/layers.py, which `build` imports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline import keras_objects
from pipeline.errors import ConfigError, message_of
from pipeline.layers import heads, inputs
from pipeline.lazy import keras
from pipeline.options import Options, option, section
from pipeline.spec import DataSpec, Feature, Label

if TYPE_CHECKING:
    import tensorflow as tf

__all__ = [
    "BatchNormalization",
    "ConfigError",
    "DataSpec",
    "Feature",
    "Label",
    "ModelOptions",
    "TrainingValues",
    "build_model",
    "heads",
    "inputs",
    "keras",
    "keras_objects",
    "option",
    "section",
]

type TrainingValues = Callable[[str], tf.data.Dataset]


@dataclass
class ModelOptions(Options):
    """Base class of the models. Initializers and constants are written out, since Keras has changed such defaults."""

    key: ClassVar[str] = "model"
    generates_images: ClassVar[bool] = False  # such a model needs objective=adversarial
    replaces_missing_values: ClassVar[bool] = False  # whether it replaces NaN in numeric inputs

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": -1}}],
        "Keras layers before the model, adapted on the training split; for numeric inputs. By default each column, or "
        "each channel of images, gets mean 0 and variance 1",
        keras="layer",
    )
    kernel_initializer: Any = option("glorot_uniform", "of every weight matrix", keras="initializer")
    bias_initializer: Any = option("zeros", "of every bias", keras="initializer")

    def build(self, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
        """Return the model, built but not compiled. It takes the raw features of the data.

        Args:
            spec: Names, shapes and dtypes of features and labels.
            values_of: Returns the training values of a feature by its name, in batches, for layers that adapt to them.

        Raises:
            ConfigError: Data and model do not fit together.
        """
        raise NotImplementedError(f"{type(self).__name__}.build")

    def initializers(self) -> dict[str, keras.initializers.Initializer]:
        """Return new initializers as arguments of a layer with a kernel and a bias."""
        return {
            "kernel_initializer": keras_objects.initializer("model.kernel_initializer", self.kernel_initializer),
            "bias_initializer": keras_objects.initializer("model.bias_initializer", self.bias_initializer),
        }

    @property
    def vocabulary_size(self) -> int | None:
        """The number of token IDs that the model can embed; None if it takes no tokens."""
        return None

    def vocabularies(self, spec: DataSpec) -> dict[str, int]:
        """Return the number of token IDs that the model can embed, by the name of each feature that holds token IDs."""
        if self.vocabulary_size is None:
            return {}
        return {name: self.vocabulary_size for name, feature in spec.features.items() if feature.holds_tokens}


@dataclass
class BatchNormalization(Options):
    """Constants of keras.layers.BatchNormalization."""

    key: ClassVar[str] = "model.batch_normalization"

    momentum: float = option(0.99, "of the moving mean and variance", min=0, below=1)
    epsilon: float = option(0.001, "added to the variance", min=0)

    def layer(self) -> keras.layers.BatchNormalization:
        """Return a new layer with these constants."""
        return keras.layers.BatchNormalization(momentum=self.momentum, epsilon=self.epsilon)


def build_model(model: ModelOptions, spec: DataSpec, values_of: TrainingValues) -> keras.Model:
    """Build the model that the options describe. Arguments as for ModelOptions.build.

    Raises:
        ConfigError: Data and model do not fit together. Errors of Keras are re-raised as one that names the data.
    """
    try:
        return model.build(spec, values_of)
    except (ValueError, TypeError) as error:
        features = ", ".join(f"{name} {feature.shape} {feature.dtype}" for name, feature in spec.features.items())
        raise ConfigError(
            f"model={model.choice}: does not fit the data ({features}). Keras: {message_of(error)}"
        ) from error
