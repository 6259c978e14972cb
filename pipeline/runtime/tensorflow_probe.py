"""Print as JSON how TensorFlow was built and which GPUs it finds. Started by pipeline.runtime.gpus.

{version, keras, cuda, cudnn: None if it was built without CUDA; architectures: GPUs it has kernels for, such as sm_80;
gpus: [{name, compute_capability: [major, minor]}]}
"""

import json
from typing import Any

import keras
import tensorflow as tf


def main() -> None:
    """Print the JSON."""
    build = tf.sysconfig.get_build_info()
    properties = {
        "version": tf.__version__,
        "keras": keras.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "architectures": build.get("cuda_compute_capabilities", []),
        "gpus": [describe(gpu) for gpu in tf.config.list_physical_devices("GPU")],
    }
    print(json.dumps(properties))


def describe(gpu: tf.config.PhysicalDevice) -> dict[str, Any]:
    """Return the name and the compute capability of a GPU."""
    details = tf.config.experimental.get_device_details(gpu)
    capability = details.get("compute_capability")
    return {"name": details.get("device_name", gpu.name), "compute_capability": capability and list(capability)}


if __name__ == "__main__":
    main()
