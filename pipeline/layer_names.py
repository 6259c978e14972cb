"""Names that Keras accepts for the inputs and outputs of a model, made from the names of features and labels.

Keras and TensorFlow make names of scopes, metrics and files of them, and refuse many characters. The names of a file
are kept everywhere else: in configs, messages, logs, predictions and reports.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from pipeline.lazy import keras

ACCEPTED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LONGEST = 24  # characters of the original name that are kept
VALIDATION = "val"  # `val_loss` is the validation loss, so that no label may be called `val`


@cache
def layer_name(name: str) -> str:
    """Return the name of the layer, input or output of a feature or label.

    Most names stay as they are. The others become `column_NAME_DIGEST`: different ones for different names, the same
    in every run.
    """
    if ACCEPTED.fullmatch(name) and not _is_reserved(name):
        return name
    kept = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_")[:LONGEST]
    return "_".join(filter(None, ("column", kept, hashlib.sha256(name.encode()).hexdigest()[:8])))


def by_layer_name(named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a dict by feature or label under the names that Keras has for these."""
    return {layer_name(name): value for name, value in named.items()}


def by_original_name(named: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Return the values of a dict of Keras under the names of the features or labels that the data has."""
    original = {layer_name(name): name for name in names}
    return {original.get(name, name): value for name, value in named.items()}


def original_log_name(log_name: str, labels: Iterable[str]) -> str:
    """Return the name of a loss or metric in the logs of Keras with its label as the data names it.

    Args:
        log_name: As Keras has it, such as "val_column_Loan_Status_5d41402a_loss".
        labels: The names of the labels.
    """
    return _exchanged(log_name, {layer_name(label): label for label in labels})


def keras_log_name(name: str, labels: Iterable[str]) -> str:
    """Return the name that a loss or metric has in the logs of Keras, also if its label is written as in the data."""
    return _exchanged(name, {label: layer_name(label) for label in labels})


def _exchanged(log_name: str, names: Mapping[str, str]) -> str:
    """Return the name of a loss or metric with another name of its label. names: Of a label -> the other name of it."""
    prefix = "val_" if log_name.startswith("val_") else ""
    rest = log_name.removeprefix(prefix)
    for name, other in names.items():
        if name != other and rest.startswith(f"{name}_") and not any(map(_is_validation, (name, other))):
            return f"{prefix}{other}{rest.removeprefix(name)}"
    return log_name


def _is_reserved(name: str) -> bool:
    """Return whether Keras gives the name to another layer or value by itself: `dense`, `conv2d_1`, `val_loss`."""
    return _is_validation(name) or re.sub(r"_\d+$", "", name).replace("_", "").lower() in _class_names()


def _is_validation(name: str) -> bool:
    return name == VALIDATION or name.startswith(f"{VALIDATION}_")


@cache
def _class_names() -> frozenset[str]:
    return frozenset(name.lower() for name in dir(keras.layers))
