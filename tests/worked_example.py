"""What a page of the docs writes, done as it says, on a copy of the project, and its command lines run there."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(
    r"^```(?:python|yaml)\n# (\S+?)(?:, (before|after): ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL
)


def carry_out(page, copy):
    """Copy the project into a folder and make the changes of a page there. Returns how many these are."""
    for name in ("pipeline", "configs", "datasets"):
        shutil.copytree(PROJECT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in PROJECT.glob("requirements*.txt"):
        shutil.copy(path, copy)
    blocks = BLOCK.findall((PROJECT / page).read_text())
    for path, where, anchor, text in blocks:
        apply(copy, path, where, anchor, text)
    return len(blocks)


def apply(copy, path, where, anchor, text):
    """Make one change: a new file, or lines before or after the first line that holds the anchor."""
    target = copy / path
    target.parent.mkdir(parents=True, exist_ok=True)
    if not where:
        target.write_text(text)
        return
    lines = target.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if anchor in line)
    if where == "before":
        lines[place:place] = [text, "\n\n" if text.startswith(("def", "@", "class")) else ""]
    else:
        lines[place + 1 : place + 1] = [text]
    target.write_text("".join(lines))


def train(copy, *words):
    """Run `train` in a copy of the project. Returns the ended process."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", "train", *words],
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
        capture_output=True,
        text=True,
        timeout=300,
    )
