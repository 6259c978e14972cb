"""Whether training leaks memory: resident memory of a run of 200 epochs, from the tenth on."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import PIPELINE

EPOCHS = 200
FROM = 10
OVERRIDES = [f"training.epochs={EPOCHS}", "registry.url=none", "run.name=measured"]


def run(folder: str | None) -> None:
    """Run the benchmark. folder: not used."""
    for engine in ("fit", "tape", "tape training.gradients.every=50"):
        sizes = resident_sizes(f"training={engine}".split())
        growth = max(sizes[FROM:]) / sizes[FROM] - 1
        print(
            f"training={engine}: {sizes[FROM] / 2**10:.0f} MiB after {FROM} epochs, at most {growth:.2%} more in the "
            f"{EPOCHS - FROM} after",
            flush=True,
        )


def resident_sizes(overrides: Sequence[str]) -> list[int]:
    """Return the resident memory in KiB at the start of each epoch after the first, of one run on digits."""
    with tempfile.TemporaryDirectory() as root:
        command = [*PIPELINE, "train", f"run.root={root}", *OVERRIDES, *overrides]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            epochs = (line for line in process.stdout if line.startswith("Epoch "))
            return [resident_memory(process.pid) for _ in epochs]


def resident_memory(pid: int) -> int:
    """Return the resident memory of a process in KiB."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
