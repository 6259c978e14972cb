"""Operations that TensorFlow refuses on a GPU under op determinism, and what to take instead.

Source of the table: the refusals compiled into TensorFlow 2.21.0 itself; `refusal` is the text that its library holds
for each, which a test looks up there. The reasons are in tensorflow/community, rfcs/20210119-determinism.md. The
library also refuses what cannot be told from a graph: SVD of matrices with one column, and random operations without
a seed.
"""

from dataclasses import dataclass

import tensorflow as tf

from pipeline.preflight import graph
from pipeline.preflight.findings import Finding


@dataclass(frozen=True)
class Refused:
    """refusal: words of the error. instead: what does the same and is deterministic."""

    refusal: str
    instead: str


TABLE = {
    "AdjustContrast": Refused(
        "A deterministic GPU implementation of AdjustContrast is not currently available", "keras.layers.RandomContrast"
    ),
    "AdjustContrastv2": Refused(
        "A deterministic GPU implementation of AdjustContrastv2 is not currently available",
        "keras.layers.RandomContrast, whose arithmetic is deterministic",
    ),
    "ResizeNearestNeighborGrad": Refused(
        "A deterministic GPU implementation of ResizeNearestNeighborGrad is not currently available",
        "keras.layers.UpSampling2D, which repeats rows and columns, or interpolation: bilinear",
    ),
    "SparseTensorDenseMatMul": Refused(
        "A deterministic GPU implementation of SparseTensorDenseMatmulOp is not currently available",
        "a dense matrix product, or an Embedding",
    ),
    "FusedBatchNormGradV3": Refused(
        "A deterministic GPU implementation of fused batch-norm backprop, when training is disabled, is not "
        "currently available",
        "keras.layers.BatchNormalization, which is not fused",
    ),
    "Dilation2DBackpropInput": Refused(
        "Determinism is not yet supported for Dilation2DBackpropInput", "keras.layers.MaxPooling2D with strides: 1"
    ),
    "Dilation2DBackpropFilter": Refused(
        "Determinism is not yet supported for Dilation2DBackpropFilter", "keras.layers.MaxPooling2D with strides: 1"
    ),
    "MaxPoolGradWithArgmax": Refused(
        "Determinism is not yet supported for MaxPoolGradWithArgmax", "keras.layers.MaxPooling2D"
    ),
    "Bincount": Refused(
        "Determinism is not yet supported in GPU implementation of Bincount", "a sum over keras.ops.one_hot"
    ),
    "DenseBincount": Refused(
        "Determinism is not yet supported in GPU implementation of DenseBincount", "a sum over keras.ops.one_hot"
    ),
    "FakeQuantWithMinMaxVarsGradient": Refused(
        "Determinism is not yet supported in GPU implementation of FakeQuantWithMinMaxVarsGradient",
        "training without simulated quantisation, and quantising afterwards",
    ),
    "FakeQuantWithMinMaxVarsPerChannelGradient": Refused(
        "Determinism is not yet supported in GPU implementation of FakeQuantWithMinMaxVarsPerChannelGradient",
        "training without simulated quantisation, and quantising afterwards",
    ),
    "CropAndResizeGradImage": Refused(
        "Deterministic GPU implementation of CropAndResizeBackpropImage not available",
        "keras.layers.CenterCrop or Resizing",
    ),
    "CropAndResizeGradBoxes": Refused(
        "Deterministic GPU implementation of CropAndResizeBackpropBoxes not available",
        "keras.layers.CenterCrop or Resizing",
    ),
    "Timestamp": Refused("Timestamp cannot be called when determinism is enabled", "no clock inside the model"),
}


def check(setup, step):
    """A warning for each operation of a step's graph that a GPU would refuse; where one is there, the step tells."""
    config = setup.config
    if config.determinism != "strict" or config.device == "cpu" or tf.config.list_logical_devices("GPU"):
        return
    layers = {layer.name for layer in setup.layers}
    told = set()
    for operation in graph.operations(step):
        trains = operation.type == "FusedBatchNormGradV3" and operation.get_attr("is_training")
        if operation.type not in TABLE or trains:
            continue
        place = graph.layer_of(operation, layers)
        if (operation.type, place) not in told:
            told.add((operation.type, place))
            yield Finding(
                "determinism-unproved",
                place,
                f"uses {operation.type}, which a GPU would refuse; unproved, since none is here.",
                f"Take {TABLE[operation.type].instead}; or determinism=relaxed, or device=cpu.",
            )


def refused(setup, error):
    """The finding of a step that a GPU refused; None where it was refused for another reason."""
    words = str(error)
    if "etermini" not in words:
        return None
    known = next((entry for entry in TABLE.values() if entry.refusal in words), None)
    layers = {layer.name for layer in setup.layers}
    place = graph.layer_of(error.op, layers) if getattr(error, "op", None) is not None else "the first batch"
    return Finding(
        "not-deterministic",
        place,
        " ".join(words.split())[:300],
        f"Take {known.instead}; or determinism=relaxed." if known else "determinism=relaxed",
    )
