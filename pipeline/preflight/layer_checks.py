"""Checks of layers that waste the model: dropout of outputs, units that start alike, a stack of linear layers."""

from collections.abc import Iterator

import keras
import numpy as np

from pipeline.keras_internals import last_layers
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Prediction
from pipeline.preflight.setup import Setup

DROPOUTS = (
    *(keras.layers.Dropout, keras.layers.SpatialDropout1D, keras.layers.SpatialDropout2D),
    *(keras.layers.SpatialDropout3D, keras.layers.AlphaDropout, keras.layers.GaussianDropout),
)
ACTIVATIONS = (keras.layers.ReLU, keras.layers.LeakyReLU, keras.layers.PReLU, keras.layers.ELU, keras.layers.Softmax)
SHAPES = (keras.layers.Rescaling, keras.layers.Reshape, keras.layers.Flatten)  # they keep what an output says
SMALL_MOMENTUM = 0.5  # of the moving mean of a batch normalization


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the findings that need no batch."""
    for layers in last_layers(setup.model):
        last = next((layer for layer in layers if not isinstance(layer, SHAPES)), None)
        if isinstance(last, DROPOUTS) and last.rate > 0:
            found = f"this {type(last).__name__} of {last.rate:g} is applied to the output of the model."
            yield finding("dropout-on-outputs", last.name, found)
    for layer in setup.layers:
        is_trained = isinstance(layer, keras.layers.BatchNormalization) and layer.trainable
        if is_trained and not SMALL_MOMENTUM <= layer.momentum < 1:
            yield finding("batch-norm-momentum", layer.name, f"its momentum is {layer.momentum:g}.")
    yield from _check_units(setup)


def check_linear(setup: Setup, prediction: Prediction) -> Iterator[Finding]:
    """Yield the outputs that several layers with weights compute, although one could.

    Hidden layers that are narrower than input and output make a matrix of low rank, which one layer cannot.
    """
    ends = [layer for layers in _ends(setup) for layer in layers]
    kernels = [layer.kernel for layer in setup.layers if _has_kernel(layer)]
    hidden = [layer for layer in setup.layers if _has_kernel(layer) and layer not in ends]
    active = [layer for layer in setup.layers if layer not in ends and _is_active(layer)]
    if not hidden or active:
        return
    narrowest = min(layer.kernel.shape[-1] for layer in hidden)
    if narrowest < min(int(np.prod(kernels[0].shape[:-1])), kernels[-1].shape[-1]):
        return
    for name, output in prediction.outputs.items():
        if output.is_linear and len(kernels) > 1:
            found = (
                f"{', '.join(layer.name for layer in hidden[:3])} and the last layer have no activation between them."
            )
            options = setup.config.model
            yield finding(
                "linear-stack", name, found, **({"activation": "relu"} if hasattr(options, "activation") else {})
            )


def _check_units(setup: Setup) -> Iterator[Finding]:
    """Yield the hidden layers whose units all start with the same weights, other than 0."""
    ends = [layer for layers in _ends(setup) for layer in layers]
    for layer in setup.layers:
        if not _has_kernel(layer) or layer in ends or not layer.kernel.trainable:
            continue
        kernel = keras.ops.convert_to_numpy(layer.kernel)
        if kernel.shape[-1] > 1 and kernel.any() and (kernel == kernel[..., :1]).all():
            found = f"its {kernel.shape[-1]:,} units have equal weights, of {kernel.min():g} to {kernel.max():g}."
            named = {} if setup.config.model.choice == "layers" else {"initializer": "glorot_uniform"}
            yield finding("units-alike", layer.name, found, **named)


def _ends(setup: Setup) -> list[list[keras.Layer]]:
    """Return for each output the layers from it back to the first with weights, which is the last in the list.

    For a subclassed model, this is the last layer with weights of all.
    """
    ends = []
    for layers in last_layers(setup.model):
        count = next((index + 1 for index, layer in enumerate(layers) if _has_kernel(layer)), 0)
        ends += [layers[:count]] if count else []
    return ends or [[layer for layer in setup.layers if _has_kernel(layer)][-1:]]


def _has_kernel(layer: keras.Layer) -> bool:
    kernel = getattr(layer, "kernel", None)
    return isinstance(kernel, keras.Variable) and len(kernel.shape) > 1


def _is_active(layer: keras.Layer) -> bool:
    """Return whether a layer applies an activation that is not linear."""
    activation = getattr(layer, "activation", None)
    return isinstance(layer, ACTIVATIONS) or (activation is not None and activation is not keras.activations.linear)
