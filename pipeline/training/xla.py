"""The models whose training step is faster with XLA."""

import keras
import tensorflow as tf

from pipeline.keras_internals import FUNCTIONAL, all_layers

# Layers that XLA was measured to make faster on a CPU. It makes convolutions, and dropout between dense layers, several
# times slower: benchmarks/README.md. A layer that is not here was not measured.
DENSE = {
    keras.Sequential,
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.Concatenate,
    keras.layers.Dense,
    keras.layers.Flatten,
    keras.layers.InputLayer,
    keras.layers.Masking,
    keras.layers.Normalization,
    keras.layers.ReLU,
    keras.layers.Rescaling,
    keras.layers.Reshape,
    FUNCTIONAL,
}
RECURRENT = {keras.layers.GRU, keras.layers.GRUCell, keras.layers.Bidirectional}
# Layers that XLA cannot compile: tables of strings and, under determinism, the gradient of max-pooling
REFUSED = (
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


def is_faster(model: keras.Model, steps_per_execution: int) -> bool:
    """Return whether XLA makes the training step of a model faster, for training.jit=auto.

    The answer follows from the device and the layers alone, never from a timing, so that it repeats: on a GPU, whatever
    XLA can compile; on a CPU, what was measured to be faster.
    """
    layers = {type(layer) for layer in all_layers(model)}
    if tf.config.get_visible_devices("GPU"):
        return not any(issubclass(layer, REFUSED) for layer in layers)
    if layers <= DENSE:
        return steps_per_execution > 1  # several steps are compiled together; a single one is no faster
    return bool(layers & RECURRENT) and layers <= DENSE | RECURRENT | {keras.layers.Dropout}
