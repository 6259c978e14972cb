"""Drift: what a look at a million rows costs beside NumPy's histograms, and which shifts of MNIST are seen."""

import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from scipy.ndimage import rotate

from benchmarks import mnist
from benchmarks.measuring import ratios, summed_up
from pipeline.config import Drift, Idx, Split
from pipeline.data import splits
from pipeline.evaluation import drift, profile

ROWS, COLUMNS, BLOCK = 1_000_000, 50, 65_536
REPEATS = 3
TRIALS = 20  # of each shift
NEW_ROWS = (1_000, 10_000)
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
    reference = profile.profile(named(block) for block in blocks(0))
    edges = [np.array([-np.inf, *column.edges, np.inf]) for column in reference.columns.values()]
    ours, numpys = [], []
    for _ in range(REPEATS):
        began = time.process_time()
        new = profile.count(reference.columns, map(named, held))
        drift.compare(drift.INPUT, reference, new, Drift())
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
from pipeline.config import Drift
from pipeline.evaluation import drift, profile
imported = bench.most_memory()
reference = profile.profile(map(bench.named, bench.blocks(0)))
drift.compare(drift.INPUT, reference, profile.count(reference.columns, map(bench.named, bench.blocks(1))), Drift())
print(bench.most_memory() - imported >> 10)
"""


def memory():
    """MiB that a process takes beyond its imports, where the rows stream."""
    return subprocess.run([sys.executable, "-c", STREAMED], capture_output=True, text=True, check=True).stdout.strip()


def most_memory():
    """KiB that this process has held at most; getrusage would count its parent's too."""
    return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


# ---- shifts of the kinds of Rabanser et al. 2019, "Failing Loudly" --------------------------------------------------


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
    """Print how often each shift is seen by the columns of the images alone, and with the labels' own."""
    # held-out training rows: those of MNIST's test split are other writers', which is seen now and then
    data = splits.load(Idx(path=path, split=Split(validation=0.2)))
    reference = profile.profile(columns(data.spec, images_of(data.train), labels_of(data.train)))
    print("| shift | new rows | " + " | ".join(f"{share:.0%} of the rows" for share in (0.0, *SHARES)) + " |")
    print("|---|---|" + "---|" * (1 + len(SHARES)))
    for name, shift in SHIFTS.items():
        for rows in NEW_ROWS:
            shown = [seen(data, reference, shift, rows, share) for share in (0.0, *SHARES)]
            print(f"| {name} | {rows:,} | " + " | ".join(shown) + " |", flush=True)


def columns(spec, images, labels):
    for start in range(0, len(labels), 8_192):
        part = slice(start, start + 8_192)
        features = {next(iter(spec.features)): images[part]}
        yield profile.data_columns(spec, features, {next(iter(spec.labels)): labels[part]})


def images_of(part):
    return next(iter(part.features.values()))


def labels_of(part):
    return next(iter(part.labels.values()))


def seen(data, reference, shift, rows, share):
    """Share of trials in which drift is seen, by all columns / by those of the images."""
    every = images_only = 0
    trials = TRIALS if rows < 5_000 else TRIALS // 2
    for trial in range(trials):
        rng = np.random.default_rng(trial)
        drawn = rng.choice(len(data.validation), rows, replace=False)
        hit = rng.permutation(rows)[: int(share * rows)]
        changed = shift(rng, images_of(data.validation)[drawn], labels_of(data.validation)[drawn], hit)
        new = profile.count(reference.columns, columns(data.spec, *changed))
        found = [r.subject for r in drift.compare(drift.INPUT, reference, new, Drift()) if r.verdict == drift.DRIFT]
        every += bool(found)
        images_only += any(not subject.startswith("label") for subject in found)
    return f"{every / trials:.0%} / {images_only / trials:.0%}"
