"""`golden`: train the golden runs and compare them with the results kept in the repository, or keep new results."""

import json
import logging
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TypedDict

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitStatus, RunError
from pipeline.files import atomic_write, read_limited
from pipeline.options import flatten
from pipeline.runs import folder as run_folder
from pipeline.runs.identity import differences
from pipeline.runtime import environment, hardware, subprocesses, variables
from pipeline.typed_json import AnyNumber, parse

logger = logging.getLogger(__name__)

MAX_BYTES = 2**26  # of the file
LINE_WIDTH = 110  # characters of a line in the file


class KeptOutcome(TypedDict):
    """The outcome of one golden run, as `read_outcome` returns it."""

    weights: str
    data: str
    metrics: dict[str, dict[str, dict[str, float | None]]]
    epochs: list[dict[str, AnyNumber]]


class KeptEntry(TypedDict):
    """The results on one kind of hardware, as `train_all` returns them."""

    hardware: Any
    made: dict[str, Any]
    runs: dict[str, KeptOutcome]


class KeptResults(TypedDict):
    """The file: run -> label -> accuracy on any hardware, and fingerprint of a kind of hardware -> results."""

    accuracy: dict[str, dict[str, float]]
    hardware: dict[str, KeptEntry]


class Verdict(StrEnum):
    """The result of comparing a golden run with its kept result."""

    SAME = "same"  # the same bits, on the same kind of hardware
    WITHIN = "within tolerance"  # the accuracy, on another kind of hardware
    MOVED = "moved"
    UNKNOWN = "not recorded"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The comparison of one golden run with its kept result.

    Attributes:
        run: The name of the run.
        verdict: The result.
        accuracy: Label -> the kept accuracy, None if there is none, and the new one.
        weights: sha256 of the new weights.
        lines: One line per difference.
    """

    run: str
    verdict: Verdict
    accuracy: dict[str, tuple[float | None, float]]
    weights: str
    lines: tuple[str, ...]


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train every golden run in its own process and compare, or record.

    Returns:
        DONE for the same bits or, on a kind of hardware without results, for accuracies within the tolerance;
        DIFFERENCE otherwise.

    Raises:
        RunError: The file of kept results is missing or damaged.
        ConfigError: Only some of the kept runs would be recorded.
    """
    environment.require_lock(allow_drift=False)
    recording, path = invocation.action == ("record",), Path(config.golden.file)
    kept = read_results(path, may_be_missing=recording)
    if recording:
        require_all(kept, config.golden.experiments, path)
    entry = train_all(config)
    fingerprint = hardware.fingerprint(entry["hardware"])
    known = kept["hardware"].get(fingerprint)
    comparisons = compare_all(entry, known, kept["accuracy"], config.golden.tolerance)
    changes = provenance_changes(known, entry) if known and Verdict.MOVED in verdicts(comparisons) else []
    if invocation.as_json:
        runs = [asdict(comparison) for comparison in comparisons]
        report = {"hardware": fingerprint, "known": known is not None, "runs": runs, "causes": changes}
        print(json.dumps(report, indent=1))
    else:
        print(table(fingerprint, comparisons, changes, tolerance=config.golden.tolerance, known=known is not None))
    if recording:
        write_results(path, with_entry(kept, fingerprint, entry, moved=is_moved(comparisons)))
        logger.info("recorded %s", path)
        return ExitStatus.DONE
    return ExitStatus.DIFFERENCE if is_moved(comparisons) else ExitStatus.DONE


def verdicts(comparisons: list[Comparison]) -> set[Verdict]:
    """Return the verdicts that occur."""
    return {comparison.verdict for comparison in comparisons}


def is_moved(comparisons: list[Comparison]) -> bool:
    """Return whether a run moved or has no kept result."""
    return bool({Verdict.MOVED, Verdict.UNKNOWN} & verdicts(comparisons))


# ---- training -------------------------------------------------------------------------------------------------------


