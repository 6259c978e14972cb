"""Analyse the TensorFlow graph of a model: the inputs, the last activation and the range of each output.

The graph is the same whether layers are stacked, nested, wrapped, subclassed or written as functions. Nothing here
depends on the class or name of a layer.
"""

import math
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from pipeline.keras_internals import called_function

Frames = tuple  # of pairs (operation that calls a function, graph of the function), outermost call first
Range = tuple[float, float]  # (low, high)
INFINITY = math.inf
CALLS = ("PartitionedCall", "StatefulPartitionedCall")
CONTROL = ("While", "StatelessWhile", "If", "StatelessIf", "Case", "StatelessCase")
# operations whose output holds the numbers of their input, in another shape, dtype or order
SAME_NUMBERS = (
    *("Identity", "IdentityN", "Cast", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient"),
    *("CheckNumerics", "EnsureShape", "Snapshot", "Transpose", "Tile", "BroadcastTo", "ReverseV2"),
)
# operations whose output holds some numbers of their input, or means of them: the range stays the same
AMONG_NUMBERS = (
    *("Slice", "StridedSlice", "GatherV2", "GatherNd", "Mean", "Max", "Min", "MaxPool", "AvgPool"),
    *("Split", "SplitV", "Unpack"),
)
RANGES = {
    "Softmax": (0, 1),
    "LogSoftmax": (-INFINITY, 0),
    "Sigmoid": (0, 1),
    "Tanh": (-1, 1),
    "Softsign": (-1, 1),
    "Relu6": (0, 6),
    "Softplus": (0, INFINITY),
    "Elu": (-1, INFINITY),
    "Selu": (-1.7580993, INFINITY),
    "Abs": (0, INFINITY),
    "Square": (0, INFINITY),
    "Sqrt": (0, INFINITY),
    "Rsqrt": (0, INFINITY),
    "Sin": (-1, 1),
    "Cos": (-1, 1),
    "Erf": (-1, 1),
}
SQUASHES = ("Softmax", "Sigmoid")  # activations that give probabilities of numbers of any size
ONLY_THE_SHAPE = ("Shape", "ShapeN", "Size", "Rank", "ZerosLike", "OnesLike")
DEEPEST = 60  # most operations to follow back from an output; beyond them the range is unknown


@dataclass(frozen=True)
class Reading:
    """The last operation of an output.

    Attributes:
        operation: The type of the last operation that changes the numbers, such as "Softmax" or "BiasAdd".
        layer: The name of the layer that contains the operation.
        low: The lower limit of the output, whatever the weights are.
        high: The upper limit of the output, whatever the weights are.
        input_low: If the operation is a softmax or sigmoid, the lower limit of the numbers that it takes.
        input_high: The upper limit of these numbers.
    """

    operation: str
    layer: str
    low: float
    high: float
    input_low: float = -INFINITY
    input_high: float = INFINITY

    def __str__(self) -> str:
        return f"the {self.operation} of {self.layer!r}"


def read(tensor: tf.Tensor, layers: Collection[str]) -> Reading:
    """Return the last operation and the range of a tensor in the graph of a tf.function.

    Args:
        tensor: A symbolic tensor of the graph.
        layers: The names of the layers of the model.
    """
    last, frames = _maker(tensor, ())
    low, high = _range(tensor, (), DEEPEST)
    taken = _range(last.op.inputs[0], frames, DEEPEST) if last.op.type in SQUASHES else ()
    return Reading(last.op.type, layer_of(last.op, layers), low, high, *taken)


def layer_of(operation: tf.Operation, layers: Collection[str]) -> str:
    """Return the name of the innermost layer that contains an operation, or else the name of the operation.

    Args:
        operation: The operation.
        layers: The names of the layers of the model.
    """
    for scope in reversed(operation.name.split("/")[:-1]):
        for name in (scope, re.sub(r"_\d+$", "", scope)):  # the second call of a layer has the scope NAME_1
            if name in layers:
                return name
    return operation.name


def operations(graph: tf.Graph) -> Iterator[tf.Operation]:
    """Yield every operation of a graph and of the functions, loops and branches in it."""
    seen, todo = set(), [graph]
    while todo:
        graph = todo.pop()
        if id(graph) in seen:
            continue
        seen.add(id(graph))
        for operation in graph.get_operations():
            yield operation
            for name in _functions(operation):
                inner = called_function(graph, name)
                if inner is not None:
                    todo.append(inner)


def dependence(graph: tf.Graph, sources: dict[str, list[tf.Tensor]]) -> Callable[[tf.Tensor], frozenset[str]]:
    """Find the sources that each tensor of a graph is computed from.

    Args:
        graph: The graph.
        sources: Source name -> its tensors.

    Returns:
        A function that takes a tensor and returns the names of the sources that its numbers depend on. A tensor that
        depends only on the shape of a source does not depend on its numbers.
    """
    origins = {}
    for name, tensors in sources.items():
        for tensor in tensors:
            origins[tensor.ref()] = origins.get(tensor.ref(), frozenset()) | {name}
    for operation in graph.get_operations():
        if operation.type in ONLY_THE_SHAPE:
            continue
        names = frozenset().union(*(origins.get(tensor.ref(), frozenset()) for tensor in operation.inputs))
        for tensor in operation.outputs if names else ():
            origins[tensor.ref()] = origins.get(tensor.ref(), frozenset()) | names
    return lambda tensor: origins.get(tensor.ref(), frozenset())


def first_inputs(
    graph: tf.Graph, origins: Callable[[tf.Tensor], frozenset[str]], weights: str, data: set[str]
) -> list[tf.Tensor]:
    """Return the float tensors that are computed from data alone and are combined with weights next.

    Args:
        graph: The graph.
        origins: The result of `dependence`.
        weights: The name of the source that holds the trainable variables.
        data: The names of the sources that are features.
    """
    inputs = []
    for operation in graph.get_operations():
        if operation.type.startswith("Resource") or not any(weights in origins(tensor) for tensor in operation.inputs):
            continue
        for tensor in operation.inputs:
            if origins(tensor) & data and weights not in origins(tensor):
                tensor = _dense(tensor)
                if tensor is not None and not any(tensor is other for other in inputs):
                    inputs.append(tensor)
    return inputs


def _dense(tensor: tf.Tensor) -> tf.Tensor | None:
    """Return the tensor if it holds a batch of real numbers, else None.

    For a list of tensors (dtype variant), the tensor that the list was made from is used.
    """
    while tensor.dtype == tf.variant and tensor.op.inputs:
        tensor = tensor.op.inputs[0]
    return tensor if tensor.dtype.is_floating and tensor.shape.rank != 0 else None


def _maker(tensor: tf.Tensor, frames: Frames) -> tuple[tf.Tensor, Frames]:
    """Follow a tensor back over operations that keep its numbers. Return the first one, and the calls around it."""
    while True:
        tensor, frames = _through_calls(tensor, frames)
        if tensor.op.type not in SAME_NUMBERS:
            return tensor, frames
        tensor = tensor.op.inputs[tensor.value_index if tensor.op.type == "IdentityN" else 0]


def _through_calls(tensor: tf.Tensor, frames: Frames) -> tuple[tf.Tensor, Frames]:
    """Follow a tensor across function calls.

    The output of a call leads to the output inside the function. An argument inside the function leads to the input of
    the call.
    """
    while True:
        operation = tensor.op
        if operation.type in CALLS:
            inner = called_function(operation.graph, _functions(operation)[0])
            if inner is None:
                return tensor, frames
            tensor, frames = inner.outputs[tensor.value_index], (*frames, (operation, inner))
        elif operation.type == "Placeholder" and frames:
            call, inner = frames[-1]
            position = next(index for index, argument in enumerate(inner.inputs) if argument is tensor)
            tensor, frames = call.inputs[position], frames[:-1]
        else:
            return tensor, frames


def _range(tensor: tf.Tensor, frames: Frames, depth: int) -> Range:
    """Return the range of a tensor's numbers, by interval arithmetic over the operations that compute it."""
    tensor, frames = _maker(tensor, frames)
    operation = tensor.op
    if depth == 0:
        return -INFINITY, INFINITY

    def of(index: int) -> Range:
        return _range(operation.inputs[index], frames, depth - 1)

    match operation.type:
        case "Const":
            value = tf.get_static_value(tensor)
            return (float(value.min()), float(value.max())) if _is_number(value) else (-INFINITY, INFINITY)
        case "Exp":
            low, high = of(0)
            return (math.exp(min(low, 700)), math.exp(high) if high < 700 else INFINITY)
        case kind if kind in RANGES:
            return RANGES[kind]
        case "Relu":
            low, high = of(0)
            return max(low, 0), max(high, 0)
        case "LeakyRelu" | "Neg":
            low, high = of(0)
            slope = operation.get_attr("alpha") if operation.type == "LeakyRelu" else None
            return (-high, -low) if slope is None else (min(low, low * slope), high)
        case kind if kind in AMONG_NUMBERS:
            return of(1 if kind == "Split" else 0)
        case "ConcatV2" | "Pack":
            ranges = [of(index) for index in range(len(operation.inputs) - (operation.type == "ConcatV2"))]
            return min(low for low, _ in ranges), max(high for _, high in ranges)
        case "AddV2" | "Add":
            (low, high), (other_low, other_high) = of(0), of(1)
            return low + other_low, high + other_high
        case "Sub":
            (low, high), (other_low, other_high) = of(0), of(1)
            return low - other_high, high - other_low
        case "Mul":
            return _of_corners(of(0), of(1), lambda a, b: 0.0 if 0 in (a, b) else a * b)
        case "RealDiv":
            over, under = of(0), of(1)
            if under[0] < 0 < under[1]:
                return -INFINITY, INFINITY
            if under[0] >= 0 and over[0] >= 0 and not under[0] > 0:
                return 0, INFINITY
            return _of_corners(over, under, lambda a, b: 0.0 if a == 0 or math.isinf(b) else a / b if b else INFINITY)
        case "Sum":
            low, high = of(0)
            return (0 if low >= 0 else -INFINITY), (0 if high <= 0 else INFINITY)
        case "Select" | "SelectV2":
            (low, high), (other_low, other_high) = of(1), of(2)
            return min(low, other_low), max(high, other_high)
        case "Maximum":
            (low, high), (other_low, other_high) = of(0), of(1)
            return max(low, other_low), max(high, other_high)
        case "Minimum":
            (low, high), (other_low, other_high) = of(0), of(1)
            return min(low, other_low), min(high, other_high)
        case "ClipByValue":
            (low, high), (least, _), (_, most) = of(0), of(1), of(2)
            return max(low, least), min(high, most)
    return -INFINITY, INFINITY


def _of_corners(one: Range, other: Range, operation: Callable[[float, float], float]) -> Range:
    """Return the range of an operation that is monotonic in both arguments: its extremes are at the limits."""
    values = [operation(a, b) for a in one for b in other]
    return min(values), max(values)


def _is_number(value: np.ndarray | None) -> bool:
    return value is not None and value.dtype.kind in "fiu" and value.size > 0


def _functions(operation: tf.Operation) -> list[str]:
    """Return the names of the functions that an operation calls."""
    names = []
    if operation.type not in CALLS + CONTROL:
        return names
    for attribute in ("f", "body", "cond", "then_branch", "else_branch"):
        try:
            names.append(operation.get_attr(attribute).name)
        except (ValueError, AttributeError):
            continue
    return names
