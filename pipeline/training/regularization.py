"""Regularization of any objective: its options, and wrappers that add penalties or mix the rows of a batch."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, override

from pipeline.errors import ConfigError, nearest
from pipeline.lazy import keras, tf
from pipeline.options import Options, option
from pipeline.spec import DataSpec
from pipeline.training.objective import Batch, Losses, Objective, Update

if TYPE_CHECKING:
    import numpy as np

    from pipeline.config import Config
    from pipeline.training.options import TrainingOptions


@dataclass
class Regularization(Options):
    """Terms added to the losses of any objective, or changes of its batches. For training=tape; 0 and {} turn off."""

    key: ClassVar[str] = "regularization"

    mixup: float = option(
        0.0, "alpha of the Beta distribution by which pairs of rows are mixed (Zhang et al. 2018)", min=0
    )
    gradient_penalty: float = option(
        0.0,
        "weight of the squared gradient of the loss with respect to the float inputs (Drucker and Le Cun 1992)",
        min=0,
    )
    weight_decay: dict[str, float] = option(
        {}, "name or pattern (dense*) of a layer -> rate of the squared weights of its matrices", min=0
    )

    def __bool__(self) -> bool:
        """Return whether anything is regularized."""
        return bool(self.mixup or self.gradient_penalty or self.weight_decay)

    def check_with(self, config: Config) -> None:
        """Check the regularization together with the engine and the objective.

        Raises:
            ConfigError: They cannot be used together.
        """
        if self and not config.training.compiles_own_step:
            raise ConfigError(
                f"regularization: expected training=tape, since Model.fit applies none; found "
                f"training={config.training.choice}. Set training=tape."
            )
        if self.mixup and not config.objective.predicts_labels:
            raise ConfigError(
                "regularization.mixup: expected an objective that predicts labels, which are mixed like the rows; "
                f"found objective={config.objective.choice}. Set regularization.mixup=0."
            )

    def model_spec(self, spec: DataSpec) -> DataSpec:
        """Return the spec that the model is built for.

        Mixed rows, and gradients with respect to inputs, need float inputs: whole numbers that measure something, such
        as pixels, become float32.

        Args:
            spec: As the objective has it.

        Raises:
            ConfigError: Rows of the data cannot be mixed.
        """
        if self.mixup:
            check_mixable(spec)
        if not self.mixup and not self.gradient_penalty:
            return spec
        features = {
            name: replace(feature, dtype="float32") if feature.dtype == "uint8" else feature
            for name, feature in spec.features.items()
        }
        return replace(spec, features=features)

    def wrap(self, objective: Objective, seed: int) -> Objective:
        """Return the objective with these regularizers around it.

        Args:
            objective: Not compiled yet.
            seed: The seed of mixup's random numbers.
        """
        if self.mixup:
            objective = Mixup(objective, self.mixup, seed)
        if self.gradient_penalty:
            objective = GradientPenalty(objective, self.gradient_penalty)
        if self.weight_decay:
            objective = WeightDecay(objective, self.weight_decay)
        return objective


# ---- wrappers -------------------------------------------------------------------------------------------------------


class Wrapper(Objective):
    """Another objective, whose losses a subclass changes in `updates`. Wrappers can be nested in any order."""

    def __init__(self, objective: Objective) -> None:
        """Wrap an objective, which is not compiled yet."""
        self.objective = objective
        self.model = objective.model

    @override
    def weigh_rows(self, class_weights: Mapping[str, np.ndarray] | None) -> None:
        self.objective.weigh_rows(class_weights)

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        self.objective.compile(optimizer, training)
        self.jit, self.architecture = self.objective.jit, self.objective.architecture

    @override
    def updates(self) -> list[Update]:
        return self.objective.updates()

    @override
    def log_names(self) -> list[str]:
        return self.objective.log_names()

    @override
    def validation_names(self) -> list[str]:
        return self.objective.validation_names()

    @override
    def measure(self, batch: Batch, losses: Losses, auxiliary: Any) -> None:
        self.objective.measure(batch, losses, auxiliary)

    @override
    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        return self.objective.evaluate(batches, callbacks)

    @override
    def callbacks(self, folder: Path) -> list[keras.callbacks.Callback]:
        return self.objective.callbacks(folder)

    @override
    def own_variables(self) -> list[keras.Variable]:
        return self.objective.own_variables()


class Penalty(Wrapper):
    """One more named loss in every update.

    The epoch logs it as `name`; "loss" stays that of the wrapped objective, so that it can be compared with "val_loss".
    If there are several updates, the loss of each is named after the update: "critic_weight_decay".
    """

    name: ClassVar[str]

    @abstractmethod
    def penalized(self, update: Update, name: str) -> Callable[[Batch], tuple[Losses, Any]]:
        """Return the `losses` of an update with the penalty among them, by this name."""

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        from pipeline.keras_internals import add_metric

        super().compile(optimizer, training)
        self.mean = keras.metrics.Mean(name=self.name)
        add_metric(self.model, self.mean)

    @override
    def updates(self) -> list[Update]:
        updates = super().updates()
        names = [self.name if len(updates) == 1 else f"{update.name}_{self.name}" for update in updates]
        return [replace(update, losses=self.penalized(update, name)) for update, name in zip(updates, names)]

    @override
    def log_names(self) -> list[str]:
        return [*super().log_names(), self.name]

    @override
    def measure(self, batch: Batch, losses: Losses, auxiliary: Any) -> None:
        penalties = {name: loss for name, loss in losses.items() if name.endswith(self.name)}
        self.mean.update_state(tf.add_n(list(penalties.values())), sample_weight=row_count(batch))
        super().measure(batch, {name: loss for name, loss in losses.items() if name not in penalties}, auxiliary)

    @override
    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        return {name: value for name, value in super().evaluate(batches, callbacks).items() if name != self.name}


class GradientPenalty(Penalty):
    """Penalize the gradient of each row's loss with respect to its float inputs.

    The penalty is weight * mean over rows of |d loss / d x|^2, so that a small change of the input changes the loss
    little (double backpropagation, Drucker and Le Cun 1992). The gradient of a row's loss is computed as that of the
    mean loss of the batch times the number of rows: exact if no layer mixes rows.
    """

    name = "gradient_penalty"

    def __init__(self, objective: Objective, weight: float) -> None:
        """Wrap an objective, with the weight of the penalty."""
        super().__init__(objective)
        self.weight = weight

    @override
    def penalized(self, update: Update, name: str) -> Callable[[Batch], tuple[Losses, Any]]:
        def losses(batch: Batch) -> tuple[Losses, Any]:
            x, *rest = batch
            x = keras.tree.map_structure(
                lambda values: as_float(values) if is_measurement(dtype_of(values)) else values, x
            )
            floats = [values for values in keras.tree.flatten(x) if is_measurement(dtype_of(values))]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(floats)
                by_name, auxiliary = update.losses((x, *rest))
                total = tf.add_n(list(by_name.values()))
            grads = [grad for grad in tape.gradient(total, floats) if grad is not None]
            if not grads:
                raise ConfigError(
                    f"regularization.gradient_penalty: expected losses that depend on float inputs of the batch; those "
                    f"of the update {update.name!r} do not. Set regularization.gradient_penalty=0, or use a model that "
                    "takes float inputs."
                )
            squares = tf.add_n([tf.cast(tf.reduce_sum(tf.square(grad)), tf.float32) for grad in grads])
            penalty = self.weight * tf.cast(row_count(batch), squares.dtype) * squares
            return by_name | {name: penalty}, auxiliary

        return losses


class WeightDecay(Penalty):
    """Penalize the squared weights of some layers: the sum of rate * sum(w^2) over their weight matrices.

    Biases and the scales of normalizations are not penalized.
    """

    name = "weight_decay"

    def __init__(self, objective: Objective, rates: dict[str, float]) -> None:
        """Wrap an objective.

        Args:
            objective: Its model is built.
            rates: The path of a layer, one name in it, or a pattern of either -> rate. The first that a layer matches
                applies.

        Raises:
            ConfigError: A pattern matches no layer that has a weight matrix.
        """
        super().__init__(objective)
        self.rates = rates
        paths = {layer_path(variable) for variable in objective.model.trainable_variables if is_matrix(variable)}
        for pattern in rates:
            if not any(matches(path, pattern) for path in paths):
                names = {name for path in paths for name in path.split("/")}
                raise ConfigError(
                    f"regularization.weight_decay: expected a layer that has a weight matrix; found {pattern!r}, which "
                    f"matches none of {', '.join(sorted(paths))}. {nearest(pattern, names)}"
                )

    @override
    def penalized(self, update: Update, name: str) -> Callable[[Batch], tuple[Losses, Any]]:
        def losses(batch: Batch) -> tuple[Losses, Any]:
            by_name, auxiliary = update.losses(batch)
            decayed = [(self.rate(variable), variable) for variable in update.variables if is_matrix(variable)]
            terms = [rate * keras.ops.sum(keras.ops.square(variable)) for rate, variable in decayed if rate]
            return by_name | {name: tf.add_n(terms) if terms else tf.zeros([])}, auxiliary

        return losses

    def rate(self, variable: keras.Variable) -> float:
        """Return the rate of the first pattern that the layer of a variable matches, 0 if none does."""
        path = layer_path(variable)
        return next((rate for pattern, rate in self.rates.items() if matches(path, pattern)), 0.0)


@dataclass(frozen=True)
class MixedLabels:
    """Two labels for each row, as mixup makes them.

    first, second: (labels, sample weights or None), as a batch holds them.
    share: Scalar tensor: the loss is share * loss of `first` + (1 - share) * loss of `second`.
    """

    first: tuple[Any, Any]
    second: tuple[Any, Any]
    share: tf.Tensor


class Mixup(Wrapper):
    """Mix every row with another one of its batch (Zhang et al. 2018).

    A mixed row is share * x + (1 - share) * x', its loss share * loss(y) + (1 - share) * loss(y'), with share drawn
    from Beta(alpha, alpha) once per batch. The larger of share and 1 - share is used, which keeps the distribution of
    the pairs: the metrics of the epoch compare a mixed row with the label that has the larger share.
    """

    def __init__(self, objective: Objective, alpha: float, seed: int) -> None:
        """Wrap an objective.

        Args:
            objective: Its `losses` accept MixedLabels as the labels of a batch.
            alpha: The parameter alpha of the Beta distribution.
            seed: The seed of the random numbers.
        """
        super().__init__(objective)
        self.alpha = alpha
        self.generator = keras.random.SeedGenerator(seed)

    @override
    def own_variables(self) -> list[keras.Variable]:
        return [*super().own_variables(), self.generator.state]

    @override
    def updates(self) -> list[Update]:
        return [replace(update, losses=self.mixed(update)) for update in super().updates()]

    def mixed(self, update: Update) -> Callable[[Batch], tuple[Losses, Any]]:
        """Return the `losses` of an update on mixed batches."""
        return lambda batch: update.losses(self.mix(batch))

    def mix(self, batch: Batch) -> Batch:
        """Return (mixed x, MixedLabels) for a batch (x, y) or (x, y, sample weights)."""
        ops = keras.ops
        x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
        share = keras.random.beta((), self.alpha, self.alpha, seed=self.generator)
        share = ops.maximum(share, 1 - share)
        partners = keras.random.shuffle(ops.arange(row_count(batch)), seed=self.generator)

        def of_partners(values: Any) -> Any:
            return keras.tree.map_structure(lambda column: ops.take(column, partners, axis=0), values)

        x = keras.tree.map_structure(as_float, x)

        def mean(one: Any, other: Any) -> Any:
            of_one = ops.cast(share, one.dtype)
            return of_one * one + (1 - of_one) * other

        mixed = keras.tree.map_structure(mean, x, of_partners(x))
        second = of_partners(y), None if weights is None else of_partners(weights)
        return mixed, MixedLabels((y, weights), second, share)


# ---- batches, dtypes and layers --------------------------------------------------------------------------------------


def row_count(batch: Batch) -> Any:
    """Return the number of rows of a batch, a scalar tensor."""
    return keras.ops.shape(keras.tree.flatten(batch[0])[0])[0]


def dtype_of(values: Any) -> str:
    """Return the name of a tensor's dtype."""
    return keras.backend.standardize_dtype(values.dtype)


