"""Measure drift detection: its time beside NumPy's histograms, and which shifts of MNIST it detects.

The shifts are of the kinds of Rabanser, Günnemann and Lipton, "Failing Loudly" (2019).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import keras
import numpy as np
from scipy.ndimage import rotate
from scipy.stats import binom

from benchmarks import mnist
from benchmarks.measuring import memory_field, ratios, summed_up
from pipeline.data import splits
from pipeline.data.containers import Split, Table
from pipeline.data.options import SplitOptions
from pipeline.data.sources.idx import Idx
from pipeline.evaluation import data_columns, drift_detection, prediction_profiles, profiles
from pipeline.evaluation.drift_detection import DriftKind, DriftResult, DriftVerdict
from pipeline.evaluation.options import Drift
from pipeline.evaluation.prediction_profiles import PredictionProfile
from pipeline.evaluation.profiles import ColumnBlock, NumberColumn, Profile
from pipeline.spec import DataSpec, Label

ROWS, COLUMNS, BLOCK = 1_000_000, 50, 65_536
REPEATS = 3
FALSE_ALARMS = 500  # draws of unchanged rows
REFERENCE_ROWS = 8_000  # held-out rows whose predictions are compared with those of new rows
NEW_ROWS, TRIALS = (1_000, 10_000), (20, 5)  # and the number of draws of so many rows for each shift
SHARES = (0.1, 0.5, 1.0)
PREDICTED_AT_ONCE, COUNTED_AT_ONCE = 4_096, 8_192  # rows

type Shift = Callable[[np.random.Generator, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Takes a generator, images (rows, height, width, 1), labels (rows,) and the indices of the rows to change.

Returns the images and labels after the shift.
"""


def run(folder: str | None) -> None:
    """Run the benchmark. folder: The files of MNIST; None uses random images."""
    compare_with_histograms()
    block = BLOCK * COLUMNS * 8 >> 20
    print(f"additional memory, at most                  {streaming_memory()} MiB; a block has {block}")
    with mnist.files(folder) as path:
        measure_detection(path)


# ---- a million rows -------------------------------------------------------------------------------------------------


def blocks(seed: int) -> Iterator[np.ndarray]:
    """Yield random rows, block by block: (rows, COLUMNS) float64. The same for the same seed."""
    generator = np.random.default_rng(seed)
    for start in range(0, ROWS, BLOCK):
        yield generator.normal(size=(min(BLOCK, ROWS - start), COLUMNS))


def named(block: np.ndarray) -> ColumnBlock:
    """Return the columns of a block by name."""
    return {f"column {index}": values for index, values in enumerate(block.T)}


def compare_with_profile(reference: Profile, new_blocks: Iterator[np.ndarray]) -> None:
    """Count rows in the bins of a profile and compare them with it."""
    new = profiles.count_rows(reference.columns, map(named, new_blocks))
    drift_detection.with_verdicts(
        drift_detection.compare_data(reference=reference, new=new, options=Drift()), Drift().rate
    )


def compare_with_histograms() -> None:
    """Print the CPU time of a comparison, and its ratio to that of NumPy's histograms of the same rows and bins."""
    new_blocks = list(blocks(1))  # before the measurement: generating them is part of neither time
    reference = profiles.build_profile(named(block) for block in blocks(0))
    columns = [column for column in reference.columns.values() if isinstance(column, NumberColumn)]
    edges = [np.array([-np.inf, *column.edges, np.inf]) for column in columns]
    comparisons, histograms = [], []
    for _ in range(REPEATS):
        start = time.process_time()
        compare_with_profile(reference, iter(new_blocks))
        comparisons.append(time.process_time() - start)
        start = time.process_time()
        for block in new_blocks:
            for index in range(COLUMNS):
                np.histogram(block[:, index], edges[index])
        histograms.append(time.process_time() - start)
    print(f"{ROWS:,} rows x {COLUMNS} columns, counted and compared  {summed_up(comparisons)} CPU s")
    print(f"the same / NumPy's histograms alone         {summed_up(ratios(comparisons, histograms))}")


