"""The optimizer's options: the short form, Keras's serialization form, and the learning-rate schedule."""

import re

import numpy as np
import pytest
import yaml

from pipeline import stored_config
from pipeline.cli import compose as composition
from pipeline.config import Config
from pipeline.data.sources.digits import Digits
from pipeline.errors import ConfigError
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs.identity import identity
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer, Schedule

TOTAL = 100


def serialized(name, **config):
    return {"class_name": name, "config": config}


def settings(optimizer, total_steps):
    """Return the config of the Keras optimizer, without its name, which counts up."""
    return {name: value for name, value in optimizer.build(total_steps).get_config().items() if name != "name"}


# short form, and what Keras is given
SHORT = {
    "learning rate": (Optimizer(learning_rate=0.5), {"learning_rate": 0.5}),
    "whole number": (Optimizer(learning_rate=1), {"learning_rate": 1.0}),
    "clip norm": (Optimizer(clip_norm=10.0), {"global_clipnorm": 10.0}),
    "weight decay": (Optimizer("SGD", weight_decay=0.1), {"weight_decay": 0.1}),
    "weight decay of the optimizer": (Optimizer("AdamW"), {"weight_decay": 0.004}),
    "schedule as Keras serializes it": (
        Optimizer(learning_rate=serialized("CosineDecay", initial_learning_rate=0.5)),
        {"learning_rate": serialized("CosineDecay", initial_learning_rate=0.5, decay_steps=TOTAL)},
    ),
    "cosine": (
        Optimizer(learning_rate=0.5, schedule=Schedule("cosine", final_share=0.1)),
        {"learning_rate": serialized("CosineDecay", initial_learning_rate=0.5, decay_steps=TOTAL, alpha=0.1)},
    ),
    "cosine of a rate in config": (
        Optimizer(config={"learning_rate": 0.5}, schedule=Schedule("cosine")),
        {"learning_rate": serialized("CosineDecay", initial_learning_rate=0.5, decay_steps=TOTAL, alpha=0.0)},
    ),
    "linear": (
        Optimizer(learning_rate=0.5, schedule=Schedule("linear", final_share=0.1, decay_steps=7)),
        {"learning_rate": serialized("PolynomialDecay", initial_learning_rate=0.5, decay_steps=7,
                                     end_learning_rate=0.05, power=1.0)},
    ),
    "exponential": (
        Optimizer(learning_rate=0.5, schedule=Schedule("exponential", final_share=0.1)),
        {"learning_rate": serialized("ExponentialDecay", initial_learning_rate=0.5, decay_steps=TOTAL,
                                     decay_rate=0.1)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SHORT)
def test_short_form_builds_the_same_optimizer_as_the_serialization_form(case):
    short, arguments = SHORT[case]
    written_out = Optimizer(short.class_name, arguments)
    assert settings(short, TOTAL) == settings(written_out, TOTAL)


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "exponential"])
def test_warm_up_rises_linearly_and_the_decay_lasts_the_rest_of_the_run(name):
    final = 1.0 if name == "constant" else 0.01
    schedule = Schedule(name, warmup_steps=20, final_share=0.0 if name == "constant" else final)
    rate = schedule.build(0.5, TOTAL)
    found = [float(rate(step)) for step in (0, 9, 19, 20, 100)]
    np.testing.assert_allclose(found, [0.025, 0.25, 0.5, 0.5, 0.5 * final], rtol=1e-5)


# optimizer, and whether the length of the run decides its schedule
LENGTHS = {
    "constant": (Optimizer(learning_rate=0.5), False),
    "warm-up": (Optimizer(learning_rate=0.5, schedule=Schedule(warmup_steps=5)), False),
    "cosine": (Optimizer(learning_rate=0.5, schedule=Schedule("cosine")), True),
    "cosine of its own length": (Optimizer(learning_rate=0.5, schedule=Schedule("cosine", decay_steps=7)), False),
    "CosineDecay": (Optimizer(learning_rate=serialized("CosineDecay", initial_learning_rate=0.5)), True),
    "CosineDecay in config": (
        Optimizer(config={"learning_rate": serialized("CosineDecay", initial_learning_rate=0.5)}), True),
    "CosineDecay with decay_steps": (
        Optimizer(learning_rate=serialized("CosineDecay", initial_learning_rate=0.5, decay_steps=7)), False),
    "ExponentialDecay": (
        Optimizer(learning_rate=serialized("ExponentialDecay", initial_learning_rate=0.5, decay_rate=0.1)), True),
    "PiecewiseConstantDecay": (
        Optimizer(learning_rate=serialized("PiecewiseConstantDecay", boundaries=[3], values=[0.5, 0.1])), False),
    "CosineDecayRestarts": (
        Optimizer(learning_rate=serialized("CosineDecayRestarts", initial_learning_rate=0.5, first_decay_steps=7)),
        False),
}  # fmt: skip


