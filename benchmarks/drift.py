"""Drift: what a look at a million rows costs beside NumPy's histograms, and which shifts of MNIST are seen."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import rotate
from scipy.stats import binom

from benchmarks import mnist
from benchmarks.measuring import ratios, summed_up
from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.idx import Idx
from pipeline.evaluation import data_columns, drift_detection, prediction_profiles, profiles
from pipeline.evaluation.drift_detection import DriftKind, DriftVerdict
from pipeline.evaluation.options import Drift

ROWS, COLUMNS, BLOCK = 1_000_000, 50, 65_536
REPEATS = 3
FALSE_ALARMS = 500  # draws of rows that nobody changed
KEPT = 8_000  # held-out rows whose predictions new ones are compared with
NEW_ROWS, TRIALS = (1_000, 10_000), (20, 5)  # and draws of so many rows for each shift
SHARES = (0.1, 0.5, 1.0)


def run(folder):
    of_a_million_rows()
    print(f"memory of it, most                          {memory()} MiB; a block holds {BLOCK * COLUMNS * 8 >> 20}")
    with mnist.files(folder) as path:
        detections(str(path))


# ---- a million rows -------------------------------------------------------------------------------------------------


def blocks(seed):
    """The same made-up rows for a seed, a block at a time."""
    rng = np.random.default_rng(seed)
    for start in range(0, ROWS, BLOCK):
        yield rng.normal(size=(min(BLOCK, ROWS - start), COLUMNS))


def named(block):
    return {f"column {place}": values for place, values in enumerate(block.T)}


def of_a_million_rows():
    held = list(blocks(1))  # so that making them up is in neither time
    reference = profiles.build_profile(named(block) for block in blocks(0))
    edges = [np.array([-np.inf, *column.edges, np.inf]) for column in reference.columns.values()]
    ours, numpys = [], []
    for _ in range(REPEATS):
        began = time.process_time()
        new = profiles.count_rows(reference.columns, map(named, held))
        drift_detection.with_verdicts(drift_detection.compare_data(reference, new, Drift()), Drift().rate)
        ours.append(time.process_time() - began)
        began = time.process_time()
        for block in held:
            for place in range(COLUMNS):
                np.histogram(block[:, place], edges[place])
        numpys.append(time.process_time() - began)
    print(f"{ROWS:,} rows x {COLUMNS} columns, counted and compared  {summed_up(ours)} CPU s")
    print(f"of NumPy's histograms alone                 {summed_up(ratios(ours, numpys))} x")


STREAMED = """
from benchmarks import drift as bench
from pipeline.evaluation import drift_detection, profiles
from pipeline.evaluation.options import Drift
imported = bench.most_memory()
reference = profiles.build_profile(map(bench.named, bench.blocks(0)))
new = profiles.count_rows(reference.columns, map(bench.named, bench.blocks(1)))
drift_detection.with_verdicts(drift_detection.compare_data(reference, new, Drift()), Drift().rate)
print(bench.most_memory() - imported >> 10)
"""


def memory():
    """MiB that a process takes beyond its imports, where the rows stream."""
    return subprocess.run([sys.executable, "-c", STREAMED], capture_output=True, text=True, check=True).stdout.strip()


def most_memory():
    """KiB that this process has held at most; getrusage would count its parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


# ---- shifts of the kinds of Rabanser et al. 2019, "Failing Loudly" --------------------------------------------------


def unchanged(rng, images, labels, hit):
    return images, labels


def noise(rng, images, labels, hit):
    changed = images.astype(np.float32)
    changed[hit] += rng.normal(0, 25, changed[hit].shape)  # a tenth of the range
    return np.clip(changed, 0, 255).astype(images.dtype), labels


def rotation(rng, images, labels, hit):
    changed = images.copy()
    for row in hit:
        turned = rotate(images[row, ..., 0], rng.uniform(-10, 10), reshape=False, order=1)
        changed[row, ..., 0] = np.clip(turned, 0, 255)
    return changed, labels


def shift_aside(rng, images, labels, hit):
    changed = images.copy()
    changed[hit] = np.roll(images[hit], 2, axis=2)
    return changed, labels


def knocked_out(rng, images, labels, hit):
    keep = np.ones(len(labels), bool)
    keep[hit[labels[hit] == 0]] = False
    return images[keep], labels[keep]


