"""`doctor`: check the environment that a run needs, and suggest fixes."""

import json
import logging
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import EnvironmentMismatch, ExitStatus, PipelineError
from pipeline.files import sha256
from pipeline.registry import store, tables
from pipeline.runtime import environment, gpus, installed_files, variables

logger = logging.getLogger(__name__)

LOW_DISK, MIN_DISK = 2**30, 2**26  # bytes: below the first a note, below the second no run can start
MAX_NAMED = 4  # differing packages or files named on one line


class State(StrEnum):
    """The state of a subject. With a NOTE, a run can start."""

    OK = "ok"
    NOTE = "note"
    WRONG = "wrong"


@dataclass(frozen=True)
class Check:
    """The result of checking one subject.

    Attributes:
        subject: The name of the subject, such as "disk".
        state: OK, NOTE if a run can start but the user should know something, or WRONG if no run can start.
        detail: A description on one line.
        fix: The advice to the user; "" if none is needed.
    """

    subject: str
    state: State
    detail: str
    fix: str = ""


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Check every subject, from the interpreter to the database. Returns ENVIRONMENT if no run could start."""
    checks = [
        check_python(),
        check_lock(config),
        *([check_files()] if "--verify" in invocation.flags else []),
        check_image(),
        check_code(),
        *check_tensorflow_and_gpus(config),
        check_threads(config),
        check_determinism(config),
        check_disk(Path(config.run.root)),
        check_database(config),
    ]
    ready = all(check.state != State.WRONG for check in checks)
    if invocation.as_json:
        print(json.dumps({"ready": ready, "checks": [asdict(check) for check in checks]}, indent=1))
    else:
        print(format_checks(checks))
        print(f"\n{'a run can start' if ready else 'no run can start until the subjects marked wrong are fixed'}")
    return ExitStatus.DONE if ready else ExitStatus.ENVIRONMENT


def format_checks(checks: list[Check]) -> str:
    """Return the checks as text: one line each, and a second one for its fix."""
    lines = []
    for check in checks:
        lines.append(f"{check.subject:<12}{check.state:<7}{check.detail}")
        if check.fix:
            lines.append(f"{'':<19}-> {check.fix}")
    return "\n".join(lines)


# ---- installation ---------------------------------------------------------------------------------------------------


def check_python() -> Check:
    """Compare the version of the interpreter with .python-version."""
    version = platform.python_version()
    expected = (environment.PROJECT / ".python-version").read_text().strip()
    if version == expected or version.startswith(f"{expected}."):
        return Check("python", State.OK, version)
    detail = f"{version}; the locks are solved for {expected}"
    return Check("python", State.WRONG, detail, "make clean, then make train")


def check_lock(config: Config) -> Check:
    """Compare the installed packages with the lock in use."""
    try:
        path = environment.lock_in_use()
        differences = environment.lock_differences(path)
        lock = f"{path.name}, {len(environment.locked(path))} packages, sha256 {sha256(path)[:12]}"
    except EnvironmentMismatch as error:
        return Check("lock", State.WRONG, str(error))
    if not differences:
        return Check("lock", State.OK, f"{lock}: all installed as locked")
    named = [f"{name} {locked} is {installed or 'missing'}" for name, locked, installed in differences]
    detail = f"{lock}: {len(differences)} differ: {first_of(named)}"
    if config.environment.allow_drift:
        return Check("lock", State.NOTE, detail, "allowed by environment.allow_drift=true; recorded with every run")
    return Check("lock", State.WRONG, detail, "make clean, then make train installs the locked packages; or make image")


def first_of(texts: Sequence[str]) -> str:
    """Return the first texts in one line, and how many more there are: "a, b, and 7 more"."""
    more = [f"and {len(texts) - MAX_NAMED:,} more"] if len(texts) > MAX_NAMED else []
    return ", ".join([*texts[:MAX_NAMED], *more])


def check_files() -> Check:
    """Compare every file of the locked packages with the digest in its wheel."""
    try:
        packages = environment.locked(environment.lock_in_use())
    except EnvironmentMismatch as error:
        return Check("files", State.WRONG, str(error))
    logger.info("reading the files of %d packages ...", len(packages))
    count, changed = installed_files.changed_files(packages)
    if not changed:
        return Check("files", State.OK, f"{count:,} files as in their wheels")
    detail = f"{len(changed):,} of {count:,} differ from their wheels: {first_of(changed)}"
    return Check("files", State.NOTE, detail, "if you did not change them: make clean, then make train; or make image")


def check_image() -> Check:
    """Compare the lock of the image with that of the code."""
    image = environment.image()
    if image is None:
        return Check("image", State.OK, "none: this is not a container of the project")
    name = f"version {image['version']}, {image['id'] or 'started by hand'}"
    if image["lock_sha256"] != sha256(environment.GPU_LOCK):
        fix = f"make image builds one from this {environment.GPU_LOCK.name}"
        return Check("image", State.NOTE, f"{name}, built from another lock, {image['lock_sha256'][:12]}", fix)
    return Check("image", State.OK, name)


def check_code() -> Check:
    """Check that the code is a commit, which runs record."""
    revision = environment.revision()
    if revision["commit"] is None:
        return Check("code", State.NOTE, "no commit: this is no git repository", "runs cannot record their commit")
    if revision["dirty"]:
        detail = f"{revision['commit'][:12]}, with changes"
        return Check("code", State.NOTE, detail, "commit them: runs record the commit only")
    return Check("code", State.OK, revision["commit"][:12])


# ---- TensorFlow and GPUs --------------------------------------------------------------------------------------------


def check_tensorflow_and_gpus(config: Config) -> list[Check]:
    """Load TensorFlow in another process, and check CUDA, the driver and the GPUs."""
    try:
        tensorflow, output = gpus.probe_tensorflow()
    except EnvironmentMismatch as error:
        fix = "see the lock above; then make clean, make train"
        return [Check("tensorflow", State.WRONG, str(error), fix), check_driver(gpus.setup(""))]
    setup = gpus.setup(output)
    version = f"{tensorflow['version']}, Keras {tensorflow['keras']}"
    return [
        Check("tensorflow", State.OK, version),
        check_cuda(tensorflow, setup),
        check_driver(setup),
        check_gpus(config, tensorflow, setup),
    ]


def check_cuda(tensorflow: dict[str, Any], setup: gpus.GpuSetup) -> Check:
    """Report the CUDA that TensorFlow was built with.

    Args:
        tensorflow: The output of `gpus.probe_tensorflow`.
        setup: Driver, libraries and container.
    """
    if tensorflow["cuda"] is None:
        return Check("cuda", State.NOTE, "this TensorFlow was built without CUDA")
    missing = "" if setup.libraries else "; its libraries are not installed"
    architectures = " ".join(tensorflow["architectures"])
    detail = f"CUDA {tensorflow['cuda']}, cuDNN {tensorflow['cudnn']}, {architectures}{missing}"
    return Check("cuda", State.OK, detail)


def check_driver(setup: gpus.GpuSetup) -> Check:
    """Compare the NVIDIA driver with the oldest one that CUDA 12 supports."""
    version = setup.driver
    if version is None:
        return Check("driver", State.OK, "none")
    if gpus.is_too_old(version):
        return Check("driver", State.NOTE, f"{version}; CUDA 12 needs {gpus.MIN_DRIVER}", "install a newer one")
    return Check("driver", State.OK, version)


def check_gpus(config: Config, tensorflow: dict[str, Any], setup: gpus.GpuSetup) -> Check:
    """Check the GPUs that TensorFlow finds. A missing one is WRONG only if the config requires it.

    Args:
        config: With `device` and `hardware.gpus`.
        tensorflow: The output of `gpus.probe_tensorflow`.
        setup: Driver, libraries and container, which explain a missing GPU.
    """
    count = len(tensorflow["gpus"])
    missing = [index for index in config.hardware.gpus or [] if not 0 <= index < count]
    required = config.device == "gpu" or (missing and config.device != "cpu")
    if not count:
        reason, fix = gpus.explain_missing(setup)
        if required:
            return Check("gpus", State.WRONG, f"none: {reason}", f"{fix}; or set device=cpu")
        has_driver = setup.driver is not None
        return Check("gpus", State.NOTE if has_driver else State.OK, f"none: {reason}", fix if has_driver else "")
    if required and missing:
        return Check("gpus", State.WRONG, f"{count} in all, none at {missing}", "correct hardware.gpus")
    support = [
        gpus.kernel_support(gpu["compute_capability"], tensorflow["architectures"]) for gpu in tensorflow["gpus"]
    ]
    names = ", ".join(gpu["name"] for gpu in tensorflow["gpus"])
    if "none" in support:
        return Check("gpus", State.NOTE, f"{names}; TensorFlow has no code for one of them", "set device=cpu for it")
    if "compiled" in support:
        fix = "the first start compiles its kernels, which takes minutes"
        return Check("gpus", State.NOTE, f"{names}; newer than TensorFlow", fix)
    return Check("gpus", State.OK, names)


# ---- the machine ----------------------------------------------------------------------------------------------------


def check_threads(config: Config) -> Check:
    """Compare hardware.threads with the processors of this process."""
    threads = config.hardware.threads
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    processors = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    detail = f"{threads} of {processors} processors (hardware.threads)"
    if threads > processors:
        return Check("threads", State.NOTE, detail, "they share processors; another number changes the bits")
    return Check("threads", State.OK, detail)


def check_determinism(config: Config) -> Check:
    """Report settings and environment variables that can make two runs with the same config differ."""
    if recorded := variables.recorded():
        named = ", ".join(f"{name}={value}" for name, value in recorded.items())
        detail = f"{config.determinism}; {named}"
        return Check("determinism", State.NOTE, detail, "these variables may change the bits")
    if config.determinism == "strict":
        return Check("determinism", State.OK, "strict: the same bits every time, on the same kind of hardware")
    return Check("determinism", State.NOTE, "relaxed", "runs differ every time; determinism=strict repeats them")


def check_disk(root: Path) -> Check:
    """Check that the folder of the runs, or the one it will be created in, has room and can be written to."""
    folder = next(path for path in (root.absolute(), *root.absolute().parents) if path.exists())
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free for {root}/"
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return Check("disk", State.WRONG, f"{folder} cannot be written to", "choose another folder: run.root=FOLDER")
    if free < MIN_DISK:
        return Check("disk", State.WRONG, detail, "free some space, or choose another disk: run.root=FOLDER")
    if free < LOW_DISK:
        return Check("disk", State.NOTE, detail, "there may be no room for checkpoints")
    return Check("disk", State.OK, detail)


def check_database(config: Config) -> Check:
    """Check the registry. A run starts without it too, and is ingested later."""
    if config.registry.url == "none":
        return Check("database", State.OK, "none: runs keep their journals")
    try:
        with store.translate_errors(store.create_engine(config.registry, config.run.root)) as engine:
            revision, name = store.read_revision(engine), store.describe_database(engine)
            if revision is None and engine.dialect.name == "sqlite":
                return Check("database", State.OK, f"{name}: not there yet, the first run creates it")
            if revision != tables.REVISION:
                older = revision is None or revision < tables.REVISION
                upgrade = "make registry ARGS=upgrade, with the same registry options"
                detail = f"{name}: revision {revision}, this program has {tables.REVISION}"
                return Check("database", State.NOTE, detail, upgrade if older else "use the newer program")
            return Check("database", State.OK, f"{name}, revision {revision}")
    except PipelineError as error:
        fix = "runs keep journals meanwhile; later: make registry ARGS=ingest"
        return Check("database", State.NOTE, str(error), fix)
