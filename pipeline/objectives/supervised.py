"""Supervised learning: a loss between outputs and labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import check_keras_form, option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras


@dataclass
class SupervisedOptions(ObjectiveOptions):
    """A loss between outputs and labels."""

    predicts_labels: ClassVar[bool] = True

    loss: Any = option(
        None,
        "of keras.losses, for every label, or label -> one of them; default of a label: "
        "sparse_categorical_crossentropy for classes, categorical_crossentropy for one-hot, "
        "binary_crossentropy for multi-label, mean_squared_error for real labels",
    )
    metrics: Any = option(
        None,
        "a list of keras.metrics, for every label, or label -> such a list; default of a label: accuracy for classes, "
        "mean_absolute_error for real labels",
    )
    class_weight: Any = option(None, "null, balanced, or a list of one weight per class")

    def check(self) -> None:
        for key, value in self.losses().items():
            check_keras_form(key, value)
        for key, values in self.metric_lists().items():
            if not isinstance(values, list | None):
                raise ConfigError(f"{key}: expected a list of metrics; found {values!r}. One alone is [{values}].")
            check_keras_form(key, values)
        if isinstance(self.class_weight, list):
            numbers = all(isinstance(weight, (int, float)) and weight >= 0 for weight in self.class_weight)
            if not numbers or not sum(self.class_weight):
                raise ConfigError(
                    f"objective.class_weight: expected weights from 0 on, not all 0; found {self.class_weight}."
                )
        elif self.class_weight not in (None, "balanced"):
            raise ConfigError(
                f"objective.class_weight: expected null, balanced or a list; found {self.class_weight!r}."
            )

    @property
    def keras_fit_suffices(self) -> bool:
        return type(self) is SupervisedOptions  # Model.fit computes the compiled losses, not those of a subclass

    def check_names(self) -> None:
        from pipeline import keras_objects

        for key, loss in self.losses().items():
            if loss is not None:
                keras_objects.loss(key, loss)
        for key, metrics in self.metric_lists().items():
            for metric in metrics or []:
                keras_objects.metric(key, metric)

    def label_losses(self, spec: DataSpec) -> dict[str, keras.losses.Loss]:
        from pipeline.training import supervised

        return {name: supervised.loss(self, name, label) for name, label in spec.labels.items()}

    def label_metrics(self, spec: DataSpec) -> dict[str, list[keras.metrics.Metric]]:
        from pipeline.training import supervised

        return {name: supervised.label_metrics(self, name, label) for name, label in spec.labels.items()}

    def losses(self) -> dict[str, Any]:
        """Return key of the config -> loss in Keras's form, or None for the default."""
        return by_key("objective.loss", self.loss)

    def metric_lists(self) -> dict[str, Any]:
        """Return key of the config -> list of metrics in Keras's form, or None for the default."""
        return by_key("objective.metrics", self.metrics)


def is_by_label(value: Any) -> bool:
    """Return whether losses or metrics are given per label; a dict may also be the serialized form of one object."""
    return isinstance(value, dict) and "class_name" not in value


def by_key(key: str, value: Any) -> dict[str, Any]:
    """Return {key: value}, or the key and value of each label if the value is given per label."""
    return {f"{key}.{label}": each for label, each in value.items()} if is_by_label(value) else {key: value}


def of_label(value: Any, label: str) -> Any:
    """Return the value of one label, given for it or for all; None if there is none."""
    return value.get(label) if is_by_label(value) else value