SHIFTS = {
    "gaussian noise, a tenth of the range": noise,
    "rotations of up to 10 degrees": rotation,
    "moved by two pixels": shift_aside,
    "class 0 knocked out": knocked_out,
}


def detections(path):
    """Print how often each shift is called drift, by all columns, by those of the images alone, and by the model's."""
    # held-out training rows: those of MNIST's test split are other writers', which is seen now and then
    data = splits.load(Idx(path=path, split=SplitOptions(validation=0.4)))
    images, labels = images_of(data.validation), labels_of(data.validation)
    label, model = next(iter(data.spec.labels.values())), trained(images_of(data.train), labels_of(data.train))
    judged, rest = slice(0, KEPT), slice(KEPT, None)
    reference = profiles.build_profile(columns(data.spec, images_of(data.train), labels_of(data.train)))
    said = prediction_profiles.profile_predictions(label, labels[judged], predicted(model, images[judged]))

    def seen(shift, rows, share, trial):
        """The kinds of columns in which drift is found."""
        rng = np.random.default_rng(trial)
        drawn = rng.choice(len(labels[rest]), rows, replace=False)
        hit = rng.permutation(rows)[: int(share * rows)]
        changed = shift(rng, images[rest][drawn], labels[rest][drawn], hit)
        new = profiles.count_rows(reference.columns, columns(data.spec, *changed))
        says = prediction_profiles.profile_predictions(
            label, changed[1], predicted(model, changed[0]), said.profile.columns
        )
        of_model = drift_detection.compare_predictions({"digit": said}, {"digit": says}, Drift())
        results = drift_detection.with_verdicts(
            [*drift_detection.compare_data(reference, new, Drift()), of_model], Drift().rate
        )
        return {kind_of(result) for result in results if result.verdict == DriftVerdict.DRIFT}

    alarms = sum(bool(seen(unchanged, NEW_ROWS[0], 0, trial)) for trial in range(FALSE_ALARMS))
    print(f"false alarms in {FALSE_ALARMS} draws of {NEW_ROWS[0]:,} rows: {alarms}")
    print("| shift | new rows | " + " | ".join(f"{share:.0%} of the rows" for share in SHARES) + " |")
    print("|---|---|" + "---|" * len(SHARES))
    for name, shift in SHIFTS.items():
        for rows, trials in zip(NEW_ROWS, TRIALS, strict=True):
            cells = []
            for share in SHARES:
                found = [seen(shift, rows, share, trial) for trial in range(trials)]
                found = [(bool(kinds), "image" in kinds, "model" in kinds) for kinds in found]
                cells.append(" / ".join(f"{sum(sort) / trials:.0%}" for sort in zip(*found, strict=True)))
            print(f"| {name} | {rows:,} | " + " | ".join(cells) + " |", flush=True)
    limits = ", ".join(f"{told_which(rows):.0%} of {rows:,} rows" for rows in NEW_ROWS)
    print(f"a tenth of a class of a tenth gone, seen by a binomial test that is told which class: {limits}")


def trained(images, labels):
    """A small network: its probabilities are what a shift is looked for in, and need no more than a fair classifier."""
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.layers.Flatten(), keras.layers.Rescaling(1 / 255), keras.layers.Dense(128, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(10, "softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(images, labels, batch_size=128, epochs=3, verbose=0)
    return model


def predicted(model, images):
    return np.concatenate([model.predict_on_batch(images[at : at + 4_096]) for at in range(0, len(images), 4_096)])


def kind_of(result):
    if result.kind == DriftKind.PREDICTION:
        return "model"
    return "label" if result.subject.startswith(data_columns.LABEL_PREFIX) else "image"


def told_which(rows, share=0.1, lost=0.1):
    """How often a two-sided binomial test at the rate sees that a class of this share has lost some of its rows."""
    less = share * (1 - lost) / (1 - share * lost)
    low, high = binom.ppf([Drift().rate / 2, 1 - Drift().rate / 2], rows, share)
    return binom.cdf(low - 1, rows, less) + binom.sf(high, rows, less)


def columns(spec, images, labels):
    for start in range(0, len(labels), 8_192):
        part = slice(start, start + 8_192)
        features = {next(iter(spec.features)): images[part]}
        yield data_columns.data_columns(spec, features, {next(iter(spec.labels)): labels[part]})


def images_of(part):
    return next(iter(part.features.values()))


def labels_of(part):
    return next(iter(part.labels.values()))
