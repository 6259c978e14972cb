"""Adversarial learning: a generator of images and its critic."""

from dataclasses import dataclass
from typing import Any

from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import option


@dataclass
class AdversarialOptions(ObjectiveOptions):
    """A critic learns to distinguish real images from generated ones, a generator to deceive it. For model=gan."""

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
