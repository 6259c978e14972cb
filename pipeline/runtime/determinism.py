"""Makes a run repeatable: seeds, thread counts and deterministic kernels, set before TensorFlow starts work."""

import keras
import tensorflow as tf

from pipeline.errors import EnvironmentMismatch

STRICT = "strict"


def prepare(mode, seed, threads):
    """Fix all that decides the bits of a run on one kind of hardware. Returns what was set, for the record.

    mode: "strict" or "relaxed". seed: of Python's, NumPy's and Keras's generators. threads: of one operation and
    between operations; a sum split over another number of threads has other bits. Raises EnvironmentMismatch where
    TensorFlow already started with other thread counts.
    """
    keras.utils.set_random_seed(seed)
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:
        found = (
            tf.config.threading.get_intra_op_parallelism_threads(),
            tf.config.threading.get_inter_op_parallelism_threads(),
        )
        raise EnvironmentMismatch(
            f"hardware.threads: expected {threads}; TensorFlow already runs with {found[0]} in an operation and "
            f"{found[1]} between operations in this process. Start a process of its own."
        ) from None
    if mode == STRICT:
        tf.config.experimental.enable_op_determinism()
        # folding rounds a schedule's constants in another place in each engine's graph
        tf.config.optimizer.set_experimental_options({"constant_folding": False})
    return {"determinism": mode, "seed": seed, "threads": threads}
