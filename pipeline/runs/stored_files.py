"""The types of the JSON files of a run folder. A missing entry is an error only of what needs it."""

from typing import Any, Literal, TypedDict


class StoredScore(TypedDict, total=False):
    """A score and its confidence interval; None for NaN, infinity, or if there is no interval."""

    value: float | None
    low: float | None
    high: float | None


class StoredResult(TypedDict, total=False):
    """The result.json of a run or of a later evaluation. The readers of the other entries check their types."""

    status: Literal["running", "finished", "interrupted", "failed"]
    why: str
    started: str
    seconds: float
    fingerprint: str
    asked_epochs: int
    epochs: int
    best_epoch: int | None
    rows: dict[str, int] | int
    parameters: int
    warnings: list[str]
    metrics: dict[str, dict[str, StoredScore]]
    calibration: dict[str, dict[str, float | None]]
    weights_digest: str
    files: dict[str, str]


class StoredPackage(TypedDict):
    """A package that differs from the lock."""

    package: str
    locked: str
    installed: str | None


class StoredLock(TypedDict, total=False):
    """The lock of a run."""

    name: str
    sha256: str
    drift: list[StoredPackage]


class StoredRevision(TypedDict, total=False):
    """The commit of the code."""

    commit: str | None
    dirty: bool | None


class StoredHardware(TypedDict, total=False):
    """The devices of a run."""

    device: str
    gpus: list[Any]
    determinism: str
    jit: bool | None
    precision: str


class StoredFinding(TypedDict):
    """A finding of preflight."""

    code: str
    severity: str
    place: str
    found: str


class StoredFindings(TypedDict, total=False):
    """The findings of preflight that did not stop the run."""

    warnings: list[StoredFinding]
    ignored: list[StoredFinding]


class StoredIdentity(TypedDict, total=False):
    """The identity of a run, as `runs.identity` returns it."""

    config: dict[str, Any]
    code: str
    lock: str


class StoredEnvironment(TypedDict, total=False):
    """The environment.json of a run."""

    lock: StoredLock
    image: dict[str, str | None] | None
    git: StoredRevision
    python: str
    platform: str
    hostname: str
    variables: dict[str, str]
    cpu: dict[str, Any]
    memory: int
    nvidia_driver: str | None
    hardware: StoredHardware
    preflight: StoredFindings
    unknown_words: list[str]
    command: str
    identity: StoredIdentity
    mixed: list[str]


class StoredWeight(TypedDict):
    """The digest of one variable of a model."""

    path: str
    sha256: str


KINDS: dict[str, Any] = {
    "result.json": StoredResult,
    "environment.json": StoredEnvironment,
    "weights.json": list[StoredWeight],
}
"""The kind of each file, as `typed_json.convert` takes it. A file that is not listed holds any object."""