@pytest.mark.parametrize("case", LENGTHS)
def test_run_length_decides_the_schedule_only_if_it_is_part_of_the_identity(case):
    optimizer, depends = LENGTHS[case]
    lengths = [settings(optimizer, total) for total in (TOTAL, 2 * TOTAL)]
    config = Config(Digits(), Mlp(), optimizer, SupervisedOptions(), Fit())
    assert (lengths[0] != lengths[1]) is depends
    assert optimizer.depends_on_run_length is depends
    assert ("training.epochs" in identity(config)["config"]) is depends


REFUSED = {
    "rate twice": ({"learning_rate": 0.1, "config": {"learning_rate": 0.1}}, "optimizer.learning_rate only"),
    "clipping twice": ({"clip_norm": 1.0, "config": {"global_clipnorm": 1.0}}, "optimizer.clip_norm only"),
    "weight decay twice": ({"weight_decay": 0.1, "config": {"weight_decay": 0.1}}, "optimizer.weight_decay only"),
    "rate below 0": (
        {"learning_rate": -0.1},
        "optimizer.learning_rate: expected a number from 0 to 1,000,000; found -0.1",
    ),
    "rate that is no number": ({"learning_rate": float("nan")}, "optimizer.learning_rate: expected a number"),
    "rate in words": ({"learning_rate": "fast"}, "optimizer.learning_rate=0.001"),
    "rate of a boolean": ({"learning_rate": True}, "optimizer.learning_rate=0.001"),
    "schedule without its class": ({"learning_rate": {"initial_learning_rate": 0.1}}, "class_name and config"),
    "two schedules": (
        {"learning_rate": serialized("CosineDecay", initial_learning_rate=0.1), "schedule": Schedule("cosine")},
        "optimizer.schedule.name=constant",
    ),
    "schedule without a rate": ({"schedule": Schedule(warmup_steps=1)}, "optimizer.learning_rate: expected a number"),
    "norm of 0": ({"clip_norm": 0.0}, "optimizer.clip_norm: expected a number above 0 to 1,000,000; found 0.0"),
    "negative weight decay": ({"weight_decay": -1.0}, "optimizer.weight_decay"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_optimizer_options_that_contradict_each_other_are_refused(case):
    options, message = REFUSED[case]
    with pytest.raises(ConfigError, match=re.escape(message)):
        Optimizer(**options)


def test_schedule_options_without_effect_are_refused():
    for options, message in (
        ({"name": "constant", "final_share": 0.1}, "optimizer.schedule.name=cosine"),
        ({"name": "constant", "decay_steps": 5}, "optimizer.schedule.name=cosine"),
        ({"name": "exponential"}, "optimizer.schedule.final_share=0.01"),
        ({"name": "cosin"}, "Did you mean cosine?"),
    ):
        with pytest.raises(ConfigError, match=re.escape(message)):
            Schedule(**options)


def test_command_line_takes_the_short_form_and_keras_serialization_form():
    overrides = ["optimizer.learning_rate=0.5", "optimizer.clip_norm=1", "optimizer.schedule.name=cosine"]
    short = composition.compose(overrides).optimizer
    assert (short.learning_rate, short.clip_norm, short.schedule.name) == (0.5, 1.0, "cosine")
    cosine = "{class_name: CosineDecay, config: {initial_learning_rate: 0.5}}"
    full = composition.compose([f"optimizer.learning_rate={cosine}"])
    assert full.optimizer.learning_rate == serialized("CosineDecay", initial_learning_rate=0.5)
    full = composition.compose(["optimizer.learning_rate=null", f"+optimizer.config.learning_rate={cosine}"])
    assert full.optimizer.depends_on_run_length


def test_learning_rate_in_config_is_refused_with_the_short_form():
    with pytest.raises(ConfigError, match=r"Set optimizer\.learning_rate only"):
        composition.compose(["optimizer.config.learning_rate=0.1"])
    with pytest.raises(ConfigError, match=r"Set optimizer\.learning_rate only"):
        composition.compose(["+optimizer.config.learning_rate=0.1"])


def test_config_stored_before_the_short_form_existed_builds_the_same_optimizer(tmp_path):
    values = yaml.safe_load(stored_config.to_yaml(composition.compose(["optimizer=adam_cosine"])))
    now = values["optimizer"]
    values["optimizer"] = {
        "class_name": "Adam",
        "config": {
            "learning_rate": serialized("CosineDecay", initial_learning_rate=0.002, alpha=0.0),
            "global_clipnorm": 10.0,
            **now["config"],
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    stored = stored_config.read(tmp_path / "config.yaml")
    current = composition.compose(["optimizer=adam_cosine", "optimizer.clip_norm=10"])
    assert settings(stored.optimizer, TOTAL) == settings(current.optimizer, TOTAL)
