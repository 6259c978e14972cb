"""Checks of the training config: against the logged values, the optimizer and the size of the data."""

from collections.abc import Iterator

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from pipeline.errors import nearest
from pipeline.keras_internals import better_direction, learning_rate_schedule
from pipeline.layer_names import keras_log_name, layer_name, original_log_name
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.optimizer_checks import inner
from pipeline.preflight.setup import Setup
from pipeline.training.optimizer import Optimizer

FEW_STEPS = 10
PROBES = 64  # steps of the run at which the schedule is evaluated
EARLY = 0.9  # share of the run before which a schedule must not have ended
EARLY_STEP = 0.5  # the same for a schedule of constant pieces, the last of which is often a quarter of the run or more
STILL = 1e-2  # relative change of the learning rate below which it does not change

# Learning rates between which models are trained with each optimizer: about a hundredth of Keras's default to fifty
# times it, wider where practice is (SGD up to 1; Adadelta, whose own scale makes 1 usual; Lion, whose authors advise a
# third to a tenth of Adam's: Chen et al. 2023)
RANGES = {
    "SGD": (1e-5, 1.0),
    "Adam": (1e-6, 3e-2),
    "AdamW": (1e-6, 3e-2),
    "Nadam": (1e-6, 3e-2),
    "Adamax": (1e-6, 5e-2),
    "RMSprop": (1e-6, 3e-2),
    "Adagrad": (1e-4, 1.0),
    "Adadelta": (1e-4, 10.0),
    "Adafactor": (1e-5, 1e-1),
    "Ftrl": (1e-4, 1.0),
    "Lion": (1e-7, 3e-3),
    "Lamb": (1e-5, 1e-1),
    "Muon": (1e-5, 1e-1),
}


def check(setup: Setup) -> Iterator[Finding]:
    """Yield the findings on the training config."""
    yield from _check_monitors(setup)
    yield from _check_learning_rate(setup)
    yield from _check_jit(setup)
    yield from _check_precision(setup)
    yield from _check_sizes(setup)


def _check_monitors(setup: Setup) -> Iterator[Finding]:
    training = setup.config.training
    logged = list(setup.objective.log_names())
    if setup.data.validation is not None:
        logged += [f"val_{name}" for name in setup.objective.validation_names()]
    known = [original_log_name(name, setup.spec.labels) for name in logged]
    for key, callback in setup.callbacks.items():
        if callback.patience is None:
            continue
        if callback.monitor not in (*known, *logged):
            found = f"no epoch logs {callback.monitor!r}. {nearest(callback.monitor, known)}"
            yield finding("monitor-unknown", f"{key}.monitor", found, callback=key, monitor=known[-1])
            continue
        best = _better_direction(setup, callback.monitor)
        if callback.mode == "auto" and not _keras_knows_direction(setup, callback.monitor):
            found = f"mode auto for {callback.monitor!r}, whose better direction Keras does not know."
            yield finding("monitor-direction", f"{key}.mode", found, callback=key, mode=best or "min")
        elif callback.mode != "auto" and best not in (None, callback.mode):
            found = f"mode {callback.mode} for {callback.monitor!r}, whose best value is its {best}."
            yield finding("monitor-mode", f"{key}.mode", found, callback=key, mode=best)
        if f"val_{callback.monitor}" in known:
            found = f"{callback.monitor!r} is that of the training rows, and there are validation rows."
            values = {"callback": key, "monitor": f"val_{callback.monitor}"}
            yield finding("monitor-training", f"{key}.monitor", found, **values)
        if callback.patience >= training.epochs:
            found = f"patience of {callback.patience} in a run of {training.epochs} epochs."
            patience = training.epochs // 3 or "null"
            yield finding("patience-too-long", f"{key}.patience", found, callback=key, patience=patience)
    if training.plateau.patience is not None:
        yield from _check_plateau(setup)


