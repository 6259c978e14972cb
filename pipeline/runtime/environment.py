"""The environment: installed packages against the lock, image, commit and machine. Imports no TensorFlow."""

import os
import platform
import re
import socket
import subprocess
import tomllib
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, TypedDict

from pipeline.errors import EnvironmentMismatch
from pipeline.files import sha256
from pipeline.runtime import variables

PROJECT = Path(__file__).parents[2]
CPU_LOCK = PROJECT / "requirements-cpu.txt"
GPU_LOCK = PROJECT / "requirements.txt"
ZIP_YEARS = range(1980, 2108)  # of a file in a ZIP archive
DRIVER = Path("/proc/driver/nvidia/version")

Difference = tuple[str, str, str | None]  # package, locked version, installed version


class Image(TypedDict):
    """The container image of a process; id and version are None if it was started by hand."""

    id: str | None
    version: str | None
    lock_sha256: str


class Revision(TypedDict):
    """The commit of the code, and whether a file differs from it or is new; None if there is no commit."""

    commit: str | None
    dirty: bool | None


def locked(lock_path: str | Path) -> dict[str, str]:
    """Return the packages of a lock file: normalized name -> version.

    Raises:
        EnvironmentMismatch: It cannot be read, or a line is no pin: that package would not be checked.
    """
    try:
        lines = Path(lock_path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise EnvironmentMismatch(f"{lock_path}: expected the lock of the installed packages; {error}.") from None
    packages = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(("#", " ", "\t")):  # indented: hashes and comments of the package above
            continue
        pin = re.match(r"([\w.-]+)==([^\s;\\]+)", line)
        if not pin:
            raise EnvironmentMismatch(
                f"{lock_path}, line {number}: expected NAME==VERSION; found {line!r}. Undo the edit; `make "
                "lock` writes lock files."
            )
        packages[normalized(pin[1])] = pin[2]
    if not packages:
        raise EnvironmentMismatch(f"{lock_path}: expected the lock of the installed packages; found none in it.")
    return packages


def normalized(name: str) -> str:
    """Return a package name in the form of PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_differences(lock_path: str | Path) -> list[Difference]:
    """Return the packages whose installed version differs from a lock, by name."""
    pairs = ((name, version, _installed(name)) for name, version in sorted(locked(lock_path).items()))
    return [pair for pair in pairs if pair[1] != pair[2]]


def lock_in_use() -> Path:
    """Return the lock of this environment: the GPU lock if any of its CUDA wheels is installed.

    In the environment of a candidate, PIPELINE_LOCK names the lock.
    """
    if "PIPELINE_LOCK" in os.environ:
        return Path(os.environ["PIPELINE_LOCK"])
    cuda = locked(GPU_LOCK).keys() - locked(CPU_LOCK).keys()
    return GPU_LOCK if any(_installed(name) for name in cuda) else CPU_LOCK


def lock_digest() -> str:
    """Return the sha256 of the lock in use."""
    return sha256(lock_in_use())


def require_lock(allow_drift: bool) -> list[Difference]:
    """Check the installed packages against the lock.

    Returns:
        The differences, if they are allowed.

    Raises:
        EnvironmentMismatch: Packages differ, and that is not allowed.
    """
    lock_path = lock_in_use()
    differences = lock_differences(lock_path)
    if differences and not allow_drift:
        raise EnvironmentMismatch(
            f"installed packages differ from {lock_path.name} in {len(differences)} cases:\n"
            f"{_table(differences)}\n"
            "To install the locked versions: `make clean`, then `make train` (in a container: `make image`). To run "
            "anyway, which is recorded permanently: environment.allow_drift=true."
        )
    return differences


def require_clock(now: datetime) -> None:
    """Check that the date can be one of today, and can be stored in a model file, which is a ZIP archive.

    Raises:
        EnvironmentMismatch: It cannot.
    """
    if now.year not in ZIP_YEARS:
        raise EnvironmentMismatch(
            f"clock of this machine: expected a year from {ZIP_YEARS[0]} to {ZIP_YEARS[-1]}; found {now:%Y-%m-%d}. Set "
            "the clock, which dates the records of a run."
        )


def describe() -> dict[str, Any]:
    """Return the environment record, ready for JSON. Unknown values are None; memory is in bytes."""
    lock_path = lock_in_use()
    return {
        "lock": {
            "name": lock_path.name if lock_path.parent == PROJECT else str(lock_path),
            "sha256": lock_digest(),
            "drift": [
                {"package": package, "locked": version, "installed": installed}
                for package, version, installed in lock_differences(lock_path)
            ],
        },
        "image": image(),
        "git": revision(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": host(),
        "variables": variables.recorded(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "nvidia_driver": driver_version(DRIVER.read_text()) if DRIVER.exists() else None,
    }


def host() -> str:
    """Return the name of the machine; in a container, of the machine that runs it."""
    return os.environ.get("PIPELINE_HOST") or socket.gethostname()


def driver_version(text: str) -> str | None:
    """Return the driver version in the text of /proc/driver/nvidia/version, such as 570.86.15, or None."""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", text)
    return found and found[1]


def _installed(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _table(differences: list[Difference]) -> str:
    rows: list[tuple[str, str, str]] = [("package", "locked", "installed")]
    rows += [(package, version, installed or "not installed") for package, version, installed in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def image() -> Image | None:
    """Return the image that this process runs in, from variables of docker/Dockerfile and scripts/run; None outside."""
    if "PIPELINE_IMAGE_LOCK" not in os.environ:
        return None
    return {
        "id": os.environ.get("PIPELINE_IMAGE"),
        "version": os.environ.get("PIPELINE_VERSION"),
        "lock_sha256": os.environ["PIPELINE_IMAGE_LOCK"],
    }


def project_version() -> str:
    """Return the version in pyproject.toml, which is that of the next release."""
    return tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]


def revision() -> Revision:
    """Return the commit of the code, and whether a file differs from it or is new.

    In a container, which has no git, it is the commit that the container was started or built from.
    """
    found = os.environ.get("PIPELINE_REVISION") or _git_revision()
    if found == "unknown":
        return {"commit": None, "dirty": None}
    return {"commit": found.removesuffix("-dirty"), "dirty": found.endswith("-dirty")}


def _git_revision() -> str:
    try:
        done = subprocess.run([PROJECT / "scripts" / "revision"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()


def _cpu_model() -> str | None:
    """Return the name of the processor. platform.processor() lacks it on Linux, and only Linux has /proc."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or None
