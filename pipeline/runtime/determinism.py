"""Make a run repeatable: seeds, thread counts and deterministic kernels, set before TensorFlow starts work."""

from typing import Any

import keras
import tensorflow as tf

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import keras_settings

STRICT = "strict"


def prepare(mode: str, *, seed: int, threads: int) -> dict[str, Any]:
    """Set everything that decides the bits of a run on one kind of hardware.

    Args:
        mode: "strict" or "relaxed".
        seed: For the generators of Python, NumPy and Keras.
        threads: Threads of one operation, and of the graph. A sum split over another number of threads has other bits.

    Returns:
        The settings, for the environment record.

    Raises:
        EnvironmentMismatch: TensorFlow has already started with other thread counts.
    """
    keras_settings.fix()
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
            f"{found[1]} between operations in this process. Start another process."
        ) from None
    if mode == STRICT:
        tf.config.experimental.enable_op_determinism()
        # constant folding rounds the constants of a schedule differently in the graph of each engine
        tf.config.optimizer.set_experimental_options({"constant_folding": False})
    return {"determinism": mode, "seed": seed, "threads": threads}
