"""The README's worked example, done as it says, on a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^```(?:python|yaml)\n# (\S+?)(?:, (before|after): ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def apply(copy, path, where, anchor, text):
    """Make one change of the README: a new file, or lines before or after the first line that holds the anchor."""
    target = copy / path
    if where is None:
        target.write_text(text)
        return
    lines = target.read_text().splitlines(keepends=True)
    (first, *_) = [number for number, line in enumerate(lines) if anchor in line]
    if where == "before":
        lines[first:first] = [text, "\n\n" if text.startswith(("def", "@", "class")) else ""]
    else:
        lines[first + 1 : first + 1] = [text]
    target.write_text("".join(lines))


@pytest.fixture(scope="module")
def changed_copy(tmp_path_factory):
    copy = tmp_path_factory.mktemp("clone")
    for name in ("pipeline", "configs", "datasets"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in PROJECT.glob("requirements*.txt"):
        shutil.copy(path, copy)
    blocks = BLOCK.findall((PROJECT / "README.md").read_text())
    assert len(blocks) == 11
    for path, where, anchor, text in blocks:
        apply(copy, path, where or None, anchor, text)
    rows = np.random.default_rng(0)
    with (copy / "readings.jsonl").open("w") as file:
        for _ in range(300):
            values = rows.normal(size=12)
            state = "ok" if values[:6].sum() > values[6:].sum() else "worn"
            file.write(json.dumps({"values": values.tolist(), "state": state}) + "\n")
    return copy


def test_the_worked_example_trains_its_own_data_on_its_own_model(changed_copy):
    command = ("train", "data=sensors", "data.path=readings.jsonl", "model=wide_and_deep", "training.epochs=30")
    answer = subprocess.run(
        [sys.executable, "-m", "pipeline", *command],
        cwd=changed_copy,
        env=os.environ | {"PYTHONPATH": str(changed_copy)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads((changed_copy / "runs/sensors-wide_and_deep-1/result.json").read_text())
    assert result["metrics"]["state"]["accuracy"]["value"] > 0.85


def test_the_readme_names_only_files_and_targets_that_exist():
    text = (PROJECT / "README.md").read_text()
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (PROJECT / link).exists(), link
    targets = set(re.findall(r"^([a-z-]+):.*## ", (PROJECT / "Makefile").read_text(), re.MULTILINE))
    commands = re.findall(r"`[^`]+`|^(?:RUNTIME\S+ )?make .*$", text, re.MULTILINE)
    used = set(re.findall(r"\bmake ([a-z-]+)\b(?! it| them)", " ".join(commands)))
    assert used <= targets, used - targets