def streaming_memory() -> str:
    """Return the MiB that a process needs beyond its imports if rows are streamed, measured in a new process."""
    command = [sys.executable, "-c", "from benchmarks.drift import print_streaming_memory as p; p()"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def print_streaming_memory() -> None:
    """Build a profile and compare rows with it, both streamed. Print the growth of the peak memory in MiB."""
    before = memory_field("self", "VmHWM")  # getrusage would include the memory of the parent process
    compare_with_profile(profiles.build_profile(map(named, blocks(0))), blocks(1))
    print(memory_field("self", "VmHWM") - before >> 10)


# ---- shifts ---------------------------------------------------------------------------------------------------------


def leave_unchanged(
    generator: np.random.Generator, images: np.ndarray, labels: np.ndarray, changed_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Change nothing, to count false alarms."""
    return images, labels


def add_noise(
    generator: np.random.Generator, images: np.ndarray, labels: np.ndarray, changed_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Add Gaussian noise with a standard deviation of a tenth of the range of the pixels."""
    noisy = images.astype(np.float32)
    noisy[changed_rows] += generator.normal(0, 25, noisy[changed_rows].shape)
    return np.clip(noisy, 0, 255).astype(images.dtype), labels


def rotate_images(
    generator: np.random.Generator, images: np.ndarray, labels: np.ndarray, changed_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Rotate each image by up to 10 degrees."""
    rotated = images.copy()
    for row in changed_rows:
        image = rotate(images[row, ..., 0], generator.uniform(-10, 10), reshape=False, order=1)
        rotated[row, ..., 0] = np.clip(image, 0, 255)
    return rotated, labels


def move_images(
    generator: np.random.Generator, images: np.ndarray, labels: np.ndarray, changed_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Move images by two pixels to the right."""
    moved = images.copy()
    moved[changed_rows] = np.roll(images[changed_rows], 2, axis=2)
    return moved, labels


def remove_class_0(
    generator: np.random.Generator, images: np.ndarray, labels: np.ndarray, changed_rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Remove the rows of class 0."""
    keep = np.ones(len(labels), bool)
    keep[changed_rows[labels[changed_rows] == 0]] = False
    return images[keep], labels[keep]


SHIFTS: dict[str, Shift] = {
    "Gaussian noise, a tenth of the range": add_noise,
    "rotations of up to 10 degrees": rotate_images,
    "moved by two pixels": move_images,
    "class 0 removed": remove_class_0,
}


# ---- detection ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Draws rows, applies a shift and detects drift, against a profile of the training rows.

    spec: Of the data. images, labels: The rows to draw from.
    model: Its predictions are compared too.
    training_profile: The histograms of the training rows.
    prediction_profile: The histograms of the predictions on held-out rows.
    """

    spec: DataSpec
    images: np.ndarray
    labels: np.ndarray
    model: keras.Model
    training_profile: Profile
    prediction_profile: PredictionProfile

    @property
    def label(self) -> Label:
        """The only label of the data."""
        return next(iter(self.spec.labels.values()))

    def sources_with_drift(self, shift: Shift, *, rows: int, share: float, trial: int) -> set[str]:
        """Return in which of "image", "label" and "model" drift is detected.

        Args:
            shift: The change of the rows.
            rows: The number of rows to draw.
            share: The share of these rows that is changed.
            trial: The seed of the draw.
        """
        generator = np.random.default_rng(trial)
        drawn = generator.choice(len(self.labels), rows, replace=False)
        changed_rows = generator.permutation(rows)[: int(share * rows)]
        images, labels = shift(generator, self.images[drawn], self.labels[drawn], changed_rows)
        new = profiles.count_rows(self.training_profile.columns, column_blocks(self.spec, images, labels))
        new_predictions = prediction_profiles.profile_predictions(
            self.label,
            targets=labels,
            outputs=predict(self.model, images),
            columns=self.prediction_profile.profile.columns,
        )
        predictions = drift_detection.compare_predictions(
            reference={"digit": self.prediction_profile}, new={"digit": new_predictions}, options=Drift()
        )
        data = drift_detection.compare_data(reference=self.training_profile, new=new, options=Drift())
        results = drift_detection.with_verdicts([*data, predictions], Drift().rate)
        return {source_of(result) for result in results if result.verdict == DriftVerdict.DRIFT}


def measure_detection(path: str) -> None:
    """Print how often each shift is detected: in any column, in those of the images, and in those of the model.

    Args:
        path: The files of MNIST.
    """
    detector = make_detector(path)
    alarms = sum(
        bool(detector.sources_with_drift(leave_unchanged, rows=NEW_ROWS[0], share=0, trial=trial))
        for trial in range(FALSE_ALARMS)
    )
    print(f"false alarms in {FALSE_ALARMS} draws of {NEW_ROWS[0]:,} rows: {alarms}")
    print("| shift | new rows | " + " | ".join(f"{share:.0%} of the rows" for share in SHARES) + " |")
    print("|---|---|" + "---|" * len(SHARES))
    for name, shift in SHIFTS.items():
        for rows, trials in zip(NEW_ROWS, TRIALS, strict=True):
            cells = []
            for share in SHARES:
                detected = [
                    detector.sources_with_drift(shift, rows=rows, share=share, trial=trial) for trial in range(trials)
                ]
                hits = [(bool(sources), "image" in sources, "model" in sources) for sources in detected]
                cells.append(" / ".join(f"{sum(column) / trials:.0%}" for column in zip(*hits, strict=True)))
            print(f"| {name} | {rows:,} | " + " | ".join(cells) + " |", flush=True)
    powers = ", ".join(f"{binomial_power(rows):.0%} of draws of {rows:,} rows" for rows in NEW_ROWS)
    print(f"a tenth of a class of a tenth removed, detected by a binomial test of this class alone: {powers}")


def make_detector(path: str) -> Detector:
    """Train the model and build both profiles. path: The files of MNIST.

    New rows are held-out training rows: MNIST's test split has other writers, which is sometimes detected as drift.
    """
    data = splits.load(Idx(path=path, split=SplitOptions(validation=0.4)))
    images, labels = arrays_of(data.train)
    model = train_classifier(images, labels)
    training_profile = profiles.build_profile(column_blocks(data.spec, images, labels))
    images, labels = arrays_of(data.validation)
    reference, rest = slice(0, REFERENCE_ROWS), slice(REFERENCE_ROWS, None)
    (label,) = data.spec.labels.values()
    prediction_profile = prediction_profiles.profile_predictions(
        label, targets=labels[reference], outputs=predict(model, images[reference])
    )
    return Detector(
        spec=data.spec,
        images=images[rest],
        labels=labels[rest],
        model=model,
        training_profile=training_profile,
        prediction_profile=prediction_profile,
    )


def arrays_of(split: Split | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the images and the labels of a split of MNIST."""
    assert isinstance(split, Table)
    (images,), (labels,) = split.features.values(), split.labels.values()
    assert isinstance(images, np.ndarray)
    return images, labels


def train_classifier(images: np.ndarray, labels: np.ndarray) -> keras.Model:
    """Train a small dense network. Its probabilities need not be more than fairly accurate to show a shift."""
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), keras.layers.Dense(128, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=128, epochs=3, verbose=0)
    return model


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the probabilities of the classes: (rows, 10)."""
    starts = range(0, len(images), PREDICTED_AT_ONCE)
    return np.concatenate([model.predict_on_batch(images[start : start + PREDICTED_AT_ONCE]) for start in starts])


def source_of(result: DriftResult) -> str:
    """Return "model" for a column of predictions, "label" for one of the labels, "image" for one of the images."""
    if result.kind == DriftKind.PREDICTION:
        return "model"
    return "label" if result.subject.startswith(data_columns.LABEL_PREFIX) else "image"


def binomial_power(rows: int, share: float = 0.1, lost: float = 0.1) -> float:
    """Return how often a two-sided binomial test of one class detects, at the configured rate, that rows are missing.

    Args:
        rows: Of a draw.
        share: Of the class in the reference.
        lost: The share of its rows that are missing.
    """
    remaining = share * (1 - lost) / (1 - share * lost)
    low, high = binom.ppf([Drift().rate / 2, 1 - Drift().rate / 2], rows, share)
    return float(binom.cdf(low - 1, rows, remaining) + binom.sf(high, rows, remaining))


def column_blocks(spec: DataSpec, images: np.ndarray, labels: np.ndarray) -> Iterator[ColumnBlock]:
    """Yield the columns of a profile, block by block."""
    (feature,), (label,) = spec.features, spec.labels
    for start in range(0, len(labels), COUNTED_AT_ONCE):
        block = slice(start, start + COUNTED_AT_ONCE)
        yield data_columns.data_columns(spec, {feature: images[block]}, {label: labels[block]})
