"""The first training step, tried on one real batch; the model's state is bit for bit what it was before."""

from dataclasses import dataclass, field

import keras
import numpy as np
import tensorflow as tf

from pipeline.preflight import determinism, memory, state
from pipeline.preflight.findings import Finding, words_of

CHANCE = (0.3, 3.0)  # an initial loss between these shares of guessing's is nothing to speak of


@dataclass(frozen=True)
class Trial:
    """What the step did.

    loss: of the batch. outputs: by label, (rows, ...) in training. gradients: for each trainable variable (connected,
    finite, largest). moved: the paths of variables whose value the step changed. broken: of those no longer finite.
    """

    loss: float
    outputs: dict[str, np.ndarray]
    gradients: list[tuple[keras.Variable, bool, bool, float]]
    moved: frozenset
    broken: tuple = field(default=())


def attempt(setup, batch, findings):
    """Run the step and add what it finds to a list of findings. Returns the Trial, None where it could not run.

    batch: as the feed gives it.
    """
    try:
        function, connected = _traced(setup, batch)
    except Exception as error:  # whatever a layer, loss or optimizer raises while it is put together
        findings.append(_refused(error))
        return None
    need = [*memory.check(memory.peak(function.graph), memory.available())]
    findings += need
    findings += determinism.check(setup, function.graph)
    if any(finding.is_error for finding in need):
        return None
    try:
        trial = _run(setup, function, connected, batch)
    except tf.errors.UnimplementedError as error:
        findings.append(determinism.refused(setup, error) or _refused(error))
        return None
    except (tf.errors.OpError, ValueError, TypeError) as error:
        findings.append(_refused(error))
        return None
    findings += check(setup, trial)
    return trial


def check(setup, trial):
    """What a Trial shows: numbers that are none, gradients that are missing or 0, a loss far from guessing's."""
    if not np.isfinite(trial.loss):
        yield Finding(
            "loss-not-finite", "the first batch", f"the loss is {trial.loss}.", "Scale the inputs and labels."
        )
    for variable, connected, finite, largest in trial.gradients:
        if not connected:
            yield Finding(
                "takes-no-part",
                variable.path,
                "the loss has no gradient with respect to it.",
                "Connect its layer to an output that has a label, or set trainable: false in its config.",
            )
        elif not finite and np.isfinite(trial.loss):
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
    gradients_are_finite = all(finite for _, connected, finite, _ in trial.gradients if connected)
    if trial.broken and np.isfinite(trial.loss) and gradients_are_finite:
        yield Finding(
            "update-not-finite",
            ", ".join(trial.broken[:3]),
            "holds NaN or infinity after one update.",
            "Lower optimizer.config.learning_rate.",
        )


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
                "model.preprocessing=[{class_name: Normalization, config: {axis: -1}}]",
            )


def _traced(setup, batch):
    """The step as one compiled function of the batch, and which trainable variables the loss depends on."""
    objective, model = setup.objective, setup.model
    optimizer = model.optimizer
    variables = model.trainable_variables
    connected = []

    def step(batch):
        with tf.GradientTape() as tape:
            losses, outputs = objective.losses(batch)
            total = tf.add_n(list(losses.values()))
        gradients = tape.gradient(total, variables)
        connected.extend(gradient is not None for gradient in gradients)
        there = [(gradient, variable) for gradient, variable in zip(gradients, variables) if gradient is not None]
        summaries = [_summary(gradient) for gradient, _ in there]
        if there:  # the loss was not scaled, so that its gradients are judged as they are; the update's must be
            scale = optimizer.scale_loss(tf.ones([], total.dtype))
            optimizer.apply_gradients([(_times(gradient, scale), variable) for gradient, variable in there])
        return total, setup.by_label(outputs), summaries

    specs = tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), batch)
    return tf.function(step, autograph=False).get_concrete_function(specs), connected


def _summary(gradient):
    """(finite, largest) of a gradient, which of an embedding is that of the rows it was asked for."""
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.reduce_all(tf.math.is_finite(values)), tf.reduce_max(tf.abs(values))


def _times(gradient, scale):
    scale = tf.cast(scale, gradient.dtype)
    if isinstance(gradient, tf.IndexedSlices):  # kept sparse: a dense one is as large as the whole embedding
        return tf.IndexedSlices(gradient.values * scale, gradient.indices, gradient.dense_shape)
    return gradient * scale


def _run(setup, function, connected, batch):
    paths = {id(variable.value): variable.path for variable in _keras_variables(setup)}
    with state.variables_restored(function.graph) as before:
        loss, outputs, summaries = tf.nest.map_structure(lambda tensor: tensor.numpy(), function(batch))
        moved, broken = set(), []
        for variable, value in before:
            now = variable.numpy()
            if now.tobytes() != value.tobytes():
                moved.add(paths.get(id(variable), variable.name))
                if now.dtype.kind == "f" and not np.isfinite(now).all():
                    broken.append(paths.get(id(variable), variable.name))
    summaries = iter(summaries)
    gradients = [
        (variable, True, *map(_plain, next(summaries))) if is_connected else (variable, False, True, 0.0)
        for variable, is_connected in zip(setup.model.trainable_variables, connected)
    ]
    return Trial(float(loss), outputs, gradients, frozenset(moved), tuple(broken))


def _plain(number):
    return number.item()


def _keras_variables(setup):
    return [*setup.model.variables, *setup.model.optimizer.variables]


def _refused(error):
    return Finding("step-fails", "the first batch", words_of(error), "See what Keras says.")
