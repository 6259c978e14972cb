"""The training step of an objective, compiled: alone, several in one call, or with its gradients looked at."""

import keras
import tensorflow as tf

from pipeline.training import gradients


class Steps:
    """Trains an objective, whose model is compiled, on the batches of an iterator.

    What takes steps returns what was finite, (steps, names) bool, with `names` those of the losses and gradients.
    `stack` is how many batches of one shape `take_stack` takes; 0 where it is not to be used. It is traced when it is
    made, so that every variable is there before a checkpoint is restored. `reset_metrics()` begins the metrics anew.

    full_steps: how many batches of an epoch are of one shape.
    """

    def __init__(self, objective, element_spec, full_steps):
        self.stack = min(objective.model.steps_per_execution, full_steps) if objective.jit else 0
        self.names = [name for update in objective.updates() for name in watched_names(update)]
        jit = objective.jit
        step = make_step(objective)
        compiled = tf.function(step, jit_compile=jit, reduce_retracing=True)
        observed = tf.function(make_observed_step(objective), jit_compile=jit, reduce_retracing=True)
        self.several = _several(compiled)
        self.stacked = _stacked(step, self.stack)
        self.looking = _looking(compiled, observed)
        self.several.get_concrete_function(tf.data.IteratorSpec(element_spec), tf.TensorSpec([], tf.int32))
        # traced, since a metric's dozen operations one by one take as long as steps of a small model; here, as calls of
        # one that traces itself would have TensorFlow warn of retracing where trainings of few epochs follow each other
        self.read = tf.function(objective.model.get_metrics_result, autograph=False).get_concrete_function()
        self.reset_metrics = tf.function(objective.model.reset_metrics, autograph=False).get_concrete_function()

    def take(self, batches, count):
        """Train `count` steps."""
        return self.several(batches, tf.constant(count)).numpy()

    def take_stack(self, batches):
        """Train `stack` steps, whose batches are of one shape: the fastest way where XLA compiles."""
        return self.stacked(batches).numpy()

    def take_looking(self, batches, count, place):
        """Train `count` steps, and look at the gradients of the one with `place` others of them before it. Returns what
        was finite and, by the update's name, a gradients.Look."""
        finite, looks = self.looking(batches, tf.constant(count), tf.constant(place))
        return finite.numpy(), looks

    def metrics(self):
        """The metrics so far, as floats; reading them waits for the device."""
        return floats(self.read())


def floats(results):
    """Name -> float of a model's metrics."""
    return {name: float(value) for name, value in results.items()}


def _several(step):
    strategy = tf.distribute.get_strategy()

    @tf.function
    def several(batches, count):
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(count):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        return finite.stack()

    return several


def _stacked(step, count):
    """XLA compiles the loop together with its steps, over batches that were stacked for it."""
    strategy = tf.distribute.get_strategy()

    @tf.function(jit_compile=True)
    def loop(stack):
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(count):
            finite = finite.write(position, step(tf.nest.map_structure(lambda values: values[position], stack)))  # noqa: B023
        return finite.stack()

    @tf.function
    def stacked(batches):
        each = [next(batches) for _ in range(count)]
        return strategy.run(loop, args=(tf.nest.map_structure(lambda *values: tf.stack(values), *each),))

    return stacked


def _looking(step, observed):
    """One call, as without looking: on a small model a call of its own costs more than the look."""
    strategy = tf.distribute.get_strategy()

    @tf.function
    def looking(batches, count, place):
        finite = tf.TensorArray(tf.bool, count)
        for position in tf.range(place):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        found, looks = strategy.run(observed, args=(next(batches),))
        finite = finite.write(place, found)
        for position in tf.range(place + 1, count):
            finite = finite.write(position, strategy.run(step, args=(next(batches),)))
        return finite.stack(), looks

    return looking


def make_step(objective):
    """One step: for each update the losses of the batch, their gradients and the move. batch -> (names,) bool."""
    updates = objective.updates()

    # traced as it is written, in preflight too and as Keras's own is: rewriting all that it calls takes a second of CPU
    @tf.autograph.experimental.do_not_convert
    def step(batch):
        finite, taught = [], {}
        for update in updates:
            losses, seen, grads = descend(update, batch, tf.GradientTape())
            move(update, grads)
            finite.append(are_finite(update, losses, grads))
            taught |= losses
        objective.measure(batch, taught, seen)
        return tf.concat(finite, axis=0)

    return step


def make_observed_step(objective):
    """The same step, its gradients looked at: batch -> ((names,) bool, update's name -> gradients.Look)."""
    updates = objective.updates()

    @tf.autograph.experimental.do_not_convert
    def step(batch):
        finite, taught, looks = [], {}, {}
        for update in updates:
            tape = tf.GradientTape(persistent=True)
            losses, seen, grads = descend(update, batch, tape)
            before = [tf.identity(variable) for variable in update.variables]
            move(update, grads)
            looks[update.name] = gradients.look(update, tape, losses, grads, before)
            finite.append(are_finite(update, losses, grads))
            taught |= losses
        objective.measure(batch, taught, seen)
        return tf.concat(finite, axis=0), looks

    return step


def descend(update, batch, tape):
    """(losses by name, what they saw, gradients): these of the losses' sum, which the optimizer may have scaled."""
    with tape:
        losses, seen = update.losses(batch)
        total = update.optimizer.scale_loss(tf.add_n(list(losses.values())))
    return losses, seen, tape.gradient(total, update.variables)


def move(update, grads):
    update.optimizer.apply_gradients(zip(grads, update.variables, strict=True))


def watched_names(update):
    """What `are_finite` looks at."""
    paths = [variable.path for variable in update.variables] if _gradients_must_be_finite(update) else []
    return [f"{update.name}'s loss", *(f"the gradient of {path}" for path in paths)]


def are_finite(update, losses, grads):
    """(names,) bool: of the losses together, and of each gradient. A sum is finite only where every number is."""
    sums = [tf.add_n(list(losses.values()))]
    if _gradients_must_be_finite(update):
        sums += [tf.reduce_sum(gradients.values(grad)) for grad in grads]
    return tf.math.is_finite(tf.stack([tf.cast(each, tf.float32) for each in sums]))


def _gradients_must_be_finite(update):
    """Not where losses are scaled: that optimizer leaves a step out whose gradients overflow, and scales less."""
    return not isinstance(update.optimizer, keras.optimizers.LossScaleOptimizer)
