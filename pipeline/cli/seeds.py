"""Train one configuration with several seeds in one process: python -m pipeline.cli.seeds COUNT KEY=VALUE...

A process per seed would spend most of its time importing TensorFlow. The results equal those of separate processes bit
for bit: `train` derives every random number from its seed, and Keras's counters of layer names are reset between two
runs.
"""

import sys

from pipeline.cli.main import main
from pipeline.lazy import keras


def train_seeds(count: int, overrides: list[str]) -> int:
    """Train the seeds 0 to count - 1 as runs seed-0, seed-1 and so on. Finished runs are not trained again.

    Returns:
        The exit status of the first run that fails; 0 if none fails.
    """
    for seed in range(count):
        status = main(["train", *overrides, f"seed={seed}", f"run.name=seed-{seed}"])
        if status:
            return status
        keras.backend.clear_session(free_memory=False)
    return 0


if __name__ == "__main__":
    sys.exit(train_seeds(int(sys.argv[1]), sys.argv[2:]))
