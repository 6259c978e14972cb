"""Adversarial learning: a generator of images and its critic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
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
    from pipeline.evaluation.decisions import Decision
    from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly
    from pipeline.layers.generative_adversarial_network import GenerativeAdversarialNetwork
    from pipeline.reports.figures import ImageGrid
    from pipeline.training.options import TrainingOptions

TINY = 1e-12  # added under a square root, whose derivative at 0 is infinite
CLASSIFIER_BATCH, CLASSIFIER_STEPS, CLASSIFIER_SEED = 128, 1_000, 0
STEPS_PER_CALL = 50  # for the classifier: one of its steps is hardly slower than the overhead of a call
FEATURES = 32  # width of the classifier's features: few enough for the covariance of some hundred rows
DRAW_SEED = 0  # seed for drawing a sample of the rows of a split
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
        # one update per critic step, so that a schedule lasts the whole run
        critic_optimizer = options.build(total_steps * self.critic_steps)
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
        decisions: Mapping[str, Decision],
    ) -> list[LabelEvaluation | ScoresOnly]:
        """Score generated images with a classifier that was trained on real images. Writes no files."""
        from pipeline.data.input_pipeline import ordered_batches
        from pipeline.evaluation import bootstrap, metrics

        training = training_rows()
        batch_size = config.training.batch_size
        classifier = train_classifier(config.data, spec, training)
        predicted = classified(classifier, model, ordered_batches(rows, spec, batch_size))
        reference = drawn_rows(config.data, spec, training, len(rows)).batch(batch_size)
        reference_features = np.concatenate([classifier.classify(images)[0] for images, _ in reference])
        shares = bootstrap.mean_statistic(
            {
                "accuracy": predicted.classes_of_generated == predicted.labels,
                "accuracy_of_real": predicted.classes_of_real == predicted.labels,
            }
        )
        intervals = bootstrap.bootstrap_scores([shares], rows=len(rows), options=config.evaluation, seed=config.seed)
        distance = frechet_distance(predicted.real, predicted.generated)
        distance_of_real = frechet_distance(predicted.real, reference_features)
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
    """Trains a generator and a critic on each batch: some updates of the critic, then one of the generator.

    The losses, where D is the output of the critic:
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
            options: The pair of losses and the number of critic updates.
            model: The generator and the critic.
            critic_optimizer: The optimizer of the critic.
            trained_classifier: A function that trains and returns the classifier for validation. It is called when the
                first validation begins.
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
        if isinstance(self.model.optimizer, keras.optimizers.LossScaleOptimizer):  # compile adds it for mixed precision
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
        """Return the losses of one update of the critic. The gradient penalty is already multiplied by its weight."""
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
        """Return the batch mean of (norm of the critic's gradient - 1)^2 (Gulrajani et al. 2017).

        The gradient of each row is taken at a random point between its real and its generated image.

        Args:
            real: Real images, (batch, height, width, channels), preprocessed.
            fake: Generated images of the same shape.
            classes: (batch, classes), one-hot.
        """
        ops = keras.ops
        one_per_row = (ops.shape(real)[0], *[1] * (len(real.shape) - 1))
        share = keras.random.uniform(one_per_row, dtype=real.dtype, seed=self.model.seed_generator)
        between = share * real + (1 - share) * fake
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(between)
            critic_output = self.model.criticize(between, classes)
        grad = tape.gradient(critic_output, between)
        norm = ops.sqrt(ops.sum(ops.square(grad), axis=tuple(range(1, len(grad.shape)))) + TINY)
        return ops.mean(ops.square(norm - 1))

    def generator_losses(self, batch: Batch) -> tuple[Losses, None]:
        """Return the loss of one update of the generator."""
        ops = keras.ops
        _, labels = batch
        classes = self.model.one_hot(labels)
        critic_output = self.model.criticize(self.model.preprocess(self.model.draw(classes)), classes)
        if self.options.loss == "non_saturating":
            return {"generator_loss": ops.mean(ops.softplus(-critic_output))}, None
        return {"generator_loss": -ops.mean(critic_output)}, None

    @override
    def measure(self, batch: Batch, losses: Losses, auxiliary: None) -> None:
        losses = {"loss": tf.add_n(list(losses.values())), **losses}
        self.means.update_state([losses[name] for name in self.log_names()], rows=tf.shape(batch[1])[0])

    def evaluate(self, batches: tf.data.Dataset, callbacks: keras.callbacks.CallbackList) -> dict[str, float]:
        """Score generated images with a classifier that was trained on real images.

        Returns:
            accuracy: The share of generated images that the classifier assigns to the class they were generated for.
            frechet_distance: The distance between the classifier's features of the real images and of as many generated
                ones.
        """
        callbacks.on_test_begin()
        if self.classifier is None:
            self.classifier = self.trained_classifier()
        predicted = classified(self.classifier, self.model, with_batch_callbacks(batches, callbacks))
        logs = {
            "accuracy": float(np.mean(predicted.classes_of_generated == predicted.labels)),
            "frechet_distance": frechet_distance(predicted.real, predicted.generated),
        }
        callbacks.on_test_end(logs)
        return logs

    @override
    def callbacks(self, folder: Path) -> list[keras.callbacks.Callback]:
        from pipeline.training.sample_grid import SampleGrid

        return [SampleGrid(self.model, folder / "samples", self.options.sample_every)]


# ---- the classifier of real images -----------------------------------------------------------------------------------


