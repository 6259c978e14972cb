"""Adversarial learning: a generator of images and its critic."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, override

from pipeline.errors import ConfigError
from pipeline.lazy import keras, np, tf
from pipeline.objectives.options import ObjectiveOptions
from pipeline.options import option
from pipeline.spec import DataSpec
from pipeline.training.objective import Batch, Losses, Objective, Update, with_batch_callbacks
from pipeline.training.optimizer import Optimizer

if TYPE_CHECKING:
    from pipeline.config import Config
    from pipeline.data.containers import Split
    from pipeline.data.source import DataSource
    from pipeline.data.splits import SplitDataset
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.layers.generative_adversarial_network import GenerativeAdversarialNetwork
    from pipeline.reports.figures import ImageGrid
    from pipeline.training.options import TrainingOptions

TINY = 1e-12  # under the root of a squared norm, whose derivative at 0 is infinite
CLASSIFIER_BATCH, CLASSIFIER_STEPS, CLASSIFIER_SEED = 128, 1_000, 0
STEPS_PER_CALL = 50  # of the classifier's training: one of its steps takes hardly longer than a call
FEATURES = 32  # width of the classifier's features: few enough for the covariance of some hundred rows
DRAW_SEED = 0  # of the rows that stand for a whole split
SEARCHED_ROWS = 50  # rows per class among which real images are searched for the report

NOTE = (
    "A small classifier is trained on the real training images. accuracy: the share of generated images that it "
    "assigns to the class they were generated for; accuracy_of_real: its accuracy on the real images of this split. "
    "frechet_distance: between its features of real and of generated images (Heusel et al. 2017); "
    "frechet_distance_of_real: the same for as many real training images, as a reference. The distance has no "
    "interval: a resample repeats rows, which raises the distance by itself."
)


@dataclass
class AdversarialOptions(ObjectiveOptions):
    """A critic learns to distinguish real images from generated ones, a generator to deceive it. For model=gan."""

    generates_images: ClassVar[bool] = True

    loss: str = option("non_saturating", "the pair of losses", choices=("non_saturating", "wgan_gp"))
    critic_steps: int = option(
        1, "updates of the critic, each with new random numbers, before one of the generator", min=1
    )
    gradient_penalty: float = option(
        10.0, "wgan_gp: weight of the squared distance of the norm of the critic's gradient from 1", min=0
    )
    critic_optimizer: Any = option(
        None,
        "class_name and config, as of `optimizer`, which trains the generator; null: another one like that",
        keras="optimizer",
    )
    sample_every: int = option(
        10, "epochs between two grids of samples, as PNG files in samples/ of the run folder", min=1
    )

    @override
    def check_names(self) -> None:
        self.options_of_critic_optimizer(Optimizer()).build(1, key="objective.critic_optimizer")

    @override
    def check_with(self, config: Config) -> None:
        super().check_with(config)
        if config.regularization.gradient_penalty:
            raise ConfigError(
                "regularization.gradient_penalty: expected an objective all of whose losses depend on the inputs of "
                "the batch; found objective=adversarial, whose generator has none. Set "
                "regularization.gradient_penalty=0; objective.loss=wgan_gp and objective.gradient_penalty limit the "
                "gradient of the critic."
            )

    @override
    def better_direction(self, name: str) -> str | None:
        return {"accuracy": "max", "frechet_distance": "min"}.get(name)

    def options_of_critic_optimizer(self, generator: Optimizer) -> Optimizer:
        """Return the options of the critic's optimizer.

        Args:
            generator: The options of the generator's optimizer, used if `critic_optimizer` is null.
        """
        if self.critic_optimizer is None:
            return generator
        if isinstance(self.critic_optimizer, str):
            return Optimizer(self.critic_optimizer)
        return Optimizer(**self.critic_optimizer)

    @override
    def build(self, config: Config, data: SplitDataset, model: keras.Model, total_steps: int) -> Objective:
        options = self.options_of_critic_optimizer(config.optimizer)
        critic_optimizer = options.build(total_steps * self.critic_steps)  # so a schedule lasts the run
        classifier = partial(train_classifier, config.data, data.spec, data.train)
        return Adversarial(self, model, critic_optimizer, classifier)

    def score(
        self,
        config: Config,
        spec: DataSpec,
        model: keras.Model,
        rows: Split,
        *,
        training_rows: Callable[[], Split],
        folder: Path,
    ) -> list[LabelEvaluation | ScoresOnly]:
        """Score generated images by a classifier of real ones. Writes no files."""
        from pipeline.data.input_pipeline import ordered_batches
        from pipeline.evaluation import bootstrap, metrics

        training = training_rows()
        batch_size = config.training.batch_size
        classifier = train_classifier(config.data, spec, training)
        found = classified(classifier, model, ordered_batches(rows, spec, batch_size))
        reference = drawn_rows(config.data, spec, training, len(rows)).batch(batch_size)
        reference_features = np.concatenate([classifier.classify(images)[0] for images, _ in reference])
        shares = bootstrap.mean_statistic(
            {
                "accuracy": found.classes_of_generated == found.labels,
                "accuracy_of_real": found.classes_of_real == found.labels,
            }
        )
        intervals = bootstrap.bootstrap_scores([shares], rows=len(rows), options=config.evaluation, seed=config.seed)
        distance = frechet_distance(found.real, found.generated)
        distance_of_real = frechet_distance(found.real, reference_features)
        scores = {
            "accuracy": intervals["accuracy"],
            "frechet_distance": bootstrap.Score(value=distance),
            "accuracy_of_real": intervals["accuracy_of_real"],
            "frechet_distance_of_real": bootstrap.Score(value=distance_of_real),
        }
        figures = image_grids(config.data, spec, model, rows)
        return [
            metrics.ScoresOnly(
                name="generated",
                rows=len(rows),
                confidence=config.evaluation.confidence,
                scores=scores,
                note=NOTE,
                figures=figures,
            )
        ]


# ---- training --------------------------------------------------------------------------------------------------------


class Adversarial(Objective):
    """Some updates of the critic, then one of the generator, on each batch. D is the output of the critic.

    non_saturating: softplus(-D(real)) + softplus(D(fake)) for the critic, softplus(-D(fake)) for the generator
    (Goodfellow et al. 2014, section 3).
    wgan_gp: mean D(fake) - mean D(real) + weight * (|gradient of D at a point between the two| - 1)^2 for the critic,
    -mean D(fake) for the generator (Gulrajani et al. 2017, algorithm 1).
    """

    model: GenerativeAdversarialNetwork

    def __init__(
        self,
        options: AdversarialOptions,
        model: GenerativeAdversarialNetwork,
        critic_optimizer: keras.optimizers.Optimizer,
        trained_classifier: Callable[[], ImageClassifier],
    ) -> None:
        """Create the objective.

        Args:
            options: Losses and number of updates.
            model: Generator and critic.
            critic_optimizer: Of the critic alone.
            trained_classifier: Trains the classifier that validation uses; called when the first validation begins.
        """
        self.options = options
        self.model = model
        self.critic_optimizer = critic_optimizer
        self.trained_classifier = trained_classifier
        self.classifier: ImageClassifier | None = None

    @override
    def compile(self, optimizer: keras.optimizers.Optimizer, training: TrainingOptions) -> None:
        from pipeline.layers import architecture
        from pipeline.training.epoch_metrics import add_means

        self.jit = training.compiles_with_xla(self.model)
        self.model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_execution, jit_compile=False)
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):  # Keras decides by the precision
            self.critic_optimizer = keras.optimizers.LossScaleOptimizer(self.critic_optimizer)
        self.model.optimizer.build(self.model.generator.trainable_variables)
        self.critic_optimizer.build(self.model.critic.trainable_variables)
        self.means = add_means(self.model, self.log_names())
        self.architecture = architecture.digest(self.model)

    @override
    def updates(self) -> list[Update]:
        critic, generator = self.model.critic.trainable_variables, self.model.generator.trainable_variables
        steps = self.options.critic_steps
        names = [f"critic_{step + 1}" for step in range(steps)] if steps > 1 else ["critic"]
        return [
            *(Update(name, self.critic_losses, critic, self.critic_optimizer) for name in names),
            Update("generator", self.generator_losses, generator, self.model.optimizer),
        ]

    @override
    def log_names(self) -> list[str]:
        penalty = ["gradient_penalty"] if self.options.loss == "wgan_gp" else []
        return ["loss", "critic_loss", *penalty, "generator_loss"]

    @override
    def validation_names(self) -> list[str]:
        return ["accuracy", "frechet_distance"]

    def critic_losses(self, batch: Batch) -> tuple[Losses, None]:
        """Return the losses of an update of the critic; the gradient penalty includes its weight."""
        ops = keras.ops
        images, labels = batch
        classes = self.model.one_hot(labels)
        real, fake = self.model.preprocess(images), self.model.preprocess(self.model.draw(classes))
        on_real, on_fake = self.model.criticize(real, classes), self.model.criticize(fake, classes)
        if self.options.loss == "non_saturating":
            return {"critic_loss": ops.mean(ops.softplus(-on_real)) + ops.mean(ops.softplus(on_fake))}, None
        penalty = self.options.gradient_penalty * self.gradient_penalty(real, fake, classes)
        return {"critic_loss": ops.mean(on_fake) - ops.mean(on_real), "gradient_penalty": penalty}, None

    def gradient_penalty(self, real: tf.Tensor, fake: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
        """Return the mean squared distance from 1 of the norm of the critic's gradient (Gulrajani et al. 2017).

        The gradient is taken at a random point between the images of each pair.

        Args:
            real: (batch, height, width, channels), preprocessed.
            fake: Likewise.
            classes: (batch, classes), one-hot.
        """
        ops = keras.ops
        one_per_row = (ops.shape(real)[0], *[1] * (len(real.shape) - 1))
        share = keras.random.uniform(one_per_row, dtype=real.dtype, seed=self.model.seed_generator)
        between = share * real + (1 - share) * fake
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            verdict = self.model.criticize(between, classes)
        grad = tape.gradient(verdict, between)
        norm = ops.sqrt(ops.sum(ops.square(grad), axis=tuple(range(1, len(grad.shape)))) + TINY)
        return ops.mean(ops.square(norm - 1))

    def generator_losses(self, batch: Batch) -> tuple[Losses, None]:
        """Return the loss of an update of the generator."""
        ops = keras.ops
        _, labels = batch
        classes = self.model.one_hot(labels)
        verdict = self.model.criticize(self.model.preprocess(self.model.draw(classes)), classes)
        if self.options.loss == "non_saturating":
            return {"generator_loss": ops.mean(ops.softplus(-verdict))}, None
        return {"generator_loss": -ops.mean(verdict)}, None

    @override
    def measure(self, batch: Batch, losses: Losses, auxiliary: None) -> None:
        losses = {"loss": tf.add_n(list(losses.values())), **losses}
        self.means.update_state([losses[name] for name in self.log_names()], rows=tf.shape(batch[1])[0])

    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        """Validate with a classifier of real images.

        Returns:
            accuracy: The share of generated images that it assigns to the class they were generated for.
            frechet_distance: Between its features of the real images and of as many generated ones.
        """
        callbacks.on_test_begin()
        if self.classifier is None:
            self.classifier = self.trained_classifier()
        found = classified(self.classifier, self.model, with_batch_callbacks(batches, callbacks))
        logs = {
            "accuracy": float(np.mean(found.classes_of_generated == found.labels)),
            "frechet_distance": frechet_distance(found.real, found.generated),
        }
        callbacks.on_test_end(logs)
        return logs

    @override
    def callbacks(self, folder: Path) -> list[keras.callbacks.Callback]:
        from pipeline.training.sample_grid import SampleGrid

        return [SampleGrid(self.model, folder / "samples", self.options.sample_every)]


# ---- the classifier of real images -----------------------------------------------------------------------------------


class ImageClassifier:
    """A small trained classifier of real images, by which generated ones are scored: by their class and features."""

    def __init__(
        self, epoch: tf.data.Dataset, epochs: tf.data.Dataset, *, shape: tuple[int | None, ...], classes: int
    ) -> None:
        """Build and train the classifier.

        Its weights come from seeds of its own: training it draws no random number from another generator, and gives the
        same classifier each time.

        Args:
            epoch: Batches of (images, labels), each row once.
            epochs: The batches to train on, in their order, each used once.
            shape: Of an image.
            classes: Number of classes.
        """
        layers = keras.layers
        image = keras.Input(shape)
        normalization = layers.Normalization(axis=None, dtype="float32")
        normalization.adapt(epoch.map(lambda images, _: images))
        x = normalization(image)
        if len(shape) == 2:
            x = layers.Reshape((*shape, 1), dtype="float32")(x)
        for seed, filters in enumerate((16, 32)):
            x = layers.Conv2D(filters, 3, padding="same", activation="relu", **layer_arguments(seed))(x)
            x = layers.MaxPooling2D(padding="same", dtype="float32")(x)
        features = layers.Dense(FEATURES, "relu", **layer_arguments(2))(layers.Flatten(dtype="float32")(x))
        probabilities = layers.Dense(classes, "softmax", **layer_arguments(3))(features)
        model = keras.Model(image, probabilities)
        model.compile(
            keras.optimizers.Adam(1e-3, epsilon=1e-7),
            "sparse_categorical_crossentropy",
            steps_per_execution=STEPS_PER_CALL,
        )
        model.fit(epochs, shuffle=False, verbose=0)
        self._outputs = tf.function(keras.Model(image, [features, probabilities]), reduce_retracing=True)

    def classify(self, images: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return (features (rows, FEATURES) float32, classes (rows,) int64) of raw images."""
        features, probabilities = self._outputs(tf.cast(images, tf.float32))
        return features.numpy(), probabilities.numpy().argmax(axis=1)


