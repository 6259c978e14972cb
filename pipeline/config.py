"""Every knob, declared once: its type, default, unit and reason.

The command line and the files under configs/ can only set what stands here. Group members (one data set, one model)
are subclasses, so code picks an implementation by `match` on the class. `__post_init__` validates and never
transforms; rules that need two parts at once live in preflight/.
"""

from dataclasses import dataclass, field, fields
from typing import Any

from pipeline.errors import ConfigError, nearest
from pipeline.spec import CLASS, LABEL_KINDS


def knob(default, help):
    """Declare a field with the line that `--help` and the config reference show for it."""
    if isinstance(default, (list, dict)):
        return field(default_factory=lambda: type(default)(default), metadata={"help": help})
    if isinstance(default, type):
        return field(default_factory=default, metadata={"help": help})
    return field(default=default, metadata={"help": help})


def one_of(key, value, known):
    if value not in known:
        raise ConfigError(f"{key}: expected one of {', '.join(known)}; found {value!r}. {nearest(str(value), known)}")


def at_least(key, value, least):
    if not value >= least:  # refuses NaN as well
        raise ConfigError(f"{key}: expected a number of at least {least}; found {value}.")


def within(key, value, low, high):
    if not low <= value < high:
        raise ConfigError(f"{key}: expected a number from {low} to below {high}; found {value}.")


def given(key, value):
    if not value:
        raise ConfigError(f"{key}: expected a value, found none. Set it on the command line: {key}=...")


def keras_object(key, value, optional=False):
    """Check the form of a Keras object: a name, or class_name + config. Whether Keras knows it is checked later."""
    if value is None and optional:
        return
    well_formed = isinstance(value, str) or (
        isinstance(value, dict)
        and isinstance(value.get("class_name"), str)
        and set(value) <= {"class_name", "config"}
        and isinstance(value.get("config", {}), dict)
    )
    if not well_formed:
        raise ConfigError(
            f"{key}: expected a name Keras knows, or class_name and config; found {value!r}. "
            "Example: {class_name: Dense, config: {units: 10}}"
        )


# ---- data -----------------------------------------------------------------------------------------------------------


@dataclass
class Split:
    validation: float = knob(0.1, "share of the rows held out for validation, where the data gives no such split")
    test: float = knob(0.2, "share of the rows held out for the test, where the data gives no such split")
    seed: int = knob(
        0, "decides which row goes where; apart from `seed`, so that another seed meets the same test rows"
    )
    stratify: bool = knob(True, "keep the classes' shares the same in every split")

    def __post_init__(self):
        within("data.split.validation", self.validation, 0, 1)
        within("data.split.test", self.test, 0, 1)
        if self.validation + self.test >= 1:
            raise ConfigError(
                f"data.split: validation {self.validation} and test {self.test} leave no row to train on. "
                "Expected their sum below 1."
            )


@dataclass
class Data:
    """What every data set can be told."""

    split: Split = knob(Split, "who goes where")
    shuffle: bool = knob(True, "a new order every epoch, a pure function of (seed, epoch)")
    buckets: list[int] = knob(
        [], "variable lengths: upper bounds in steps, rows of a bucket share a batch; [] makes four of equal counts"
    )

    def __post_init__(self):
        if (
            any(a >= b for a, b in zip(self.buckets, self.buckets[1:], strict=False))
            or min(self.buckets, default=1) < 1
        ):
            raise ConfigError(f"data.buckets: expected increasing lengths from 1 on; found {self.buckets}.")


DIGITS_LABELS = ("digit", "parity", "ink")


@dataclass
class Digits(Data):
    """UCI handwritten digits: 1,797 images of 8 x 8, 10 classes. Shipped with the project."""

    labels: list[str] = knob(
        ["digit"], "what is to be predicted: digit (10 classes), parity (even or odd), ink (the mean pixel, a number)"
    )

    def __post_init__(self):
        super().__post_init__()
        given("data.labels", self.labels)
        for label in self.labels:
            one_of("data.labels", label, DIGITS_LABELS)
        if len(set(self.labels)) < len(self.labels):
            raise ConfigError(f"data.labels: expected each label once; found {self.labels}.")


@dataclass
class JapaneseVowels(Data):
    """Japanese Vowels: 270 + 370 utterances of 7 to 29 steps x 12, 9 speakers. Shipped with the project."""


@dataclass
class Idx(Data):
    """idx files, the form of the MNIST family, gzipped or not."""

    path: str = knob("", "folder of the four files")
    train_images: str = knob("train-images-idx3-ubyte", "file in `path`, with or without .gz")
    train_labels: str = knob("train-labels-idx1-ubyte", "file in `path`, with or without .gz")
    test_images: str = knob("t10k-images-idx3-ubyte", "file in `path`, with or without .gz; '' for none")
    test_labels: str = knob("t10k-labels-idx1-ubyte", "file in `path`, with or without .gz; '' for none")
    classes: int = knob(10, "number of classes; a label outside 0 to classes - 1 is refused")

    def __post_init__(self):
        super().__post_init__()
        given("data.path", self.path)
        at_least("data.classes", self.classes, 2)


