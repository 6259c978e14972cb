"""Meta-learning: training weights from which a few gradient steps reach good weights for a new task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast, override

from pipeline.errors import ConfigError, DataError
from pipeline.lazy import keras, np, tf
from pipeline.objectives.options import ObjectiveOptions
from pipeline.objectives.supervised import LOSSES, SupervisedOptions
from pipeline.options import option
from pipeline.spec import CLASS, REAL, DataSpec, Label, real_label
from pipeline.training.objective import Batch, Losses, Objective, Update, with_batch_callbacks

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.containers import Split
    from pipeline.data.splits import SplitDataset
    from pipeline.evaluation.decisions import Decision
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.training.options import TrainingOptions

SCORED_STEPS = (0, 1, 5, 10)  # gradient steps on a task

type Measure = Callable[[Any, Any], Any]  # (targets, outputs) of some points -> scalar tensor


@dataclass
class MamlOptions(ObjectiveOptions):
    """Weights from which a few gradient steps on a task's first points fit its others. For rows that are tasks."""

    rows_are_tasks: ClassVar[bool] = True

    support: int = option(
        10, "points of a task that a step may learn from, its first ones; the others are its queries", min=1
    )
    inner_rate: float = option(0.01, "learning rate of the steps on a task", min=0)
    inner_steps: int = option(5, "steps on a task in training; the loss is the mean of those after each", min=1)
    first_order: bool = option(False, "leave out the gradient through the steps: cheaper, less exact")

    def model_spec(self, spec: DataSpec) -> DataSpec:
        """Return the data spec of one point of a task, which is what the model takes.

        Args:
            spec: The spec of the data, whose rows are tasks.

        Raises:
            ConfigError: The rows of the data are not tasks, or `support` does not fit the tasks.
        """
        (name, feature), *more = spec.features.items()
        (label, tasks), *others = spec.labels.items()
        points = feature.shape[0] if len(feature.shape) > 1 else None
        if more or others or points is None or tasks.shape[:1] != (points,):
            raise ConfigError(
                "objective=maml: expected rows that are tasks, with one feature of (points, ...) and one label of "
                f"(points,); found {name} {feature.shape} and {label}, {tasks.kind} {tasks.shape}. Set data=sinusoids "
                "or data=digit_tasks, or use tasks of your own."
            )
        if self.support >= points:
            raise ConfigError(
                f"objective.support: expected fewer than the {points} points of a task, so that some are queries; "
                f"found {self.support}. Set objective.support={points // 2}."
            )
        if self.support < len(tasks.classes):
            raise ConfigError(
                f"objective.support: expected at least {len(tasks.classes)} points, one of each class of {label!r}; "
                f"found {self.support}. Set objective.support={len(tasks.classes)}."
            )
        return DataSpec({name: replace(feature, shape=feature.shape[1:])}, {label: point_label(tasks)})

    @override
    def label_losses(self, spec: DataSpec) -> dict[str, keras.losses.Loss]:
        return SupervisedOptions().label_losses(spec)

    @override
    def better_direction(self, name: str) -> str | None:
        return {"loss": "min", "accuracy": "max"}.get(name.partition("_after_")[0])

    @override
    def build(self, config: Config, data: SplitDataset, model: keras.Model, total_steps: int) -> Objective:
        (label,) = self.model_spec(data.spec).labels.values()
        return Maml(self, label, model)

    def score(
        self,
        config: Config,
        spec: DataSpec,
        model: keras.Model,
        rows: Split,
        *,
        training_rows: Callable[[], Split],
        folder: Path,
        decisions: Mapping[str, Decision],
    ) -> list[LabelEvaluation | ScoresOnly]:
        """Score how well the model adapts to each task. The initial weights of the run are scored too, for comparison.

        Writes no files.
        """
        from pipeline.data.input_pipeline import ordered_batches
        from pipeline.evaluation import bootstrap, metrics
        from pipeline.training.initial_model import initial_model

        (label,) = spec.labels.values()
        measure, name = ("accuracy", "accuracy") if label.classes else ("loss", "mse")
        columns = {}
        for prefix, scored in {"": model, "untrained_": initial_model(config, spec, training_rows())}.items():
            batches = ordered_batches(rows, spec, config.training.batch_size)
            after = adapted(Maml(self, point_label(label), scored), batches, max(SCORED_STEPS))[measure]
            columns |= {f"{prefix}{name}_after_{steps}": after[:, steps] for steps in SCORED_STEPS}
        means = bootstrap.mean_statistic(columns)
        scores = bootstrap.bootstrap_scores([means], rows=len(rows), options=config.evaluation, seed=config.seed)
        if label.classes:
            scores["accuracy_by_chance"] = bootstrap.Score(value=1 / len(label.classes))
        note = (
            f"{'Accuracy' if label.classes else 'Mean squared error'} on the queries of each task after 0, 1, ... "
            f"steps of gradient descent on its first {self.support} points, averaged over the tasks. untrained: the "
            "same for the weights that training started from."
        )
        return [
            metrics.ScoresOnly(
                name="tasks", rows=len(rows), confidence=config.evaluation.confidence, scores=scores, note=note
            )
        ]