def train_all(config: Config) -> dict[str, Any]:
    """Train the golden runs here.

    Returns:
        hardware: The kind of hardware.
        made: The provenance that may change the bits.
        runs: Name -> outcome.
    """
    lock, runs, record = environment.lock_in_use(), {}, {}
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        root = Path(temporary)
        options = [
            f"run.root={root}",
            "registry.url=none",
            "training.tensorboard=false",
            f"device={config.device}",
            f"hardware.gpus={json.dumps(config.hardware.gpus)}",
        ]
        for name in config.golden.experiments:
            logger.info("training %s ...", name)
            arguments = ["pipeline", "train", f"experiment={name}", f"run.name={name}", *options]
            subprocesses.run_module(arguments, python=sys.executable, lock=lock, log=root / f"{name}.log")
            runs[name] = read_outcome(root / name)
            record = run_folder.read(root / name, "environment.json")
    return {"hardware": hardware.kind(record["hardware"]["gpus"]), "made": read_provenance(record), "runs": runs}


def read_outcome(folder: Path) -> dict[str, Any]:
    """Return everything of a finished run by which two trainings can be compared."""
    result = run_folder.read(folder, "result.json")
    return {
        "weights": result["weights_digest"],
        "data": result["fingerprint"],
        "metrics": result["metrics"],
        "epochs": run_folder.read_epochs(folder),
    }


def read_provenance(record: dict[str, Any]) -> dict[str, Any]:
    """Return the provenance that may change the bits on one kind of hardware.

    Args:
        record: The environment.json of a golden run.
    """
    return {
        "code": record["identity"]["code"],
        "lock": record["lock"]["name"],
        "lock_sha256": record["lock"]["sha256"],
        "python": record["python"],
        "libc": " ".join(platform.libc_ver()),
        "driver": record["nvidia_driver"],
        "variables": variables.recorded(),
        "packages": environment.locked(environment.lock_in_use()),
    }


def accuracies(outcome: dict[str, Any]) -> dict[str, float]:
    """Return the accuracy of each label that has one."""
    return {label: scores["accuracy"]["value"] for label, scores in outcome["metrics"].items() if "accuracy" in scores}


# ---- comparing ------------------------------------------------------------------------------------------------------


def compare_all(
    entry: dict[str, Any], known: dict[str, Any] | None, kept: dict[str, dict[str, float]], tolerance: float
) -> list[Comparison]:
    """Compare every run with its kept results.

    Args:
        entry: The new results, as from `train_all`.
        known: The kept results on this kind of hardware, if there are any.
        kept: Run -> label -> accuracy on any hardware.
        tolerance: The largest difference of an accuracy.
    """
    return [
        compare(name, outcome, known, kept.get(name, {}), tolerance=tolerance)
        for name, outcome in entry["runs"].items()
    ]


def compare(
    name: str, outcome: dict[str, Any], known: dict[str, Any] | None, kept: dict[str, float], *, tolerance: float
) -> Comparison:
    """Compare one run with its kept results: bit for bit on known hardware, by accuracy on any."""
    accuracy = {label: (kept.get(label), value) for label, value in accuracies(outcome).items()}
    lines = [
        f"{label} accuracy: {before} kept, {now} now, beyond the tolerance of {tolerance}"
        for label, (before, now) in accuracy.items()
        if before is not None and abs(now - before) > tolerance
    ]
    before = known["runs"].get(name) if known else None
    if not kept or (known and before is None):
        verdict = Verdict.UNKNOWN
    elif before is not None:
        lines += outcome_differences(before, outcome)
        verdict = Verdict.MOVED if lines else Verdict.SAME
    else:
        verdict = Verdict.MOVED if lines else Verdict.WITHIN
    return Comparison(run=name, verdict=verdict, accuracy=accuracy, weights=outcome["weights"], lines=tuple(lines))


