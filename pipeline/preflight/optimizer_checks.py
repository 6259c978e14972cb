"""Checks of the arguments of the optimizers: ranges, accumulated gradients and weight decay."""

import inspect
from collections.abc import Callable, Iterator

import keras
import numpy as np

from pipeline.keras_internals import learning_rate_schedule
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup
from pipeline.training.optimizer import ARGUMENTS as TYPED

Range = tuple[str, Callable[[float], bool]]  # (in words, whether a value lies in it)
SHARE: Range = ("from 0 to below 1", lambda value: 0 <= value < 1)  # of a moving average
POSITIVE: Range = ("above 0", lambda value: value > 0)
NOT_NEGATIVE: Range = ("0 or more", lambda value: value >= 0)
RANGES = {
    **dict.fromkeys(("beta_1", "beta_2", "adam_beta_1", "adam_beta_2", "rho", "momentum", "ema_momentum"), SHARE),
    **dict.fromkeys(("clipnorm", "clipvalue", "global_clipnorm", "clip_threshold", "loss_scale_factor"), POSITIVE),
    **dict.fromkeys(("epsilon", "epsilon_1", "epsilon_2", "weight_decay", "initial_accumulator_value"), NOT_NEGATIVE),
    **dict.fromkeys(("l1_regularization_strength", "l2_regularization_strength", "beta"), NOT_NEGATIVE),
}
ONLY_WITH = {"ema_momentum": "use_ema"}  # argument -> the argument that it needs to be used
LARGE_DECAY = 0.02  # share of a weight that a step subtracts; half of the weight is gone in 34 steps
USUAL_DECAY, SMALL_DECAY = 0.004, 1e-3  # weight decay of Keras's AdamW; share per step that changes little


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the findings on the arguments of the optimizers."""
    own = inner(setup.model.optimizer) if setup.model.optimizer is not None else None
    optimizers = {id(found): found for found in (inner(update.optimizer) for update in setup.objective.updates())}
    for optimizer in optimizers.values():
        yield from _check_ranges(setup, optimizer, is_own=optimizer is own)
    if own is not None:
        yield from _check_accumulation(setup, own)
        yield from _check_weight_decay(setup, own)


def inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer inside the scaling of the loss."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def _check_ranges(setup: Setup, optimizer: keras.optimizers.Optimizer, *, is_own: bool) -> Iterator[Finding]:
    config, name = optimizer.get_config(), type(optimizer).__name__
    for argument, (wanted, is_inside) in RANGES.items():
        value = config.get(argument)
        if not isinstance(value, (int, float)) or is_inside(value) or not config.get(ONLY_WITH.get(argument, ""), True):
            continue
        default = inspect.signature(type(optimizer)).parameters[argument].default
        fix = {"option": _option(setup, argument), "value": "null" if default is None else default} if is_own else {}
        found = f"{name} with {argument} {value:g}; its range is {wanted}."
        yield finding("optimizer-argument", _option(setup, argument) if is_own else name, found, **fix)


def _check_accumulation(setup: Setup, optimizer: keras.optimizers.Optimizer) -> Iterator[Finding]:
    accumulated = optimizer.gradient_accumulation_steps
    total = setup.config.training.total_steps(setup.feed.steps)
    if accumulated and accumulated > total:
        option, value = _option(setup, "gradient_accumulation_steps"), total // 10 if total >= 20 else "null"
        found = f"gradients of {accumulated:,} steps are accumulated, and the run has {total:,} steps."
        yield finding("accumulation-exceeds-run", option, found, option=option, value=value)


def _check_weight_decay(setup: Setup, optimizer: keras.optimizers.Optimizer) -> Iterator[Finding]:
    schedule = learning_rate_schedule(optimizer)
    rate = float(optimizer.learning_rate) if schedule is None else _largest_rate(setup, schedule)
    decay = optimizer.weight_decay
    if decay and decay * rate >= LARGE_DECAY:
        option = _option(setup, "weight_decay")
        found = (
            f"weight decay {decay:g} times learning rate {rate:g} subtracts {decay * rate:.0%} of a weight per step."
        )
        value = f"{min(USUAL_DECAY, SMALL_DECAY / rate):.0e}"
        yield finding("weight-decay-large", option, found, option=option, value=value)


def _largest_rate(setup: Setup, schedule: keras.optimizers.schedules.LearningRateSchedule) -> float:
    steps = np.linspace(0, setup.config.training.total_steps(setup.feed.steps), 16).astype(int)
    return max(float(schedule(int(step))) for step in steps)


def _option(setup: Setup, argument: str) -> str:
    """Return the key that sets an argument of the optimizer, as it is typed: it may be new in `config`."""
    options = setup.config.optimizer
    for name, typed in TYPED.items():
        if typed == argument and (getattr(options, name) is not None or argument not in options.config):
            return options.place(name)
    return f"++{options.place('config')}.{argument}"
