"""A generator of images of a class and its critic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.models.options import ModelOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


@dataclass
class Gan(ModelOptions):
    """Subclassed: a generator of images of a class from random numbers, and its critic. For objective=adversarial."""

    generates_images: ClassVar[bool] = True

    latent: int = option(32, "random numbers behind an image", min=1)
    generator: list[int] = option([128, 128], "units of each dense layer of the generator", required=True, min=1)
    critic: list[int] = option([128, 128], "units of each dense layer of the critic", required=True, min=1)
    slope: float = option(0.2, "slope of the leaky ReLU below 0, in both", min=0, below=1)

    def build(self, spec: DataSpec, values_of: Callable[[str], tf.data.Dataset]) -> keras.Model:
        from pipeline.layers import gan

        return gan.gan(self, spec, values_of)
