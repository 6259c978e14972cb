"""Whether training keeps what it should let go: resident memory of a run of 200 epochs, from the tenth on."""

import re
import subprocess
import tempfile
from pathlib import Path

from benchmarks.measuring import PIPELINE

EPOCHS = 200
FROM = 10
WORDS = [f"training.epochs={EPOCHS}", "registry.url=none", "run.name=measured"]


def run(folder):
    for engine in ("fit", "tape", "tape training.gradients.every=50"):
        sizes = resident_sizes([f"training={engine.split()[0]}", *engine.split()[1:]])
        growth = max(sizes[FROM:]) / sizes[FROM] - 1
        print(
            f"training={engine}: {sizes[FROM] / 2**10:.0f} MiB after {FROM} epochs, at most {growth:.2%} more in the "
            f"{EPOCHS - FROM} after",
            flush=True,
        )


def resident_sizes(overrides):
    """KiB in memory at the start of each epoch after the first, of one run on digits."""
    with tempfile.TemporaryDirectory() as root:
        command = [*PIPELINE, "train", f"run.root={root}", *WORDS, *overrides]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            begun = (line for line in process.stdout if line.startswith("Epoch "))
            return [resident(process.pid) for _ in begun]


def resident(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1])
