"""The training config against the objective's metrics, the optimizer and the data's size."""

import keras
import numpy as np
from keras.optimizers.schedules import LearningRateSchedule

from pipeline.errors import nearest
from pipeline.preflight.findings import finding
from pipeline.training.optimizer import Optimizer

FEW_STEPS = 10
PROBES = 64  # moments of the run at which the schedule is looked at
EARLY = 0.9  # share of the run before which a schedule that has ended was too short
EARLY_STEP = 0.5  # the same of one that falls in steps, whose last one is often a quarter of the run or more
STILL = 1e-2  # change of the rate, as a share of it, that is none

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


def check(setup):
    """Yield what is wrong between the training config and everything else."""
    yield from _monitors(setup)
    yield from _schedule(setup)
    yield from _jit(setup)
    yield from _precision(setup)
    yield from _sizes(setup)


def _monitors(setup):
    training = setup.config.training
    known = list(setup.objective.log_names())
    if setup.data.validation is not None:
        known += [f"val_{name}" for name in setup.objective.validation_names()]
    for key, callback in setup.callbacks.items():
        if callback.patience is None:
            continue
        if callback.monitor not in known:
            found = f"no epoch logs {callback.monitor!r}. {nearest(callback.monitor, known)}"
            yield finding("monitor-unknown", f"{key}.monitor", found, callback=key, monitor=known[-1])
            continue
        best = _direction(setup, callback.monitor)
        if callback.mode == "auto" and not _keras_knows(setup, callback.monitor):
            found = f"mode auto for {callback.monitor!r}, whose better direction Keras does not know."
            yield finding("monitor-direction", f"{key}.mode", found, callback=key, mode=best or "min")
        elif callback.mode != "auto" and best not in (None, callback.mode):
            found = f"mode {callback.mode} for {callback.monitor!r}, whose best value is its {best}."
            yield finding("monitor-mode", f"{key}.mode", found, callback=key, mode=best)
        if callback.patience >= training.epochs:
            found = f"patience of {callback.patience} in a run of {training.epochs} epochs."
            patience = training.epochs // 3 or "null"
            yield finding("patience-too-long", f"{key}.patience", found, callback=key, patience=patience)
    if training.plateau.patience is not None and _has_schedule(setup):
        found = "the optimizer's learning rate is a schedule."
        yield finding("plateau-with-schedule", "training.plateau", found)


def _keras_knows(setup, monitor):
    """Whether Keras's callbacks tell the better direction by themselves: they look for a metric of just this name,
    so that of several labels they know none."""
    name = monitor.removeprefix("val_")
    every = [metric for metrics in setup.metrics.values() for metric in metrics]
    return name == "loss" or any(metric.name == name and better_direction(metric) for metric in every)


def _direction(setup, monitor):
    """The better direction of what an epoch logs: min, max, or None where its metric does not say."""
    name = monitor.removeprefix("val_")
    if name == "loss":
        return "min"
    for label, metrics in setup.metrics.items():
        if name == f"{label}_loss":
            return "min"
        for metric in metrics:
            if name in (metric.name, f"{label}_{metric.name}"):
                return better_direction(metric)
    return setup.config.objective.better_direction(name)


def _has_schedule(setup):
    return learning_rate_schedule(_plain(setup)) is not None


def _plain(setup):
    """The optimizer, without the loss scaling around it."""
    return getattr(setup.model.optimizer, "inner_optimizer", setup.model.optimizer)


def _schedule(setup):
    optimizer = _plain(setup)
    total = setup.config.training.epochs * setup.feed.steps
    schedule = learning_rate_schedule(optimizer)
    if schedule is not None:
        moments = np.unique(np.linspace(0, max(total - 1, 0), PROBES).astype(int))
        rates = np.array([float(schedule(int(step))) for step in moments])
        yield from _length(setup.config.optimizer, schedule, rates, moments, total)
    else:
        rates = np.array([float(optimizer.learning_rate)])
    key = setup.config.optimizer.rate_key
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


