"""What every objective has: options, checks, training and scores. The base class of an objective of your own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigError
from pipeline.options import Options
from pipeline.spec import CLASS, DataSpec

if TYPE_CHECKING:
    import keras
    import numpy as np

    from pipeline.config import Config
    from pipeline.data.containers import Split
    from pipeline.data.splits import SplitDataset
    from pipeline.evaluation.decisions import Decision
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.training.objective import Objective


@dataclass
class ObjectiveOptions(Options):
    """Base class of the objectives: what one batch teaches the model.

    An objective is one file in `pipeline/objectives/` or `custom/objectives/`. It holds a dataclass that derives from
    this class, declares the options and answers what other packages ask, and a class that derives from
    `pipeline.training.objective.Objective` and computes the losses. Two methods have no default: `build` makes the
    `Objective` of a run, `score` scores a trained model. An objective that compares outputs with labels derives from
    `SupervisedOptions` and `Supervised`, and overrides what differs. docs/objectives/README.md has an example.

    Such a file is imported for `--help` too: it takes Keras, NumPy and TensorFlow from `pipeline.lazy`, and imports
    what needs them at its import (subclasses of Keras classes) inside a method.

    predicts_labels: Whether the outputs of the model are predictions that Keras losses compare with the labels.
    generates_images: Whether it trains a model that generates images, rather than one that predicts.
    rows_are_tasks: Whether a row of the data is a task of many points, and the model takes single points.
    """

    key: ClassVar[str] = "objective"
    predicts_labels: ClassVar[bool] = False
    generates_images: ClassVar[bool] = False
    rows_are_tasks: ClassVar[bool] = False

    # ---- checks, before anything is read or built --------------------------------------------------------------------

    def check_names(self) -> None:
        """Check the options that name Keras objects.

        Raises:
            ConfigError: Keras has no such object, or it cannot be built.
        """

    def check_with(self, config: Config) -> None:
        """Check this objective together with the other sections of the config.

        Raises:
            ConfigError: The engine or the model cannot be used with this objective.
        """
        if not config.training.compiles_own_step and not self.keras_fit_suffices:
            raise ConfigError(
                f"training={config.training.choice}: expected objective=supervised, the only one that Model.fit can "
                f"train; found objective={self.choice}. Set training=tape."
            )
        if config.model.generates_images != self.generates_images:
            raise ConfigError(
                f"objective={self.choice}, model={config.model.choice}: expected objective=adversarial and model=gan "
                "together: an adversarial objective needs a generator and a critic, and no other objective trains them."
            )

    @property
    def keras_fit_suffices(self) -> bool:
        """Whether Model.fit makes the same updates as `Objective.updates`, so that training=fit can be used."""
        return False

    # ---- data, losses and metrics ------------------------------------------------------------------------------------

    def model_spec(self, spec: DataSpec) -> DataSpec:
        """Return the spec that the model is built for.

        Args:
            spec: The spec of the data.

        Raises:
            ConfigError: The data cannot be learned from with this objective.
        """
        for name, label in spec.labels.items():
            if label.kind == CLASS and label.shape:
                raise ConfigError(
                    f"objective={self.choice}: expected one class per row; found {label.shape} in label {name!r}. Rows "
                    "that are tasks need objective=maml; a number per class needs data.label_kind=one_hot or "
                    "multi_label."
                )
        return spec

    def class_weights(self, spec: DataSpec, labels: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Return label -> (classes,) float32, the weight of a row of each class, or None.

        Args:
            spec: The spec of the data.
            labels: The labels of the training split, by name: (rows,) class indices, or (rows, classes) if they
                are one-hot.

        Raises:
            ConfigError: A row does not have one class, or another number of them than there are weights.
        """
        return None

    def label_losses(self, spec: DataSpec) -> dict[str, keras.losses.Loss]:
        """Return the losses that compare outputs of the model with labels, by label; {} if none does.

        Args:
            spec: As returned by `model_spec`.
        """
        return {}

    def label_metrics(self, spec: DataSpec) -> dict[str, list[keras.metrics.Metric]]:
        """Return new metrics that compare outputs of the model with labels, by label; {} if none does.

        Args:
            spec: As returned by `model_spec`.
        """
        return {}

    def baseline_losses(
        self, spec: DataSpec, labels: dict[str, np.ndarray], row_weights: np.ndarray | None = None
    ) -> dict[str, float]:
        """Return the loss of a prediction that is the same for every row, by the name that an epoch logs; {} if none.

        Args:
            spec: The spec of the data.
            labels: The labels of the training split, by name.
            row_weights: (rows,), the weights of these rows; None: every row counts once.
        """
        return {}

    def better_direction(self, name: str) -> str | None:
        """Return which direction of a logged value is better, for values that no Keras metric computes.

        Args:
            name: As logged, without "val_".

        Returns:
            "min", "max", or None if it is not known.
        """
        return None

    # ---- training and scoring ----------------------------------------------------------------------------------------

    def build(self, config: Config, data: SplitDataset, model: keras.Model, total_steps: int) -> Objective:
        """Return the objective of a run, not compiled.

        Args:
            config: The config of the run.
            data: The splits.
            model: Built for the spec of `model_spec`.
            total_steps: Steps of the whole run, for schedules of further optimizers.

        Raises:
            ConfigError: Objective, data and model do not fit together.
        """
        raise NotImplementedError(f"{type(self).__name__}.build")

    def decisions(
        self, config: Config, spec: DataSpec, model: keras.Model, validation: Split | None
    ) -> dict[str, Decision]:
        """Return the decision of each label; {} if the most probable class is predicted.

        Args:
            config: The config of the run.
            spec: The spec of the data.
            model: The trained model.
            validation: The validation split; None if there is none.
        """
        return {}

    def score(
        self,
        config: Config,
        spec: DataSpec,
        model: keras.Model,
        rows: Split,
        *,
        training_rows: Callable[[], Split],
        folder: Path,
        decisions: Mapping[str, Decision],
    ) -> list[LabelEvaluation | ScoresOnly]:
        """Score a trained model on a split.

        Args:
            config: The config of the run.
            spec: The spec of the data.
            model: The trained model, which may have been loaded from a file.
            rows: The split to score.
            training_rows: Reads the training split, if it is needed.
            folder: Where files of the evaluation, such as the predictions, are written.
            decisions: The decisions by label, as the method `decisions` returns them.

        Returns:
            The sections of the report: a LabelEvaluation per label, or ScoresOnly with a note and figures.
        """
        raise NotImplementedError(f"{type(self).__name__}.score")