def _check_plateau(setup: Setup) -> Iterator[Finding]:
    plateau, stopping = setup.config.training.plateau, setup.config.training.early_stopping
    optimizer, patience = inner(setup.model.optimizer), plateau.patience or 0
    if learning_rate_schedule(optimizer) is not None:
        yield finding("plateau-with-schedule", plateau.key, "the optimizer's learning rate is a schedule.")
        return
    rate = float(optimizer.learning_rate)
    if plateau.factor == 0 and plateau.min_lr == 0:
        found, option = "the learning rate becomes 0 at the first plateau.", plateau.place("factor")
        yield finding("plateau-without-use", option, found, option=option, value=0.1)
    elif plateau.min_lr >= rate > 0:
        found, option = f"{plateau.min_lr:g}, and the learning rate is {rate:g}.", plateau.place("min_lr")
        yield finding("plateau-without-use", option, found, option=option, value=0)
    if stopping.patience is not None and stopping.monitor == plateau.monitor and patience >= stopping.patience:
        found = f"patience of {patience} epochs, and early stopping has {stopping.patience}."
        shorter = {"patience": stopping.patience // 2} if stopping.patience >= 2 else {}
        yield finding("plateau-after-stopping", plateau.place("patience"), found, longer=3 * patience, **shorter)


def _keras_knows_direction(setup: Setup, monitor: str) -> bool:
    """Return whether Keras's callbacks know the better direction: that of a metric with exactly this name."""
    name = monitor.removeprefix("val_")
    metrics = [metric for of_label in setup.metrics.values() for metric in of_label]
    return name == "loss" or any(metric.name == name and better_direction(metric) is not None for metric in metrics)


def _better_direction(setup: Setup, monitor: str) -> str | None:
    """Return the better direction of a logged value: "min", "max", or None if it is not known."""
    name = keras_log_name(monitor, setup.spec.labels).removeprefix("val_")
    if name == "loss":
        return "min"
    for label, metrics in setup.metrics.items():
        if name == f"{layer_name(label)}_loss":
            return "min"
        for metric in metrics:
            if name in (metric.name, f"{layer_name(label)}_{metric.name}"):
                return better_direction(metric)
    return setup.config.objective.better_direction(name)


def _check_learning_rate(setup: Setup) -> Iterator[Finding]:
    optimizer, options = inner(setup.model.optimizer), setup.config.optimizer
    schedule = learning_rate_schedule(optimizer)
    if schedule is None:
        rates = np.array([float(optimizer.learning_rate)])
    else:
        total = setup.config.training.total_steps(setup.feed.steps)
        steps = np.unique(np.linspace(0, max(total - 1, 0), PROBES).astype(int))
        rates = np.array([float(schedule(int(step))) for step in steps])
        yield from _check_schedule(options, schedule, rates=rates, steps=steps, total=total)
    key = options.rate_key
    if not (rates.max() > 0 and rates.min() >= 0):  # NaN as well
        found = f"from {rates.min():g} to {rates.max():g}."
        yield finding("learning-rate-zero", key, found, option=key, learning_rate=0.001)
        return
    names = (kind.__name__ for kind in type(optimizer).__mro__)
    low, high = next((RANGES[name] for name in names if name in RANGES), (0, np.inf))
    if not low <= rates.max() <= high:
        found = f"{type(optimizer).__name__} at {rates.max():g}; usual are {low:g} to {high:g}."
        rate = f"{np.sqrt(low * high):.0e}"
        yield finding("learning-rate-range", key, found, option=key, learning_rate=rate)


def _check_schedule(
    options: Optimizer, schedule: LearningRateSchedule, *, rates: np.ndarray, steps: np.ndarray, total: int
) -> Iterator[Finding]:
    """Check that a schedule with an end ends with the run, and that one without an end changes the learning rate.

    Args:
        options: The options of the optimizer.
        schedule: Its schedule.
        rates: The learning rates at some steps.
        steps: These steps.
        total: The number of steps of the run.
    """
    decay = getattr(schedule, "after", schedule)  # without the warm-up before it
    far = 1e3 * total + 1e9
    last, later = float(schedule(far)), float(schedule(2.6 * far))  # at 2 * far, restarts that double look ended
    has_end = last == later and not hasattr(decay, "decay_rate")  # exponential decay comes near 0 without an end
    key, values = options.rate_key, _end_with_run(options, schedule, total)
    if np.allclose(rates, rates[0], rtol=STILL, atol=0):
        if not np.isclose(last, rates[0], rtol=STILL, atol=0):
            found = f"the learning rate goes from {rates[0]:g} to {rates[-1]:g} in the {total:,} steps of the run."
            yield finding("schedule-longer", key, found, **values)
        return
    if last != later:
        return
    span = max(abs(rates.max() - last), abs(float(schedule(0)) - last))
    changing = np.abs(rates - last) > 1e-3 * span
    end = int(steps[changing].max()) + 1 if changing.any() else 0
    if callable(decay) and end / total < (EARLY_STEP if hasattr(decay, "boundaries") else EARLY):
        found = f"the schedule has ended by step {end:,} of {total:,}, at {last:g}."
        yield finding("schedule-shorter", key, found, **values)
    elif has_end and abs(rates[-1] - last) > 0.1 * span:
        found = f"the run ends after {total:,} steps at {rates[-1]:g}; the schedule would end at {last:g}."
        yield finding("schedule-longer", key, found, **values)


def _end_with_run(options: Optimizer, schedule: LearningRateSchedule, total: int) -> dict[str, object]:
    """Return the values for a fix that makes a schedule end after so many steps."""
    if not options.schedule.is_constant:
        key, warmup, decay_steps, remaining = options.schedule.key, options.schedule.warmup_steps, "null", "null"
    elif hasattr(schedule, "boundaries"):
        return {"schedule": f"{options.rate_key}.config", "steps": f"{total:,}"}
    else:
        key = f"{options.rate_key}.config"
        warmup = getattr(schedule, "warmup_steps", 0) if getattr(schedule, "warmup_target", None) is not None else 0
        decay_steps, remaining = total - warmup, total - total // 10
    if warmup < total:
        return {"schedule": key, "decay_steps": decay_steps}
    return {"schedule": key, "warmup_steps": total // 10, "remaining_steps": remaining}


def _check_jit(setup: Setup) -> Iterator[Finding]:
    if setup.config.training.jit == "always" and not setup.objective.jit:
        found = f"training.jit=always with determinism={setup.config.determinism}: Keras does not use XLA."
        yield finding("jit-left-out", "training.jit", found)


def _check_precision(setup: Setup) -> Iterator[Finding]:
    half = [layer.name for layer in setup.layers if layer.compute_dtype == "float16" and layer.trainable_variables]
    if half and not isinstance(setup.model.optimizer, keras.optimizers.LossScaleOptimizer):
        found = f"{', '.join(half[:3])} compute in float16, and the optimizer does not scale the loss."
        yield finding("float16-without-loss-scale", "training.precision", found)


def _check_sizes(setup: Setup) -> Iterator[Finding]:
    training, steps, rows = setup.config.training, setup.feed.steps, len(setup.data.train)
    if training.batch_size > rows:
        found = f"{training.batch_size} rows per batch, of {rows:,} rows."
        yield finding("batch-exceeds-data", "training.batch_size", found, batch_size=max(rows // 8, min(rows, 8)))
    accumulated = inner(setup.model.optimizer).gradient_accumulation_steps or 1
    if accumulated <= training.total_steps(steps) < FEW_STEPS * accumulated:
        found = f"{training.epochs} epochs of {steps} steps"
        found += f", {accumulated} of them per update." if accumulated > 1 else "."
        yield finding("few-steps", "training.epochs", found, epochs=-(-10 * FEW_STEPS * accumulated // steps))
    if not training.compiles_own_step and training.steps_per_execution > steps:
        found = f"{training.steps_per_execution}, and an epoch has {steps} steps."
        yield finding("steps-per-execution", "training.steps_per_execution", found, steps=steps)
