"""Estimate the peak memory of a training step from its graph, and read the memory of the device."""

from collections.abc import Iterator

import tensorflow as tf

from pipeline.keras_internals import gpu_memory
from pipeline.preflight.findings import Finding, finding
from pipeline.runtime import machine_memory

TIGHT = 0.8  # share of the memory; the rest is for workspaces of kernels, which the estimate leaves out
# operations whose outputs are not counted: views, constants, and variables, which `peak` adds at the end
VIEWS = (
    *("Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "PreventGradient", "EnsureShape"),
    *("ReadVariableOp", "Const", "Placeholder", "NoOp", "Shape"),
)


def check(need: int, available: int) -> Iterator[Finding]:
    """Yield a finding if a step needs more memory than is available, or nearly as much.

    Args:
        need: The bytes that the step needs.
        available: The bytes of the device.
    """
    if need > TIGHT * available:
        code = "memory" if need > available else "memory-tight"
        found = f"the step needs about {need / 2**30:.2f} GiB at its peak; the device has {available / 2**30:.2f} GiB."
        yield finding(code, "the first batch", found)


def peak(graph: tf.Graph) -> int:
    """Return the largest number of bytes in use while a graph runs in the order of its operations.

    A tensor is in use from the operation that computes it to the last one that takes it; a view takes no memory.
    Variables are included. Tensors that loops keep for their gradients, and tensors of unknown shape, are not.
    """
    operations = graph.get_operations()
    last_use = {}
    for position, operation in enumerate(operations):
        for tensor in operation.inputs:
            last_use[_viewed(tensor).ref()] = position
    freed = {}
    in_use = most = 0
    for position, operation in enumerate(operations):
        for tensor in operation.outputs if operation.type not in VIEWS else ():
            size = _size(tensor)
            in_use += size
            freed.setdefault(last_use.get(tensor.ref(), position), []).append(size)
        most = max(most, in_use)
        in_use -= sum(freed.get(position, ()))
    return most + sum(variable.shape.num_elements() * variable.dtype.size for variable in graph.variables)


def available() -> int:
    """Return the bytes of the smallest visible GPU. Without a GPU, return those of the machine or container."""
    if tf.config.list_logical_devices("GPU"):
        return min(gpu_memory())
    return machine_memory.total()


def _viewed(tensor: tf.Tensor) -> tf.Tensor:
    """Return the tensor whose memory a view shares; for other tensors, the tensor itself."""
    while tensor.op.type in VIEWS and tensor.op.inputs and tensor.op.type != "ReadVariableOp":
        tensor = tensor.op.inputs[0]
    return tensor


def _size(tensor: tf.Tensor) -> int:
    """Return the size of a tensor in bytes; 0 if its shape or dtype size is unknown."""
    count = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    return count * tensor.dtype.size if count and tensor.dtype.size > 0 else 0
