"""Compare the steps of a GAN and of MAML with the same steps written by hand, with the same steps per call."""

from collections.abc import Callable, Iterator
from functools import partial

import keras

from benchmarks import plain_loop
from benchmarks.engines import Problem, arrays_of, compare_with_loop
from pipeline.cli import compose as composition
from pipeline.config import Config
from pipeline.data.splits import SplitDataset
from pipeline.experiment import build
from pipeline.layers.generative_adversarial_network import GenerativeAdversarialNetwork
from pipeline.models.mlp import Mlp
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.maml import MamlOptions
from pipeline.training.initial_model import initial_model

TASKS = 2_500  # 100 steps per epoch


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    gan = ("experiment=digits_gan",)
    one_each = partial(gan_by_hand, iterators=plain_loop.one_each)
    compare_with_hand("digits GAN", gan, one_each, epochs=20)
    one_for_all = partial(gan_by_hand, iterators=plain_loop.one_for_all)
    compare_with_hand("digits GAN, one iterator by hand", gan, one_for_all, epochs=20)
    compare_with_hand("sine waves MAML", ("experiment=sinusoids_maml", f"data.tasks={TASKS}"), maml_by_hand, epochs=2)


def compare_with_hand(
    title: str, overrides: tuple[str, ...], by_hand: Callable[[Config, SplitDataset], Iterator[None]], *, epochs: int
) -> None:
    """Print the ratio of the pipeline's pace to that of a loop written by hand.

    Args:
        title: Of the printed lines.
        overrides: Of the config.
        by_hand: Returns an iterator that trains one epoch per item.
        epochs: The number of epochs of a turn.
    """
    problem = Problem(title, overrides)
    loop = by_hand(composition.compose([*overrides]), problem.data)
    compare_with_loop(title, problem, loop, epochs=epochs)


def gan_by_hand(config: Config, data: SplitDataset, iterators: plain_loop.Iterators) -> Iterator[None]:
    """Return a GAN's loop written by hand, with the networks of the pipeline, so that only the step differs."""
    model = initial_model(config, data.spec, data.train)
    assert isinstance(model, GenerativeAdversarialNetwork)
    assert isinstance(config.objective, AdversarialOptions)
    images, classes = arrays_of(data.train)
    return plain_loop.gan(
        images,
        classes,
        keras.Sequential(model.front),
        generator=model.generator,
        critic=model.critic,
        generator_optimizer=config.optimizer.build(1),
        critic_optimizer=config.objective.options_of_critic_optimizer(config.optimizer).build(1),
        batch_size=config.training.batch_size,
        steps_per_call=config.training.steps_per_execution,
        iterators=iterators,
    )


def maml_by_hand(config: Config, data: SplitDataset) -> Iterator[None]:
    """Return the loop of MAML written by hand."""
    assert isinstance(config.model, Mlp)
    assert isinstance(config.objective, MamlOptions)
    dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
    x, y = arrays_of(data.train)
    return plain_loop.maml(
        x,
        y,
        [*dense, keras.layers.Dense(1)],
        config.optimizer.build(build(config, data).total_steps),
        support=config.objective.support,
        inner_rate=config.objective.inner_rate,
        inner_steps=config.objective.inner_steps,
        batch_size=config.training.batch_size,
        steps_per_call=config.training.steps_per_execution,
    )