@dataclass
class Npz(Data):
    """A NumPy .npz file. Arrays named train_NAME, validation_NAME, test_NAME are given splits; a bare NAME is split."""

    path: str = knob("", "the .npz file")
    features: list[str] = knob(["x"], "arrays that go into the model, rows first")
    labels: list[str] = knob(["y"], "arrays to predict, rows first")
    lengths: str = knob("", "array of row lengths, where rows lie end to end in each feature; '' for none")
    label_kind: str = knob(CLASS, f"what each label array holds: {', '.join(LABEL_KINDS)}")
    classes: int | None = knob(None, "number of classes; null counts those in the file")

    def __post_init__(self):
        super().__post_init__()
        given("data.path", self.path)
        given("data.features", self.features)
        given("data.labels", self.labels)
        one_of("data.label_kind", self.label_kind, LABEL_KINDS)
        names = self.features + self.labels
        if len(set(names)) < len(names):
            raise ConfigError(f"data: an array is named more than once in {names}. An array has one role.")


@dataclass
class Csv(Data):
    """A CSV file with a header row."""

    path: str = knob("", "the file with the training rows (and the others, where no other file is named)")
    validation_path: str = knob("", "file with the validation rows; '' cuts them from `path`")
    test_path: str = knob("", "file with the test rows; '' cuts them from `path`")
    delimiter: str = knob(",", "between two fields")
    labels: list[str] = knob(["label"], "columns to predict")
    label_kind: str = knob(CLASS, "what the label columns hold: class or real")
    numeric: list[str] = knob([], "columns of numbers")
    categorical: list[str] = knob([], "columns of categories, kept as text")
    text: list[str] = knob([], "columns of free text, vectorised inside the model")
    missing: list[str] = knob(["", "NA", "NaN", "?"], "fields that mean: no value")
    missing_values: str = knob("refuse", "refuse: an error names the row; impute: the model fills in the training mean")
    unknown_categories: str = knob(
        "refuse", "a category that training never shows. refuse: an error names the row; accept: one shared code"
    )

    def __post_init__(self):
        super().__post_init__()
        given("data.path", self.path)
        given("data.labels", self.labels)
        one_of("data.label_kind", self.label_kind, ("class", "real"))
        one_of("data.missing_values", self.missing_values, ("refuse", "impute"))
        one_of("data.unknown_categories", self.unknown_categories, ("refuse", "accept"))
        if len(self.delimiter) != 1:
            raise ConfigError(f"data.delimiter: expected one character; found {self.delimiter!r}.")
        columns = self.numeric + self.categorical + self.text
        if not columns:
            raise ConfigError(
                "data: expected feature columns in data.numeric, data.categorical or data.text; found none."
            )
        twice = {name for name in columns + self.labels if (columns + self.labels).count(name) > 1}
        if twice:
            raise ConfigError(f"data: column {sorted(twice)} is named more than once. A column has one role.")


@dataclass
class ImageFolder(Data):
    """A folder of PNG and JPEG images, a class a subfolder; train/, validation/, test/ above them are given splits."""

    path: str = knob("", "the folder")
    height: int | None = knob(None, "pixels; null takes the images' own, which must then all be alike")
    width: int | None = knob(None, "pixels; null takes the images' own, which must then all be alike")
    channels: int = knob(3, "1 for grey, 3 for colour")
    in_memory: bool = knob(False, "decode once and keep; false streams from disk, for what does not fit")

    def __post_init__(self):
        super().__post_init__()
        given("data.path", self.path)
        for key in ("height", "width"):
            if getattr(self, key) is not None:
                at_least(f"data.{key}", getattr(self, key), 1)
        if self.channels not in (1, 3):
            raise ConfigError(f"data.channels: expected 1 or 3; found {self.channels}.")
        if (self.height is None) != (self.width is None):
            raise ConfigError("data.height and data.width: expected both or neither.")


@dataclass
class TFRecord(Data):
    """TFRecord shards with their spec.json, as `python -m pipeline shards` writes them. Streamed from disk."""

    path: str = knob("", "the folder of spec.json and the shards")
    shuffle_buffer: int = knob(10_000, "examples held for shuffling; the shards' order changes every epoch too")

    def __post_init__(self):
        super().__post_init__()
        given("data.path", self.path)
        at_least("data.shuffle_buffer", self.shuffle_buffer, 1)


KERAS_DATASETS = ("mnist", "fashion_mnist", "cifar10", "imdb")


@dataclass
class KerasDataset(Data):
    """A set that Keras downloads, once, into its cache."""

    name: str = knob("mnist", ", ".join(KERAS_DATASETS))
    vocabulary: int = knob(10_000, "imdb: words kept, the most frequent first")
    max_length: int = knob(200, "imdb: words kept of a review, its last ones")

    def __post_init__(self):
        super().__post_init__()
        one_of("data.name", self.name, KERAS_DATASETS)
        at_least("data.vocabulary", self.vocabulary, 4)
        at_least("data.max_length", self.max_length, 1)


@dataclass
class Synthetic(Data):
    """Made-up data of any shape: a noisy linear rule, so that a model can learn it. For measuring, not for science."""

    rows: int = knob(10_000, "examples")
    shape: list[int] = knob([28, 28, 1], "of one example")
    classes: int = knob(10, "number of classes; 0 for one real number")
    lengths: list[int] = knob([], "shortest and longest row; [] where all have `shape`; else `shape` is of one step")
    noise: float = knob(0.1, "standard deviation of what is added to the rule's scores")
    seed: int = knob(0, "decides every number")

    def __post_init__(self):
        super().__post_init__()
        at_least("data.rows", self.rows, 1)
        at_least("data.classes", self.classes, 0)
        at_least("data.noise", self.noise, 0)
        if not self.shape or any(size < 1 for size in self.shape):
            raise ConfigError(f"data.shape: expected sizes of at least 1; found {self.shape}.")
        if self.lengths and not (len(self.lengths) == 2 and 1 <= self.lengths[0] <= self.lengths[1]):
            raise ConfigError(f"data.lengths: expected [shortest, longest]; found {self.lengths}.")


