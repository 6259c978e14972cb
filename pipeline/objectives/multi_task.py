"""Several labels learned at once, their losses weighted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, override

from pipeline.errors import ConfigError, message_of
from pipeline.layer_names import by_layer_name, layer_name
from pipeline.lazy import keras, np, tf
from pipeline.objectives.supervised import Supervised, SupervisedOptions, check_label
from pipeline.options import option
from pipeline.spec import REAL, DataSpec, Label
from pipeline.training.objective import Batch, Losses, Objective

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.splits import SplitDataset
    from pipeline.training.options import TrainingOptions


@dataclass
class MultiTaskOptions(SupervisedOptions):
    """Several labels learned at once, one task per label, their losses weighted."""

    weighting: str = option(
        "fixed",
        "fixed: by `weights`; learned: by the uncertainty of each task (Kendall et al. 2018)",
        choices=("fixed", "learned"),
    )
    weights: dict[str, float] = option(
        {}, "fixed: label -> weight of its loss; 1 for labels not named", min=0, max=1e12
    )

    @override
    def check(self) -> None:
        super().check()
        if self.weights and self.weighting == "learned":
            raise ConfigError(
                f"objective.weights: expected none with objective.weighting=learned, which learns them; found weights "
                f"of {', '.join(self.weights)}. Set objective.weighting=fixed."
            )

    @override
    def build(self, config: Config, data: SplitDataset, model: keras.Model, total_steps: int) -> Objective:
        return MultiTask(self, data.spec, model, data.train.labels)


class MultiTask(Supervised):
    """The weighted sum of one loss per label. The loss of each label is logged under its own name.

    With fixed weights w, a label with the loss L adds w * L.
    With learned weights, it adds exp(-s) * L + s / 2, or exp(-s) * L / 2 + s / 2 if it is a real label. The trained
    parameter s is the logarithm of the variance of the task (Kendall, Gal and Cipolla 2018, equation 10).
    The loss of a normalized label is divided by the loss of predicting its mean.
    """

    def __init__(
        self,
        options: MultiTaskOptions,
        spec: DataSpec,
        model: keras.Model,
        training_labels: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Create the objective. Arguments as for `Supervised`.

        Raises:
            ConfigError: There is one label only, a label has no output of the model, or the weights do not fit.
        """
        from pipeline.training.epoch_metrics import LatestValue

        super().__init__(options, spec, model, training_labels)
        check_labels(options, spec)
        check_heads(spec, model)
        self.task_losses = self.scaled_losses()
        learned = spec.labels if options.weighting == "learned" else {}
        self.log_variances = {label: keras.Variable(0.0, name=f"{layer_name(label)}_log_variance") for label in learned}
        self.weights: dict[str, Any] = {
            label: options.weights.get(label, 1.0) * self.label_weight(label) for label in spec.labels
        }
        self.weights |= {
            label: LatestValue(f"{layer_name(label)}_weight", scale_of(kind) * self.label_weight(label))
            for label, kind in learned.items()
        }

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        from pipeline.keras_internals import add_metric

        optimizer.exclude_from_weight_decay(var_list=list(self.log_variances.values()))
        super().compile(optimizer, training)
        for label in self.log_variances:
            add_metric(self.model, self.weights[label])

    @override
    def trained_variables(self) -> list[keras.Variable]:
        return [*super().trained_variables(), *self.log_variances.values()]

    @override
    def loss_weights(self) -> dict[str, Any]:
        return by_layer_name({label: getattr(weight, "value", weight) for label, weight in self.weights.items()})

    @override
    def own_variables(self) -> list[keras.Variable]:
        return list(self.log_variances.values())

    @override
    def log_names(self) -> list[str]:
        return [*super().log_names(), *(f"{label}_weight" for label in by_layer_name(self.log_variances))]

    @override
    def validation_names(self) -> list[str]:
        return super().log_names()

    def compare(self, x: Any, y: Any, outputs: Any, sample_weights: Any) -> Losses:
        """Return a weighted loss per label, and "regularization" if layers of the model have losses."""
        losses = {}
        for label, task_loss in self.task_losses.items():
            key = layer_name(label)
            rows = sample_weights and sample_weights[key]
            losses[label] = self.weigh(label, loss_of_task(label, task_loss, y[key], outputs[key], rows))
        if self.model.losses:
            losses["regularization"] = tf.add_n(self.model.losses)
        return losses

    def weigh(self, label: str, value: Any) -> Any:
        """Return the weighted loss of a task, a scalar."""
        if label not in self.log_variances:
            return self.weights[label] * value
        return self.learned_weight(label) * value + self.log_variances[label] / 2

    def learned_weight(self, label: str) -> Any:
        """Return the learned weight of the loss of a task, a scalar."""
        scale = scale_of(self.spec.labels[label]) * self.label_weight(label)
        return scale * keras.ops.exp(-self.log_variances[label])

    @override
    def measure(self, batch: Batch, losses: Losses, auxiliary: Any) -> None:
        x, y, sample_weights = keras.utils.unpack_x_y_sample_weight(batch)
        super().measure(batch, {"loss": tf.add_n(list(losses.values()))}, auxiliary)
        # Keras records the loss of each task, without the weight of the task
        self.compute_loss(x, y, auxiliary, self.weights_for_losses(y, sample_weights))
        for label in self.log_variances:
            self.weights[label].update_state(self.learned_weight(label))

    @override
    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        values = super().evaluate(batches, callbacks)
        values["loss"] += sum(float(s.value) / 2 for s in self.log_variances.values())
        learned = by_layer_name(self.log_variances)
        return {name: value for name, value in values.items() if name.removesuffix("_weight") not in learned}


