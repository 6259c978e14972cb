"""Several labels learned at once, their losses weighted."""

from dataclasses import dataclass

from pipeline.errors import ConfigError
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.options import option


@dataclass
class MultiTaskOptions(SupervisedOptions):
    """Several labels learned at once, one task per label, their losses weighted."""

    weighting: str = option(
        "fixed",
        "fixed: by `weights`; learned: by the uncertainty of each task (Kendall et al. 2018)",
        choices=("fixed", "learned"),
    )
    weights: dict[str, float] = option({}, "fixed: label -> weight of its loss; 1 for labels not named", min=0)

    def check(self) -> None:
        super().check()
        if self.weights and self.weighting == "learned":
            raise ConfigError(
                "objective.weights: expected none, since objective.weighting=learned finds them; found weights of "
                f"{', '.join(self.weights)}."
            )