@dataclass
class Sinusoids(Data):
    """Regression tasks, a row each: points of a sine wave of its own amplitude and phase. For meta-learning."""

    tasks: int = knob(50_000, "to train on")
    held_out: int = knob(1_000, "tasks of the validation split, and as many others of the test split")
    points: int = knob(20, "of each task: the first ones are its support, the others its queries")
    seed: int = knob(0, "decides every number")

    def __post_init__(self):
        super().__post_init__()
        at_least("data.tasks", self.tasks, 1)
        at_least("data.held_out", self.held_out, 1)
        at_least("data.points", self.points, 2)


@dataclass
class DigitTasks(Data):
    """Few-shot tasks on the shipped digits, a row each: tell a few digits apart by a few images of each. The digits of
    the test split are in no other; validation has other images of the digits of training. For meta-learning."""

    tasks: int = knob(20_000, "to train on")
    held_out: int = knob(1_000, "tasks of the validation split, and as many of the test split")
    ways: int = knob(3, "digits to tell apart in a task; guessing is right in one case of so many")
    images: int = knob(6, "of each digit in a task; those that objective.support leaves are its queries")
    test_digits: list[int] = knob([2, 5, 7], "whose tasks are the test split; all other digits are trained on")
    validation_images: int = knob(30, "of each training digit, kept for the tasks of the validation split")
    move: bool = knob(True, "turn each training task by right angles and mirror it, as a whole: more to learn from")
    seed: int = knob(0, "decides every task")

    def __post_init__(self):
        super().__post_init__()
        at_least("data.tasks", self.tasks, 1)
        at_least("data.held_out", self.held_out, 1)
        at_least("data.ways", self.ways, 2)
        within("data.validation_images", self.validation_images, 1, 100)
        within("data.images", self.images, 2, self.validation_images + 1)
        for digit in self.test_digits:
            within("data.test_digits", digit, 0, 10)
        kept = len(set(self.test_digits))
        if kept < len(self.test_digits) or not self.ways <= min(kept, 10 - kept):
            raise ConfigError(
                f"data.test_digits: expected each digit once, at least data.ways={self.ways} of them, and as many left "
                f"to train on; found {self.test_digits}."
            )


# ---- models ---------------------------------------------------------------------------------------------------------


@dataclass
class Model:
    """What every model can be told. Initializers and constants are written out, since such defaults have moved."""

    preprocessing: list[Any] = knob(
        [{"class_name": "Normalization", "config": {"axis": None}}],
        "Keras layers in front of the model, adapted on the training split; for numeric inputs",
    )
    kernel_initializer: Any = knob("glorot_uniform", "of every weight matrix")
    bias_initializer: Any = knob("zeros", "of every bias")

    def __post_init__(self):
        for layer in self.preprocessing:
            keras_object("model.preprocessing", layer)
        keras_object("model.kernel_initializer", self.kernel_initializer)
        keras_object("model.bias_initializer", self.bias_initializer)


@dataclass
class BatchNormalization:
    momentum: float = knob(0.99, "of the moving mean and variance")
    epsilon: float = knob(0.001, "added to the variance")

    def __post_init__(self):
        within("model.batch_normalization.momentum", self.momentum, 0, 1)
        at_least("model.batch_normalization.epsilon", self.epsilon, 0)


def check_sizes(key, sizes):
    if not sizes or min(sizes) < 1:
        raise ConfigError(f"{key}: expected a list of sizes of at least 1; found {sizes}.")


@dataclass
class Mlp(Model):
    """Sequential: dense layers over the flattened input."""

    hidden: list[int] = knob([64, 32], "units, a layer each")
    activation: str = knob("relu", "of the hidden layers")
    dropout: float = knob(0.0, "share of units dropped after each hidden layer")

    def __post_init__(self):
        super().__post_init__()
        check_sizes("model.hidden", self.hidden)
        within("model.dropout", self.dropout, 0, 1)


@dataclass
class Cnn(Model):
    """Sequential: convolution and max-pooling blocks, then dropout and the head."""

    filters: list[int] = knob([32, 64], "of the convolutions, a block each")
    kernel_size: int = knob(3, "pixels")
    padding: str = knob("same", "same or valid, which makes every convolution's output smaller")
    pool_size: int = knob(2, "pixels; 1 for no pooling")
    hidden: list[int] = knob([], "units of dense layers between the convolutions and the head")
    activation: str = knob("relu", "of every hidden layer")
    dropout: float = knob(0.5, "share of units dropped before the head")
    normalize: bool = knob(False, "batch normalisation after every convolution")
    batch_normalization: BatchNormalization = knob(BatchNormalization, "its constants")

    def __post_init__(self):
        super().__post_init__()
        check_sizes("model.filters", self.filters)
        at_least("model.kernel_size", self.kernel_size, 1)
        at_least("model.pool_size", self.pool_size, 1)
        one_of("model.padding", self.padding, ("valid", "same"))
        within("model.dropout", self.dropout, 0, 1)


