"""The steps of a GAN and of MAML against the same written by hand, as many steps a call on both sides."""

from functools import partial

import keras

from benchmarks import plain_loop
from benchmarks.engines import Problem, in_turn
from pipeline.cli import compose as composition
from pipeline.data import input_pipeline
from pipeline.training.initial_model import initial_model

TASKS = 2_500  # 100 steps an epoch


def run(folder):
    gan = ("experiment=digits_gan",)
    against_hand("digits GAN", gan, partial(gan_by_hand, iterators=plain_loop.one_each), epochs=20)
    best = partial(gan_by_hand, iterators=plain_loop.one_for_all)
    against_hand("digits GAN, one iterator by hand", gan, best, epochs=20)
    against_hand("sine waves MAML", ("experiment=sinusoids_maml", f"data.tasks={TASKS}"), maml_by_hand, epochs=2)


def against_hand(title, words, by_hand, epochs):
    """Print the pipeline's pace against that of a loop written by hand, so many epochs of each in a pair."""
    problem = Problem(title, words)
    theirs = by_hand(composition.compose([*words]), problem.data)
    in_turn(title, problem, (), theirs, epochs)


def gan_by_hand(config, data, iterators):
    """The networks are taken as they are built, so that only the step differs."""
    model = initial_model(config, data.spec, data.train)
    of_critic = config.objective.options_of_critic_optimizer(config.optimizer)
    moves = [each.build(1) for each in (config.optimizer, of_critic)]
    (images,), (classes,) = data.train.features.values(), data.train.labels.values()
    return plain_loop.gan(
        images,
        classes,
        keras.Sequential(model.front),
        model.generator,
        model.critic,
        config.training.batch_size,
        config.training.steps_per_execution,
        moves,
        iterators,
    )


def maml_by_hand(config, data):
    dense = [keras.layers.Dense(units, "relu") for units in config.model.hidden]
    steps = config.training.epochs * input_pipeline.count_steps(data.train, config.data, config.training.batch_size)
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
        config.optimizer.build(steps),
    )