def _length(optimizer, schedule, rates, moments, total):
    """Whether a schedule that comes to an end does so when the run does, and one without an end moves at all.

    optimizer: the Optimizer options.
    """
    decay = getattr(schedule, "after", schedule)  # without the warm-up before it
    far = 1e3 * total + 1e9
    last, later = float(schedule(far)), float(schedule(2.6 * far))  # not twice: restarts that double would look ended
    has_end = last == later and not hasattr(decay, "decay_rate")  # exponential decay comes near 0 and goes on
    key, values = optimizer.rate_key, _end_with_run(optimizer, schedule, total)
    if np.allclose(rates, rates[0], rtol=STILL, atol=0):
        if not np.isclose(last, rates[0], rtol=STILL, atol=0):
            found = f"the rate goes from {rates[0]:g} to {rates[-1]:g} in all of the run's {total:,} steps."
            yield finding("schedule-longer", key, found, **values)
        return
    if last != later:
        return
    span = max(abs(rates.max() - last), abs(float(schedule(0)) - last))
    away = np.abs(rates - last) > 1e-3 * span
    end = int(moments[away].max()) + 1 if away.any() else 0
    if callable(decay) and end / total < (EARLY_STEP if hasattr(decay, "boundaries") else EARLY):
        found = f"the schedule has ended by step {end:,} of {total:,}, at {last:g}."
        yield finding("schedule-shorter", key, found, **values)
    elif has_end and abs(rates[-1] - last) > 0.1 * span:
        found = f"the run ends after {total:,} steps at {rates[-1]:g}; the schedule would come to {last:g}."
        yield finding("schedule-longer", key, found, **values)


def _end_with_run(optimizer: Optimizer, schedule: LearningRateSchedule, total: int) -> dict[str, object]:
    """Return the values for a fix that makes a schedule end after so many steps."""
    if not optimizer.schedule.is_constant:
        key, warmup, decay_steps = optimizer.schedule.key, optimizer.schedule.warmup_steps, "null"
    else:
        key = f"{optimizer.rate_key}.config"
        if hasattr(schedule, "boundaries"):
            return {"schedule": key, "steps": f"{total:,}"}
        has_warmup = getattr(schedule, "warmup_target", None) is not None
        warmup = schedule.warmup_steps if has_warmup else 0
        decay_steps = total - warmup
    if warmup < total:
        return {"schedule": key, "decay_steps": decay_steps}
    return {"schedule": key, "warmup_steps": total // 10, "remaining_steps": total - total // 10}


def _jit(setup):
    if setup.config.training.jit == "always" and not setup.objective.jit:
        found = f"training.jit=always with determinism={setup.config.determinism}, and Keras has dropped it."
        yield finding("jit-left-out", "training.jit", found)


def _precision(setup):
    half = [layer.name for layer in setup.layers if layer.compute_dtype == "float16" and layer.trainable_variables]
    if half and not isinstance(setup.model.optimizer, keras.optimizers.LossScaleOptimizer):
        found = f"{', '.join(half[:3])} compute in float16, and the optimizer does not scale the loss."
        yield finding("float16-without-loss-scale", "training.precision", found)


def _sizes(setup):
    training, feed = setup.config.training, setup.feed
    rows = len(setup.data.train)
    if training.batch_size > rows:
        found = f"{training.batch_size} rows a batch, of {rows:,} in all."
        yield finding("batch-exceeds-data", "training.batch_size", found, batch_size=max(rows // 8, 1))
    total = training.epochs * feed.steps
    if total < FEW_STEPS:
        found = f"{training.epochs} epochs of {feed.steps} steps."
        yield finding("few-steps", "training.epochs", found, epochs=-(-10 * FEW_STEPS // feed.steps))
    if not training.compiles_own_step and training.steps_per_execution > feed.steps:
        found = f"{training.steps_per_execution}, and an epoch has {feed.steps} steps."
        yield finding("steps-per-execution", "training.steps_per_execution", found, steps=feed.steps)