def scale_of(label: Label) -> float:
    """Return the factor of exp(-s): 1/2 for the squared error of real labels, 1 for likelihoods of classes."""
    return 0.5 if label.kind == REAL else 1.0


def loss_of_task(
    label: str, task_loss: keras.losses.Loss, targets: Any, outputs: Any, sample_weights: Any | None
) -> tf.Tensor:
    """Return the loss of a task, a scalar.

    Raises:
        ConfigError: The shapes of outputs and targets do not fit together. The message names the task and the shapes.
    """
    try:
        return task_loss(targets, outputs, sample_weights)
    except (ValueError, TypeError) as error:
        raise ConfigError(
            f"objective=multi_task: the loss of task {label!r} cannot compare outputs of shape {tuple(outputs.shape)} "
            f"with labels of shape {tuple(targets.shape)}. Keras reports: {message_of(error)}"
        ) from error


def check_labels(options: MultiTaskOptions, spec: DataSpec) -> None:
    """Check that there are several labels, and that the weights fit them.

    Raises:
        ConfigError: There is one label, a weight of a label that the data does not have, or no weight above 0.
    """
    if len(spec.labels) < 2:
        raise ConfigError(
            f"objective=multi_task: expected several labels; found {', '.join(spec.labels)} alone. Name more in "
            "data.labels, or set objective=supervised."
        )
    for label in options.weights:
        check_label("objective.weights", label, spec)
    if not any(options.weights.get(label, 1.0) for label in spec.labels):
        raise ConfigError("objective.weights: expected a weight above 0; found 0 for every label.")


def check_heads(spec: DataSpec, model: keras.Model) -> None:
    """Check that the model has an output named after each label.

    Raises:
        ConfigError: It has not.
    """
    inputs = {
        layer_name(name): keras.Input(feature.shape, dtype=feature.dtype) for name, feature in spec.features.items()
    }
    outputs = model(inputs if len(inputs) > 1 else next(iter(inputs.values())))
    heads = list(outputs) if isinstance(outputs, dict) else []
    missing = [label for label in spec.labels if layer_name(label) not in heads]
    if missing:
        raise ConfigError(
            f"objective=multi_task: expected a head of the model for each label; found none for {', '.join(missing)}, "
            f"only {', '.join(heads) or 'one without a name'}. Set model=tabular or model=residual_cnn, or return a "
            "dict from a model of your own, by pipeline.layer_names.layer_name of each label."
        )