class Maml(Objective):
    """Model-agnostic meta-learning (Finn et al. 2017, algorithms 1 and 2).

    The loss is that of the queries of a task, after steps of gradient descent on its support. The gradient goes through
    these steps unless `first_order` is set. With several `inner_steps` the loss is the mean of the losses after each
    step (multi-step loss, Antoniou et al. 2019, section 4, with equal weights).

    A batch is (x (tasks, points, ...), y (tasks, points, ...)). The first `support` points of a task are its support.
    """

    def __init__(self, options: MamlOptions, label: Label, model: keras.Model) -> None:
        """Create the objective.

        Args:
            options: The number of support points and the inner steps.
            label: The label of one point. Its kind decides the loss and the other measures.
            model: A model that was built for single points.
        """
        self.options = options
        self.model = model
        self.measures = measures_of(label)

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        from pipeline.layers import architecture
        from pipeline.training.epoch_metrics import add_means

        self.jit = training.jit == "always"  # not for "auto": XLA made the nested steps twelve times slower on a CPU
        self.model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_execution, jit_compile=False)
        # its variables must exist before a checkpoint is restored
        self.model.optimizer.build(self.model.trainable_variables)
        self.means = add_means(self.model, self.log_names())
        self.architecture = architecture.digest(self.model)

    @override
    def updates(self) -> list[Update]:
        return [Update("maml", self.losses, self.model.trainable_variables, self.model.optimizer)]

    @override
    def log_names(self) -> list[str]:
        after = range(self.options.inner_steps + 1)
        return ["loss", *(f"{measure}_after_{steps}" for measure in self.measures for steps in after)]

    def losses(self, batch: Batch) -> tuple[Losses, dict[str, tf.Tensor]]:
        """Return the loss and the auxiliary values for `measure`.

        Returns:
            loss: The mean loss of the queries over the inner steps.
            auxiliary: Measure name -> (inner_steps + 1,), the mean over the tasks before and after each step.
        """
        by_task = self.after_steps(batch, self.options.inner_steps)
        after = {measure: tf.reduce_mean(values, axis=0) for measure, values in by_task.items()}
        return {"loss": tf.reduce_mean(after["loss"][1:])}, after

    def measure(self, batch: Batch, losses: Losses, auxiliary: dict[str, tf.Tensor]) -> None:
        """Add one step to the metrics of the epoch.

        Args:
            batch: The batch of the step.
            losses: The losses of the step, by name.
            auxiliary: Measure name -> (inner_steps + 1,), from `losses`.
        """
        values = [losses["loss"], *tf.unstack(tf.concat(list(auxiliary.values()), axis=0))]
        self.means.update_state(values, rows=tf.shape(batch[1])[0])

    @override
    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        callbacks.on_test_begin()
        by_task = adapted(self, with_batch_callbacks(batches, callbacks), self.options.inner_steps)
        after = {measure: values.mean(axis=0) for measure, values in by_task.items()}
        logs = {"loss": float(after["loss"][1:].mean())}
        for measure, values in after.items():
            logs |= {f"{measure}_after_{steps}": float(value) for steps, value in enumerate(values)}
        callbacks.on_test_end(logs)
        return logs

    def after_steps(self, batch: Batch, steps: int) -> dict[str, tf.Tensor]:
        """Measure the queries of each task after 0, 1, ... steps on its support: name -> (tasks, steps + 1).

        Raises:
            DataError: A task has no queries.
        """
        x, y = batch[:2]
        support = self.options.support
        if y.shape.rank < 2 or (y.shape[1] is not None and y.shape[1] <= support):
            raise DataError(
                f"objective maml, label: expected tasks of more than {support} points, whose first {support} are the "
                f"support; found shape {tuple(y.shape)}. Lower objective.support."
            )
        return tf.vectorized_map(lambda task: self.adapt(task[0], task[1], steps), (x, y))

    def adapt(self, x: tf.Tensor, y: tf.Tensor, steps: int) -> dict[str, tf.Tensor]:
        """Measure the queries of one task after 0, 1, ... steps on its support: name -> (steps + 1,).

        Args:
            x: The features of the points, (points, ...).
            y: The labels of the points, (points, ...).
            steps: The number of gradient steps.
        """
        count = self.options.support
        weights = [variable.value for variable in self.model.trainable_variables]
        support, queries = (x[:count], y[:count]), (x[count:], y[count:])
        after = [self.measured(weights, *queries)]
        for _ in range(steps):
            weights = self.descend(weights, *support)
            after.append(self.measured(weights, *queries))
        return {measure: tf.stack([values[measure] for values in after]) for measure in self.measures}

    def descend(self, weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """Return the weights after one step of gradient descent on the support of one task."""
        with tf.GradientTape() as tape:
            tape.watch(weights)
            loss = self.measured(weights, x, y)["loss"]
        grads = cast("list[tf.Tensor]", tape.gradient(loss, weights))  # never sparse: the weights are tensors
        if self.options.first_order:
            grads = [tf.stop_gradient(grad) for grad in grads]
        return [weight - self.options.inner_rate * grad for weight, grad in zip(weights, grads, strict=True)]

    def measured(self, weights: list[tf.Tensor], x: tf.Tensor, y: tf.Tensor) -> dict[str, tf.Tensor]:
        """Measure points of one task with given trainable weights instead of those of the model: name -> scalar."""
        frozen = [variable.value for variable in self.model.non_trainable_variables]
        outputs, _ = self.model.stateless_call(weights, frozen, x, training=False)
        targets = tf.reshape(y, tf.shape(outputs)) if y.dtype.is_floating else y
        return {name: measure(targets, outputs) for name, measure in self.measures.items()}


def measures_of(label: Label) -> dict[str, Measure]:
    """Return measure name -> function: the loss for this kind of label and, for classes, the accuracy."""
    loss = keras.losses.get(LOSSES[label.kind])
    measures: dict[str, Measure] = {"loss": lambda targets, outputs: tf.reduce_mean(loss(targets, outputs))}
    if label.kind == CLASS:
        measures["accuracy"] = accuracy
    return measures


def accuracy(classes: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    """Return the share of points whose class has the largest output.

    Keras's own accuracy contains a bitcast, which tf.vectorized_map cannot vectorize.
    """
    return tf.reduce_mean(tf.cast(tf.argmax(outputs, axis=-1) == classes, tf.float32))


def adapted(objective: Maml, batches: Iterable[Batch], steps: int) -> dict[str, np.ndarray]:
    """Return `Maml.after_steps` for the tasks of all batches: measure name -> (tasks, steps + 1) float64."""
    compiled = tf.function(lambda *batch: objective.after_steps(batch, steps), autograph=False, reduce_retracing=True)
    per_batch = [compiled(*batch) for batch in batches]
    return {
        measure: np.concatenate([values[measure] for values in per_batch]).astype(np.float64)
        for measure in per_batch[0]
    }


def point_label(label: Label) -> Label:
    """Return the label of one point of a task, from the label of the task."""
    shape = label.shape[1:]
    return real_label(prod(shape)) if label.kind == REAL else replace(label, shape=shape)
