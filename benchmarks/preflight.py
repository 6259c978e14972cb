"""What preflight costs: seconds of CPU beside building the model, each in a process of its own.

The checks of the graph and the step that is tried grow with the model alone, the pass over the data with the data
alone, and the second look at the same data is read from its cache.
"""

import json
import statistics
import subprocess
import sys
import tempfile

REPEATS = 5
SETUPS = {
    "digits, mlp (the default)": (),
    "the same, 8 x the rows": ("data=synthetic", "data.shape=[8,8,1]", "data.rows=14000"),
    "the same rows, 1,000 units a layer": ("model.hidden=[1000,1000]",),
    "Japanese Vowels, bidirectional gru": ("experiment=japanese_vowels_gru",),
}
LIMIT = 1.5  # seconds of CPU for graph and step on the digits preset


def run(_):
    print(f"{'':<38}{'build':>8}{'data':>8}{'again':>8}{'graph and step':>16}   CPU s, medians of {REPEATS}")
    for name, overrides in SETUPS.items():
        rows = [measured_apart(overrides) for _ in range(REPEATS)]
        build, data, again, step = (statistics.median(row[key] for row in rows) for key in rows[0])
        print(f"{name:<38}{build:8.2f}{data:8.2f}{again:8.2f}{step:16.2f}")
        if not overrides:
            print(f"{'':<38}graph and step: {'within' if step <= LIMIT else 'OVER'} {LIMIT} s")


def measured_apart(overrides):
    code = f"from benchmarks.preflight import measure; measure({list(overrides)!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{overrides}: exit status {done.returncode}\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def measure(overrides):
    """Print, as JSON, the seconds of CPU of each part, TensorFlow imported beforehand."""
    import time

    from pipeline.cli import compose as composition
    from pipeline.experiment import prepare
    from pipeline.preflight import data_checks, inspection
    from pipeline.preflight.setup import Setup

    with tempfile.TemporaryDirectory() as root:
        config = composition.compose([*overrides, f"run.root={root}"])
        began = time.process_time()
        experiment = prepare(config)
        built = time.process_time()
        setup = Setup(config, experiment.data, experiment.objective, experiment.feed)
        data_checks.store(setup, data_checks.check(setup))
        looked = time.process_time()
        data_checks.check(setup)
        again = time.process_time()
        inspection.inspect(setup)  # its data checks are those read again
        done = time.process_time()
    print(json.dumps({"build": built - began, "data": looked - built, "again": again - looked, "step": done - again}))
