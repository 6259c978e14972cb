"""The identity of a run: the options, code and lock. A run is resumed only if they are unchanged."""

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipeline.custom_code import PROJECT
from pipeline.options import choices, result_options
from pipeline.runtime import environment

if TYPE_CHECKING:
    from pipeline.config import Config


def identity(config: "Config") -> dict[str, Any]:
    """Return the identity of a run, ready for JSON.

    Returns:
        config: Every option that decides the weights, by its dotted key, and the chosen member of each group.
        code: sha256 of the Python files in pipeline/ and custom/.
        lock: sha256 of the lock in use.
    """
    values = {f"choices.{group}": choice for group, choice in choices(config).items()} | dict(result_options(config))
    if config.optimizer.depends_on_run_length:
        values["training.epochs"] = config.training.epochs
    return {"config": values, "code": code_digest(), "lock": environment.lock_digest()}


def binding(own: Mapping[str, Any], fingerprint: str) -> dict[str, str]:
    """Return what binds a checkpoint to its run: the digests of the options that decide the weights, data and lock.

    Args:
        own: The identity of the run.
        fingerprint: sha256 of the data.
    """
    options = json.dumps(own["config"], sort_keys=True, default=str).encode()
    return {"config": hashlib.sha256(options).hexdigest(), "data": fingerprint, "lock": own["lock"]}


def code_digest() -> str:
    """Return the sha256 over the names and contents of the Python files in pipeline/ and custom/."""
    digest = hashlib.sha256()
    for folder in ("pipeline", "custom"):
        for path in sorted((PROJECT / folder).rglob("*.py")):
            digest.update(f"{path.relative_to(PROJECT)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return one line per key whose values differ between two flat dicts: "seed: 0 then, 1 now"."""
    return [
        f"{key}: {json.dumps(before.get(key))} then, {json.dumps(now.get(key))} now"
        for key in sorted(before.keys() | now.keys())
        if json.dumps(before.get(key)) != json.dumps(now.get(key))
    ]
