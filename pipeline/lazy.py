"""NumPy, TensorFlow and Keras, imported when they are first used.

A file that declares options is imported for every command, so that `--help` and a wrong option must not wait for
TensorFlow, which takes seconds to import. Such a file takes these modules from here; all others import them directly.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    import lazy_loader

    keras = lazy_loader.load("keras")
    np = lazy_loader.load("numpy")
    tf = lazy_loader.load("tensorflow")

__all__ = ["keras", "np", "tf"]
