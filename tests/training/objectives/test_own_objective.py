"""The objective that docs/objectives/README.md writes, done as it says, on a copy of the project."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[3]
BLOCK = re.compile(
    r"^```(?:python|yaml)\n# (\S+?)(?:, (before|after): ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def apply(copy, path, where, anchor, text):
    """Make one change: a new file, or lines before or after the first line that holds the anchor."""
    target = copy / path
    if not where:
        target.write_text(text)
        return
    lines = target.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if anchor in line) + (where == "after")
    lines[place:place] = [text, "\n\n" if text.startswith("@") else ""]
    target.write_text("".join(lines))


@pytest.mark.slow
def test_the_objective_of_the_docs_is_trained_from_the_command_line(tmp_path):
    for name in ("pipeline", "configs", "datasets"):
        shutil.copytree(PROJECT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in PROJECT.glob("requirements*.txt"):
        shutil.copy(path, tmp_path)
    blocks = BLOCK.findall((PROJECT / "docs/objectives/README.md").read_text())
    assert len(blocks) == 6
    for block in blocks:
        apply(tmp_path, *block)
    words = ("objective=confidence_penalty", "training=tape", "training.epochs=6", "objective.strength=0.5")
    answer = subprocess.run(
        [sys.executable, "-m", "pipeline", "train", *words],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert answer.returncode == 0, answer.stderr
    result = json.loads((tmp_path / "runs/digits-mlp-1/result.json").read_text())
    assert result["metrics"]["digit"]["accuracy"]["value"] > 0.85


def test_the_docs_of_objectives_name_only_files_that_exist():
    for page in (PROJECT / "docs/objectives").glob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
