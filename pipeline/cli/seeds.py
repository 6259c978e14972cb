"""Trains one set-up with several seeds in one process: python -m pipeline.cli.seeds COUNT KEY=VALUE...

A process of its own for each would spend most of its time on importing TensorFlow. The bits are those of a process of
its own: `train` draws everything from its seed, and Keras's counters of names are set back between two runs.
"""

import sys

from pipeline.cli.main import main


def train(count, words):
    """Train the seeds 0 to count - 1, as runs seed-0, seed-1 and so on; those that are finished stay. Returns the exit
    status of the first that fails, else 0."""
    for seed in range(count):
        status = main(["train", *words, f"seed={seed}", f"run.name=seed-{seed}"])
        if status:
            return status
        start_anew()
    return 0


def start_anew():
    import keras  # not before the first config is known to be good

    keras.backend.clear_session(free_memory=False)


if __name__ == "__main__":
    sys.exit(train(int(sys.argv[1]), sys.argv[2:]))