def outcome_differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return lines with the digests, scores and the first epoch that differ.

    A score that the stored results do not have is new. It is not a difference.
    """
    then, current = (
        dict(flatten({key: side[key] for key in ("weights", "data", "metrics")})) for side in (before, now)
    )
    every = differences(then, {key: value for key, value in current.items() if key in then})
    lines = [line for line in every if ".low: " not in line and ".high: " not in line]
    for row, other in zip(before["epochs"], now["epochs"], strict=False):
        if row != other:
            return [*lines, *(f"epoch {other['epoch']}, {line}" for line in differences(row, other))]
    if len(before["epochs"]) != len(now["epochs"]):
        lines.append(f"epochs: {len(before['epochs'])} then, {len(now['epochs'])} now")
    return lines or every  # an interval alone


def provenance_changes(known: dict[str, Any], entry: dict[str, Any]) -> list[str]:
    """Return a line for each entry of the provenance that differs from the kept one."""
    return differences(dict(flatten(known["made"])), dict(flatten(entry["made"])))


def table(fingerprint: str, comparisons: list[Comparison], changes: list[str], *, tolerance: float, known: bool) -> str:
    """Return the comparisons as text."""
    method = "known: bit for bit" if known else f"not known: accuracies, within {100 * tolerance:g} points"
    lines = [f"hardware {fingerprint}, {method}"]
    for comparison in comparisons:
        scores = ", ".join(
            f"{label} accuracy {now:.4f}" + ("" if before in (None, now) else f" ({before:.4f} kept)")
            for label, (before, now) in comparison.accuracy.items()
        )
        weights = comparison.weights[:16]
        lines.append(f"{comparison.run:<18}{comparison.verdict:<18}{scores}  weights {weights}")
        lines += [f"    {line}" for line in comparison.lines]
    if changes:
        lines += ["changed since the results were kept:", *(f"    {line}" for line in changes)]
    elif known and Verdict.MOVED in verdicts(comparisons):
        lines.append("nothing that is recorded changed: hardware beyond the fingerprint, or a defect of this program")
    if is_moved(comparisons):
        lines.append("If this is intended: `make golden`, and commit the file that it changes.")
    return "\n".join(lines)


# ---- the file -------------------------------------------------------------------------------------------------------


def read_results(path: Path, *, may_be_missing: bool) -> dict[str, Any]:
    """Read the kept results.

    Returns:
        accuracy: Run -> label -> accuracy.
        hardware: Fingerprint of a kind of hardware -> results, as from `train_all`.

    Raises:
        RunError: The file is missing or damaged.
    """
    if may_be_missing and not path.exists():
        return {"accuracy": {}, "hardware": {}}
    try:
        return parse(KeptResults, read_limited(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: expected the results of golden runs; {error}. `make golden` records them.") from None


def require_all(kept: dict[str, Any], names: list[str], path: Path) -> None:
    """Check that every kept golden run is recorded again, since all are recorded together.

    Raises:
        ConfigError: One would be lost.
    """
    if missing := [name for name in kept["accuracy"] if name not in names]:
        raise ConfigError(
            f"golden.experiments: expected all runs of {path}, which are recorded together; missing: "
            f"{', '.join(missing)}. To drop a golden run, first remove it from the accuracies in that file."
        )


def with_entry(kept: dict[str, Any], fingerprint: str, entry: dict[str, Any], *, moved: bool) -> dict[str, Any]:
    """Return the results with new ones for this hardware. If they moved, those of other hardware are outdated."""
    others = {} if moved and fingerprint in kept["hardware"] else kept["hardware"]
    accuracy = {name: accuracies(outcome) for name, outcome in entry["runs"].items()}
    return {"accuracy": accuracy, "hardware": others | {fingerprint: entry}}


def write_results(path: Path, results: dict[str, Any]) -> None:
    """Write the results to keep."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(format_json(results).encode() + b"\n")


def format_json(value: Any, indent: str = "") -> str:
    """Return JSON with one line for everything that fits on a line, so that a diff shows only what changed."""
    text = json.dumps(value)
    if not isinstance(value, dict | list) or not value:
        return text
    entries = list(value.values()) if isinstance(value, dict) else value
    if len(text) <= LINE_WIDTH and not any(isinstance(entry, dict | list) for entry in entries):
        return text
    deeper = indent + " "
    keys = [f"{json.dumps(key)}: " for key in value] if isinstance(value, dict) else [""] * len(value)
    lines = [f"{deeper}{key}{format_json(entry, deeper)}" for key, entry in zip(keys, entries, strict=True)]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"
