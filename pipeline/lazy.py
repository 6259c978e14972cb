"""NumPy, TensorFlow and Keras, imported when they are first used.

A file that declares options is imported for every command, so that `--help` and a wrong option must not wait for
TensorFlow, which takes seconds to import. Such a file takes these modules from here; all others import them directly.
"""

import importlib
from typing import TYPE_CHECKING, Any


class LazyModule:
    """A module that is imported when one of its attributes is first used.

    Unlike importlib.util.LazyLoader it leaves sys.modules alone: TensorFlow and Keras import each other, and each
    must find the other as the import system made it.
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
