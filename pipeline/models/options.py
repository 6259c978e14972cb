"""Options that every model has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.options import Options, option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class ModelOptions(Options):
    """Base class of the models. Initializers and constants are written out, since Keras has changed such defaults."""

    key: ClassVar[str] = "model"
    generates_images: ClassVar[bool] = False  # such a model needs objective=adversarial

    preprocessing: list[Any] = option(
        [{"class_name": "Normalization", "config": {"axis": None}}],
        "Keras layers before the model, adapted on the training split; for numeric inputs",
        keras="layer",
    )
    kernel_initializer: Any = option("glorot_uniform", "of every weight matrix", keras="initializer")
    bias_initializer: Any = option("zeros", "of every bias", keras="initializer")

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        """Build the model, not compiled, for raw features of the data.

        Args:
            spec: Names, shapes and dtypes of features and labels.
            values_of: Returns the training values of a feature in batches, for layers that adapt to them.

        Raises:
            ConfigError: Data and model do not fit together.
        """
        raise NotImplementedError(f"{type(self).__name__}.build")

    @property
    def vocabulary_size(self) -> int | None:
        """The number of token IDs that the model can embed; None if it takes no tokens."""
        return None


@dataclass
class BatchNormalization(Options):
    """Constants of keras.layers.BatchNormalization."""

    key: ClassVar[str] = "model.batch_normalization"

    momentum: float = option(0.99, "of the moving mean and variance", min=0, below=1)
    epsilon: float = option(0.001, "added to the variance", min=0)
