"""What a training step needs at its peak, read off its graph, against what the device has."""

import os
from pathlib import Path

import tensorflow as tf

from pipeline.keras_internals import gpu_memory
from pipeline.preflight.findings import Finding

TIGHT = 0.8  # of the memory; the estimate leaves out the kernels' workspaces
LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
VIEWS = ("Identity", "IdentityN", "Reshape", "Squeeze", "ExpandDims", "StopGradient", "ReadVariableOp", "Const",
         "Placeholder", "NoOp", "Shape", "EnsureShape", "PreventGradient")  # fmt: skip


def check(need, available):
    """Findings on a need of bytes where so many are available."""
    if need > TIGHT * available:
        yield Finding(
            "memory" if need > available else "memory-tight",
            "the first batch",
            f"the step needs about {need / 2**30:.2f} GiB at its peak; the device has {available / 2**30:.2f} GiB.",
            "training.batch_size=..., smaller.",
        )


def peak(graph):
    """Bytes alive at the worst moment of a graph run in the order it was written in, its variables with them.

    Every tensor lives from the operation that makes it to the last that takes it, views of another make none. What
    loops keep for their gradients is not seen, nor are tensors of unknown shape.
    """
    run = graph.get_operations()
    last_use = {}
    for position, operation in enumerate(run):
        for tensor in operation.inputs:
            last_use[_owner(tensor).ref()] = position
    freed = {}
    alive = most = 0
    for position, operation in enumerate(run):
        for tensor in operation.outputs if operation.type not in VIEWS else ():
            size = _bytes(tensor)
            if size:
                alive += size
                freed.setdefault(last_use.get(tensor.ref(), position), []).append(size)
        most = max(most, alive)
        alive -= sum(freed.get(position, ()))
    return most + sum(variable.shape.num_elements() * variable.dtype.size for variable in graph.variables)


def available():
    """Bytes of the smallest visible GPU; of this machine, or of its container, where there is none."""
    if tf.config.list_logical_devices("GPU"):
        return min(gpu_memory())
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in map(Path, LIMITS):
        if path.exists() and (text := path.read_text().strip()).isdigit():
            limits.append(int(text))
    return min(limits)


def _owner(tensor):
    while tensor.op.type in VIEWS and tensor.op.inputs and tensor.op.type != "ReadVariableOp":
        tensor = tensor.op.inputs[0]
    return tensor


def _bytes(tensor):
    count = tensor.shape.num_elements() if tensor.shape.rank is not None else None
    return count * tensor.dtype.size if count and tensor.dtype.size > 0 else 0
