"""Measure the CPU seconds of preflight beside those of building the model, each in a process of its own.

The checks of the graph and the trial step grow with the model only. The pass over the data grows with the data only;
repeated on the same data, its findings are read from a cache.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

REPEATS = 5
SETUPS = {
    "digits, mlp (the default)": (),
    "the same, 8 x the rows": ("data=synthetic", "data.shape=[8,8,1]", "data.rows=14000"),
    "the same rows, 1,000 units per layer": ("model.hidden=[1000,1000]",),
    "Japanese Vowels, bidirectional gru": ("experiment=japanese_vowels_gru",),
}
LIMIT = 1.5  # CPU seconds of graph and step on the digits preset


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    print(f"{'':<38}{'build':>8}{'data':>8}{'again':>8}{'graph and step':>16}   CPU s, medians of {REPEATS}")
    for name, overrides in SETUPS.items():
        rows = [measure_in_process(overrides) for _ in range(REPEATS)]
        build, data, again, step = (statistics.median(row[key] for row in rows) for key in rows[0])
        print(f"{name:<38}{build:8.2f}{data:8.2f}{again:8.2f}{step:16.2f}")
        if not overrides:
            print(f"{'':<38}graph and step: {'within' if step <= LIMIT else 'OVER'} {LIMIT} s")


def measure_in_process(overrides: Sequence[str]) -> dict[str, float]:
    """Return the CPU seconds of each part, measured by `print_seconds` in a new process."""
    code = f"from benchmarks.preflight import print_seconds; print_seconds({list(overrides)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{overrides}: exit status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def print_seconds(overrides: Sequence[str]) -> None:
    """Print, as JSON, the CPU seconds of each part. TensorFlow is imported before.

    Args:
        overrides: Of the config.
    """
    from pipeline.cli import compose as composition
    from pipeline.experiment import prepare
    from pipeline.preflight import data_checks, inspection
    from pipeline.preflight.setup import Setup

    with tempfile.TemporaryDirectory() as root:
        config = composition.compose([*overrides, f"run.root={root}"])
        start = time.process_time()
        experiment = prepare(config)
        built = time.process_time()
        setup = Setup(config, experiment.data, experiment.objective, experiment.feed)
        data_checks.store(setup, data_checks.check(setup))
        data_checked = time.process_time()
        data_checks.check(setup)
        cache_read = time.process_time()
        inspection.inspect(setup)  # its checks of the data are read from the cache
        done = time.process_time()
    seconds = {
        "build": built - start,
        "data": data_checked - built,
        "again": cache_read - data_checked,
        "step": done - cache_read,
    }
    print(json.dumps(seconds))
