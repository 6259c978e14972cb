"""Adversarial learning: a generator of images and its critic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.errors import ConfigError
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import option

if TYPE_CHECKING:
    from pipeline.config import Config


@dataclass
class AdversarialOptions(ObjectiveOptions):
    """A critic learns to distinguish real images from generated ones, a generator to deceive it. For model=gan."""

    generates_images: ClassVar[bool] = True

    loss: str = option("non_saturating", "the pair of losses", choices=("non_saturating", "wgan_gp"))
    critic_steps: int = option(
        1, "updates of the critic, each with new random numbers, before one of the generator", min=1
    )
    gradient_penalty: float = option(
        10.0, "wgan_gp: weight of the squared distance of the norm of the critic's gradient from 1", min=0
    )
    critic_optimizer: Any = option(
        None,
        "class_name and config, as of `optimizer`, which trains the generator; null: another one like that",
        keras="optimizer",
    )
    sample_every: int = option(
        10, "epochs between two grids of samples, as PNG files in samples/ of the run folder", min=1
    )

    def check_names(self) -> None:
        from pipeline.training import adversarial

        if self.critic_optimizer is not None:
            adversarial.critic_optimizer(self).build(1, key="objective.critic_optimizer")

    def check_with(self, config: Config) -> None:
        super().check_with(config)
        if config.regularization.gradient_penalty:
            raise ConfigError(
                "regularization.gradient_penalty: expected an objective all of whose losses depend on the inputs of "
                "the batch; found objective=adversarial, whose generator has none. Set "
                "regularization.gradient_penalty=0; objective.loss=wgan_gp and objective.gradient_penalty limit the "
                "gradient of the critic."
            )

    def better_direction(self, name: str) -> str | None:
        return {"accuracy": "max", "frechet_distance": "min"}.get(name)
