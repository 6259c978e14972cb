"""The set-up that preflight checks: config, data and a compiled model, before the first step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import keras

from pipeline.data.containers import Table
from pipeline.data.input_pipeline import TrainingFeed
from pipeline.data.splits import SplitDataset
from pipeline.keras_internals import all_layers
from pipeline.layer_names import by_original_name
from pipeline.objectives.supervised import SupervisedOptions, is_by_label
from pipeline.overrides import shell_value
from pipeline.spec import CLASS, DataSpec, Label
from pipeline.training.objective import Objective
from pipeline.training.unknown_words import UnknownWords, unknown_words

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.training.options import EarlyStopping, Plateau


@dataclass(frozen=True)
class Setup:
    """objective: Its model is built and compiled. feed: The batches of the training split."""

    config: Config
    data: SplitDataset
    objective: Objective
    feed: TrainingFeed

    @property
    def spec(self) -> DataSpec:
        """The features and labels of the data."""
        return self.data.spec

    @property
    def model(self) -> keras.Model:
        """The model that is trained."""
        return self.objective.model

    @property
    def supervised(self) -> SupervisedOptions | None:
        """The options of losses, metrics and class weights; None if the objective has none."""
        options = self.config.objective
        return options if isinstance(options, SupervisedOptions) else None

    @property
    def is_supervised(self) -> bool:
        """Whether a Keras loss compares each output with its label."""
        return self.config.objective.predicts_labels

    @cached_property
    def layers(self) -> list[keras.layers.Layer]:
        """Every layer of the model, including those inside other layers."""
        return all_layers(self.model)  # keras.Model.layers has only those of the first level

    @cached_property
    def losses(self) -> dict[str, keras.losses.Loss]:
        """The losses by label: those that the model was compiled with, or else those of the objective."""
        compiled = getattr(self.model, "loss", None)
        return self.by_label(compiled) if compiled else self.config.objective.label_losses(self.spec)

    @cached_property
    def metrics(self) -> dict[str, list[keras.metrics.Metric]]:
        """New metrics by label, like those that the model was compiled with."""
        return self.config.objective.label_metrics(self.spec)

    @cached_property
    def unknown_words(self) -> list[UnknownWords]:
        """The words of each text column that the vocabulary of the model lacks."""
        return unknown_words(self.model, self.spec, self.data.splits)

    def of_points(self) -> Setup:
        """Return the set-up of an objective whose rows are tasks as its model gets it: its rows are points of tasks.

        Its training split has labels only.
        """
        spec = self.config.objective.model_spec(self.spec)
        (name, label), (values,) = next(iter(spec.labels.items())), self.data.train.labels.values()
        train = Table({}, {name: values.reshape(-1, *label.shape)}, self.data.train.row_location)
        return replace(self, data=replace(self.data, spec=spec, train=train))

    @property
    def callbacks(self) -> dict[str, EarlyStopping | Plateau]:
        """The options of the callbacks that monitor a value, by key."""
        training = self.config.training
        return {callback.key: callback for callback in (training.early_stopping, training.plateau)}

    def by_label(self, values: Any) -> dict[str, Any]:
        """Return outputs of the model, or the labels of a batch, by label."""
        if isinstance(values, dict):
            return by_original_name(values, self.spec.labels)
        flat = keras.tree.flatten(values)
        return dict(zip(self.spec.labels, flat)) if len(flat) > 1 else {next(iter(self.spec.labels)): flat[0]}

    def by_feature(self, x: Any) -> dict[str, Any]:
        """Return the x of a batch by feature."""
        if not isinstance(x, dict):
            return {next(iter(self.spec.features)): x}
        return by_original_name(x, self.spec.features)

    def with_label(self, option: str, label: str, value: Any) -> str:
        """Return what sets an option of the objective for one label and keeps it for others, as typed after `key=`.

        Args:
            option: "loss" or "metrics".
            label: The label.
            value: The value for it, in Keras's form.
        """
        given = getattr(self.config.objective, option)
        if len(self.spec.labels) > 1:
            others = given if is_by_label(given) else dict.fromkeys(self.spec.labels, given) if given else {}
            value = {**others, label: value}
        return shell_value(value)


def is_binary(label: Label) -> bool:
    """Return whether a label is one of two classes, so that one unit can give the probability of the second."""
    return label.kind == CLASS and label.width == 2


def input_shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    """Return the shape of the input that a layer was built for, the batch axis first; () if it is not known."""
    config = layer.get_build_config() or {}
    shapes = config.get("shapes_dict") or {"input_shape": config.get("input_shape")}
    return tuple(next(iter(shapes.values())) or ())
