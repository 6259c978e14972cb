"""`doctor`: the whole state of what a run would stand on, whether that is as it should be, and what to do."""

import json
import os
import platform
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import EnvironmentMismatch, ExitStatus, PipelineError
from pipeline.files import sha256
from pipeline.registry import store, tables
from pipeline.runtime import environment, gpus

OK, NOTE, WRONG = "ok", "note", "wrong"
LITTLE_DISK, NO_DISK = 2**30, 2**26  # bytes: below the first is told, below the second no run can start
SHOWN = 4  # differing packages named in one line


@dataclass(frozen=True)
class Finding:
    """One thing a run stands on. state: OK; NOTE, a run starts nevertheless; or WRONG. advice: what to do, or ''."""

    subject: str
    state: str
    found: str
    advice: str = ""


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Print the state, from the interpreter up. Returns DONE if a run of this config could start, else ENVIRONMENT."""
    findings = [
        python(),
        lock(config),
        image(),
        code(),
        *tensorflow_and_gpus(config),
        threads(config),
        determinism(config),
        disk(Path(config.run.root)),
        database(config),
    ]
    ready = all(finding.state != WRONG for finding in findings)
    if invocation.as_json:
        print(json.dumps({"ready": ready, "findings": [asdict(finding) for finding in findings]}, indent=1))
    else:
        print(table(findings))
        print(f"\n{'a run can start' if ready else 'no run can start before what is wrong is mended'}")
    return ExitStatus.DONE if ready else ExitStatus.ENVIRONMENT


def table(findings):
    lines = []
    for finding in findings:
        lines.append(f"{finding.subject:<12}{finding.state:<7}{finding.found}")
        if finding.advice:
            lines.append(f"{'':<19}-> {finding.advice}")
    return "\n".join(lines)


# ---- what is installed ----------------------------------------------------------------------------------------------


def python():
    found = platform.python_version()
    wanted = (environment.PROJECT / ".python-version").read_text().strip()
    if found == wanted or found.startswith(f"{wanted}."):
        return Finding("python", OK, found)
    return Finding("python", WRONG, f"{found}; the locks are solved for {wanted}", "make clean, then make train")


def lock(config):
    try:
        path = environment.lock_in_use()
        differences = environment.lock_differences(path)
        known = f"{path.name}, {len(environment.locked(path))} packages, sha256 {sha256(path)[:12]}"
    except EnvironmentMismatch as error:
        return Finding("lock", WRONG, str(error))
    if not differences:
        return Finding("lock", OK, f"{known}: all installed as locked")
    named = [f"{name} {locked} is {installed or 'missing'}" for name, locked, installed in differences[:SHOWN]]
    more = [f"and {len(differences) - SHOWN} more"] if len(differences) > SHOWN else []
    found = f"{known}: {len(differences)} differ: {', '.join(named + more)}"
    if config.environment.allow_drift:
        return Finding("lock", NOTE, found, "allowed by environment.allow_drift=true; runs are marked for good")
    return Finding("lock", WRONG, found, "make clean, then make train installs what is locked; or rebuild the image")


def image():
    found = environment.image()
    if found is None:
        return Finding("image", OK, "none, this is no container of the project's")
    name = f"version {found['version']}, {found['id'] or 'started by hand'}"
    if found["lock_sha256"] != sha256(environment.GPU_LOCK):
        advice = f"make image builds one from this {environment.GPU_LOCK.name}"
        return Finding("image", NOTE, f"{name}, built from another lock, {found['lock_sha256'][:12]}", advice)
    return Finding("image", OK, name)


def code():
    found = environment.revision()
    if found["commit"] is None:
        return Finding("code", NOTE, "no commit: git knows none here", "runs will not know which code made them")
    if found["dirty"]:
        return Finding("code", NOTE, f"{found['commit'][:12]}, with changes", "commit them: runs tell the commit only")
    return Finding("code", OK, found["commit"][:12])


# ---- TensorFlow and GPUs --------------------------------------------------------------------------------------------


def tensorflow_and_gpus(config):
    try:
        found, words = gpus.ask_tensorflow()
    except EnvironmentMismatch as error:
        around = gpus.surroundings("")
        advice = "see the lock above; then make clean, make train"
        return [Finding("tensorflow", WRONG, str(error), advice), driver(around)]
    around = gpus.surroundings(words)
    built = Finding("tensorflow", OK, f"{found['version']}, Keras {found['keras']}")
    if found["cuda"] is None:
        cuda = Finding("cuda", NOTE, "this TensorFlow was built without CUDA")
    else:
        kept = "" if around.libraries else "; its libraries are not installed"
        about = f"CUDA {found['cuda']}, cuDNN {found['cudnn']}, {' '.join(found['architectures'])}{kept}"
        cuda = Finding("cuda", OK, about)
    return [built, cuda, driver(around), seen(config, found, around)]


def driver(around):
    if around.driver is None:
        return Finding("driver", OK, "none")
    if gpus.too_old(around.driver):
        return Finding("driver", NOTE, f"{around.driver}; CUDA 12 needs {gpus.LEAST_DRIVER}", "install a newer one")
    return Finding("driver", OK, around.driver)


def seen(config, found, around):
    """The GPUs that TensorFlow sees, or why it sees none; WRONG only where the config insists on what is not there."""
    count = len(found["gpus"])
    missing = [index for index in config.hardware.gpus or [] if not 0 <= index < count]
    insists = config.device == "gpu" or (missing and config.device != "cpu")
    if not count:
        reason, advice = gpus.why_none(around)
        if insists:
            return Finding("gpus", WRONG, f"none: {reason}", f"{advice}; or take device=cpu")
        return Finding("gpus", NOTE if around.driver else OK, f"none: {reason}", advice if around.driver else "")
    if insists and missing:
        return Finding("gpus", WRONG, f"{count} in all, none at {missing}", "mend hardware.gpus")
    served = [(gpu["name"], gpus.kernels(gpu["compute_capability"], found["architectures"])) for gpu in found["gpus"]]
    names = ", ".join(name for name, _ in served)
    if any(how == "none" for _, how in served):
        return Finding("gpus", NOTE, f"{names}; TensorFlow holds no code for one of them", "take device=cpu for it")
    if any(how == "compiled" for _, how in served):
        return Finding("gpus", NOTE, f"{names}; newer than TensorFlow", "the first start compiles its kernels: minutes")
    return Finding("gpus", OK, names)


# ---- the machine ----------------------------------------------------------------------------------------------------


def threads(config):
    wanted = config.hardware.threads
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()  # macOS has it not
    found = f"{wanted} of {there} processors (hardware.threads)"
    if wanted > there:
        return Finding("threads", NOTE, found, "they take turns; another number changes the bits")
    return Finding("threads", OK, found)


def determinism(config):
    if variables := environment.variables():
        named = ", ".join(f"{name}={value}" for name, value in variables.items())
        return Finding("determinism", NOTE, f"{config.determinism}; {named}", "these variables may change the bits")
    if config.determinism == "strict":
        return Finding("determinism", OK, "strict: the same bits each time, on the same kind of hardware")
    return Finding("determinism", NOTE, "relaxed", "runs differ from time to time; determinism=strict repeats them")


def disk(root):
    there = next(folder for folder in (root.absolute(), *root.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    found = f"{free / 2**30:.1f} GiB free for {root}/"
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        return Finding("disk", WRONG, f"{there} cannot be written to", "run.root=FOLDER takes another")
    if free < NO_DISK:
        return Finding("disk", WRONG, found, "make room, or run.root=FOLDER on another disk")
    if free < LITTLE_DISK:
        return Finding("disk", NOTE, found, "checkpoints may not find room")
    return Finding("disk", OK, found)


def database(config):
    """The registry's. A run starts without it too, and is taken in later."""
    if config.registry.url == "none":
        return Finding("database", OK, "none: runs keep their journals")
    try:
        with store.translate_errors(store.create_engine(config.registry, config.run.root)) as engine:
            found, place = store.read_revision(engine), store.display_name(engine)
            if found is None and engine.dialect.name == "sqlite":
                return Finding("database", OK, f"{place}: not there yet, the first run makes it")
            if found != tables.REVISION:
                advice = (
                    "make registry ARGS=upgrade, with the same registry words"
                    if found is None or found < tables.REVISION
                    else ""
                )
                about = f"{place}: revision {found}, this program's is {tables.REVISION}"
                return Finding("database", NOTE, about, advice or "use the newer program")
            return Finding("database", OK, f"{place}, revision {found}")
    except PipelineError as error:
        return Finding("database", NOTE, str(error), "runs keep journals meanwhile; later: make registry ARGS=ingest")
