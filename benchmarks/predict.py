"""Compare `predict` on a CSV file with `Model.predict` on the same rows as an array in memory.

Both run in one process and in turn. `predict` reads the file, predicts with the batches of the training, and writes
CSV. The model is a small MLP, so that the cost of reading and writing counts as much as it can.
"""

import logging
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import PIPELINE, memory_field, ratios, summed_up

ROWS, COLUMNS, CLASSES = 1_000_000, 20, 2
TRAINED_ROWS = 2_000
BATCH = 64  # the default of training.batch_size
REPEATS = 3
NAMES = [f"x{index}" for index in range(COLUMNS)]


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    with tempfile.TemporaryDirectory() as root:
        x = np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).astype(np.float32)
        write_csv(Path(root, "new.csv"), x)
        write_csv(Path(root, "train.csv"), x[:TRAINED_ROWS], labels=(x[:TRAINED_ROWS, 0] > 0).astype(int))
        options = [f"run.root={root}", "run.name=measured"]
        training = ["data=csv", f"data.path={root}/train.csv", "data.numeric=*", "training.epochs=1"]
        subprocess.run([*PIPELINE, "train", *options, *training, "registry.url=none"], check=True, capture_output=True)
        compare(Path(root), options, x)


def write_csv(path: Path, x: np.ndarray, labels: np.ndarray | None = None) -> None:
    """Write rows, (rows, COLUMNS) float32, with their labels if there are any."""
    columns = [*x.astype(str).T, *([labels.astype(str)] if labels is not None else [])]
    with path.open("w") as file:
        file.write(",".join([*NAMES, *(["label"] if labels is not None else [])]) + "\n")
        file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))


def compare(root: Path, options: list[str], x: np.ndarray) -> None:
    """Time both in turn, and print their ratio.

    Args:
        root: The folder of the run and of new.csv.
        options: Those that name the run.
        x: The rows of new.csv.
    """
    from pipeline.runs import saved_model

    logging.getLogger("pipeline").setLevel(logging.WARNING)
    arguments = ["predict", *options, f"data.path={root}/new.csv", f"predict.output={root}/out.csv"]
    predict(
        [*arguments[:-2], f"data.path={root}/train.csv", arguments[-1]]
    )  # sets the threads, before a model is loaded
    expected = saved_model.load(root / "measured" / "model.keras")
    seconds: dict[str, list[float]] = {"predict": [], f"Model.predict, batches of {BATCH}": [], "of 8,192": []}
    for _ in range(REPEATS):
        for name, call in zip(
            seconds,
            (
                lambda: predict(arguments),
                lambda: expected.predict(x, batch_size=BATCH, verbose=0),
                lambda: expected.predict(x, batch_size=8_192, verbose=0),
            ),
            strict=True,
        ):
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    whole, *others = seconds.items()
    for name, times in seconds.items():
        print(f"{name:<36}        {summed_up([ROWS / each for each in times], 0)} rows/s", file=sys.stderr)
    for name, times in others:
        print(f"rate of predict / {name:<32}  {summed_up(ratios(times, whole[1]))}", flush=True)
    print(f"resident memory of predict alone, MiB                 {peak_memory(arguments)}")


def predict(arguments: list[str]) -> None:
    """Run a command line in this process. If it fails, exit."""
    from pipeline.cli.main import main

    if status := main(arguments):
        sys.exit(status)


def peak_memory(arguments: list[str]) -> str:
    """Return the largest resident memory of `predict` in a process of its own."""
    sizes = []
    with subprocess.Popen([*PIPELINE, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            try:
                sizes.append(memory_field(process.pid, "VmHWM"))
            except (ProcessLookupError, FileNotFoundError):
                break
            time.sleep(0.5)
    return f"{max(sizes) / 2**10:.0f}"
