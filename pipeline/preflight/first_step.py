"""Run the first training step on one real batch. Afterwards the state of the model is restored bit for bit."""

import itertools
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import PipelineError, message_of
from pipeline.preflight import determinism_checks, memory, optimizer_checks, state
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import Prediction
from pipeline.preflight.setup import Setup
from pipeline.training import gradients
from pipeline.training.steps import make_step

VANISHED = 1e-9  # below this share of the model's largest gradient, a weight matrix does not learn
ERASED = 0.01  # below this share of their norm, an update removes weights
DOMINATES = 5.0  # gradient of the regularizers, divided by that of the loss
CHANCE = (0.3, 3.0)  # usual range of the initial loss, divided by the loss of equal probabilities


@dataclass(frozen=True)
class Gradient:
    """The gradient of one variable, over all updates of the step.

    Attributes:
        connected: Whether the loss depends on the variable.
        finite: Whether every number of the gradient is finite.
        largest: The largest absolute number of the gradient.
        penalty: The norm of the gradient of its regularizer; 0 without one.
        data: If it has a regularizer, the norm of the rest of the gradient.
    """

    variable: keras.Variable
    connected: bool
    finite: bool
    largest: float
    penalty: float
    data: float


@dataclass(frozen=True)
class StepResult:
    """The losses, the gradients and the changed variables of one training step.

    Attributes:
        losses: Update name -> loss of the batch.
        gradients: One per trainable variable.
        changed: The paths of the variables whose value changed.
        broken: The paths of the variables that hold NaN or infinity after the step.
        erased: The paths of the trained variables of which the step left nearly nothing.
        largest_change: The largest change of a number in the trained variables.
        largest_weight: The largest absolute number in these variables.
    """

    losses: dict[str, float]
    gradients: list[Gradient]
    changed: frozenset[str]
    broken: tuple[str, ...] = ()
    erased: tuple[str, ...] = ()
    largest_change: float = 0.0
    largest_weight: float = 0.0


def run(setup: Setup, batch: tuple, findings: list[Finding]) -> StepResult | None:
    """Run the step and append its findings to a list. Return None if the step cannot be run.

    Args:
        setup: The set-up.
        batch: A batch of the training split.
        findings: The list to which the findings are appended.
    """
    reached: list[str] = []
    try:
        step, connected = _trace(setup, batch, reached)
    except Exception as error:  # a layer, loss or optimizer may raise anything
        findings.append(_failure(setup, batch, reached, error))
        return None
    findings += _check_xla(setup, batch)
    memory_findings = [*memory.check(memory.peak(step.graph), memory.available())]
    findings += memory_findings
    findings += determinism_checks.check(setup, step.graph)
    if any(item.is_error for item in memory_findings):
        return None
    try:
        result = _run(setup, step, connected, batch)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        unimplemented = isinstance(error, tf.errors.UnimplementedError)
        refused = determinism_checks.refused(setup, error) if unimplemented else None
        findings.append(refused or _failure(setup, batch, reached, error))
        return None
    findings += check(result)
    if any(gradient.finite and gradient.largest > 0 for gradient in result.gradients):
        findings += optimizer_checks.check_update(
            setup, erased=result.erased, change=result.largest_change, weight=result.largest_weight
        )
    return result


def check(result: StepResult) -> Iterator[Finding]:
    """Yield the findings on a step: losses and gradients that are not finite, and gradients that are missing or 0."""
    for name, loss in result.losses.items():
        if not np.isfinite(loss):
            place = f"{name}, the first batch" if len(result.losses) > 1 else "the first batch"
            yield finding("loss-not-finite", place, f"the loss is {loss}.")
    losses_are_finite = all(np.isfinite(loss) for loss in result.losses.values())
    for gradient in result.gradients:
        path = gradient.variable.path
        if not gradient.connected:
            yield finding("takes-no-part", path, "the loss has no gradient with respect to it.")
        elif not gradient.finite and losses_are_finite:
            yield finding("gradient-not-finite", path, "its gradient holds NaN or infinity.")
        elif gradient.largest == 0:
            yield finding("gradient-zero", path, "every number of its gradient is 0.")
    yield from _check_vanished(result)
    yield from _check_penalty(result)
    gradients_are_finite = all(gradient.finite for gradient in result.gradients)
    if result.broken and losses_are_finite and gradients_are_finite:
        yield finding("update-not-finite", ", ".join(result.broken[:3]), "holds NaN or infinity after one update.")