@dataclass
class Layers(Model):
    """Sequential: any stack of Keras layers, written in YAML. The head is part of the stack."""

    layers: list[Any] = knob([], "a name, or class_name and config, a layer each")

    def __post_init__(self):
        super().__post_init__()
        given("model.layers", self.layers)
        for layer in self.layers:
            keras_object("model.layers", layer)


@dataclass
class ResidualCnn(Model):
    """Functional: a convolution, then stages of residual blocks, global average pooling and the head."""

    filters: list[int] = knob([16, 32], "of the stages; each after the first halves the image")
    blocks: int = knob(1, "residual blocks a stage")
    kernel_size: int = knob(3, "pixels")
    activation: str = knob("relu", "of every hidden layer")
    batch_normalization: BatchNormalization = knob(BatchNormalization, "its constants")

    def __post_init__(self):
        super().__post_init__()
        check_sizes("model.filters", self.filters)
        at_least("model.blocks", self.blocks, 1)
        at_least("model.kernel_size", self.kernel_size, 1)


@dataclass
class Tabular(Model):
    """Functional: several inputs (numbers, categories, text), each encoded inside the model; a head a label."""

    hidden: list[int] = knob([64, 32], "units of the shared dense layers")
    activation: str = knob("relu", "of the hidden layers")
    dropout: float = knob(0.0, "share of units dropped after each hidden layer")
    vocabulary: int = knob(5_000, "text columns: words kept, the most frequent first")

    def __post_init__(self):
        super().__post_init__()
        check_sizes("model.hidden", self.hidden)
        within("model.dropout", self.dropout, 0, 1)
        at_least("model.vocabulary", self.vocabulary, 2)


@dataclass
class Gru(Model):
    """Sequential: gated recurrent layers over sequences of any length; padding is masked."""

    units: list[int] = knob([64], "a recurrent layer each")
    bidirectional: bool = knob(False, "read each sequence from both ends")
    dropout: float = knob(0.0, "share of units dropped before the head")
    recurrent_initializer: Any = knob("orthogonal", "of the state's weight matrix")
    reset_after: bool = knob(
        True, "apply the reset gate after the matrix product, as cuDNN needs; moved in Keras 2.3.1"
    )
    recurrent_activation: str = knob("sigmoid", "of the gates; moved in Keras 2.3.0")
    vocabulary: int | None = knob(None, "integer sequences: words known to the embedding; null for real-valued steps")
    embedding: int = knob(32, "integer sequences: width of a word")

    def __post_init__(self):
        super().__post_init__()
        check_sizes("model.units", self.units)
        within("model.dropout", self.dropout, 0, 1)
        keras_object("model.recurrent_initializer", self.recurrent_initializer)


@dataclass
class Transformer(Model):
    """Subclassed: a small encoder over sequences of any length; padding is masked."""

    depth: int = knob(2, "encoder blocks")
    width: int = knob(64, "of a step inside the encoder")
    heads: int = knob(4, "of attention; divides width")
    feed_forward: int = knob(128, "units between two blocks' dense layers")
    dropout: float = knob(0.1, "share of units dropped after attention and feed-forward")
    activation: str = knob("gelu", "inside the feed-forward")
    epsilon: float = knob(1e-6, "of layer normalisation")
    vocabulary: int | None = knob(None, "integer sequences: words known to the embedding; null for real-valued steps")

    def __post_init__(self):
        super().__post_init__()
        at_least("model.depth", self.depth, 1)
        at_least("model.feed_forward", self.feed_forward, 1)
        within("model.dropout", self.dropout, 0, 1)
        if self.heads < 1 or self.width % self.heads:
            raise ConfigError(f"model.heads: expected a divisor of model.width={self.width}; found {self.heads}.")


@dataclass
class Gan(Model):
    """Subclassed: a generator of images of a class, from random numbers, and its critic. For objective=adversarial."""

    latent: int = knob(32, "random numbers behind an image")
    generator: list[int] = knob([128, 128], "units of the generator's dense layers")
    critic: list[int] = knob([128, 128], "units of the critic's dense layers")
    slope: float = knob(0.2, "of the leaky ReLU of both, below 0")

    def __post_init__(self):
        super().__post_init__()
        at_least("model.latent", self.latent, 1)
        check_sizes("model.generator", self.generator)
        check_sizes("model.critic", self.critic)
        within("model.slope", self.slope, 0, 1)


# ---- optimizer and objective ----------------------------------------------------------------------------------------


@dataclass
class Optimizer:
    """Any Keras optimizer in Keras's own form, its constants written out. Clipping (clipnorm, global_clipnorm),
    accumulation (gradient_accumulation_steps) and averaging (use_ema) are arguments of Keras's optimizers."""

    class_name: str = knob("Adam", "a class of keras.optimizers")
    config: dict[str, Any] = knob(
        {},
        "its arguments; learning_rate is a number, or class_name and config of a class of "
        "keras.optimizers.schedules, where decay_steps left out means the whole run",
    )


@dataclass
class Objective:
    """What one batch teaches."""


