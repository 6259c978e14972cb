"""Supervised learning: a loss between outputs and labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, override

from pipeline.errors import ConfigError, nearest
from pipeline.layer_names import by_layer_name
from pipeline.lazy import keras, np, tf
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import check_keras_form, option
from pipeline.spec import CLASS, MEDIAN, MULTI_LABEL, ONE_HOT, REAL, DataSpec, Label, ModelLabel
from pipeline.training.objective import Batch, Losses, Objective, Update
from pipeline.training.regularization import MixedLabels

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.containers import Split
    from pipeline.data.splits import SplitDataset
    from pipeline.evaluation.decisions import Decision
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.training.options import TrainingOptions

LOSSES = {  # kind of label -> its default loss
    CLASS: "sparse_categorical_crossentropy",
    ONE_HOT: "categorical_crossentropy",
    MULTI_LABEL: "binary_crossentropy",
    REAL: "mean_squared_error",
}
ACCURACIES = {CLASS: "SparseCategoricalAccuracy", ONE_HOT: "CategoricalAccuracy", MULTI_LABEL: "BinaryAccuracy"}


@dataclass
class SupervisedOptions(ObjectiveOptions):
    """A loss between outputs and labels."""

    predicts_labels: ClassVar[bool] = True

    loss: Any = option(
        None,
        "of keras.losses, or ranked_probability_score, for every label, or label -> one of them; default of a label: "
        "sparse_categorical_crossentropy for classes, categorical_crossentropy for one-hot, "
        "binary_crossentropy for multi-label, mean_squared_error for real labels",
    )
    metrics: Any = option(
        None,
        "a list of keras.metrics, for every label, or label -> such a list; default of a label: accuracy for classes, "
        "mean_absolute_error for real labels",
    )
    class_weight: Any = option(None, "null, balanced, or a list of one weight per class")
    quantiles: list[float] = option(
        [],
        "real labels: predict these quantiles, such as [0.1,0.5,0.9], with the pinball loss; 0.5 is the prediction, "
        "the lowest and the highest are the ends of an interval",
        above=0,
        below=1,
    )

    # ---- checks ------------------------------------------------------------------------------------------------------

    @override
    def check(self) -> None:
        for key, value in by_key("objective.loss", self.loss).items():
            check_keras_form(key, value)
        for key, values in by_key("objective.metrics", self.metrics).items():
            if not isinstance(values, list | None):
                raise ConfigError(f"{key}: expected a list of metrics; found {values!r}. Set {key}=[{values}].")
            check_keras_form(key, values)
        if isinstance(self.class_weight, list):
            numbers = all(isinstance(weight, (int, float)) and weight >= 0 for weight in self.class_weight)
            if not numbers or not sum(self.class_weight):
                raise ConfigError(
                    f"objective.class_weight: expected weights from 0 on, not all 0; found {self.class_weight}."
                )
        elif self.class_weight not in (None, "balanced"):
            raise ConfigError(
                f"objective.class_weight: expected null, balanced or a list; found {self.class_weight!r}."
            )
        levels = self.quantiles
        if levels and (levels != sorted(set(levels)) or not levels[0] < MEDIAN < levels[-1] or MEDIAN not in levels):
            raise ConfigError(
                f"objective.quantiles: expected increasing numbers with {MEDIAN} among them and others on both sides; "
                f"found {levels}. Set objective.quantiles=[0.1,0.5,0.9]."
            )

    @override
    def check_names(self) -> None:
        from pipeline import keras_objects

        for key, loss in by_key("objective.loss", self.loss).items():
            keras_objects.check(key, loss, keras_objects.loss)
        for key, metrics in by_key("objective.metrics", self.metrics).items():
            keras_objects.check(key, metrics, keras_objects.metric)

    @override
    def model_spec(self, spec: DataSpec) -> DataSpec:
        for name, label in spec.labels.items():
            if label.kind == CLASS and len(label.classes) < 2:
                raise ConfigError(
                    f"objective={self.choice}: expected at least two classes; found one in label {name!r}, "
                    f"{label.classes[0]!r}. Add rows of another class, or choose another label."
                )
        return with_quantiles(super().model_spec(spec), self.quantiles, self.loss)

    @property
    @override
    def keras_fit_suffices(self) -> bool:
        return type(self) is SupervisedOptions  # Model.fit computes the compiled losses, not those of a subclass

    # ---- losses, metrics and weights of labels -----------------------------------------------------------------------

    @override
    def label_losses(self, spec: DataSpec) -> dict[str, keras.losses.Loss]:
        return {name: self.label_loss(name, label) for name, label in spec.labels.items()}

    def label_loss(self, name: str, label: Label) -> keras.losses.Loss:
        """Return a new loss for one label: the one given for it or for all labels, or the default of its kind."""
        from pipeline import keras_objects
        from pipeline.label_objects import loss_for_label
        from pipeline.quantile_objects import QuantileLoss

        if self.quantiles and label.kind == REAL:
            return QuantileLoss(self.quantiles)
        return loss_for_label(
            keras_objects.loss("objective.loss", of_label(self.loss, name) or LOSSES[label.kind]), label
        )

    def label_metrics(self, spec: DataSpec) -> dict[str, list[keras.metrics.Metric]]:
        """Return new metrics by label: those given for it or for all labels, or the default of its kind.

        Raises:
            ConfigError: The accuracy of real numbers is asked for.
        """
        from pipeline.label_objects import for_label

        chosen = {}
        for name, label in spec.labels.items():
            given, loss = of_label(self.metrics, name), self.label_loss(name, label)
            usual = ["accuracy" if label.kind in ACCURACIES else "mean_absolute_error"]
            values = usual if given is None else given
            chosen[name] = [for_label(build_metric(value, label), label, loss) for value in values]
        return chosen

    def class_weights(self, spec: DataSpec, labels: dict[str, np.ndarray]) -> dict[str, np.ndarray] | None:
        """Return the weight of a row of each class; "balanced" gives rows / (classes * rows of the class).

        The class of a row of a one-hot label is that of its largest number.
        """
        from pipeline.evaluation.metrics import true_classes

        if self.class_weight is None:
            return None
        weights = {}
        for name, label in spec.labels.items():
            if label.kind not in (CLASS, ONE_HOT):
                raise ConfigError(
                    f"objective.class_weight: expected a label with one class per row, whose weight the row gets; "
                    f"found {name!r}, {label.kind}. Set objective.class_weight=null."
                )
            if self.class_weight == "balanced":
                classes = true_classes(label, labels[name])
                rows = np.maximum(np.bincount(classes, minlength=label.width), 1)
                weights[name] = len(classes) / (label.width * rows)
            elif len(self.class_weight) == label.width:
                weights[name] = np.array(self.class_weight)
            else:
                raise ConfigError(
                    f"objective.class_weight: expected {label.width} weights, one per class of {name!r} "
                    f"({', '.join(label.classes)}); found {len(self.class_weight)}."
                )
        return {name: values.astype(np.float32) for name, values in weights.items()}

    @override
    def baseline_losses(
        self, spec: DataSpec, labels: dict[str, np.ndarray], row_weights: np.ndarray | None = None
    ) -> dict[str, float]:
        from pipeline.training.baselines import baseline_loss

        weights, found = self.class_weights(spec, labels) or {}, {}
        for name, loss in self.label_losses(spec).items():
            value = baseline_loss(
                spec.labels[name], loss, labels[name], class_weights=weights.get(name), row_weights=row_weights
            )
            if value is not None:
                found["loss" if len(spec.labels) == 1 else f"{name}_loss"] = value
        return found

    # ---- training and scoring ----------------------------------------------------------------------------------------

    @override
    def build(self, config: Config, data: SplitDataset, model: keras.Model, total_steps: int) -> Objective:
        return Supervised(self, data.spec, model, data.train.labels)

    @override
    def decisions(
        self, config: Config, spec: DataSpec, model: keras.Model, validation: Split | None
    ) -> dict[str, Decision]:
        from pipeline.data.input_pipeline import ordered_batches
        from pipeline.evaluation.decisions import are_default, fixed, fixed_threshold
        from pipeline.training import label_scores

        if are_default(config.evaluation):
            return {}
        if validation is None or fixed_threshold(config.evaluation) is not None:
            return fixed(spec, config.evaluation)
        batches = ordered_batches(validation, spec, config.training.batch_size)
        return label_scores.choose_decisions(
            spec,
            losses=self.label_losses(spec),
            targets=validation.labels,
            outputs=label_scores.predict(model, spec, batches),
            options=config.evaluation,
            weights=validation.weights,
        )

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
        """Score the predictions of each label. Writes predictions.csv.gz and prediction_profile.json."""
        from pipeline.data.containers import Table
        from pipeline.data.input_pipeline import ordered_batches
        from pipeline.evaluation.forecast_skill import with_skill
        from pipeline.evaluation.prediction_intervals import with_interval_skill
        from pipeline.training import label_scores

        batches = ordered_batches(rows, spec, config.training.batch_size)
        evaluations = label_scores.score(
            spec,
            losses=self.label_losses(spec),
            targets=rows.labels,
            outputs=label_scores.predict(model, spec, batches),
            options=config.evaluation,
            seed=config.seed,
            folder=folder,
            decisions=decisions,
            rows=rows,
        )
        if isinstance(rows, Table) and rows.windows:
            baselines = rows.windows.baselines
            arguments: dict[str, Any] = {"options": config.evaluation, "seed": config.seed}
            return [
                with_interval_skill(with_skill(evaluation, baselines, **arguments), baselines, **arguments)
                for evaluation in evaluations
            ]
        return [*evaluations]


class Supervised(Objective):
    """Any Keras losses and metrics, the same with both engines: the model is compiled with them."""

    def __init__(
        self,
        options: SupervisedOptions,
        spec: DataSpec,
        model: keras.Model,
        training_labels: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Create the objective.

        Args:
            options: Losses, metrics and class weights.
            spec: The spec of the data.
            model: Built. It returns a tensor for one label, a dict by the layer names of the labels for several.
            training_labels: The labels of the training split, by name. They scale the gradients of the losses of
                normalized labels. None turns this scaling off.

        Raises:
            ConfigError: A loss or metrics are given for a label that the data does not have.
        """
        from pipeline.training.label_scale import loss_scales

        for key, value in (("loss", options.loss), ("metrics", options.metrics)):
            for name in value if is_by_label(value) else ():
                check_label(f"objective.{key}", name, spec)
        self.options = options
        self.spec = spec
        self.model = model
        self.scales = loss_scales(model, options.label_losses(spec), spec, training_labels or {})
        self.compute_loss = model.compute_loss
        self.uses_row_weights = False
        self.class_weights: Mapping[str, np.ndarray] = {}  # by which row weights are multiplied

    @override
    def weigh_rows(self, class_weights: Mapping[str, np.ndarray] | None) -> None:
        self.uses_row_weights, self.class_weights = True, class_weights or {}

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        from pipeline.layers import architecture
        from pipeline.training.weighted_losses import weigh_training_loss

        losses, metrics = self.scaled_losses(), self.options.label_metrics(self.spec)
        several = len(self.spec.labels) > 1
        given = by_layer_name(metrics) if several else next(iter(metrics.values()))
        self.jit = training.compiles_with_xla(self.model)
        self.model.compile(
            optimizer=optimizer,
            loss=by_layer_name(losses) if several else next(iter(losses.values())),
            loss_weights=self.loss_weights(),
            metrics=None if self.uses_row_weights else given,
            weighted_metrics=given if self.uses_row_weights else None,
            steps_per_execution=training.steps_per_execution,
            jit_compile=self.jit and not training.compiles_own_step,
        )
        if self.class_weights and not training.compiles_own_step:
            weigh_training_loss(self.model, self.weights_for_losses)
        if not training.compiles_own_step:
            self.jit = self.model.jit_compile  # Keras turns it off if it decides that it must
        self.model.optimizer.build(self.trained_variables())  # before a checkpoint is restored into it
        self.architecture = architecture.digest(self.model)

    @override
    def updates(self) -> list[Update]:
        return [Update("supervised", self.losses, self.trained_variables(), self.model.optimizer)]

    def trained_variables(self) -> list[keras.Variable]:
        """Return the variables that a step moves."""
        return self.model.trainable_variables

    def scaled_losses(self) -> dict[str, keras.losses.Loss]:
        """Return new losses by label. Those of normalized labels have the gradients of normalized values."""
        from pipeline.training.label_scale import scale_gradient

        losses = self.options.label_losses(self.spec)
        for name, scale in self.scales.items():
            scale_gradient(losses[name], scale.columns / self.label_weight(name))
        return losses

    def label_weight(self, label: str) -> float:
        """Return the weight of the loss of a label that makes several labels count alike; 1 if there is only one."""
        return self.scales[label].weight if label in self.scales and len(self.spec.labels) > 1 else 1.0

    def loss_weights(self) -> dict[str, Any] | None:
        """Return the weight of each loss in the total of Keras, by layer name, or None if all have the same."""
        if len(self.spec.labels) == 1 or not self.scales:
            return None
        return by_layer_name({label: self.label_weight(label) for label in self.spec.labels})

    @override
    def log_names(self) -> list[str]:
        metrics = self.options.label_metrics(self.spec)
        if len(metrics) == 1:
            return ["loss", *(metric.name for metric in next(iter(metrics.values())))]
        metrics = by_layer_name(metrics)
        names = [f"{label}_{metric.name}" for label, chosen in metrics.items() for metric in chosen]
        return ["loss", *(f"{label}_loss" for label in metrics), *names]

    def losses(self, batch: Batch) -> tuple[Losses, Any]:
        """Return the losses of one batch by name, and the outputs. The labels may be MixedLabels."""
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        outputs = self.model(x, training=True)
        if not isinstance(y, MixedLabels):
            return self.compare(x, y, outputs, self.weights_for_losses(y, weights)), outputs
        first, second = (
            self.compare(x, labels, outputs, self.weights_for_losses(labels, rows))
            for labels, rows in (y.first, y.second)
        )
        return {name: y.share * first[name] + (1 - y.share) * second[name] for name in first}, outputs

    def weights_for_losses(self, y: Any, sample_weights: Any) -> Any:
        """Return the sample weights of the losses of a batch: row weights are multiplied by those of the classes."""
        from pipeline.data.input_pipeline import weights_of_classes

        if not self.class_weights:
            return sample_weights
        if len(self.spec.labels) == 1:
            return sample_weights * weights_of_classes(next(iter(self.class_weights.values())), y)
        return {
            key: sample_weights[key] * weights_of_classes(weights, y[key])
            for key, weights in by_layer_name(self.class_weights).items()
        }

    def compare(self, x: Any, y: Any, outputs: Any, sample_weights: Any) -> Losses:
        """Return the losses between the labels of a batch and the outputs, by name."""
        return {"loss": self.compute_loss(x, y, outputs, sample_weights, training=True)}

    def measure(self, batch: Batch, losses: Losses, auxiliary: Any) -> None:
        """Add one step to the metrics of the epoch. auxiliary: The outputs."""
        from pipeline.training.epoch_metrics import loss_mean

        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        loss_mean(self.model).update_state(losses["loss"], sample_weight=tf.shape(keras.tree.flatten(x)[0])[0])
        self.model.compute_metrics(x, y, auxiliary, weights)


