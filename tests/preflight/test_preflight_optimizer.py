"""Findings on arguments of optimizers, losses and callbacks. No batch is needed, so that none is run."""

import re
from dataclasses import replace

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from keras import layers

from pipeline.preflight import loss_checks, optimizer_checks, training_checks
from pipeline.preflight.forward_pass import predict
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import EarlyStopping, Plateau

RATE = {"Adam": 0.001, "RMSprop": 0.001, "SGD": 0.01}
# 20 steps in all
WRONG = {
    ("Adam", "beta_1", 1.0): "optimizer-argument",
    ("Adam", "beta_2", 1.2): "optimizer-argument",
    ("Adam", "epsilon", -1e-7): "optimizer-argument",
    ("Adam", "clipnorm", 0.0): "optimizer-argument",
    ("RMSprop", "rho", 1.0): "optimizer-argument",
    ("SGD", "momentum", 1.0): "optimizer-argument",
    ("SGD", "clipvalue", -1.0): "optimizer-argument",
    ("SGD", "weight_decay", -0.1): "optimizer-argument",
    ("SGD", "loss_scale_factor", 0.0): "optimizer-argument",
    ("SGD", "gradient_accumulation_steps", 21): "accumulation-exceeds-run",
    ("Adam", "weight_decay", 1000.0): "weight-decay-large",
}
RIGHT = [
    ("Adam", {"beta_1": 0.0, "beta_2": 0.999, "epsilon": 0.0, "clipnorm": 1.0, "ema_momentum": 1.0}),
    ("Adam", {"epsilon": 0.1, "weight_decay": 0.1, "gradient_accumulation_steps": 20, "clipvalue": 0.5}),
    ("SGD", {"momentum": 0.99, "nesterov": True, "weight_decay": 5e-4, "loss_scale_factor": 1024.0}),
    ("RMSprop", {"rho": 0.0, "momentum": 0.9, "use_ema": True, "ema_momentum": 0.9}),
]


def codes(checks):
    return {finding.code: finding for finding in checks}


def optimizer_findings(prepared, optimizer):
    return codes(optimizer_checks.check(prepared([layers.Dense(3, "softmax")], optimizer=optimizer)))


@pytest.mark.parametrize("case", WRONG, ids=str)
def test_optimizer_argument_outside_its_range_is_found_and_its_fix_clears_it(prepared, case):
    name, argument, value = case
    options = Optimizer(name, {"learning_rate": RATE[name], argument: value})
    found = optimizer_findings(prepared, options)
    assert [*found] == [WRONG[case]]
    (fix,) = re.fullmatch(r"Set (\S+=\S+)", found[WRONG[case]].fix).groups()
    (override,) = OverridesParser.create().parse_overrides([fix])
    assert override.key_or_group == f"optimizer.config.{argument}"
    assert optimizer_findings(prepared, Optimizer(name, options.config | {argument: override.value()})) == {}


@pytest.mark.parametrize("case", RIGHT, ids=str)
def test_optimizer_arguments_inside_their_ranges_give_no_finding(prepared, case):
    name, config = case
    assert optimizer_findings(prepared, Optimizer(name, {"learning_rate": RATE[name], **config})) == {}


def loss_findings(prepared, loss, config, kind="class"):
    setup = prepared([layers.Dense(3, "softmax")], kind, loss={"class_name": loss, "config": config})
    return codes(loss_checks.check(setup, predict(setup, next(iter(setup.feed.batches(0)))[0])))


@pytest.mark.parametrize(
    ("loss", "config", "kind", "code"),
    [
        ("CategoricalCrossentropy", {"label_smoothing": 1.0}, "one_hot", "loss-argument"),
        ("CategoricalFocalCrossentropy", {"gamma": -2.0}, "class", "loss-argument"),
        ("SparseCategoricalCrossentropy", {"ignore_class": 1}, "class", "ignored-class"),
        ("CategoricalCrossentropy", {"label_smoothing": 0.2}, "one_hot", None),
        ("SparseCategoricalCrossentropy", {"ignore_class": -1}, "class", None),
    ],
)
def test_loss_argument_that_leaves_out_labels_is_found_and_its_fix_clears_it(prepared, loss, config, kind, code):
    found = loss_findings(prepared, loss, config, kind)
    assert [*found] == ([code] if code else [])
    if code:
        (name,) = re.match(r"Set objective\.loss=(\w+)", found[code].fix).groups()
        assert loss_findings(prepared, name, {}, kind) == {}


@pytest.mark.parametrize(
    ("training", "code"),
    [
        ({"early_stopping": EarlyStopping(3), "plateau": Plateau(3)}, "plateau-after-stopping"),
        ({"early_stopping": EarlyStopping(1), "plateau": Plateau(2)}, "plateau-after-stopping"),
        ({"early_stopping": EarlyStopping(3, "accuracy")}, "monitor-training"),
        ({"plateau": Plateau(2, factor=0)}, "plateau-without-use"),
        ({"plateau": Plateau(2, min_lr=0.01)}, "plateau-without-use"),
        ({"early_stopping": EarlyStopping(3), "plateau": Plateau(2)}, None),
        ({"early_stopping": EarlyStopping(2), "plateau": Plateau(3, "val_accuracy")}, None),
        ({"early_stopping": EarlyStopping(3, "loss"), "validation": False}, None),
    ],
)
def test_callbacks_without_use_are_found_and_each_fix_clears_them(prepared, training, code):
    def findings(options):
        model = [layers.Dense(3, "softmax")]
        return codes(training_checks.check(prepared(model, metrics=["accuracy"], epochs=20, **options)))

    found = findings(training)
    assert [*found] == ([code] if code else [])
    for override in OverridesParser.create().parse_overrides(
        re.findall(r"training\S+=[^\s,]+", found[code].fix) if code else []
    ):
        _, callback, option = override.key_or_group.split(".")
        assert findings(training | {callback: replace(training[callback], **{option: override.value()})}) == {}