def as_float(values: Any) -> Any:
    """Return the values of a feature as floats: float64 as they are, for their precision, others as float32."""
    return values if dtype_of(values) == "float64" else keras.ops.cast(values, "float32")


def is_measurement(dtype: str) -> bool:
    """Return whether values of a dtype are measurements, so that values between two of them have a meaning.

    Token IDs (int32) and text are not.
    """
    return dtype.startswith("float") or dtype == "uint8"


def is_matrix(variable: keras.Variable) -> bool:
    """Return whether a variable is a kernel or an embedding, not a bias or the scale of a normalization."""
    return len(variable.shape) > 1


def layer_path(variable: keras.Variable) -> str:
    """Return the path of the layer that holds a variable: "transformer/encoder_block/attention/query"."""
    return variable.path.rpartition("/")[0]


def matches(path: str, pattern: str) -> bool:
    """Return whether the path of a layer, or one name in it, matches a pattern."""
    return any(fnmatchcase(name, pattern) for name in (path, *path.split("/")))


def check_mixable(spec: DataSpec) -> None:
    """Check that two rows can be mixed.

    Raises:
        ConfigError: A feature is text or token IDs, or its rows have different lengths.
    """
    for name, feature in spec.features.items():
        if feature.variable_length or not is_measurement(feature.dtype):
            found = "rows of different lengths" if feature.variable_length else feature.dtype
            raise ConfigError(
                f"regularization.mixup: expected features of measurements, all rows of one shape; found {name!r}, "
                f"{found}, which cannot be mixed. Set regularization.mixup=0."
            )
