"""Prints as JSON what TensorFlow says of itself. pipeline.runtime.gpus starts it: it may fail to load.

{version, keras, cuda, cudnn: None where it was built without; architectures: GPUs it holds kernels for, such as sm_80;
gpus: those it sees, [{name, compute_capability: [major, minor]}]}
"""

import json

import keras
import tensorflow as tf


def main():
    build = tf.sysconfig.get_build_info()
    found = {
        "version": tf.__version__,
        "keras": keras.__version__,
        "cuda": build.get("cuda_version"),
        "cudnn": build.get("cudnn_version"),
        "architectures": build.get("cuda_compute_capabilities", []),
        "gpus": [about(gpu) for gpu in tf.config.list_physical_devices("GPU")],
    }
    print(json.dumps(found))


def about(gpu):
    details = tf.config.experimental.get_device_details(gpu)
    capability = details.get("compute_capability")
    return {"name": details.get("device_name", gpu.name), "compute_capability": capability and list(capability)}


if __name__ == "__main__":
    main()