@dataclass
class Supervised(Objective):
    """A loss between outputs and labels."""

    loss: Any = knob(
        None,
        "of keras.losses, for every label, or label -> one of them; a label without has: "
        "sparse_categorical_crossentropy for classes, categorical_crossentropy for one-hot, "
        "binary_crossentropy for multi-label, mean_squared_error for real labels",
    )
    metrics: Any = knob(
        None,
        "a list of keras.metrics, for every label, or label -> such a list; a label without has: accuracy for classes, "
        "mean_absolute_error for real labels",
    )
    class_weight: Any = knob(None, "null, balanced, or a list of one weight a class")

    def __post_init__(self):
        for key, value in self.losses().items():
            keras_object(key, value, optional=True)
        for key, values in self.metric_lists().items():
            if not isinstance(values, list | None):
                raise ConfigError(f"{key}: expected a list of metrics; found {values!r}. One alone is [{values}].")
            for value in values or []:
                keras_object(key, value)
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

    def losses(self):
        """Key of the config -> loss in Keras's form, or None for the usual one."""
        return spelled_out("objective.loss", self.loss)

    def metric_lists(self):
        """Key of the config -> list of metrics in Keras's form, or None for the usual ones."""
        return spelled_out("objective.metrics", self.metrics)


def is_by_label(value):
    """Whether a loss or metrics are given label by label; a dict may also be a Keras object's class_name and config."""
    return isinstance(value, dict) and "class_name" not in value


def spelled_out(key, value):
    """{key: value}, or key and value of each label where the value is given label by label."""
    return {f"{key}.{label}": each for label, each in value.items()} if is_by_label(value) else {key: value}


def of_label(value, label):
    """What is given for a label, by itself or for all; None where nothing is."""
    return value.get(label) if is_by_label(value) else value


@dataclass
class MultiTask(Supervised):
    """Several labels learned at once, a task each, their losses weighted."""

    weighting: str = knob("fixed", "fixed: by `weights`; learned: by each task's uncertainty (Kendall et al. 2018)")
    weights: dict[str, float] = knob({}, "fixed: label -> weight of its loss, at least 0; a label left out has 1")

    def __post_init__(self):
        super().__post_init__()
        one_of("objective.weighting", self.weighting, ("fixed", "learned"))
        for label, weight in self.weights.items():
            within(f"objective.weights.{label}", weight, 0, float("inf"))
        if self.weights and self.weighting == "learned":
            raise ConfigError(
                "objective.weights: expected none where objective.weighting=learned finds them; found weights of "
                f"{', '.join(self.weights)}."
            )


ADVERSARIAL_LOSSES = ("non_saturating", "wgan_gp")


@dataclass
class Adversarial(Objective):
    """A critic learns to tell real images from generated ones, and a generator to pass as real. For model=gan."""

    loss: str = knob("non_saturating", ", ".join(ADVERSARIAL_LOSSES))
    critic_steps: int = knob(1, "moves of the critic, each with new random numbers, before one of the generator")
    gradient_penalty: float = knob(10.0, "wgan_gp: weight of the squared distance of the critic's gradient norm from 1")
    critic_optimizer: Any = knob(
        None, "class_name and config, as of `optimizer`, which moves the generator; null: another one like that"
    )
    sample_every: int = knob(10, "epochs between two grids of samples, as PNG files in the run's folder samples/")

    def __post_init__(self):
        one_of("objective.loss", self.loss, ADVERSARIAL_LOSSES)
        at_least("objective.critic_steps", self.critic_steps, 1)
        at_least("objective.gradient_penalty", self.gradient_penalty, 0)
        keras_object("objective.critic_optimizer", self.critic_optimizer, optional=True)
        at_least("objective.sample_every", self.sample_every, 1)


@dataclass
class Maml(Objective):
    """Weights from which a few steps of gradient descent on a task's first points fit its others. For rows of tasks."""

    support: int = knob(10, "points of a task that a step may learn from, its first ones; the others are its queries")
    inner_rate: float = knob(0.01, "learning rate of the steps on a task")
    inner_steps: int = knob(5, "steps on a task while training; the loss is the mean of those after each")
    first_order: bool = knob(False, "leave out the gradient through the steps: cheaper, less exact")

    def __post_init__(self):
        at_least("objective.support", self.support, 1)
        at_least("objective.inner_rate", self.inner_rate, 0)
        at_least("objective.inner_steps", self.inner_steps, 1)


@dataclass
class Regularization:
    """What is added to any objective's losses, or done to its batches. training=tape only; 0 and {} leave it out."""

    mixup: float = knob(0.0, "alpha of the Beta distribution that rows are mixed by in pairs (Zhang et al. 2018)")
    gradient_penalty: float = knob(
        0.0, "weight of the squared gradient of the loss by the float inputs (Drucker and Le Cun 1992)"
    )
    weight_decay: dict[str, float] = knob(
        {}, "layer's name or pattern (dense*) -> rate of the squared weights of its matrices"
    )

    def __post_init__(self):
        within("regularization.mixup", self.mixup, 0, float("inf"))
        within("regularization.gradient_penalty", self.gradient_penalty, 0, float("inf"))
        for pattern, rate in self.weight_decay.items():
            within(f"regularization.weight_decay.{pattern}", rate, 0, float("inf"))

    def __bool__(self):
        return bool(self.mixup or self.gradient_penalty or self.weight_decay)


# ---- training -------------------------------------------------------------------------------------------------------


