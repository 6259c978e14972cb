"""A run gives the same digest in every environment. Settings that change the bits are recorded."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.commands import reproduce

PROJECT = Path(__file__).parents[2]
TINY = ["training.epochs=2", "training.tensorboard=false", "registry.url=none", "evaluation.resamples=100"]
CNN = ["model=cnn", "model.filters=[8]", *TINY]
HERE = {"PYTHONHASHSEED": "1", "LC_ALL": "C", "TZ": "UTC"}
THERE = {"PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"}


def train(root, name, *overrides, cwd=PROJECT, **environment):
    """Train in a separate process, and return the run folder."""
    command = [sys.executable, "-m", "pipeline", "train", f"run.root={root}", f"run.name={name}", *overrides]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT), **environment}
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return root / name


def digest(folder):
    return json.loads((folder / "result.json").read_text())["weights_digest"]


@pytest.mark.slow
def test_folder_locale_hash_seed_and_time_zone_do_not_change_the_bits(tmp_path):
    here = train(tmp_path, "here", *TINY, "model.dropout=0.2", **HERE)
    there = train(tmp_path, "there", *TINY, "model.dropout=0.2", cwd=tmp_path, **THERE)
    assert digest(here) == digest(there)
    assert (here / "metrics.jsonl").read_bytes() == (there / "metrics.jsonl").read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize(
    "key, one, other, always",
    [("hardware.threads", "1", "2", []), ("training.jit", "never", "always", ["determinism=relaxed"])],
    ids=["threads", "jit"],
)
def test_threads_and_jit_are_recorded_and_named_as_a_cause(tmp_path, key, one, other, always):
    first, second = (train(tmp_path, value, *CNN, *always, f"{key}={value}") for value in (one, other))
    records = [json.loads((run / "environment.json").read_text()) for run in (first, second)]
    name = key.rpartition(".")[2]
    assert [record["hardware"][name] for record in records] == ([1, 2] if name == "threads" else [False, True])
    assert any(line.startswith(f"config.{key}: ") for line in reproduce.causes(*records))