def layer_arguments(seed: int) -> dict[str, Any]:
    """Return dtype and initializers of a layer of the classifier."""
    return {
        "dtype": "float32",
        "kernel_initializer": keras.initializers.HeNormal(seed=seed),
        "bias_initializer": "zeros",
    }


def train_classifier(data: DataSource, spec: DataSpec, training_rows: Split) -> ImageClassifier:
    """Return the classifier that a training split gives."""
    from pipeline.data.input_pipeline import TrainingFeed

    feed = TrainingFeed(split=training_rows, spec=spec, source=data, batch_size=CLASSIFIER_BATCH, seed=CLASSIFIER_SEED)
    epochs = feed.stream(first_epoch=0, first_step=0, epochs=-(-CLASSIFIER_STEPS // feed.steps))
    feature, label = next(iter(spec.features.values())), next(iter(spec.labels.values()))
    return ImageClassifier(feed.batches(0), epochs, shape=feature.shape, classes=label.width)


class Classified(NamedTuple):
    """Real images and as many generated ones of the same classes, as the classifier has them. Rows first.

    labels: (rows,). real, generated: (rows, FEATURES) features. classes_of_real, classes_of_generated: (rows,).
    """

    labels: np.ndarray
    real: np.ndarray
    classes_of_real: np.ndarray
    generated: np.ndarray
    classes_of_generated: np.ndarray


def classified(
    classifier: ImageClassifier, model: GenerativeAdversarialNetwork, batches: Iterable[Batch]
) -> Classified:
    """Classify the images of batches of (images, labels), and a generated image for each."""
    from pipeline.layers.generative_adversarial_network import sample_generator

    numbers = sample_generator()
    found = []
    for images, labels in batches:
        latent = numbers.standard_normal((len(labels), model.latent), np.float32)
        generated = model({"latent": latent, "label": labels})
        found.append((labels.numpy(), *classifier.classify(images), *classifier.classify(generated)))
    return Classified(*(np.concatenate(column) for column in zip(*found, strict=True)))


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Return the squared Frechet distance between two normal distributions fitted to two samples.

    With means m, n and covariances C, D it is |m - n|^2 + trace(C + D - 2 (C D)^(1/2)) (Heusel et al. 2017, "GANs
    Trained by a Two Time-Scale Update Rule", equation 6). Few rows bias it upwards: compare distances of as many rows
    only.

    Args:
        features: (rows, width), at least two rows.
        others: Likewise.
    """
    one, other = (np.asarray(sample, np.float64) for sample in (features, others))
    difference = one.mean(axis=0) - other.mean(axis=0)
    c, d = (np.cov(sample, rowvar=False) for sample in (one, other))
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.linalg.eigvalsh(root @ d @ root)  # the eigenvalues of C D, from a symmetric matrix
    distance = difference @ difference + np.trace(c) + np.trace(d) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return max(float(distance), 0.0)  # rounding


# ---- images of the report --------------------------------------------------------------------------------------------


def image_grids(
    data: DataSource, spec: DataSpec, model: GenerativeAdversarialNetwork, rows: Split
) -> tuple[ImageGrid, ...]:
    """Return generated images, and real ones of a split, one column per class."""
    from pipeline.reports.figures import ImageGrid
    from pipeline.training.sample_grid import ROWS

    classes = next(iter(spec.labels.values())).classes
    searched = SEARCHED_ROWS * len(classes)
    images, labels = next(drawn_rows(data, spec, rows, searched).batch(searched).as_numpy_iterator())
    real = first_of_each_class(images, labels, len(classes), ROWS)
    return ImageGrid("generated", model.samples(ROWS), classes), ImageGrid("real", real, classes)


def drawn_rows(data: DataSource, spec: DataSpec, rows: Split, count: int) -> tf.data.Dataset:
    """Return some rows (image, label) drawn from a whole split, the same ones each time. The split may be sorted."""
    from pipeline.data.input_pipeline import TrainingFeed

    source = replace(data, shuffle=True)
    feed = TrainingFeed(split=rows, spec=spec, source=source, batch_size=CLASSIFIER_BATCH, seed=DRAW_SEED)
    return feed.batches(0).unbatch().take(count)


def first_of_each_class(images: np.ndarray, labels: np.ndarray, classes: int, rows: int) -> np.ndarray:
    """Return the first images of each class as a grid (rows, classes, *image); 0 if a class has too few."""
    grid = np.zeros((rows, classes, *images.shape[1:]), images.dtype)
    for index in range(classes):
        chosen = images[labels == index][:rows]
        grid[: len(chosen), index] = chosen
    return grid
