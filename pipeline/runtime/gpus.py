"""Explain why TensorFlow finds no GPU, or finds one that it has no kernels for.

TensorFlow is imported in another process only, since it may fail to load.
"""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentMismatch
from pipeline.runtime import environment

LOAD_TIMEOUT = 120  # seconds for TensorFlow to load, also from a slow disk
DEVICE = Path("/dev/nvidia0")
# oldest Linux driver for any CUDA 12: NVIDIA, "CUDA Compatibility", minor version compatibility
MIN_DRIVER = "525.60.13"
# messages of TensorFlow that give a reason for a missing GPU
REASONS = ("Cannot dlopen", "Could not find cuda drivers", "failed call to cuInit", "no CUDA-capable device")


@dataclass(frozen=True, kw_only=True)
class GpuSetup:
    """Everything that decides whether TensorFlow can find a GPU.

    Attributes:
        driver: Version of the NVIDIA driver; None if none is loaded.
        device: Whether the device file of the first GPU exists.
        visible: Value of CUDA_VISIBLE_DEVICES; None if it is not set.
        libraries: Whether the CUDA wheels are installed.
        container: Whether this process runs in a container.
        messages: Output of TensorFlow while it searched for GPUs.
    """

    driver: str | None
    device: bool
    visible: str | None
    libraries: bool
    container: bool
    messages: str = ""


def setup(messages: str) -> GpuSetup:
    """Return the setup of this machine, with the messages of TensorFlow from `probe_tensorflow`."""
    return GpuSetup(
        driver=environment.driver_version(environment.DRIVER.read_text()) if environment.DRIVER.exists() else None,
        device=DEVICE.exists(),
        visible=os.environ.get("CUDA_VISIBLE_DEVICES"),
        libraries=importlib.util.find_spec("nvidia") is not None,  # the namespace package of all CUDA wheels
        container="PIPELINE_IMAGE_LOCK" in os.environ or Path("/.dockerenv").exists(),
        messages=messages,
    )


def explain_missing(setup: GpuSetup) -> tuple[str, str]:
    """Return why TensorFlow finds no GPU, and what to do: the first reason that applies, from the machine up."""
    if setup.driver is None and not setup.device:
        return "no NVIDIA driver is loaded on this machine", "if it has a GPU: install the driver, see nvidia-smi"
    if is_too_old(setup.driver):
        return f"the driver is {setup.driver}, CUDA 12 needs {MIN_DRIVER}", "install a newer driver"
    if not setup.device and setup.container:
        advice = "install NVIDIA's container toolkit, which `make train` then uses; by hand: docker run --gpus all"
        return "the machine has a driver, but the container was started without its GPUs", advice
    if not setup.device:
        return f"a driver is loaded, but {DEVICE} does not exist", "run nvidia-smi: no GPU, or none that works"
    if setup.visible is not None and not setup.visible.replace("-1", "").strip(" ,"):
        return f"CUDA_VISIBLE_DEVICES={setup.visible!r} hides all GPUs", "unset CUDA_VISIBLE_DEVICES"
    if not setup.libraries:
        advice = "run in the image, with a container engine: make train"
        return f"the CUDA libraries are not installed: {environment.CPU_LOCK.name} has none", advice
    lines = [line.strip() for line in setup.messages.splitlines() if any(reason in line for reason in REASONS)]
    reason = f": {lines[-1]}" if lines else ""
    return f"TensorFlow finds none{reason}", "TF_CPP_MIN_LOG_LEVEL=0 shows all of its messages"


def is_too_old(driver: str | None) -> bool:
    """Return whether a driver is older than CUDA 12 needs. An unknown version counts as new enough."""
    return driver is not None and _numbers(driver) < _numbers(MIN_DRIVER)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def kernel_support(capability: Sequence[int], architectures: Sequence[str]) -> str:
    """Return how TensorFlow supports a GPU.

    Args:
        capability: (major, minor) compute capability of the GPU.
        architectures: Those that TensorFlow was built for. "sm_80" is code for all of 8.x from 8.0 on; "compute_90"
            also holds PTX, which any later GPU can compile.

    Returns:
        "ready", "compiled" (from PTX, at the first start) or "none".
    """
    major, minor = capability
    for kind, number in (name.split("_") for name in architectures):
        if kind == "sm" and int(number[:-1]) == major and int(number[-1]) <= minor:
            return "ready"
    if any(name == f"compute_{major}{minor}" for name in architectures):
        return "ready"
    newest = max((int(name.split("_")[1]) for name in architectures if name.startswith("compute_")), default=None)
    return "compiled" if newest is not None and newest <= 10 * major + minor else "none"


def probe_tensorflow() -> tuple[dict[str, Any], str]:
    """Start `pipeline.runtime.tensorflow_probe` in a process of its own.

    Returns:
        What it prints, and the messages of TensorFlow meanwhile.

    Raises:
        EnvironmentMismatch: TensorFlow does not load; with its last message.
    """
    command = [sys.executable, "-m", "pipeline.runtime.tensorflow_probe"]
    variables = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "0", "PYTHONPATH": str(environment.PROJECT)}
    try:
        done = subprocess.run(
            command, env=variables, capture_output=True, text=True, errors="replace", check=False, timeout=LOAD_TIMEOUT
        )
    except subprocess.TimeoutExpired:
        raise EnvironmentMismatch(f"TensorFlow did not load within {LOAD_TIMEOUT} s.") from None
    if done.returncode:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no message")
        raise EnvironmentMismatch(f"TensorFlow does not load, exit status {done.returncode}: {last.strip()}")
    return json.loads(done.stdout.splitlines()[-1]), done.stderr
