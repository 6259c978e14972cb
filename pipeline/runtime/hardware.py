"""The kind of hardware, as far as it decides the bits of a training. Imports no TensorFlow."""

import hashlib
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

CPUINFO, CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")
# fields of /proc/cpuinfo on x86 and ARM
MAKE = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
FLAGS = ("flags", "Features")
# instruction sets that have kernels of their own in the libraries, each with another order of additions
VECTORS = re.compile(r"(sse|ssse|avx|fma|amx|f16c|asimd|sve|sme(?!p)|bf16|i8mm)")


def kind(gpus: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the properties of the machine that decide the bits if code, lock, config and threads are equal.

    Kernels are chosen by instruction set, and the blocks of a matrix product by cache size, so both decide the order of
    additions; the kernels of a GPU are chosen by its model and compute capability. The number of processors and their
    clock decide nothing, since hardware.threads is fixed. The name of the processor is left out, since a virtual
    machine can invent one.

    Args:
        gpus: The record of the GPUs in use, from `devices.select`.

    Returns:
        Values that can be written as JSON.
    """
    return {
        "machine": platform.machine(),
        **_processor(CPUINFO.read_text() if CPUINFO.exists() else ""),
        "caches": _caches(CACHES),
        "gpus": [[gpu.get("device_name"), list(gpu.get("compute_capability") or [])] for gpu in gpus],
    }


def fingerprint(kind: Mapping[str, Any]) -> str:
    """Return a short digest of a kind of hardware."""
    return hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:16]


def _processor(cpuinfo: str) -> dict[str, Any]:
    """Return the make and the vector instructions of the first processor in /proc/cpuinfo."""
    pairs = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", cpuinfo.split("\n\n")[0], re.MULTILINE))
    flags = {flag for name in FLAGS for flag in pairs.get(name, "").split() if VECTORS.match(flag)}
    return {"make": {name: pairs[name] for name in MAKE if name in pairs}, "vectors": " ".join(sorted(flags))}


def _caches(folder: Path) -> dict[str, str]:
    """Return the sizes of the data caches by level and type, such as {"L1 Data": "48K"}."""
    sizes = {}
    for cache in sorted(folder.glob("index*")):
        level, type_, size = ((cache / name).read_text().strip() for name in ("level", "type", "size"))
        if type_ != "Instruction":
            sizes[f"L{level} {type_}"] = size
    return sizes
