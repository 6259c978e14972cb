"""Names of Keras objects in the config, looked up before any data is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras

from pipeline import keras_objects
from pipeline.options import walk
from pipeline.training.optimizer import Optimizer

if TYPE_CHECKING:
    from pipeline.config import Config


def check(config: Config) -> None:
    """Build every Keras object that the config names, for every option of every member.

    Raises:
        ConfigError: Keras has no such object or argument. The message names the key and the nearest name that exists.
            The same error is raised if two files under custom/ define classes with the same name.
    """
    for key, value, item in walk(config):
        if item.metadata["keras"]:
            keras_objects.check(key, value, BUILDERS[item.metadata["keras"]])
    config.optimizer.build(total_steps=1)
    config.objective.check_names()
    keras_objects.custom_classes()
    # resets the counters in Keras's names, so that the real objects get the same names
    keras.backend.clear_session(free_memory=False)


def _build_optimizer(key: str, value: Any) -> None:
    description: dict[str, Any] = {"class_name": value} if isinstance(value, str) else value
    Optimizer(description["class_name"], description.get("config", {})).build(total_steps=1, key=key)


BUILDERS: dict[str, Callable[[str, Any], object]] = {
    "activation": keras_objects.activation,
    "initializer": keras_objects.initializer,
    "layer": keras_objects.layer,
    "loss": keras_objects.loss,
    "metric": keras_objects.metric,
    "optimizer": _build_optimizer,
}
