"""Checks of determinism: the operations that TensorFlow refuses on a GPU under op determinism, and alternatives.

The source of the table is TensorFlow 2.21.0 itself: `message` is the text of the error in its library, which a test
looks up there. The reasons are in tensorflow/community, rfcs/20210119-determinism.md. The library also refuses what
cannot be read from a graph: SVD of matrices with one column, and random operations without a seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from pipeline.preflight import graph
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup

MOST_CHARACTERS = 300  # of TensorFlow's error in a message


@dataclass(frozen=True)
class Refusal:
    """message: Part of TensorFlow's error. alternative: What computes the same, or nearly, and is deterministic."""

    message: str
    alternative: str


REFUSALS = {
    "AdjustContrast": Refusal(
        "A deterministic GPU implementation of AdjustContrast is not currently available", "keras.layers.RandomContrast"
    ),
    "AdjustContrastv2": Refusal(
        "A deterministic GPU implementation of AdjustContrastv2 is not currently available",
        "keras.layers.RandomContrast",
    ),
    "ResizeNearestNeighborGrad": Refusal(
        "A deterministic GPU implementation of ResizeNearestNeighborGrad is not currently available",
        "keras.layers.UpSampling2D or interpolation: bilinear",
    ),
    "SparseTensorDenseMatMul": Refusal(
        "A deterministic GPU implementation of SparseTensorDenseMatmulOp is not currently available",
        "a dense matrix product, or an Embedding",
    ),
    "FusedBatchNormGradV3": Refusal(
        "A deterministic GPU implementation of fused batch-norm backprop, when training is disabled, is not "
        "currently available",
        "keras.layers.BatchNormalization",
    ),
    "Dilation2DBackpropInput": Refusal(
        "Determinism is not yet supported for Dilation2DBackpropInput", "keras.layers.MaxPooling2D with strides: 1"
    ),
    "Dilation2DBackpropFilter": Refusal(
        "Determinism is not yet supported for Dilation2DBackpropFilter", "keras.layers.MaxPooling2D with strides: 1"
    ),
    "MaxPoolGradWithArgmax": Refusal(
        "Determinism is not yet supported for MaxPoolGradWithArgmax", "keras.layers.MaxPooling2D"
    ),
    "Bincount": Refusal(
        "Determinism is not yet supported in GPU implementation of Bincount", "a sum over keras.ops.one_hot"
    ),
    "DenseBincount": Refusal(
        "Determinism is not yet supported in GPU implementation of DenseBincount", "a sum over keras.ops.one_hot"
    ),
    "FakeQuantWithMinMaxVarsGradient": Refusal(
        "Determinism is not yet supported in GPU implementation of FakeQuantWithMinMaxVarsGradient",
        "quantization after training instead of simulated quantization",
    ),
    "FakeQuantWithMinMaxVarsPerChannelGradient": Refusal(
        "Determinism is not yet supported in GPU implementation of FakeQuantWithMinMaxVarsPerChannelGradient",
        "quantization after training instead of simulated quantization",
    ),
    "CropAndResizeGradImage": Refusal(
        "Deterministic GPU implementation of CropAndResizeBackpropImage not available",
        "keras.layers.CenterCrop or Resizing",
    ),
    "CropAndResizeGradBoxes": Refusal(
        "Deterministic GPU implementation of CropAndResizeBackpropBoxes not available",
        "keras.layers.CenterCrop or Resizing",
    ),
    "Timestamp": Refusal("Timestamp cannot be called when determinism is enabled", "a model without a clock"),
}


def check(setup: Setup, step: tf.Graph) -> Iterator[Finding]:
    """Yield a warning for each operation of a training step that a GPU would refuse. With a GPU, the step itself tells.

    Args:
        setup: The set-up.
        step: The graph of a training step.
    """
    config = setup.config
    if config.determinism != "strict" or config.device == "cpu" or tf.config.list_logical_devices("GPU"):
        return
    layers = {layer.name for layer in setup.layers}
    places = {}  # (operation type, layer), in order, once each
    for operation in graph.operations(step):
        trains = operation.type == "FusedBatchNormGradV3" and operation.get_attr("is_training")
        if operation.type in REFUSALS and not trains:
            places[operation.type, graph.layer_of(operation, layers)] = None
    for operation_type, layer in places:
        found = f"uses {operation_type}, which a GPU would refuse."
        yield finding("determinism-unproved", layer, found, alternative=REFUSALS[operation_type].alternative)


def refused(setup: Setup, error: Exception) -> Finding | None:
    """Return the finding on an operation that a GPU refused; None if it was refused for another reason."""
    message = str(error)
    if "etermini" not in message:
        return None
    known = [{"alternative": refusal.alternative} for refusal in REFUSALS.values() if refusal.message in message]
    layers = {layer.name for layer in setup.layers}
    operation = getattr(error, "op", None)
    place = "the first batch" if operation is None else graph.layer_of(operation, layers)
    found = " ".join(message.split())[:MOST_CHARACTERS]
    return finding("not-deterministic", place, found, **(known[0] if known else {}))
