"""The first training step, tried on one real batch; the model's state is bit for bit what it was before."""

import itertools
import traceback
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from pipeline.errors import message_of
from pipeline.preflight import determinism_checks, memory, state
from pipeline.preflight.findings import Finding
from pipeline.training import gradients
from pipeline.training.steps import make_step

VANISHED = 1e-9  # a weight matrix's largest gradient, as a share of the model's largest, below which it does not learn
CHANCE = (0.3, 3.0)  # an initial loss between these shares of guessing's is nothing to speak of


@dataclass(frozen=True)
class Trial:
    """What the step did.

    losses: of the batch, each update's by its name. gradients: of each trained variable (connected, finite, largest).
    moved: the paths of variables whose value the step changed. broken: of those no longer finite.
    """

    losses: dict[str, float]
    gradients: list[tuple[keras.Variable, bool, bool, float]]
    moved: frozenset
    broken: tuple = field(default=())


def attempt(setup, batch, findings):
    """Run the step and add what it finds to a list of findings. Returns the Trial, None where it could not run.

    batch: as the feed gives it.
    """
    reached = []
    try:
        function, connected = _traced(setup, batch, reached)
    except Exception as error:  # whatever a layer, loss or optimizer raises while it is put together
        findings.append(_refused(setup, batch, reached, error))
        return None
    findings += _compiled(setup, batch)
    need = [*memory.check(memory.peak(function.graph), memory.available())]
    findings += need
    findings += determinism_checks.check(setup, function.graph)
    if any(finding.is_error for finding in need):
        return None
    try:
        trial = _run(setup, function, connected, batch)
    except (tf.errors.OpError, ValueError, TypeError) as error:
        unimplemented = isinstance(error, tf.errors.UnimplementedError)
        refused = determinism_checks.refused(setup, error) if unimplemented else None
        findings.append(refused or _refused(setup, batch, reached, error))
        return None
    findings += check(setup, trial)
    return trial


def check(setup, trial):
    """What a Trial shows: numbers that are none, gradients that are missing or 0, a loss far from guessing's."""
    for name, loss in trial.losses.items():
        if not np.isfinite(loss):
            place = f"{name}, the first batch" if len(trial.losses) > 1 else "the first batch"
            yield Finding("loss-not-finite", place, f"the loss is {loss}.", "Scale the inputs and labels.")
    losses_are_finite = all(np.isfinite(loss) for loss in trial.losses.values())
    for variable, connected, finite, largest in trial.gradients:
        if not connected:
            yield Finding(
                "takes-no-part",
                variable.path,
                "the loss has no gradient with respect to it.",
                "Connect its layer to an output that has a label, or set trainable: false in its config.",
            )
        elif not finite and losses_are_finite:
            yield Finding(
                "gradient-not-finite", variable.path, "its gradient holds NaN or infinity.", "See the layer's inputs."
            )
        elif largest == 0:
            yield Finding(
                "gradient-zero",
                variable.path,
                "every number of its gradient is 0.",
                "Nothing, where the branch starts at 0 on purpose; else model.kernel_initializer=he_normal.",
            )
    yield from _vanished(trial.gradients)
    gradients_are_finite = all(finite for _, connected, finite, _ in trial.gradients if connected)
    if trial.broken and losses_are_finite and gradients_are_finite:
        yield Finding(
            "update-not-finite",
            ", ".join(trial.broken[:3]),
            "holds NaN or infinity after one update.",
            "Lower optimizer.learning_rate.",
        )


def _vanished(gradients):
    """Biases are left out: where a normalisation follows, their gradient is rounding only."""
    most = max((largest for _, _, finite, largest in gradients if finite), default=0)
    matrices = [(largest, variable.path) for variable, _, _, largest in gradients if len(variable.shape) > 1]
    small = [(largest, path) for largest, path in matrices if 0 < largest < VANISHED * most]
    if small:
        largest, path = min(small)
        found = (
            f"its largest gradient is {largest:.1e}, the model's is {most:.1e}; so small are those of {len(small)} of "
            f"{len(matrices)} weight matrices."
        )
        yield Finding("gradient-vanishes", path, found, "activation: relu or gelu, or LayerNormalization in between")


def initial_loss(setup, batch, prediction):
    """Yield the labels whose loss, without dropout, lies far from that of equal guessing, where theory knows that."""
    _, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    targets = y if isinstance(y, dict) else {next(iter(setup.spec.labels)): y}
    for name, output in prediction.outputs.items():
        loss = setup.losses[name]
        match loss:
            case keras.losses.SparseCategoricalCrossentropy() | keras.losses.CategoricalCrossentropy():
                guessing = np.log(output.width)
            case keras.losses.BinaryCrossentropy():
                guessing = np.log(2)
            case _:
                continue
        found = float(loss(targets[name], output.values))
        if np.isfinite(found) and not CHANCE[0] * guessing <= found <= CHANCE[1] * guessing:
            yield Finding(
                "initial-loss",
                name,
                f"the loss of the first batch is {found:.3g}; equal guessing has {guessing:.3g}.",
                "'model.preprocessing=[{class_name: Normalization, config: {axis: -1}}]'",
            )