class ImageClassifier:
    """A small trained classifier of real images. Its classes and features are used to score generated images."""

    def __init__(
        self, epoch: tf.data.Dataset, epochs: tf.data.Dataset, *, shape: tuple[int | None, ...], classes: int
    ) -> None:
        """Build and train the classifier.

        It has its own seeds. Training draws no random number from another generator and gives the same classifier each
        time.

        Args:
            epoch: Batches of (images, labels) that hold each row once. They set the normalization.
            epochs: The batches to train on, in order. Each is used once.
            shape: The shape of an image.
            classes: The number of classes.
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
    """Return the dtype and initializers of one layer of the classifier, so that its weights depend on the seed only."""
    return {
        "dtype": "float32",
        "kernel_initializer": keras.initializers.HeNormal(seed=seed),
        "bias_initializer": "zeros",
    }


def train_classifier(data: DataSource, spec: DataSpec, training_rows: Split) -> ImageClassifier:
    """Train an image classifier on a training split."""
    from pipeline.data.input_pipeline import TrainingFeed

    feed = TrainingFeed(split=training_rows, spec=spec, source=data, batch_size=CLASSIFIER_BATCH, seed=CLASSIFIER_SEED)
    epochs = feed.stream(first_epoch=0, first_step=0, epochs=-(-CLASSIFIER_STEPS // feed.steps))
    feature, label = next(iter(spec.features.values())), next(iter(spec.labels.values()))
    return ImageClassifier(feed.batches(0), epochs, shape=feature.shape, classes=label.width)


class Classified(NamedTuple):
    """Classes and features of real images and of as many generated ones, with the same labels. Rows come first.

    Attributes:
        labels: (rows,) the class of each row.
        real: (rows, FEATURES) features of the real images.
        classes_of_real: (rows,) classes predicted for the real images.
        generated: (rows, FEATURES) features of the generated images.
        classes_of_generated: (rows,) classes predicted for the generated images.
    """

    labels: np.ndarray
    real: np.ndarray
    classes_of_real: np.ndarray
    generated: np.ndarray
    classes_of_generated: np.ndarray


def classified(
    classifier: ImageClassifier, model: GenerativeAdversarialNetwork, batches: Iterable[Batch]
) -> Classified:
    """Classify the images of the batches, and one generated image of the same class for each.

    Args:
        classifier: The trained classifier.
        model: The model that generates the images.
        batches: Batches of (images, labels).
    """
    from pipeline.layers.generative_adversarial_network import sample_generator

    numbers = sample_generator()
    results = []
    for images, labels in batches:
        latent = numbers.standard_normal((len(labels), model.latent), np.float32)
        generated = model({"latent": latent, "label": labels})
        results.append((labels.numpy(), *classifier.classify(images), *classifier.classify(generated)))
    return Classified(*(np.concatenate(column) for column in zip(*results, strict=True)))


def frechet_distance(features: np.ndarray, others: np.ndarray) -> float:
    """Return the squared Frechet distance between two normal distributions fitted to two samples.

    With means m, n and covariances C, D the distance is |m - n|^2 + trace(C + D - 2 (C D)^(1/2)) (Heusel et al. 2017,
    "GANs Trained by a Two Time-Scale Update Rule", equation 6). Few rows bias the distance upwards: compare only
    distances that come from the same number of rows.

    Args:
        features: (rows, width), at least two rows.
        others: (other rows, width), at least two rows.
    """
    one, other = (np.asarray(sample, np.float64) for sample in (features, others))
    difference = one.mean(axis=0) - other.mean(axis=0)
    c, d = (np.cov(sample, rowvar=False) for sample in (one, other))
    values, vectors = np.linalg.eigh(c)
    root = vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T
    shared = np.linalg.eigvalsh(root @ d @ root)  # has the eigenvalues of C D, but is symmetric
    distance = difference @ difference + np.trace(c) + np.trace(d) - 2 * np.sqrt(np.maximum(shared, 0)).sum()
    return max(float(distance), 0.0)  # rounding can make it slightly negative


# ---- images of the report --------------------------------------------------------------------------------------------


def image_grids(
    data: DataSource, spec: DataSpec, model: GenerativeAdversarialNetwork, rows: Split
) -> tuple[ImageGrid, ...]:
    """Return a grid of generated images and a grid of real ones, with one column per class."""
    from pipeline.reports.figures import ImageGrid
    from pipeline.training.sample_grid import ROWS

    classes = next(iter(spec.labels.values())).classes
    searched = SEARCHED_ROWS * len(classes)
    images, labels = next(drawn_rows(data, spec, rows, searched).batch(searched).as_numpy_iterator())
    real = first_of_each_class(images, labels, len(classes), ROWS)
    return ImageGrid("generated", model.samples(ROWS), classes), ImageGrid("real", real, classes)


def drawn_rows(data: DataSource, spec: DataSpec, rows: Split, count: int) -> tf.data.Dataset:
    """Return rows (image, label) drawn at random from a whole split, the same ones each time.

    The first rows would not represent the split, which may be sorted by class.
    """
    from pipeline.data.input_pipeline import TrainingFeed

    source = replace(data, shuffle=True)
    feed = TrainingFeed(split=rows, spec=spec, source=source, batch_size=CLASSIFIER_BATCH, seed=DRAW_SEED)
    return feed.batches(0).unbatch().take(count)


def first_of_each_class(images: np.ndarray, labels: np.ndarray, classes: int, rows: int) -> np.ndarray:
    """Return the first images of each class as a grid (rows, classes, *image).

    If a class has fewer images than rows, the rest of its column is 0.
    """
    grid = np.zeros((rows, classes, *images.shape[1:]), images.dtype)
    for index in range(classes):
        chosen = images[labels == index][:rows]
        grid[: len(chosen), index] = chosen
    return grid
