"""Compare the steps of a GAN and of MAML with the same steps written by hand, with the same steps per call."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras

from benchmarks import plain_loop
from benchmarks.engines import Problem, in_turn
from pipeline.cli import compose as composition
from pipeline.config import Config
from pipeline.data.splits import SplitDataset
from pipeline.experiment import build
from pipeline.training.initial_model import initial_model

TASKS = 2_500  # 100 steps per epoch


def run(folder: Path) -> None:
    """Print the ratios of steps per second."""
    gan = ("experiment=digits_gan",)
    compare_with_hand("digits GAN", gan, partial(gan_by_hand, iterators=plain_loop.one_each), epochs=20)
    fastest = partial(gan_by_hand, iterators=plain_loop.one_for_all)
    compare_with_hand("digits GAN, one iterator by hand", gan, fastest, epochs=20)
    compare_with_hand("sine waves MAML", ("experiment=sinusoids_maml", f"data.tasks={TASKS}"), maml_by_hand, epochs=2)


def compare_with_hand(
    title: str, overrides: tuple[str, ...], by_hand: Callable[[Config, SplitDataset], Iterator[Any]], *, epochs: int
) -> None:
    """Print the speed of the pipeline relative to a loop written by hand.

    Args:
        title: Of the printed line.
        overrides: Of the config.
        by_hand: Returns an iterator that trains one epoch each time it is advanced.
        epochs: Epochs of each side per comparison.
    """
    problem = Problem(title, overrides)
    theirs = by_hand(composition.compose([*overrides]), problem.data)
    in_turn(title, problem, (), theirs, epochs)


def gan_by_hand(config: Config, data: SplitDataset, iterators: Callable[..., Any]) -> Iterator[Any]:
    """Return the loop of a GAN written by hand, with the networks of the pipeline, so that only the step differs."""
    model = initial_model(config, data.spec, data.train)
    critic = config.objective.options_of_critic_optimizer(config.optimizer)
    optimizers = [options.build(1) for options in (config.optimizer, critic)]
    (images,), (classes,) = data.train.features.values(), data.train.labels.values()
    return plain_loop.gan(
        images,
        classes,
        keras.Sequential(model.front),
        model.generator,
        model.critic,
        config.training.batch_size,
        config.training.steps_per_execution,
        optimizers,
        iterators,
    )


def maml_by_hand(config: Config, data: SplitDataset) -> Iterator[Any]:
    """Return the loop of MAML written by hand."""
    dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
    (x,), (y,) = data.train.features.values(), data.train.labels.values()
    return plain_loop.maml(
        x,
        y,
        [*dense, keras.layers.Dense(1)],
        config.objective.support,
        config.objective.inner_rate,
        config.objective.inner_steps,
        config.training.batch_size,
        config.training.steps_per_execution,
        config.optimizer.build(build(config, data).total_steps),
    )
