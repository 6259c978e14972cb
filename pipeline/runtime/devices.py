"""Select the devices of a run."""

from typing import Any

import tensorflow as tf

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime.options import Hardware


def select(device: str, hardware: Hardware) -> dict[str, Any]:
    """Make only the devices that the config allows visible to TensorFlow. Never fall back to a CPU silently.

    Args:
        device: "auto", "cpu" or "gpu".
        hardware: The options of the device.

    Returns:
        The selected devices, for the environment record.

    Raises:
        EnvironmentMismatch: device=gpu and there is no GPU, or hardware.gpus names one that is missing.
    """
    available = tf.config.list_physical_devices("GPU")
    wanted = range(len(available)) if hardware.gpus is None else hardware.gpus
    missing = [index for index in wanted if not 0 <= index < len(available)]
    if device != "cpu" and missing:
        raise EnvironmentMismatch(f"hardware.gpus: expected GPUs {missing}; TensorFlow finds {len(available)} in all.")
    if device == "gpu" and not available:
        raise EnvironmentMismatch(
            "device=gpu: expected a GPU; TensorFlow finds none. Built for CUDA: "
            f"{'yes' if tf.test.is_built_with_cuda() else 'no'}. Check the driver (nvidia-smi) and, in a container, "
            "that it was started with the GPUs; or set device=cpu."
        )
    if device == "gpu" and not wanted:
        raise EnvironmentMismatch("hardware.gpus: expected indices of GPUs for device=gpu; found none.")
    selected = [] if device == "cpu" else [available[index] for index in wanted]
    tf.config.set_visible_devices(selected, "GPU")
    for gpu in selected:
        tf.config.experimental.set_memory_growth(gpu, hardware.memory_growth)
    tf.config.experimental.enable_tensor_float_32_execution(hardware.tf32)
    return {
        "device": "gpu" if selected else "cpu",
        "gpus": [tf.config.experimental.get_device_details(gpu) | {"name": gpu.name} for gpu in selected],
        "memory_growth": hardware.memory_growth,
        "tf32": hardware.tf32,
    }