def _check_vanished(result: StepResult) -> Iterator[Finding]:
    """Yield a finding if a weight matrix has a very small gradient.

    Biases are not checked: before a normalization, their gradient is only a rounding error.
    """
    most = max((gradient.largest for gradient in result.gradients if gradient.finite), default=0)
    matrices = [gradient for gradient in result.gradients if len(gradient.variable.shape) > 1]
    small = [gradient for gradient in matrices if 0 < gradient.largest < VANISHED * most]
    if small:
        smallest = min(small, key=lambda gradient: gradient.largest)
        found = f"its largest gradient is {smallest.largest:.1e}, the model's is {most:.1e}. {len(small)} of "
        found += f"{len(matrices)} weight matrices have such small gradients."
        yield finding("gradient-vanishes", smallest.variable.path, found)


def _check_penalty(result: StepResult) -> Iterator[Finding]:
    """Yield a finding if the regularizers move the regularized weights far more than the loss does."""
    regularized = [gradient for gradient in result.gradients if gradient.penalty > 0]
    penalty = np.linalg.norm([gradient.penalty for gradient in regularized])
    data = np.linalg.norm([gradient.data for gradient in regularized])
    if regularized and np.isfinite(data) and penalty > DOMINATES * data > 0:
        largest = max(regularized, key=lambda gradient: gradient.penalty)
        found = f"the gradient of the regularizers is {penalty / data:.0f} times that of the loss."
        yield finding("penalty-dominates", largest.variable.path, found, factor=f"{0.1 * data / penalty:.0e}")


def check_initial_loss(setup: Setup, batch: tuple, prediction: Prediction) -> Iterator[Finding]:
    """Yield a finding for each label whose initial loss is far from the loss of equal probabilities.

    Only cross-entropies are checked, since their loss at equal probabilities is known. Dropout is off.
    """
    _, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    targets = setup.by_label(y)
    for name, output in prediction.outputs.items():
        loss = setup.losses[name]
        match loss:
            case keras.losses.SparseCategoricalCrossentropy() | keras.losses.CategoricalCrossentropy():
                guessing = np.log(output.width)
            case keras.losses.BinaryCrossentropy():
                guessing = np.log(2)
            case _:
                continue
        value = float(loss(targets[name], output.values))
        if np.isfinite(value) and not CHANCE[0] * guessing <= value <= CHANCE[1] * guessing:
            found = f"the loss of the first batch is {value:.3g}; equal guessing has {guessing:.3g}."
            yield finding("initial-loss", name, found)


def _trace(setup: Setup, batch: tuple, reached: list[str]) -> tuple[Any, list[list[bool]]]:
    """Return the step as a concrete function of the batch, and for each update which variables its losses depend on.

    Args:
        setup: The set-up.
        batch: A batch of the training split.
        reached: A list to which the name of each update is added when it is traced.
    """
    updates = setup.objective.updates()
    connected: list[list[bool]] = []

    def step(batch: tuple) -> tuple[dict, list]:
        losses, summaries = {}, []
        connected.clear()  # TensorFlow may trace the step twice
        for update in updates:
            reached.append(update.name)
            with tf.GradientTape() as tape:
                update_losses, _ = update.losses(batch)
                total = tf.add_n(list(update_losses.values()))
            grads = tape.gradient(total, update.variables)
            connected.append([grad is not None for grad in grads])
            losses[update.name] = total
            present = [(grad, variable) for grad, variable in zip(grads, update.variables) if grad is not None]
            summaries.append([_summary(grad, variable) for grad, variable in present])
            if present:  # the checks use unscaled gradients; the optimizer expects gradients of the scaled loss
                scale = update.optimizer.scale_loss(tf.ones([], total.dtype))
                update.optimizer.apply_gradients([(_times(grad, scale), variable) for grad, variable in present])
        return losses, summaries

    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), batch)
    return tf.function(step, autograph=False).get_concrete_function(specs), connected


def _check_xla(setup: Setup, batch: tuple) -> Iterator[Finding]:
    """Check that XLA can compile the step, if the run uses XLA. The step is translated to HLO, but not compiled."""
    if not setup.objective.jit:
        return
    step = tf.function(make_step(setup.objective), jit_compile=True)
    try:
        step.experimental_get_compiler_ir(batch)(stage="hlo")
    except Exception as error:  # XLA raises different errors for operations that it cannot translate
        yield finding("jit-refused", "training.jit", message_of(error))


