"""Changes of the environment record of a run (environment.json), and notes on them."""

from pathlib import Path
from typing import Any

from pipeline.errors import EnvironmentMismatch
from pipeline.options import flatten
from pipeline.runs.identity import differences

# keys of environment.json, beside the config, that change the bits; the likeliest cause first
DECIDING = ("lock.sha256", "lock.drift", "hardware.device", "hardware.gpus", "hardware.jit", "variables",
            "cpu.model", "nvidia_driver", "image.id", "python", "identity.code")  # fmt: skip
# those that must not change while a run is trained, since the project can restore them
OWN = ("lock.", "identity.code")


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each entry that changes the bits and differs between two environment records."""
    then, now = (dict(flatten(record)) for record in (before, now))
    return [
        line
        for key in DECIDING
        for line in differences(*({name: side[name] for name in side if name.startswith(key)} for side in (then, now)))
    ]


def changes_while_training(
    folder: Path, before: dict[str, Any], now: dict[str, Any], *, allow_drift: bool
) -> list[str]:
    """Return a line for each change between the processes that trained one run.

    Args:
        folder: The run folder.
        before: The record of the process before, which holds the earlier changes as "mixed".
        now: The record of the process that resumes the run.
        allow_drift: Whether packages and code may have changed.

    Raises:
        EnvironmentMismatch: Lock, packages or code changed, and that is not allowed.
    """
    found = changes(before, now)
    own = [line for line in found if line.startswith(OWN)]
    if own and not allow_drift:
        raise EnvironmentMismatch(
            f"{folder}: expected the packages and the code that this run was trained with so far; found others:\n"
            + "\n".join(f"  {line}" for line in own)
            + "\nRestore them, or choose another run.name. To resume with the change recorded permanently: "
            "environment.allow_drift=true."
        )
    return [*before.get("mixed", []), *found]


def notes(record: dict[str, Any]) -> list[str]:
    """Return reasons for not trusting the scores of a run.

    Args:
        record: Its environment.json.
    """
    found = [
        f"Trained with {each['package']} {each['installed'] or 'not installed'}; locked is {each['locked']}."
        for each in record["lock"]["drift"]
    ]
    found += [f"Changed while it was trained: {line}" for line in record.get("mixed", [])]
    for finding in record.get("preflight", {}).get("ignored", []):
        found.append(f"Trained although preflight found {finding['code']}, {finding['place']}: {finding['found']}")
    found += [f"{line[:1].upper()}{line[1:]}." for line in record.get("unknown_words", [])]
    return found
