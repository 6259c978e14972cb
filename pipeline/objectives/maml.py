"""Meta-learning: weights that a few gradient steps fit to a new task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import option
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    import keras


@dataclass
class MamlOptions(ObjectiveOptions):
    """Weights from which a few gradient steps on a task's first points fit its others. For rows that are tasks."""

    rows_are_tasks: ClassVar[bool] = True

    support: int = option(
        10, "points of a task that a step may learn from, its first ones; the others are its queries", min=1
    )
    inner_rate: float = option(0.01, "learning rate of the steps on a task", min=0)
    inner_steps: int = option(5, "steps on a task in training; the loss is the mean of those after each", min=1)
    first_order: bool = option(False, "leave out the gradient through the steps: cheaper, less exact")

    def model_spec(self, spec: DataSpec) -> DataSpec:
        from pipeline.training import maml

        return maml.point_spec(self, spec)

    def label_losses(self, spec: DataSpec) -> dict[str, keras.losses.Loss]:
        from pipeline.objectives.supervised import SupervisedOptions

        return SupervisedOptions().label_losses(spec)

    def better_direction(self, name: str) -> str | None:
        """Return the direction of the loss, or of the accuracy, after some steps."""
        return {"loss": "min", "accuracy": "max"}.get(name.partition("_after_")[0])