@dataclass
class EarlyStopping:
    patience: int | None = knob(None, "epochs without improvement before the run ends; null never ends early")
    monitor: str = knob("val_loss", "a loss or metric of an epoch's logs")
    mode: str = knob("auto", "auto, min or max")
    min_delta: float = knob(0.0, "what counts as improvement")
    restore_best_weights: bool = knob(True, "end with the weights of the best epoch")

    def __post_init__(self):
        one_of("training.early_stopping.mode", self.mode, ("auto", "min", "max"))
        if self.patience is not None:
            at_least("training.early_stopping.patience", self.patience, 0)


@dataclass
class Plateau:
    patience: int | None = knob(None, "epochs without improvement before the learning rate falls; null never")
    monitor: str = knob("val_loss", "a loss or metric of an epoch's logs")
    mode: str = knob("auto", "auto, min or max")
    factor: float = knob(0.1, "what the learning rate is multiplied by")
    min_lr: float = knob(0.0, "where it ends")

    def __post_init__(self):
        one_of("training.plateau.mode", self.mode, ("auto", "min", "max"))
        within("training.plateau.factor", self.factor, 0, 1)
        if self.patience is not None:
            at_least("training.plateau.patience", self.patience, 1)


@dataclass
class Checkpoints:
    """When one is written, whichever comes first; at the end and on a request to stop there is always one."""

    epochs: int | None = knob(1, "epochs between two checkpoints; null for none by epochs")
    steps: int | None = knob(None, "steps between two checkpoints, counted over the whole run; null for none by steps")
    minutes: float | None = knob(None, "minutes between two checkpoints; null for none by the clock")
    keep: int = knob(2, "how many of the newest stay, beside the best epoch's among those written")
    on_error: str = knob("stop", "one that cannot be written, on a full disk: stop ends the run, continue trains on")

    def __post_init__(self):
        for key in ("epochs", "steps"):
            if getattr(self, key) is not None:
                at_least(f"training.checkpoints.{key}", getattr(self, key), 1)
        if self.minutes is not None:
            at_least("training.checkpoints.minutes", self.minutes, 0)
        at_least("training.checkpoints.keep", self.keep, 1)
        one_of("training.checkpoints.on_error", self.on_error, ("stop", "continue"))


PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")


@dataclass
class Training:
    """What both engines can be told."""

    epochs: int = knob(30, "passes over the training split")
    batch_size: int = knob(64, "examples a step")
    steps_per_execution: int = knob(1, "steps inside one call of the compiled graph")
    precision: str = knob("float32", ", ".join(PRECISIONS))
    jit: str = knob(
        "never",
        "compile the step with XLA, which changes the bits: never, always, or auto: where device and layers gain by it",
    )
    early_stopping: EarlyStopping = knob(EarlyStopping, "keras.callbacks.EarlyStopping")
    plateau: Plateau = knob(Plateau, "keras.callbacks.ReduceLROnPlateau")
    checkpoints: Checkpoints = knob(Checkpoints, "what a stopped run goes on from")
    resume: str = knob("auto", "an unfinished run of this name: auto goes on with it, never refuses to")
    tensorboard: bool = knob(True, "write logs for `make tensorboard`")

    def __post_init__(self):
        at_least("training.epochs", self.epochs, 1)
        at_least("training.batch_size", self.batch_size, 1)
        at_least("training.steps_per_execution", self.steps_per_execution, 1)
        one_of("training.precision", self.precision, PRECISIONS)
        one_of("training.jit", self.jit, ("never", "always", "auto"))
        one_of("training.resume", self.resume, ("auto", "never"))


@dataclass
class Fit(Training):
    """Keras's own compiled loop: compile + model.fit."""


@dataclass
class Gradients:
    """What is written down of gradients: norms a layer, moves against weights, and whether losses pull apart."""

    every: int | None = knob(None, "steps between two looks, kept in gradients.jsonl and the report; null never looks")
    histograms: bool = knob(True, "write each look's gradients as histograms for TensorBoard too")

    def __post_init__(self):
        if self.every is not None:
            at_least("training.gradients.every", self.every, 1)


@dataclass
class Tape(Training):
    """This project's loop: GradientTape inside one tf.function, for what `fit` cannot express."""

    gradients: Gradients = knob(Gradients, "what is looked at beside the losses")


# ---- the rest -------------------------------------------------------------------------------------------------------


@dataclass
class Evaluation:
    resamples: int = knob(1_000, "bootstrap resamples behind each confidence interval")
    confidence: float = knob(0.95, "level of the intervals")
    bins: int = knob(10, "of the reliability diagram")
    split: str = knob("test", "what `evaluate` looks at: test, validation, train, or all rows of the data")

    def __post_init__(self):
        one_of("evaluation.split", self.split, ("test", "validation", "train", "all"))
        at_least("evaluation.resamples", self.resamples, 100)
        within("evaluation.confidence", self.confidence, 0.5, 1)
        at_least("evaluation.bins", self.bins, 2)


@dataclass
class Run:
    name: str | None = knob(None, "the folder under run.root; null continues the newest alike, or counts on")
    root: str = knob("runs", "where runs lie, from the working directory")
    grace: float = knob(30.0, "seconds a run that is asked to stop has for the step at hand and its checkpoint")

    def __post_init__(self):
        at_least("run.grace", self.grace, 0)
        given("run.root", self.root)
        if self.name is not None and (self.name.startswith(("registry.", "-")) or len(self.name) > 100):
            raise ConfigError(
                "run.name: expected at most 100 characters that begin neither with - nor with registry., which is the "
                f"registry's; found {self.name!r}."
            )
        # the name is a folder: letters, digits and . _ - only, so that it can't leave run.root
        if self.name is not None and not all(c.isalnum() or c in "._-" for c in self.name.lstrip(".") or "/"):
            raise ConfigError(f"run.name: expected letters, digits and . _ - ; found {self.name!r}.")