def build_metric(value: Any, label: Label) -> keras.metrics.Metric:
    """Return a new metric of one label.

    Args:
        value: In Keras's form. "accuracy" is the one that fits the kind of the label: Keras's class Accuracy compares
            outputs with labels for equality.
        label: The label.

    Raises:
        ConfigError: The accuracy of real numbers is asked for.
    """
    from pipeline import keras_objects

    if value == "accuracy":
        if label.kind not in ACCURACIES:
            raise ConfigError(
                "objective.metrics: expected a metric of real numbers; found accuracy. Set "
                "objective.metrics=[mean_absolute_error]."
            )
        value = {"class_name": ACCURACIES[label.kind], "config": {"name": "accuracy"}}
    return keras_objects.metric("objective.metrics", value)


def check_label(key: str, name: str, spec: DataSpec) -> None:
    """Check that the data has a label that an option names.

    Raises:
        ConfigError: It has not.
    """
    if name not in spec.labels:
        raise ConfigError(f"{key}.{name}: expected a label of the data; found {name!r}. {nearest(name, spec.labels)}")


def with_quantiles(spec: DataSpec, quantiles: list[float], loss: Any) -> DataSpec:
    """Return the spec that a model is built for, whose real labels have quantiles.

    Args:
        spec: The spec of the data.
        quantiles: objective.quantiles; the spec stays as it is if there are none.
        loss: objective.loss.

    Raises:
        ConfigError: The data has no real label, or a loss is given for one.
    """
    real = {name: label for name, label in spec.labels.items() if label.kind == REAL}
    if not quantiles:
        return spec
    if not real:
        kinds = ", ".join(f"{name} ({label.kind})" for name, label in spec.labels.items())
        raise ConfigError(f"objective.quantiles: expected a real label; found {kinds}. Set objective.quantiles=[].")
    for name in real:
        if of_label(loss, name) is not None:
            raise ConfigError(
                f"objective.loss: expected none for {name!r} with objective.quantiles, which has a loss of its own; "
                f"found {of_label(loss, name)}. Remove objective.loss, or set objective.quantiles=[]."
            )
    levels: dict[str, Any] = {"quantiles": tuple(quantiles)}
    return replace(
        spec, labels=spec.labels | {name: ModelLabel(**vars(label), **levels) for name, label in real.items()}
    )


# ---- options that are given for all labels, or label by label --------------------------------------------------------


def is_by_label(value: Any) -> bool:
    """Return whether losses or metrics are given per label; a dict may also be the serialized form of one object."""
    return isinstance(value, dict) and "class_name" not in value


def by_key(key: str, value: Any) -> dict[str, Any]:
    """Return {key: value}, or the key and value of each label if the value is given per label."""
    return {f"{key}.{label}": each for label, each in value.items()} if is_by_label(value) else {key: value}


def of_label(value: Any, label: str) -> Any:
    """Return the value of one label, given for it or for all; None if there is none."""
    return value.get(label) if is_by_label(value) else value
