"""Checks that the values of float64 features are still distinct when the model casts them to float32."""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.data.precision import merged_columns
from pipeline.preflight import graph
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup

SHORT = (tf.float32, tf.float16, tf.bfloat16)


def check(setup: Setup, sample: list[Any]) -> Iterator[Finding]:
    """Yield the float64 features that are cast before a layer removes their offset.

    Args:
        setup: The set-up.
        sample: The x of some batches.
    """
    features = {name for name, feature in setup.spec.features.items() if feature.dtype == "float64"}
    if not features:
        return
    sources: list[frozenset[str]] = []

    def casts(x: Any) -> list[tf.Tensor]:
        """Return the float64 tensors, computed from features, that are cast to shorter floats."""
        by_name = setup.by_feature(x)
        setup.model(x, training=False)
        here = tf.compat.v1.get_default_graph()
        origins = graph.dependence(here, {name: [by_name[name]] for name in features})
        found = [
            operation.inputs[0]
            for operation in here.get_operations()
            if operation.type == "Cast"
            and operation.inputs[0].dtype == tf.float64
            and operation.outputs[0].dtype in SHORT
            and origins(operation.inputs[0])
        ]
        sources.extend(origins(tensor) for tensor in found)
        return found

    function = tf.function(casts, autograph=False).get_concrete_function(keras.tree.map_structure(_spec, *sample))
    batches = [[np.asarray(tensor) for tensor in function(x)] for x in sample]
    rows = sum(len(keras.tree.flatten(x)[0]) for x in sample)
    lost = {}
    for names, *values in zip(sources, *batches, strict=True):
        merged = merged_columns(np.concatenate([array.reshape(-1, array.shape[-1]) for array in values]))
        if merged:
            lost.setdefault(", ".join(sorted(names)), merged[0])
    for name, column in lost.items():
        found = f"{column.before:,} distinct values of column {column.index} become {column.after:,} in float32, in "
        yield finding("precision-lost", name, f"{found}{rows:,} rows.")


def _spec(*tensors: tf.Tensor) -> tf.TensorSpec:
    """Return the spec of tensors of any number of rows, whose steps may differ in number too."""
    sizes = zip(*(tensor.shape[1:] for tensor in tensors), strict=True)
    return tf.TensorSpec((None, *(same[0] if len(set(same)) == 1 else None for same in sizes)), tensors[0].dtype)
