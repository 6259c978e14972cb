"""Why TensorFlow sees no GPU, or sees one it serves badly. Imports no TensorFlow: it is asked in another process."""

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import environment

PATIENCE = 120  # seconds for TensorFlow to load, from a cold disk too
DEVICE = Path("/dev/nvidia0")
# the least driver on Linux for any CUDA 12: NVIDIA, "CUDA Compatibility", minor version compatibility
LEAST_DRIVER = "525.60.13"
# what TensorFlow prints where it finds no GPU and knows why
TELLING = ("Cannot dlopen", "Could not find cuda drivers", "failed call to cuInit", "no CUDA-capable device")


@dataclass(frozen=True)
class Surroundings:
    """What decides whether TensorFlow can see a GPU.

    driver: its version, None where none is loaded. device: whether the first GPU's file is there. visible: the value
    of CUDA_VISIBLE_DEVICES, None where it is not set. libraries: whether CUDA's wheels are installed. container:
    whether this is one. words: what TensorFlow printed while it looked for GPUs.
    """

    driver: str | None
    device: bool
    visible: str | None
    libraries: bool
    container: bool
    words: str = ""


def surroundings(words):
    return Surroundings(
        driver=environment.driver_version(environment.DRIVER.read_text()) if environment.DRIVER.exists() else None,
        device=DEVICE.exists(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        libraries=importlib.util.find_spec("nvidia") is not None,  # what all of them install into
        container="PIPELINE_IMAGE_LOCK" in os.environ or Path("/.dockerenv").exists(),
        words=words,
    )


def why_none(around):
    """(reason, what to do) where TensorFlow sees no GPU: the first that applies, from the machine up."""
    if around.driver is None and not around.device:
        return "no NVIDIA driver is loaded on this machine", "where it has a GPU: install the driver, see nvidia-smi"
    if too_old(around.driver):
        return f"the driver is {around.driver}, CUDA 12 needs {LEAST_DRIVER}", "install a newer driver"
    if not around.device and around.container:
        advice = "install NVIDIA's container toolkit, which `make train` then uses; by hand: docker run --gpus all"
        return "the machine has a driver, but the container was started without its GPUs", advice
    if not around.device:
        return f"a driver is loaded, but {DEVICE} is not there", "look at nvidia-smi: no GPU, or none that works"
    if around.visible is not None and not around.visible.replace("-1", "").strip(" ,"):
        return f"CUDA_VISIBLE_DEVICES={around.visible!r} hides them all", "unset CUDA_VISIBLE_DEVICES"
    if not around.libraries:
        advice = "run in the image, where a container engine answers: make train"
        return f"CUDA's libraries are not installed: {environment.CPU_LOCK.name} has none", advice
    lines = [line.strip() for line in around.words.splitlines() if any(sign in line for sign in TELLING)]
    told = f": {lines[-1]}" if lines else ""
    return f"TensorFlow sees none{told}", "TF_CPP_MIN_LOG_LEVEL=0 shows all that it says"


def too_old(driver):
    """Whether a driver of this version is below what CUDA 12 needs; None counts as new enough."""
    return driver is not None and numbers(driver) < numbers(LEAST_DRIVER)


def numbers(version):
    return [int(part) for part in version.split(".")]


def kernels(capability, architectures):
    """How a GPU is served: "ready", "compiled" at the first start from PTX, or "none".

    capability: [major, minor]. architectures: "sm_80" is code for all of 8.x from 8.0 on, "compute_90" also holds PTX
    that any later GPU can compile.
    """
    major, minor = capability
    for kind, number in (name.split("_") for name in architectures):
        if kind == "sm" and int(number[:-1]) == major and int(number[-1]) <= minor:
            return "ready"
    if any(name == f"compute_{major}{minor}" for name in architectures):
        return "ready"
    newest = max((int(name.split("_")[1]) for name in architectures if name.startswith("compute_")), default=None)
    return "compiled" if newest is not None and newest <= 10 * major + minor else "none"


def ask_tensorflow():
    """(what pipeline.runtime.tensorflow_probe tells, what TensorFlow printed on the way).

    Raises EnvironmentMismatch with its last words where it does not load.
    """
    command = [sys.executable, "-m", "pipeline.runtime.tensorflow_probe"]
    surrounding = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONPATH": str(environment.PROJECT)}
    try:
        asked = subprocess.run(
            command, env=surrounding, capture_output=True, text=True, errors="replace", check=False, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentMismatch(f"TensorFlow did not load within {PATIENCE} s.") from None
    if asked.returncode:
        last = next((line for line in reversed(asked.stderr.splitlines()) if line.strip()), "it said nothing")
        raise EnvironmentMismatch(f"TensorFlow does not load, status {asked.returncode}: {last.strip()}")
    return json.loads(asked.stdout.splitlines()[-1]), asked.stderr
