"""Whether XLA compiles the training step: asked for, or a pure function of the device and the layers."""

import keras
import tensorflow as tf
from keras.src.models.functional import Functional

# What XLA was measured to gain on with a CPU, where it makes convolutions, and the random numbers of dropout between
# dense layers, several times slower: benchmarks/README.md. A layer that is not here was not measured.
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
    Functional,  # what keras.Model(inputs, outputs) makes
}
RECURRENT = {keras.layers.GRU, keras.layers.GRUCell, keras.layers.Bidirectional}
# What it cannot compile at all: tables of strings and, under determinism, the gradient of max-pooling
REFUSED = (
    keras.layers.StringLookup,
    keras.layers.IntegerLookup,
    keras.layers.TextVectorization,
    keras.layers.Hashing,
    keras.layers.MaxPooling1D,
    keras.layers.MaxPooling2D,
    keras.layers.MaxPooling3D,
)


def chosen(training, model):
    """Whether to compile the step of a model. training: a config.Training.

    "auto" never is a timing, so that it repeats. It leaves `fit` alone, which drops XLA under strict determinism; with
    `tape` it takes what XLA can compile on a GPU, and what was seen to gain on a CPU.
    """
    if training.jit != "auto":
        return training.jit == "always"
    if not training.compiles_own_step:
        return False
    layers = {type(layer) for layer in model._flatten_layers()}
    if tf.config.get_visible_devices("GPU"):
        return not any(issubclass(layer, REFUSED) for layer in layers)
    if layers <= DENSE:
        return training.steps_per_execution > 1  # several steps are compiled together, a lone one gains nothing
    return bool(layers & RECURRENT) and layers <= DENSE | RECURRENT | {keras.layers.Dropout}
