"""Measure the image: build, size and start, and the check of the lock.

The build is compared with a bare download of the locked wheels.

Needs an engine and the network, and takes half an hour. BASE_IMAGE and BUILD_NETWORK are passed on to the build.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

from benchmarks.measuring import PIPELINE, ratios, summed_up
from pipeline.runtime import environment

PROJECT = environment.PROJECT
NAME = "pipeline:measured"
BUILDS, STARTS, CHECKS = 2, 5, 20
LARGEST = 8  # packages to print
SIZES = """
import collections, importlib.metadata, json, os
sizes = collections.Counter()
for item in importlib.metadata.distributions(path=["/opt/venv/lib/python3.12/site-packages"]):
    for file in item.files or []:
        path = item.locate_file(file)
        sizes[item.metadata["Name"]] += os.lstat(path).st_size if os.path.lexists(path) else 0
print(json.dumps(sizes.most_common(%d)))
"""


def run(folder: str | None) -> None:
    """Run the benchmark. It does not use the folder."""
    engine = output_of("scripts/runtime", "engine")
    downloads, builds = [], []
    try:
        for _ in range(BUILDS):
            downloads.append(seconds(download_and_unpack))
            builds.append(seconds(lambda: build(engine)))
        print(f"download and unpack the locked wheels       {summed_up(downloads, 0)} s")
        print(f"build from scratch                          {summed_up(builds, 0)} s")
        print(f"build / download and unpack                 {summed_up(ratios(builds, downloads))}")
        size = int(output_of(engine, "image", "inspect", "--format", "{{.Size}}", NAME))
        print(f"size                                        {size / 1e9:.2f} GB")
        for package, package_size in largest_packages(engine):
            print(f"  {package:<42}{package_size / 1e9:.2f} GB")
        compare_starts(engine)
    finally:
        subprocess.run([engine, "rmi", NAME], capture_output=True, check=False)
    measure_lock_check()


def seconds(work: Callable[[], object]) -> float:
    """Return the seconds that a function takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def output_of(*command: str) -> str:
    """Return what a command prints."""
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.strip()


def build(engine: str) -> None:
    """Build the image from scratch under a temporary name."""
    options = ["--no-cache", "--build-arg", "PIP_NO_CACHE_DIR=1"]
    subprocess.run(["scripts/image", "build", engine, NAME, *options], cwd=PROJECT, check=True, capture_output=True)


def download_and_unpack() -> None:
    """Download each wheel of the lock again and unpack it: the minimum that any build has to do."""
    with tempfile.TemporaryDirectory(dir=PROJECT) as folder:
        options = ["--quiet", "--no-cache-dir", "--no-deps", "--require-hashes", "--dest", folder]
        binary = ["--only-binary", ":all:", "--no-binary", "antlr4-python3-runtime", "--no-build-isolation"]
        command = [sys.executable, "-m", "pip", "download", *options, *binary, "-r", "requirements.txt"]
        subprocess.run(command, cwd=PROJECT, check=True, capture_output=True)
        for wheel in Path(folder).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(Path(folder) / "unpacked")


def largest_packages(engine: str) -> list[tuple[str, int]]:
    """Return the largest packages of the image and their sizes in bytes, the largest first."""
    code = SIZES % LARGEST
    printed = output_of(engine, "run", "--rm", "--network", "none", "--entrypoint", "python", NAME, "-c", code)
    return json.loads(printed)


def compare_starts(engine: str) -> None:
    """Print the time until `make train` prints its first line, in the image and outside it."""
    inside, outside = [], []
    runs = PROJECT / "runs"
    runs.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=runs) as root:
        arguments = ["make", "train", f"run.root={root}", "training.epochs=1", "device=cpu"]
        for _ in range(STARTS):
            outside.append(first_line([*arguments, "RUNTIME=local"]))
            inside.append(first_line([*arguments, f"RUNTIME={engine}", f"IMAGE={NAME}"]))
    later = [there - here for there, here in zip(inside, outside, strict=True)]
    print(f"make train to its first line: .venv         {summed_up(outside)} s")
    print(f"make train to its first line: image         {summed_up(inside)} s")
    print(f"image later than .venv                      {summed_up(later)} s")


def first_line(command: list[str]) -> float:
    """Return the seconds until a command prints its first line; the command runs to its end."""
    environ = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKEOVERRIDES")}
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=PROJECT, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        first = time.perf_counter() - start
        process.stdout.read()
    if process.returncode:
        sys.exit(f"{' '.join(command)}: exit status {process.returncode}")
    return first


def measure_lock_check() -> None:
    """Print the seconds of the check of the lock at the start of every run, each measured in its own process."""
    code = (
        "import time; from pipeline.runtime import environment as e; b = time.perf_counter(); "
        "e.require_lock(False); print(time.perf_counter() - b)"
    )
    taken = [float(output_of(PIPELINE[0], "-c", code)) for _ in range(CHECKS)]
    print(f"check of the installed packages             {summed_up(taken, 3)} s")
