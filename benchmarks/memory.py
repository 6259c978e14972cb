"""Check training for memory leaks: the resident memory during a run of 200 epochs, from the tenth on."""

import subprocess
import tempfile
from collections.abc import Sequence

from benchmarks.measuring import PIPELINE, memory_field

EPOCHS = 200
FIRST = 10  # epoch from which memory must not grow
OVERRIDES = [f"training.epochs={EPOCHS}", "registry.url=none", "run.name=measured"]


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    for engine in ("fit", "tape", "tape training.gradients.every=50"):
        sizes = resident_sizes(f"training={engine}".split())
        growth = max(sizes[FIRST:]) / sizes[FIRST] - 1
        print(
            f"training={engine}: {sizes[FIRST] / 2**10:.0f} MiB after {FIRST} epochs, "
            f"at most {growth:.2%} more in the other {EPOCHS - FIRST}",
            flush=True,
        )


def resident_sizes(overrides: Sequence[str]) -> list[int]:
    """Return the resident memory in KiB at the start of each epoch of one run on digits."""
    with tempfile.TemporaryDirectory() as root:
        command = [*PIPELINE, "train", f"run.root={root}", *OVERRIDES, *overrides]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            assert process.stdout is not None
            epochs = (line for line in process.stdout if line.startswith("Epoch "))
            return [memory_field(process.pid, "VmRSS") for _ in epochs]