@dataclass
class ShardsOutput:
    path: str = knob("", "`shards` only: the folder to make; it must not be there yet")
    rows: int = knob(10_000, "`shards` only: examples a file")

    def __post_init__(self):
        at_least("shards.rows", self.rows, 1)


@dataclass
class Registry:
    """Where every run is recorded: a SQLite file, or a PostgreSQL server that several machines share."""

    url: str | None = knob(
        None,
        "null: the SQLite file registry.db under run.root; else sqlite:///FILE on a local disk, "
        "postgresql://USER@HOST:PORT/DATABASE without a password, or none: the run's own journal only",
    )
    password_file: str = knob(
        "", "file whose first line is PostgreSQL's password; '' takes PGPASSWORD from the environment, or ~/.pgpass"
    )
    patience: float = knob(10.0, "seconds that the end of a run waits for a registry that is slow; 0 never waits")

    def __post_init__(self):
        at_least("registry.patience", self.patience, 0)
        scheme, _, rest = (self.url or "sqlite://").partition("://")
        if self.url != "none" and scheme not in ("sqlite", "postgresql"):
            raise ConfigError(
                "registry.url: expected null, none, sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE; "
                f"found one that begins with {scheme.split(':')[0]!r}."
            )
        if ":" in rest.rpartition("@")[0] or "password" in rest.partition("?")[2].lower():
            raise ConfigError(
                "registry.url: expected no password in it, since config.yaml and the shell's history keep it; found "
                "one. Give it as PGPASSWORD in the environment, or in a file: registry.password_file=FILE."
            )


@dataclass
class RunsTable:
    """What `runs` shows."""

    name: str = knob("", "`runs` only: a pattern of names, such as digits-*; '' for all")
    status: str = knob("", "`runs` only: finished, running, interrupted, failed or damaged; '' for all")
    data: str = knob("", "`runs` only: a choice of data, such as digits; '' for all")
    model: str = knob("", "`runs` only: a choice of model, such as cnn; '' for all")
    sort: str = knob("started", "`runs` only: a column or a score, such as accuracy; -accuracy for the largest first")
    limit: int = knob(0, "`runs` only: most lines shown; 0 for all")

    def __post_init__(self):
        at_least("runs.limit", self.limit, 0)


@dataclass
class Drift:
    """When a difference counts as drift: it must be larger than chance makes it, and large enough to matter."""

    rate: float = knob(0.01, "false discoveries allowed among all that is called drift, over all columns of a check")
    psi: float = knob(0.02, "least population stability index that counts, whatever the number of rows")
    distance: float = knob(0.05, "least Kolmogorov-Smirnov distance, or change of the calibration gap, that counts")
    effect: float = knob(0.1, "least effect size that counts: Cohen's w of a chi-square test, Cohen's h of a share")
    difference: float = knob(0.005, "least difference of a metric that counts")
    against: str = knob("", "`drift` only: a second run, judged on the same rows; '' for none")
    split: str = knob("all", "`drift` only: the rows of the data that are looked at: all, train, validation or test")
    metric: str = knob("accuracy", "`drift series` only: the score of each run that makes the series")
    label: str = knob("", "`drift series` only: whose score; '' where the runs have a single label")
    delta: float = knob(0.002, "`drift series` only: chance that ADWIN calls out a change at a cut where there is none")
    threshold: float = knob(8.0, "`drift series` only: Page-Hinkley's, in standard deviations of a run's noise")
    rows: int = knob(10, "`drift series` only: runs below which nothing is said")

    def __post_init__(self):
        for key in ("rate", "delta"):
            if not 0 < getattr(self, key) < 1:
                raise ConfigError(f"drift.{key}: expected a number between 0 and 1; found {getattr(self, key)}.")
        for key in ("psi", "distance", "effect", "difference"):
            at_least(f"drift.{key}", getattr(self, key), 0)
        one_of("drift.split", self.split, ("all", "train", "validation", "test"))
        at_least("drift.threshold", self.threshold, 0)
        at_least("drift.rows", self.rows, 5)


@dataclass
class Golden:
    """Small trainings whose results are kept in the project."""

    experiments: list[str] = knob(
        ["golden_mlp", "golden_mlp_tape", "golden_cnn", "golden_gru", "golden_defaults"],
        "presets of configs/experiment/ that are trained, by `golden` and `qualify`",
    )
    file: str = knob("golden/results.json", "where their results are kept, from the working directory")
    tolerance: float = knob(0.02, "how far an accuracy may lie from the one kept, on any hardware; 0.02: 2 points")

    def __post_init__(self):
        given("golden.experiments", self.experiments)
        given("golden.file", self.file)
        at_least("golden.tolerance", self.tolerance, 0)


