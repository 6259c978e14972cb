"""The image, built twice from scratch."""

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]

pytestmark = pytest.mark.release


def test_two_builds_from_scratch_give_the_same_files():
    clean = {name: value for name, value in os.environ.items() if name not in ("RUNTIME", "MAKEFLAGS", "MAKELEVEL")}
    if subprocess.run(["scripts/runtime", "engine"], cwd=PROJECT, env=clean, capture_output=True).returncode:
        pytest.skip("needs a container engine (docker, podman) that answers; none does")
    asked = subprocess.run(
        ["make", "verify-image"], cwd=PROJECT, env=clean, capture_output=True, text=True, timeout=3600
    )
    assert asked.returncode == 0, asked.stdout + asked.stderr[-3000:]
    assert "the same" in asked.stdout
