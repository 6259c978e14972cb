"""Files of a stored run that are damaged, or that something else wrote: named, never a traceback."""

import json
import os
import shutil

import numpy as np
import pytest

from pipeline.cli.main import main


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(root / "rows.npz", x=rng.normal(size=(200, 3)).astype(np.float32), y=rng.integers(0, 2, 200))
    options = ["training.epochs=1", "training.tensorboard=false", "evaluation.resamples=100", "registry.url=none"]
    assert main(["train", f"run.root={root}", "run.name=a", "data=npz", f"data.path={root}/rows.npz", *options]) == 0
    return root


def changed(path, *keys, value):
    """Replace one value in a JSON file."""
    content = entry = json.loads(path.read_text())
    for key in keys[:-1]:
        entry = entry[key]
    entry[keys[-1]] = value
    path.write_text(json.dumps(content))


def removed(path, key):
    content = json.loads(path.read_text())
    del content[key]
    path.write_text(json.dumps(content))


DAMAGES = {
    "a list for an object": ("result.json", lambda path: path.write_text("[]")),
    "a number for an object": ("environment.json", lambda path: path.write_text("3")),
    "a thousand levels": ("result.json", lambda path: path.write_text("[" * 100_000)),
    "not UTF-8": ("spec.json", lambda path: path.write_bytes(b"\xff\xfe")),
    "a folder": ("spec.json", lambda path: (path.unlink(), path.mkdir())),
    "a pipe": ("spec.json", lambda path: (path.unlink(), os.mkfifo(path))),
    "a missing file": ("spec.json", lambda path: path.unlink()),
    "a missing entry": ("spec.json", lambda path: removed(path, "labels")),
    "a shape that is a word": ("spec.json", lambda path: changed(path, "features", "x", "shape", value="abc")),
    "a negative shape": ("spec.json", lambda path: changed(path, "features", "x", "shape", value=[-1])),
    "an unknown field": ("spec.json", lambda path: changed(path, "labels", "y", "colour", value=1)),
    "decisions that are a list": ("result.json", lambda path: changed(path, "decisions", value=[1])),
    "calibrators that are a word": ("result.json", lambda path: changed(path, "calibrators", value="x")),
    "a score that is a word": (
        "result.json",
        lambda path: changed(path, "metrics", "y", "accuracy", "value", value="high"),
    ),
    "an unknown status": ("result.json", lambda path: changed(path, "status", value="done")),
    "a digest that is a number": ("environment.json", lambda path: changed(path, "lock", "sha256", value=3)),
    "simple models of another run": ("baselines.json", lambda path: changed(path, "constants", "y", value=[0.5])),
    "a model that is another file": ("model.keras", lambda path: path.write_bytes(b"x" * 1_000)),
    "an empty model": ("model.keras", lambda path: path.write_bytes(b"")),
    "YAML with an alias": ("config.yaml", lambda path: path.write_text("a: &x [1]\nb: *x\n")),
}


@pytest.mark.parametrize(("name", "damage"), DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_file_is_named_with_status_2(trained, tmp_path, capsys, name, damage):
    shutil.copytree(trained / "a", tmp_path / "a")
    damage(tmp_path / "a" / name)
    status = main(
        ["evaluate", f"run.root={tmp_path}", "run.name=a", f"data.path={trained}/rows.npz", "registry.url=none"]
    )
    message = capsys.readouterr().err
    assert (status, "Traceback" in message) == (2, False) and name in message
