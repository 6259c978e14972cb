"""Measure the test accuracy of the presets: the mean of three seeds, and each.

python -m benchmarks.accuracy digits japanese_vowels_gru mnist_convnet data.path=FOLDER
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.measuring import PIPELINE, measure

PRESETS = {
    "digits": [],
    "japanese_vowels_gru": ["experiment=japanese_vowels_gru"],
    "mnist_convnet": ["experiment=mnist_convnet"],
}
SEEDS = (0, 1, 2)


def run(folder: str | None, names: Iterable[str] = tuple(PRESETS)) -> None:
    """Train presets with each seed and print their scores.

    Args:
        folder: The idx files of MNIST. Without it, `mnist_convnet` is skipped.
        names: Keys of PRESETS.
    """
    for name in names:
        overrides = PRESETS[name]
        if name == "mnist_convnet":
            if folder is None:
                print(f"{name}: skipped, because data.path=FOLDER of MNIST was not given")
                continue
            overrides = [*overrides, f"data.path={folder}"]
        scores = [accuracy(*overrides, f"seed={seed}") for seed in SEEDS]
        each = ", ".join(f"{100 * score:.2f}" for score in scores)
        print(f"{name}: test accuracy {100 * statistics.mean(scores):.2f} % (seeds 0, 1, 2: {each})", flush=True)


def accuracy(*overrides: str) -> float:
    """Return the test accuracy of one run with these overrides."""
    with tempfile.TemporaryDirectory() as root:
        measure([*PIPELINE, "train", f"run.root={root}", "run.name=measured", *overrides])
        (label,) = json.loads(Path(root, "measured", "result.json").read_text())["metrics"].values()
    return label["accuracy"]["value"]


if __name__ == "__main__":
    folders = [item.removeprefix("data.path=") for item in sys.argv[1:] if item.startswith("data.path=")]
    run(folders[-1] if folders else None, [item for item in sys.argv[1:] if "=" not in item] or PRESETS)
