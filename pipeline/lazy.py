"""NumPy, TensorFlow and Keras, imported when they are first used.

Every command imports the files that declare options. TensorFlow takes seconds to import, and neither `--help` nor the
message on a wrong option should wait for it. Such files therefore import these modules from here. All other files
import them directly.
"""

import importlib
from typing import TYPE_CHECKING, Any


class LazyModule:
    """A module that is imported when one of its attributes is first used.

    Unlike importlib.util.LazyLoader, this class does not change sys.modules. TensorFlow and Keras import each other,
    and each needs the real module of the other.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self._name), attribute)


if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
else:
    keras = LazyModule("keras")
    np = LazyModule("numpy")
    tf = LazyModule("tensorflow")

__all__ = ["keras", "np", "tf"]
