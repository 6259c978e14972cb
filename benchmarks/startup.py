"""Measure costs before and beside training: the help page, and a rerun of the default training.

A rerun with one epoch, minus a bare import of TensorFlow and Keras, is an upper bound of the cost of a run besides that
import and training: it still contains one epoch and the tracing of its step.
"""

import os
import shutil
import sys
import tempfile

from benchmarks.measuring import PIPELINE, measure, summed_up

REPEATS = 5
IMPORT = [sys.executable, "-c", "import tensorflow, keras; keras.Sequential"]


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    helps = [measure([*PIPELINE, "--help"])[0] for _ in range(REPEATS)]
    print(f"--help                                      {summed_up(helps)} CPU s")
    imports, reruns, whole = [], [], []
    with tempfile.TemporaryDirectory() as root:
        for _ in range(REPEATS):
            imports.append(measure(IMPORT)[0])
            reruns.append(train(root, "training.epochs=1"))
            whole.append(train(root))
    beyond = [rerun - bare for rerun, bare in zip(reruns, imports, strict=True)]
    print(f"import of TensorFlow and Keras              {summed_up(imports)} CPU s")
    print(f"train, whole                                {summed_up(whole)} CPU s")
    print(f"train with one epoch, less the import       {summed_up(beyond)} CPU s")


def train(root: str, *overrides: str) -> float:
    """Return the CPU seconds of `make train`, or of its command in the image, which has no make."""
    make = shutil.which("make")
    command = [make, "train", "RUNTIME=local"] if make else [*PIPELINE, "train"]
    # a make that runs this benchmark passes on the variables of its command line
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    return measure([*command, f"run.root={root}", *overrides], environment)[0]