def _summary(gradient: tf.Tensor | tf.IndexedSlices, variable: keras.Variable) -> tuple[tf.Tensor, ...]:
    """Return (whether the gradient is finite, its largest absolute number, norm of penalty, norm of the rest).

    The gradient of an embedding holds only the rows that the batch used.
    """
    values = gradients.values(gradient)
    penalty = rest = tf.zeros([])
    if variable.regularizer is not None:
        with tf.GradientTape() as tape:
            value = variable.regularizer(variable)
        of_penalty = tf.convert_to_tensor(tape.gradient(value, variable.value))
        rest = tf.norm(tf.convert_to_tensor(gradient) - of_penalty)
        penalty = tf.norm(of_penalty)
    return tf.reduce_all(tf.math.is_finite(values)), tf.reduce_max(tf.abs(values)), penalty, rest


def _times(gradient: tf.Tensor | tf.IndexedSlices, scale: tf.Tensor) -> tf.Tensor | tf.IndexedSlices:
    scale = tf.cast(scale, gradient.dtype)
    if isinstance(gradient, tf.IndexedSlices):  # kept sparse: a dense gradient is as large as the whole embedding
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


def _run(setup: Setup, step: Any, connected: list[list[bool]], batch: tuple) -> StepResult:
    paths = {id(variable.value): variable.path for variable in setup.objective.variables().values()}
    with state.variables_restored(step.graph) as before:
        losses, summaries = tf.nest.map_structure(lambda tensor: tensor.numpy().item(), step(batch))
        changed, broken, erased = set(), [], []
        trained = {id(v.value) for update in setup.objective.updates() for v in update.variables}
        change = weight = 0.0
        for variable, value in before:
            now = variable.numpy()
            if id(variable) in trained and value.size:
                change = max(change, float(np.abs(now - value).max()))
                weight = max(weight, float(np.abs(value).max()))
                if np.linalg.norm(now) < ERASED * np.linalg.norm(value):
                    erased.append(paths.get(id(variable), variable.name))
            if now.tobytes() != value.tobytes():
                changed.add(paths.get(id(variable), variable.name))
                if now.dtype.kind == "f" and not np.isfinite(now).all():
                    broken.append(paths.get(id(variable), variable.name))
    return StepResult(
        losses,
        [*_gradients(setup, connected, summaries)],
        frozenset(changed),
        tuple(broken),
        tuple(erased),
        change,
        weight,
    )


def _gradients(setup: Setup, connected: list[list[bool]], summaries: list) -> Iterator[Gradient]:
    """Yield the gradient of each trainable variable, over all updates that change it."""
    variables = {id(variable): variable for variable in setup.model.trainable_variables}
    by_variable: dict[int, list[tuple[bool, float, float, float]]] = {}
    for update, is_connected, update_summaries in zip(setup.objective.updates(), connected, summaries, strict=True):
        variables |= {id(variable): variable for variable in update.variables}
        present = itertools.compress(update.variables, is_connected)
        for variable, summary in zip(present, update_summaries, strict=True):
            by_variable.setdefault(id(variable), []).append(summary)
    for key, variable in variables.items():
        of_updates = by_variable.get(key, [])
        finite = all(is_finite for is_finite, *_ in of_updates)
        sizes = (max((summary[index] for summary in of_updates), default=0.0) for index in (1, 2, 3))
        yield Gradient(variable, bool(of_updates), finite, *sizes)


def _failure(setup: Setup, batch: tuple, reached: list[str], error: Exception) -> Finding:
    """Return the finding for a step that raised an error. It names the error, the line of code, and the batch."""
    x, *rest = batch
    tensors = ", ".join([*_described("x", x), *(text for value in rest for text in _described("y", value))])
    place = f"objective {setup.config.objective.choice}, {reached[-1] if reached else 'before any'} update"
    return finding("step-fails", place, f"{message_of(error)}{_line_of(error)} The batch: {tensors}.")


def _line_of(error: Exception) -> str:
    """Return the last line of the user's or this project's code in a traceback, as " In FILE, line N: LINE.".

    Return "" if there is none.
    """
    if isinstance(error, PipelineError):  # its message already names the location
        return ""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    if not frames or frames[-1].filename == __file__:
        return ""
    return f" In {Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}."


def _described(name: str, value: Any) -> list[str]:
    """Return the shape and dtype of each tensor of x or y."""
    named = value.items() if isinstance(value, dict) else [(name, value)]
    return [f"{key} {tuple(tensor.shape)} {tensor.dtype.name}" for key, tensor in named]
