"""What is paid before and beside training: the help page, and a rerun of the default training.

A rerun with one epoch, less a bare import of TensorFlow and Keras, bounds from above what a run costs besides that
import and training: one epoch and the tracing of its step are still in it.
"""

import os
import shutil
import sys
import tempfile

from benchmarks.measuring import PIPELINE, measure, summed_up

REPEATS = 5
IMPORT = [sys.executable, "-c", "import tensorflow, keras; keras.Sequential"]


def run(_):
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


def train(root, *overrides):
    """CPU seconds of `make train` where there is make, which the image lacks."""
    make = shutil.which("make")
    command = [make, "train", "RUNTIME=local"] if make else [*PIPELINE, "train"]
    # a make above this one hands down what its own command line set
    environment = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    return measure([*command, f"run.root={root}", *overrides], environment)[0]
