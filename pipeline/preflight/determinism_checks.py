"""Checks for operations that TensorFlow refuses on a GPU under op determinism.

The table comes from TensorFlow 2.21.0: `message` is the error text in its compiled library, where a test searches for
it. The reasons are in tensorflow/community, rfcs/20210119-determinism.md. TensorFlow refuses two more cases, which a
graph does not show: SVD of matrices with one column, and random operations without a seed.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import tensorflow as tf

from pipeline.preflight import graph
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup

MOST_CHARACTERS = 300  # largest length of TensorFlow's error in a finding


@dataclass(frozen=True)
class Refusal:
    """An operation that TensorFlow refuses.

    Attributes:
        message: Text that TensorFlow's error contains.
        alternative: A deterministic replacement that computes the same, or nearly the same.
    """

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
    """Yield a warning for each operation of a training step that a GPU would refuse.

    With a GPU nothing is yielded: running the step there shows whether it is refused.

    Args:
        setup: The set-up.
        step: The graph of a training step.
    """
    config = setup.config
    if config.determinism != "strict" or config.device == "cpu" or tf.config.list_logical_devices("GPU"):
        return
    layers = {layer.name for layer in setup.layers}
    places = {}  # used as an ordered set of (operation type, layer)
    for operation in graph.operations(step):
        trains = operation.type == "FusedBatchNormGradV3" and operation.get_attr("is_training")
        if operation.type in REFUSALS and not trains:
            places[operation.type, graph.layer_of(operation, layers)] = None
    for operation_type, layer in places:
        found = f"uses {operation_type}, which a GPU would refuse."
        yield finding("determinism-unproved", layer, found, alternative=REFUSALS[operation_type].alternative)


def refused(setup: Setup, error: Exception) -> Finding | None:
    """Return a finding if an error reports an operation that is not deterministic; None for other errors."""
    message = str(error)
    if "etermini" not in message:
        return None
    known = [{"alternative": refusal.alternative} for refusal in REFUSALS.values() if refusal.message in message]
    layers = {layer.name for layer in setup.layers}
    operation = getattr(error, "op", None)
    place = "the first batch" if operation is None else graph.layer_of(operation, layers)
    found = " ".join(message.split())[:MOST_CHARACTERS]
    return finding("not-deterministic", place, found, **(known[0] if known else {}))
