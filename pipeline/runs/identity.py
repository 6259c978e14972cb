"""What a run is made of: what makes two runs the same, and what differs between two records."""

import hashlib
import json
from pathlib import Path

from pipeline.errors import EnvironmentMismatch
from pipeline.options import choices, flatten, result_options
from pipeline.runtime import environment

# what of an environment.json changes the bits beside the config, the likeliest first
DECIDING = ("lock.sha256", "lock.drift", "hardware.device", "hardware.gpus", "hardware.jit", "variables",
            "cpu.model", "nvidia_driver", "image.id", "python", "identity.code")  # fmt: skip
OURS = ("lock.", "identity.code")  # those of them that the project itself keeps, and a run need not be finished without


def identity(config):
    """What makes two runs the same: every value of the config that decides the weights, the code and the lock."""
    values = {f"choices.{group}": choice for group, choice in choices(config).items()} | dict(result_options(config))
    if config.optimizer.depends_on_run_length:
        values["training.epochs"] = config.training.epochs
    return {"config": values, "code": code_digest(), "lock": environment.lock_digest()}


def code_digest():
    """sha256 over the Python files of this package, names and contents."""
    package = Path(__file__).parents[1]
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        digest.update(f"{path.relative_to(package)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def mixed(folder, before, record, allowed):
    """Lines that say what changed while a run was trained: first steps under one thing, later ones under another.

    before: the environment.json in the run's folder. record: the one that a process going on from a checkpoint is
    about to write. Raises EnvironmentMismatch where lock, packages or code are not those of the process before, unless
    that is allowed.
    """
    changes = deciding(before, record)
    ours = [line for line in changes if line.startswith(OURS)]
    if ours and not allowed:
        raise EnvironmentMismatch(
            f"{folder}: expected the packages and the code that this run was trained with so far; found others:\n"
            + "\n".join(f"  {line}" for line in ours)
            + "\nPut them back, or take another run.name; or go on, and have the run's record say so, with "
            "environment.allow_drift=true."
        )
    return [*before.get("mixed", []), *changes]


def notes(record):
    """What a reader must know before trusting a run's scores. record: its environment.json."""
    found = [
        f"Trained with {each['package']} {each['installed'] or 'not installed'}; locked is {each['locked']}."
        for each in record["lock"]["drift"]
    ]
    found += [f"Changed while it was trained: {line}" for line in record.get("mixed", [])]
    for finding in record.get("preflight", {}).get("ignored", []):
        found.append(f"Trained although preflight found {finding['code']}, {finding['place']}: {finding['found']}")
    return found


def deciding(before, now):
    """Lines naming what differs between two environment.json and changes the bits."""
    then, now = (dict(flatten(record)) for record in (before, now))
    return [
        line
        for key in DECIDING
        for line in differing(*({name: side[name] for name in side if name.startswith(key)} for side in (then, now)))
    ]


def differing(before, now):
    """Lines naming the keys whose values differ between two flat configs."""
    return [
        f"{key}: {json.dumps(before.get(key))} then, {json.dumps(now.get(key))} now"
        for key in sorted(before.keys() | now.keys())
        if json.dumps(before.get(key)) != json.dumps(now.get(key))
    ]