@dataclass
class Qualify:
    """A candidate for the lock, trained beside the lock in use."""

    candidate: str = knob("", "`qualify` only: the lock to judge; '' where qualify.package is given")
    package: str = knob("", "`qualify` only: NAME==VERSION, from which the candidate is solved; '' where it is given")
    baseline: str = knob("", "`qualify` only: the lock to compare with; '' for the one in use")
    seeds: int = knob(10, "`qualify` only: trainings of each experiment in each environment; seeds 0 to seeds - 1")
    metric: str = knob("accuracy", "`qualify` only: the score of the test split that is compared")
    margin: float = knob(0.005, "`qualify` only: the least difference of the score that matters; 0.005: half a point")
    confidence: float = knob(0.95, "`qualify` only: 1 - the chance of calling different or equivalent what is not")
    overrides: list[str] = knob([], "`qualify` only: KEY=VALUE words for every training, such as training.epochs=5")
    root: str = knob(".qualify", "`qualify` only: where environments, trainings and reports are kept")

    def __post_init__(self):
        at_least("qualify.seeds", self.seeds, 1)
        if not self.margin > 0:
            raise ConfigError(f"qualify.margin: expected a number above 0; found {self.margin}.")
        within("qualify.confidence", self.confidence, 0.5, 1)
        given("qualify.root", self.root)


@dataclass
class Hardware:
    gpus: list[int] | None = knob(None, "indices of the GPUs to use; null for all that there are")
    memory_growth: bool = knob(True, "take GPU memory as it is needed, not all of it at the start")
    tf32: bool = knob(False, "round the inputs of matrix products on the GPU to TensorFloat-32: faster, less exact")
    threads: int = knob(2, "threads of one operation and of the graph; written out, since it changes the bits")

    def __post_init__(self):
        at_least("hardware.threads", self.threads, 1)


@dataclass
class Environment:
    allow_drift: bool = knob(
        False,
        "go on although packages differ from the lock, or they or the code from what a run began with; marked for good",
    )


@dataclass
class Preflight:
    ignore: list[str] = knob([], "codes of findings that are meant to be so; the run's record names them")


DEVICES = ("auto", "cpu", "gpu")
DETERMINISM = ("strict", "relaxed")


@dataclass
class Config:
    """One experiment. Everything that decides its result stands in here."""

    data: Data = knob(Data, "what is learned from")
    model: Model = knob(Model, "what learns")
    optimizer: Optimizer = knob(Optimizer, "how weights move")
    objective: Objective = knob(Objective, "what one batch teaches")
    training: Training = knob(Training, "the engine and its length")
    regularization: Regularization = knob(Regularization, "what is added to the objective")
    evaluation: Evaluation = knob(Evaluation, "how the result is judged")
    run: Run = knob(Run, "where it is kept")
    seed: int = knob(0, "of initial weights, data order and dropout; 0 is a seed like any other")
    device: str = knob("auto", "auto takes a GPU where there is one; gpu insists on it; cpu leaves it alone")
    determinism: str = knob("strict", "strict: the same bits every time; relaxed: faster on a GPU")
    hardware: Hardware = knob(Hardware, "what the device is allowed")
    environment: Environment = knob(Environment, "what to do when it is not the locked one")
    preflight: Preflight = knob(Preflight, "what is looked at before the first step")
    shards: ShardsOutput = knob(ShardsOutput, "where `python -m pipeline shards` writes")
    registry: Registry = knob(Registry, "where every run is recorded")
    runs: RunsTable = knob(RunsTable, "which runs `python -m pipeline runs` shows")
    drift: Drift = knob(Drift, "what `python -m pipeline drift` calls drift")
    golden: Golden = knob(Golden, "small trainings whose results are kept in the project")
    qualify: Qualify = knob(Qualify, "how `python -m pipeline qualify` judges a candidate for the lock")

    def __post_init__(self):
        one_of("device", self.device, DEVICES)
        one_of("determinism", self.determinism, DETERMINISM)
        within("seed", self.seed, 0, 2**31)


GROUPS = {
    "data": {
        "digits": Digits,
        "japanese_vowels": JapaneseVowels,
        "idx": Idx,
        "npz": Npz,
        "csv": Csv,
        "image_folder": ImageFolder,
        "tfrecord": TFRecord,
        "keras": KerasDataset,
        "synthetic": Synthetic,
        "sinusoids": Sinusoids,
        "digit_tasks": DigitTasks,
    },
    "model": {
        "mlp": Mlp,
        "cnn": Cnn,
        "layers": Layers,
        "residual_cnn": ResidualCnn,
        "tabular": Tabular,
        "gru": Gru,
        "transformer": Transformer,
        "gan": Gan,
    },
    "optimizer": {"optimizer": Optimizer},
    "objective": {
        "supervised": Supervised,
        "multi_task": MultiTask,
        "adversarial": Adversarial,
        "maml": Maml,
    },
    "training": {"fit": Fit, "tape": Tape},
    "registry": {"registry": Registry},
}


def chosen(config):
    """The name of the member that a config has of each group: {"data": "digits", ...}."""
    return {
        group: name
        for group, members in GROUPS.items()
        for name, member in members.items()
        if type(getattr(config, group)) is member
    }


def stray_keys(node, prefix=""):
    """Yield the dotted keys that Hydra's `+` put on a config although its dataclass has no such field."""
    declared = {item.name for item in fields(node)}
    for name, value in vars(node).items():
        if name not in declared:
            yield prefix + name
        elif hasattr(value, "__dataclass_fields__"):
            yield from stray_keys(value, f"{prefix}{name}.")
