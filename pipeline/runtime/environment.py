"""What this runs in: installed packages against the lock, image, commit and machine. Imports no TensorFlow."""

import os
import platform
import re
import socket
import subprocess
from importlib import metadata
from pathlib import Path

from pipeline.errors import EnvironmentMismatch
from pipeline.files import sha256

PROJECT = Path(__file__).parents[2]
CPU_LOCK = PROJECT / "requirements-cpu.txt"
GPU_LOCK = PROJECT / "requirements.txt"
# what variables begin with by which TensorFlow, XLA, oneDNN, OpenMP and NVIDIA's libraries choose kernels, algorithms
# and threads; not all of TF_, which is Terraform's too: TF_VAR_ and TF_TOKEN_ hold passwords
NUMERICAL = ("TF_AUTO", "TF_CONV2D_", "TF_CUBLAS_", "TF_CUDNN_", "TF_CUFFT_", "TF_DETERMINISTIC_", "TF_DISABLE_",
             "TF_ENABLE_", "TF_FP16_", "TF_MATMUL_", "TF_MKL_", "TF_NUM_", "TF_ONEDNN_", "TF_OVERRIDE_", "TF_SET_",
             "TF_USE_", "TF_XLA_", "XLA_", "ONEDNN_", "DNNL_", "MKL_", "OMP_", "CUBLAS_", "CUDNN_",
             "NVIDIA_TF32")  # fmt: skip
DRIVER = Path("/proc/driver/nvidia/version")


def locked(lock_path):
    """The packages of a lock: normalised name -> version. Raises EnvironmentMismatch where it cannot be read as one:
    a package that an unreadable line names would be held to nothing."""
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
                f"{lock_path}, line {number}: expected NAME==VERSION; found {line!r}. Take back the edit; locks "
                "are written by `make lock`."
            )
        packages[normalised(pin[1])] = pin[2]
    if not packages:
        raise EnvironmentMismatch(f"{lock_path}: expected the lock of the installed packages; found none in it.")
    return packages


def normalised(name):
    """A package's name as PEP 503 has it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_differences(lock_path):
    """What is installed otherwise than locked: [(package, locked version, installed version or None)], by name."""
    pairs = ((name, version, _installed(name)) for name, version in sorted(locked(lock_path).items()))
    return [pair for pair in pairs if pair[1] != pair[2]]


def lock_in_use():
    """The path of the lock this environment was made from: the GPU's where any of its CUDA wheels is installed.

    PIPELINE_LOCK names it in an environment that was made beside the project's own, for a candidate.
    """
    if "PIPELINE_LOCK" in os.environ:
        return Path(os.environ["PIPELINE_LOCK"])
    cuda = locked(GPU_LOCK).keys() - locked(CPU_LOCK).keys()
    return GPU_LOCK if any(_installed(name) for name in cuda) else CPU_LOCK


def lock_digest():
    """sha256 of the lock in use."""
    return sha256(lock_in_use())


def require_lock(allow_drift):
    """Hold the environment to its lock. Returns the differences, as lock_differences does, where they are allowed.

    Raises EnvironmentMismatch: a table of the packages that differ and what to do about them.
    """
    lock_path = lock_in_use()
    differences = lock_differences(lock_path)
    if differences and not allow_drift:
        raise EnvironmentMismatch(
            f"what is installed differs from {lock_path.name} in {len(differences)} of its packages:\n"
            f"{_table(differences)}\n"
            "`make clean`, then `make train`, installs what is locked (in a container, `make image`); or go on as it "
            "is, and have the run's record say so, with environment.allow_drift=true."
        )
    return differences


def describe():
    """The record of the environment, ready for JSON. What cannot be told is None.

    memory: bytes. git.dirty: whether a file differs from the commit or is new. variables: as `variables` gives them.
    """
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
        "variables": variables(),
        "cpu": {"model": _cpu_model(), "count": os.cpu_count()},
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "nvidia_driver": driver_version(DRIVER.read_text()) if DRIVER.exists() else None,
    }


def host():
    """The name of the machine, which a container's own does not tell."""
    return os.environ.get("PIPELINE_HOST") or socket.gethostname()


def variables():
    """The variables of the environment that may change the bits of a run, as TF_ENABLE_ONEDNN_OPTS does."""
    return {name: os.environ[name] for name in sorted(os.environ) if name.startswith(NUMERICAL)}


def driver_version(text):
    """The driver's version in the text of /proc/driver/nvidia/version, such as 570.86.15; None where there is none."""
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)\s", text)
    return found and found[1]


def _installed(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _table(differences):
    rows = [("package", "locked", "installed")]
    rows += [(package, version, installed or "not installed") for package, version, installed in differences]
    widths = [max(len(row[column]) for row in rows) for column in range(2)]
    return "\n".join(f"  {row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows)


def image():
    """What docker/Dockerfile and scripts/run tell the program of the image it runs in; None outside of one."""
    if "PIPELINE_IMAGE_LOCK" not in os.environ:
        return None
    return {
        "id": os.environ.get("PIPELINE_IMAGE"),
        "version": os.environ.get("PIPELINE_VERSION"),
        "lock_sha256": os.environ["PIPELINE_IMAGE_LOCK"],
    }


def revision():
    """The commit of the code. In a container, where there is no git, the one it was started or built from."""
    found = os.environ.get("PIPELINE_REVISION") or _ask_git()
    if found == "unknown":
        return {"commit": None, "dirty": None}
    return {"commit": found.removesuffix("-dirty"), "dirty": found.endswith("-dirty")}


def _ask_git():
    try:
        asked = subprocess.run([PROJECT / "scripts" / "revision"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


def _cpu_model():
    """The processor's name. platform.processor() does not have it on Linux, /proc has it nowhere else."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or None
