"""Which device a run may use, and what it is."""

import tensorflow as tf

from pipeline.errors import EnvironmentMismatch


def select(device, hardware):
    """Show TensorFlow the devices the config allows. Returns a record of them.

    device: "auto", "cpu" or "gpu". hardware: a config.Hardware. Raises EnvironmentMismatch where device=gpu and there
    is none, or an index of hardware.gpus is not there: never a silent CPU.
    """
    found = tf.config.list_physical_devices("GPU")
    wanted = range(len(found)) if hardware.gpus is None else hardware.gpus
    missing = [index for index in wanted if not 0 <= index < len(found)]
    if device != "cpu" and missing:
        raise EnvironmentMismatch(f"hardware.gpus: expected GPUs {missing}; TensorFlow sees {len(found)} in all.")
    if device == "gpu" and not found:
        raise EnvironmentMismatch(
            "device=gpu: expected a GPU, TensorFlow sees none. Built for CUDA: "
            f"{'yes' if tf.test.is_built_with_cuda() else 'no'}. Check the driver (nvidia-smi) and, in a container, "
            "that it was started with the GPUs; or take device=cpu."
        )
    if device == "gpu" and not wanted:
        raise EnvironmentMismatch("hardware.gpus: expected indices of GPUs for device=gpu; found none.")
    chosen = [] if device == "cpu" else [found[index] for index in wanted]
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        tf.config.experimental.set_memory_growth(gpu, hardware.memory_growth)
    tf.config.experimental.enable_tensor_float_32_execution(hardware.tf32)
    return {
        "device": "gpu" if chosen else "cpu",
        "gpus": [tf.config.experimental.get_device_details(gpu) | {"name": gpu.name} for gpu in chosen],
        "memory_growth": hardware.memory_growth,
        "tf32": hardware.tf32,
    }
