"""The kind of hardware, as far as it decides the bits of a training. Imports no TensorFlow."""

import hashlib
import json
import platform
import re
from pathlib import Path

CPUINFO, CACHES = Path("/proc/cpuinfo"), Path("/sys/devices/system/cpu/cpu0/cache")
# as x86 and ARM name them in /proc/cpuinfo
MAKE = ("vendor_id", "cpu family", "model", "CPU implementer", "CPU architecture", "CPU part")
FLAGS = ("flags", "Features")
# instruction sets for which the libraries hold kernels of their own: each adds up in another order
VECTORS = re.compile(r"(sse|ssse|avx|fma|amx|f16c|asimd|sve|sme(?!p)|bf16|i8mm)")


def kind(gpus):
    """What of a machine decides the bits, where code, lock, config and threads are equal. Ready for JSON.

    gpus: the record of those in use, as devices.select gives it. Kernels are chosen by instruction set, and blocks of
    a matrix product are cut by cache size, so both decide the order of additions; a GPU's kernels are chosen by its
    model and compute capability. The number of processors and their clock decide nothing, as hardware.threads is
    fixed; the processor's name is left out, since a virtual machine makes one up.
    """
    return {
        "machine": platform.machine(),
        **_processor(CPUINFO.read_text() if CPUINFO.exists() else ""),
        "caches": _caches(CACHES),
        "gpus": [[gpu.get("device_name"), list(gpu.get("compute_capability") or [])] for gpu in gpus],
    }


def fingerprint(kind):
    """A short digest of a kind of hardware."""
    return hashlib.sha256(json.dumps(kind, sort_keys=True).encode()).hexdigest()[:16]


def _processor(cpuinfo):
    """The first processor of /proc/cpuinfo: what it is, and which vector instructions it has."""
    pairs = dict(re.findall(r"^([^\t:]+?)\s*: (.*)$", cpuinfo.split("\n\n")[0], re.MULTILINE))
    flags = {flag for name in FLAGS for flag in pairs.get(name, "").split() if VECTORS.match(flag)}
    return {"make": {name: pairs[name] for name in MAKE if name in pairs}, "vectors": " ".join(sorted(flags))}


def _caches(folder):
    """Sizes by level and type, such as {"L1 Data": "48K"}, instructions' left out."""
    found = {}
    for cache in sorted(folder.glob("index*")):
        level, type_, size = ((cache / name).read_text().strip() for name in ("level", "type", "size"))
        if type_ != "Instruction":
            found[f"L{level} {type_}"] = size
    return found
