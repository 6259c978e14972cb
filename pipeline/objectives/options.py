"""Options that every objective has, and what an objective tells the rest of the program about itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.errors import ConfigError
from pipeline.options import Options
from pipeline.spec import CLASS, DataSpec

if TYPE_CHECKING:
    import keras

    from pipeline.config import Config


@dataclass
class ObjectiveOptions(Options):
    """Base class of the objectives: what one batch teaches the model.

    predicts_labels: Whether the outputs of the model are predictions that Keras losses compare with the labels.
    generates_images: Whether it trains a model that generates images, rather than one that predicts.
    rows_are_tasks: Whether a row of the data is a task of many points, and the model takes single points.
    """

    key: ClassVar[str] = "objective"
    predicts_labels: ClassVar[bool] = False
    generates_images: ClassVar[bool] = False
    rows_are_tasks: ClassVar[bool] = False

    @property
    def keras_fit_suffices(self) -> bool:
        """Whether Model.fit makes the same updates as `Objective.updates`, so that training=fit can be used."""
        return False

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

    def model_spec(self, spec: DataSpec) -> DataSpec:
        """Return the spec that the model is built for.

        Args:
            spec: Of the data.

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

    def better_direction(self, name: str) -> str | None:
        """Return which direction of a logged value is better, for values that no Keras metric computes.

        Args:
            name: As logged, without "val_".

        Returns:
            "min", "max", or None if it is not known.
        """
        return None
