"""Meta-learning: weights that a few gradient steps fit to a new task."""

from dataclasses import dataclass

from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import option


@dataclass
class MamlOptions(ObjectiveOptions):
    """Weights from which a few gradient steps on a task's first points fit its others. For rows that are tasks."""

    support: int = option(
        10, "points of a task that a step may learn from, its first ones; the others are its queries", min=1
    )
    inner_rate: float = option(0.01, "learning rate of the steps on a task", min=0)
    inner_steps: int = option(5, "steps on a task in training; the loss is the mean of those after each", min=1)
    first_order: bool = option(False, "leave out the gradient through the steps: cheaper, less exact")
