"""The models whose training step is faster with XLA."""

import keras
import tensorflow as tf

from pipeline.keras_internals import FUNCTIONAL, all_layers

# Layers whose step was faster with XLA on a CPU, as measured in benchmarks/README.md. Convolutions, and dropout between
# dense layers, were several times slower. Other layers were not measured.
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

    The answer depends only on the device and the layers, never on a timing, so it is the same in every run. On a GPU it
    is true if XLA can compile all layers. On a CPU it is true if the layers were measured to be faster.
    """
    layers = {type(layer) for layer in all_layers(model)}
    if tf.config.get_visible_devices("GPU"):
        return not any(issubclass(layer, REFUSED) for layer in layers)
    if layers <= DENSE:
        return steps_per_execution > 1  # several steps are compiled together; a single one is no faster
    return bool(layers & RECURRENT) and layers <= DENSE | RECURRENT | {keras.layers.Dropout}
