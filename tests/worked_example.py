"""Follow the example of a page of the docs literally, in a clone of the project."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(?:python|yaml)\n# (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def clone(folder: Path) -> None:
    """Copy the project as a new Git repository with one commit, without the user's own code."""
    for name in ("pipeline", "configs", "datasets", "docs"):
        shutil.copytree(PROJECT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (*PROJECT.glob("requirements*.txt"), PROJECT / "pyproject.toml"):
        shutil.copy(path, folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "The template")


def carry_out(page: str, folder: Path) -> list[str]:
    """Write the files of a page into a folder and return their paths.

    A code block that begins with `# PATH` is a file.
    """
    blocks = BLOCK.findall((PROJECT / page).read_text())
    for path, text in blocks:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return [path for path, _ in blocks]


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def commit(folder: Path, message: str) -> None:
    """Commit everything in a folder."""
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", message)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    """Run `python -m pipeline ARGUMENTS` with the code in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "pipeline", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        timeout=300,
    )
