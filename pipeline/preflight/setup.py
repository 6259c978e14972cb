"""What preflight looks at: the parts of a run, put together and compiled, before its first step."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import keras

from pipeline.data.containers import Table
from pipeline.data.input_pipeline import TrainingFeed
from pipeline.data.splits import SplitDataset
from pipeline.keras_internals import all_layers
from pipeline.spec import CLASS
from pipeline.training.objective import Objective

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass(frozen=True)
class Setup:
    """objective: its model is built and compiled."""

    config: Config
    data: SplitDataset
    objective: Objective
    feed: TrainingFeed

    @property
    def spec(self):
        return self.data.spec

    @property
    def model(self):
        return self.objective.model

    @property
    def is_supervised(self):
        """Whether a Keras loss compares each output with its label."""
        return self.config.objective.predicts_labels

    @cached_property
    def layers(self):
        """Every layer of the model, those inside others too."""
        return all_layers(self.model)

    @cached_property
    def losses(self):
        """Label name -> the Loss object that compares its outputs with it."""
        return self.config.objective.label_losses(self.spec)

    @cached_property
    def metrics(self):
        """Label name -> new Metric objects of the kinds the model was compiled with."""
        return self.config.objective.label_metrics(self.spec)

    def of_points(self):
        """The Setup of an objective of tasks as its model sees the data: the rows are the points of the tasks.

        Its training split holds labels only, all of them.
        """
        spec = self.config.objective.model_spec(self.spec)
        (name, label), (of_tasks,) = next(iter(spec.labels.items())), self.data.train.labels.values()
        train = Table({}, {name: of_tasks.reshape(-1, *label.shape)}, self.data.train.row_location)
        return replace(self, data=replace(self.data, spec=spec, train=train))

    def by_label(self, outputs):
        """Label name -> output, of what the model returned."""
        if isinstance(outputs, dict):
            return outputs
        flat = keras.tree.flatten(outputs)
        return dict(zip(self.spec.labels, flat)) if len(flat) > 1 else {next(iter(self.spec.labels)): flat[0]}


def is_binary(label):
    """Whether a label is one of two classes, so that a single unit, the probability of the second, can tell it."""
    return label.kind == CLASS and label.width == 2


def built_for(layer):
    """The shape of the input a layer was built for, the batch's axis first; () where it has not been told."""
    built = layer.get_build_config() or {}
    return tuple(built.get("input_shape") or next(iter(built.get("shapes_dict", {}).values()), None) or ())
