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
CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
STAYS = 1e-5  # change over the run, as a share of the largest weight, below which nothing is learned
LARGE_EPSILON = 1.0  # added to the root of the mean square of a gradient
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


def check_update(setup: Setup, *, erased: tuple[str, ...], change: float, weight: float) -> Iterator[Finding]:
    """Yield the findings on the first update: it erased weights, or all updates of the run would hardly change them.

    Args:
        setup: The set-up.
        erased: The paths of the variables of which nearly nothing is left.
        change: The largest change of a number in the trained variables.
        weight: The largest absolute number in them.
    """
    optimizer = setup.model.optimizer
    if optimizer is None or inner(optimizer) is not optimizer or optimizer.gradient_accumulation_steps:
        return  # with a scaled loss, or accumulated gradients, the first step may change nothing
    if erased:
        decay = {"option": _option(setup, "weight_decay"), "value": USUAL_DECAY} if optimizer.weight_decay else {}
        yield finding("weights-erased", ", ".join(erased[:3]), "nearly nothing is left after one update.", **decay)
    schedule = learning_rate_schedule(optimizer)
    first = float(optimizer.learning_rate if schedule is None else schedule(0))
    if first <= 0:  # a warm-up from 0
        return
    growth = 1.0 if schedule is None else _largest_rate(setup, schedule) / first
    over_run = change * growth * setup.config.training.total_steps(setup.feed.steps)
    if over_run < STAYS * weight:
        found = f"the first update changes no weight by more than {change:.1e}; the largest weight is {weight:.2g}."
        option, value = _cause(setup, optimizer)
        yield finding("update-without-effect", option, found, option=option, value=value)


def _cause(setup: Setup, optimizer: keras.optimizers.Optimizer) -> tuple[str, object]:
    """Return the option that probably makes updates small, and another value for it."""
    clip = next((name for name in CLIPS if getattr(optimizer, name) is not None), None)
    if clip is not None:
        return _option(setup, clip), "null"
    if getattr(optimizer, "epsilon", 0) > LARGE_EPSILON:
        return _option(setup, "epsilon"), 1e-7
    return setup.config.optimizer.rate_key, 0.001


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