def _traced(setup, batch, reached):
    """The step as one compiled function of the batch, and for each update whether its losses depend on each variable.

    reached: a list that the name of each update is added to when its turn comes.
    """
    updates = setup.objective.updates()
    connected = []

    def step(batch):
        losses, summaries = {}, []
        connected.clear()  # TensorFlow may trace the step twice
        for update in updates:
            reached.append(update.name)
            with tf.GradientTape() as tape:
                of_update, _ = update.losses(batch)
                total = tf.add_n(list(of_update.values()))
            grads = tape.gradient(total, update.variables)
            there = [(grad, variable) for grad, variable in zip(grads, update.variables) if grad is not None]
            connected.append([grad is not None for grad in grads])
            losses[update.name] = total
            summaries.append([_summary(gradient) for gradient, _ in there])
            if there:  # the loss was not scaled, so that its gradients are judged as they are; the update's must be
                scale = update.optimizer.scale_loss(tf.ones([], total.dtype))
                update.optimizer.apply_gradients([(_times(gradient, scale), variable) for gradient, variable in there])
        return losses, summaries

    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), batch)
    return tf.function(step, autograph=False).get_concrete_function(specs), connected


def _compiled(setup, batch):
    """Yield what XLA refuses of the step, where it is to compile it; it is only translated for that, not compiled."""
    if not setup.objective.jit:
        return
    step = tf.function(make_step(setup.objective), jit_compile=True)
    try:
        step.experimental_get_compiler_ir(batch)(stage="hlo")
    except Exception as error:  # whatever XLA has no translation of
        yield Finding("jit-refused", "training.jit", message_of(error), "training.jit=never")


def _summary(gradient):
    """(finite, largest) of a gradient, which of an embedding is that of the rows it was asked for."""
    values = gradients.values(gradient)
    return tf.reduce_all(tf.math.is_finite(values)), tf.reduce_max(tf.abs(values))


def _times(gradient, scale):
    scale = tf.cast(scale, gradient.dtype)
    if isinstance(gradient, tf.IndexedSlices):  # kept sparse: a dense one is as large as the whole embedding
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


def _run(setup, function, connected, batch):
    paths = {id(variable.value): variable.path for variable in setup.objective.variables().values()}
    with state.variables_restored(function.graph) as before:
        losses, summaries = tf.nest.map_structure(lambda tensor: tensor.numpy().item(), function(batch))
        moved, broken = set(), []
        for variable, value in before:
            now = variable.numpy()
            if now.tobytes() != value.tobytes():
                moved.add(paths.get(id(variable), variable.name))
                if now.dtype.kind == "f" and not np.isfinite(now).all():
                    broken.append(paths.get(id(variable), variable.name))
    return Trial(losses, list(_of_each(setup, connected, summaries)), frozenset(moved), tuple(broken))


def _of_each(setup, connected, summaries):
    """Yield (variable, connected, finite, largest), over all updates that move the variable."""
    variables, found = {id(variable): variable for variable in setup.model.trainable_variables}, {}
    for update, is_connected, of_update in zip(setup.objective.updates(), connected, summaries, strict=True):
        variables |= {id(variable): variable for variable in update.variables}
        there = itertools.compress(update.variables, is_connected)
        for variable, summary in zip(there, of_update, strict=True):
            found.setdefault(id(variable), []).append(summary)
    for key, variable in variables.items():
        if key in found:
            finite, largest = zip(*found[key], strict=True)
            yield variable, True, all(finite), max(largest)
        else:
            yield variable, False, True, 0.0


def _refused(setup, batch, reached, error):
    """What Keras or TensorFlow said, with the objective and what it was given."""
    x, *rest = batch
    given = ", ".join([*_described("x", x), *(line for value in rest for line in _described("y", value))])
    place = f"objective {setup.config.objective.choice}, {reached[-1] if reached else 'before any'} update"
    return Finding(
        "step-fails", place, f"{message_of(error)}{_line_of(error)} The batch: {given}.", "See what Keras says."
    )


def _line_of(error):
    """The line of code outside of libraries that an error was raised by, as " In FILE, line N: LINE."; else ''."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    if not frames or frames[-1].filename == __file__:
        return ""
    return f" In {Path(frames[-1].filename).name}, line {frames[-1].lineno}: {frames[-1].line}."


def _described(name, value):
    """The tensors of one part of a batch, each with its shape and dtype."""
    named = value.items() if isinstance(value, dict) else [(name, value)]
    return [f"{key} {tuple(tensor.shape)} {tensor.dtype.name}" for key, tensor in named]
