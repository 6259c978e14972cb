"""Findings on training options that do not fit the metrics, the optimizer or the data."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from keras import layers

from pipeline.spec import class_label
from pipeline.training.optimizer import Optimizer, Schedule
from pipeline.training.options import EarlyStopping, Plateau
from pipeline.training.tape import Tape


def head():
    return [layers.Dense(3, "softmax")]


def cosine(steps, **config):
    return schedule("CosineDecay", decay_steps=steps, **config)


def schedule(name, **config):
    return ("SGD", {"learning_rate": {"class_name": name, "config": {"initial_learning_rate": 0.1, **config}}})


def exponential(steps, rate):
    return schedule("ExponentialDecay", decay_steps=steps, decay_rate=rate)


def piecewise(*boundaries):
    values = [0.1 / 10**step for step in range(len(boundaries) + 1)]
    config = {"boundaries": list(boundaries), "values": values}
    return ("SGD", {"learning_rate": {"class_name": "PiecewiseConstantDecay", "config": config}})


def typed(name, **options):
    return Optimizer("SGD", learning_rate=0.1, schedule=Schedule(name, **options))


# 50 training rows in batches of 16 are 4 steps an epoch, 20 in the 5 epochs
WRONG = {
    "a misspelt monitor": ("monitor-unknown", {"early_stopping": EarlyStopping(2, "val_los")}),
    "a metric that is not there": ("monitor-unknown", {"plateau": Plateau(2, "val_accuracy")}),
    "validation without rows": ("monitor-unknown", {"early_stopping": EarlyStopping(2), "validation": False}),
    "max of a loss": ("monitor-mode", {"early_stopping": EarlyStopping(2, "val_loss", "max")}),
    "min of an accuracy": ("monitor-mode", {"metrics": ["accuracy"],
                                            "early_stopping": EarlyStopping(2, "val_accuracy", "min")}),
    "max of the training loss": ("monitor-mode", {"plateau": Plateau(2, "loss", "max")}),
    "patience of the whole run": ("patience-too-long", {"early_stopping": EarlyStopping(5)}),
    "plateau's patience": ("patience-too-long", {"plateau": Plateau(50)}),
    "plateau beside a schedule": ("plateau-with-schedule", {"plateau": Plateau(2), "optimizer": cosine(20)}),
    "half a cosine": ("schedule-shorter", {"optimizer": cosine(10)}),
    "a cosine of ten runs": ("schedule-longer", {"optimizer": cosine(200)}),
    "a warm-up beyond the run": ("schedule-longer", {"optimizer": cosine(100, warmup_target=0.2, warmup_steps=50)}),
    "a decay to nothing": ("schedule-shorter", {"optimizer": exponential(1, 0.3)}),
    "a decay that never comes": ("schedule-longer", {"optimizer": exponential(10**5, 0.9)}),
    "a typed cosine of half the run": ("schedule-shorter", {"optimizer": typed("cosine", decay_steps=10)}),
    "a typed cosine of ten runs": ("schedule-longer", {"optimizer": typed("cosine", decay_steps=200)}),
    "a typed warm-up beyond the run": ("schedule-longer", {"optimizer": typed("constant", warmup_steps=100)}),
    "steps down at once": ("schedule-shorter", {"optimizer": piecewise(2, 4)}),
    "steps down beyond the run": ("schedule-longer", {"optimizer": piecewise(100, 200)}),
    "a rate that is no number": ("learning-rate-zero", {"optimizer": ("SGD", {"learning_rate": float("nan")})}),
    "a rate of 0": ("learning-rate-zero", {"optimizer": ("SGD", {"learning_rate": 0.0})}),
    "a rate for another optimizer": ("learning-rate-range", {"optimizer": ("Adam", {"learning_rate": 1.0})}),
    "a tiny rate": ("learning-rate-range", {"optimizer": ("SGD", {"learning_rate": 1e-9})}),
    "a rate of Adam's for Adadelta": ("learning-rate-range", {"optimizer": ("Adadelta", {"learning_rate": 1e-5})}),
    "a batch of all rows and more": ("batch-exceeds-data", {"batch_size": 64}),
    "one step in all": ("few-steps", {"batch_size": 50, "epochs": 1}),
    "more steps a call than an epoch has": ("steps-per-execution", {"steps_per_execution": 32}),
    "XLA under determinism": ("jit-left-out", {"jit": "always"}),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_training_option_without_sense_gives_its_finding(found, case):
    code, options = WRONG[case]
    assert code in found(head(), **options)


def changed(owner, path, value):
    """Return a copy of options, or of their serialized form, with one value changed."""
    if not path:
        return value
    name, *rest = path
    if isinstance(owner, dict):
        return {**owner, name: changed(owner.get(name), rest, value)}
    return replace(owner, **{name: changed(getattr(owner, name), rest, value)})


@pytest.mark.parametrize("case", WRONG)
def test_fix_of_a_training_finding_removes_it(found, case):
    code, options = WRONG[case]
    fixed = []
    for alternative in found(head(), **options)[code].fix.split(", or "):
        arguments = re.findall(r"[\w.]+=[^\s,]+", alternative)
        new = dict(options)
        if isinstance(new.get("optimizer"), tuple):
            new["optimizer"] = Optimizer(*new["optimizer"])
        for override in OverridesParser.create().parse_overrides(arguments):
            new = changed(new, override.key_or_group.removeprefix("training.").split("."), override.value())
        if arguments and "determinism" not in new:  # the process has op determinism
            fixed.append(alternative)
            assert code not in found(head(), **new), alternative
    assert fixed or case.startswith("steps down")  # boundaries: the fix has no single value


def test_operation_that_xla_cannot_compile_gives_a_finding(found):
    pooled = [
        layers.Dense(2),
        layers.MaxPooling1D(2),
        layers.Flatten(),
        *head(),
    ]  # XLA cannot compile its gradient under op determinism
    assert "jit-refused" in found(pooled, shape=(6, 2), engine=Tape, jit="always")
    assert "jit-refused" not in found([layers.Flatten(), *head()], shape=(6, 2), engine=Tape, jit="always")


RIGHT = {
    "early stopping": {"early_stopping": EarlyStopping(2)},
    "early stopping on accuracy": {"metrics": ["accuracy"], "early_stopping": EarlyStopping(2, "val_accuracy", "max")},
    "mode auto of AUC": {"metrics": ["AUC"], "kind": "one_hot", "early_stopping": EarlyStopping(2, "val_auc")},
    "plateau": {"plateau": Plateau(2)},
    "a cosine over the run": {"optimizer": cosine(20)},
    "a cosine of its own length": {"optimizer": schedule("CosineDecay")},
    "warm-up and cosine": {"optimizer": cosine(15, warmup_target=0.2, warmup_steps=5)},
    "a typed cosine": {"optimizer": typed("cosine")},
    "a typed warm-up": {"optimizer": typed("constant", warmup_steps=4)},
    "a typed warm-up and linear decay": {"optimizer": typed("linear", warmup_steps=4)},
    "a typed warm-up and exponential decay": {"optimizer": typed("exponential", warmup_steps=4, final_share=0.5)},
    "exponential decay": {"optimizer": exponential(5, 0.9)},
    "two steps down": {"optimizer": piecewise(8, 19)},
    "steps down at half and three quarters": {"optimizer": piecewise(10, 15)},
    "restarts that double": {"optimizer": schedule("CosineDecayRestarts", first_decay_steps=5)},
    "Adadelta at 1": {"optimizer": ("Adadelta", {"learning_rate": 1})},
    "Adam": {"optimizer": ("Adam", {"learning_rate": 0.001})},
    "Lion": {"optimizer": ("Lion", {"learning_rate": 1e-4})},
    "accumulated gradients": {"optimizer": ("SGD", {"learning_rate": 0.1, "gradient_accumulation_steps": 2})},
    "averaged weights": {"optimizer": ("SGD", {"learning_rate": 0.1, "use_ema": True})},
    "clipped gradients": {"optimizer": ("Adam", {"learning_rate": 0.001, "global_clipnorm": 1.0})},
    "mixed float16": {"precision": "mixed_float16"},
    "mixed bfloat16": {"precision": "mixed_bfloat16"},
    "balanced weights": {"class_weight": "balanced"},
}  # fmt: skip


@pytest.mark.parametrize("case", RIGHT)
def test_reasonable_training_options_give_no_finding(found, case):
    findings = found([layers.Dense(4), layers.Dense(3, "softmax", dtype="float32")], **RIGHT[case])
    assert {*findings} & {code for code, _ in WRONG.values()} == set()
    assert [str(finding) for finding in findings.values() if finding.is_error] == []


@pytest.mark.parametrize("batch_size", [1, 7, 16, 64])
def test_epoch_has_every_row_of_the_training_split_once(prepared, batch_size):
    setup = prepared(head(), batch_size=batch_size)
    batches = [x for x, _ in setup.feed.batches(0).as_numpy_iterator()]
    rows = np.concatenate(batches)
    assert len(batches) == setup.feed.steps
    np.testing.assert_array_equal(np.sort(rows, axis=0), np.sort(setup.data.train.features["x"], axis=0))


def test_float16_without_loss_scaling_gives_an_error(found):
    half = [layers.Dense(4, dtype="float16"), layers.Dense(3, "softmax", dtype="float32")]
    assert found(half)["float16-without-loss-scale"].is_error


def test_monitor_whose_direction_keras_does_not_know_needs_a_mode(found):
    labels = {name: (class_label(range(size)), np.arange(60) % size) for name, size in
              (("p", 2), ("q", 3))}  # fmt: skip

    def build(x):
        return {"p": layers.Dense(2, "softmax", name="p")(x), "q": layers.Dense(3, "softmax", name="q")(x)}

    options = {"labels": labels, "metrics": ["accuracy"]}
    assert "monitor-direction" in found(build, early_stopping=EarlyStopping(2, "val_p_accuracy"), **options)
    assert "monitor-direction" not in found(build, early_stopping=EarlyStopping(2, "val_p_accuracy", "max"), **options)
    assert "monitor-mode" in found(build, early_stopping=EarlyStopping(2, "val_p_accuracy", "min"), **options)


def test_schedule_is_checked_beyond_the_steps_of_an_int32(found):
    assert "schedule-shorter" in found(head(), optimizer=piecewise(10), epochs=10**6)
