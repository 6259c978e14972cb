"""`golden`: train the golden set and hold it against the results kept in the project, or keep them anew."""

import json
import logging
import platform
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, ExitStatus, RunError
from pipeline.files import atomic_write
from pipeline.options import flatten
from pipeline.runs import folder as run_folder
from pipeline.runs.identity import differences as differing
from pipeline.runtime import environment, hardware, subprocesses

logger = logging.getLogger(__name__)

SAME, WITHIN, DIFFERENT, UNKNOWN = "same", "within tolerance", "moved", "not recorded"
WIDTH = 110  # characters of a line of the file


@dataclass(frozen=True)
class Finding:
    """What one golden run came to. verdict: SAME bits; on hardware that is not known, WITHIN; else DIFFERENT or
    UNKNOWN. accuracy: label -> (then, now), then None where it is not kept. lines: what moved."""

    run: str
    verdict: str
    accuracy: dict[str, tuple[float | None, float]]
    weights: str
    lines: tuple[str, ...]


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train every golden run in a process of its own and compare, or record. Returns DONE for the same bits or, on
    hardware that is not known, accuracies within the tolerance; DIFFERENCE if one moved."""
    environment.require_lock(allow_drift=False)
    recording, path = invocation.action == ("record",), Path(config.golden.file)
    kept = read(path, recording)
    if recording:
        require_all(kept, config.golden.experiments, path)
    entry = train_all(config)
    mark = hardware.fingerprint(entry["hardware"])
    known = kept["hardware"].get(mark)
    findings = [
        compare(name, now, known and known["runs"].get(name), kept["accuracy"].get(name), known, config)
        for name, now in entry["runs"].items()
    ]
    changes = causes(known, entry) if known and any(found.verdict == DIFFERENT for found in findings) else []
    if invocation.as_json:
        told = {"hardware": mark, "known": known is not None, "runs": list(map(asdict, findings)), "causes": changes}
        print(json.dumps(told, indent=1))
    else:
        print(table(mark, known, findings, changes, config.golden.tolerance))
    if recording:
        write(path, with_entry(kept, mark, entry, moved(findings)))
        logger.info("recorded %s", path)
        return ExitStatus.DONE
    return ExitStatus.DIFFERENCE if moved(findings) else ExitStatus.DONE


def moved(findings):
    return any(found.verdict in (DIFFERENT, UNKNOWN) for found in findings)


# ---- training -------------------------------------------------------------------------------------------------------


def train_all(config):
    """What the golden runs came to here: {"hardware", "made", "runs": {name: outcome}}."""
    runs, lock = {}, environment.lock_in_use()
    with tempfile.TemporaryDirectory(prefix="golden-") as place:
        root = Path(place)
        options = [f"run.root={root}", "registry.url=none", "training.tensorboard=false", f"device={config.device}"]
        options.append(f"hardware.gpus={json.dumps(config.hardware.gpus)}")
        for name in config.golden.experiments:
            logger.info("training %s ...", name)
            words = ["pipeline", "train", f"experiment={name}", f"run.name={name}", *options]
            subprocesses.call(sys.executable, lock, words, root / f"{name}.log")
            runs[name] = outcome(root / name)
        recorded = run_folder.read(root / name, "environment.json")
    return {"hardware": hardware.kind(recorded["hardware"]["gpus"]), "made": made(recorded), "runs": runs}


def outcome(folder):
    """All of a finished run that two trainings can be compared by."""
    result = run_folder.read(folder, "result.json")
    return {
        "weights": result["weights_digest"],
        "data": result["fingerprint"],
        "metrics": result["metrics"],
        "epochs": [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()],
    }


def made(recorded):
    """What of an environment.json may move the bits on one kind of hardware."""
    lock = environment.lock_in_use()
    return {
        "code": recorded["identity"]["code"],
        "lock": recorded["lock"]["name"],
        "lock_sha256": recorded["lock"]["sha256"],
        "python": recorded["python"],
        "libc": " ".join(platform.libc_ver()),
        "driver": recorded["nvidia_driver"],
        "variables": environment.variables(),
        "packages": environment.locked(lock),
    }


def accuracies(outcome):
    return {label: scores["accuracy"]["value"] for label, scores in outcome["metrics"].items() if "accuracy" in scores}


# ---- comparing ------------------------------------------------------------------------------------------------------


def compare(name, now, then, kept, known, config):
    """The Finding of one run. then: its outcome on this hardware, None where there is none. kept: label -> accuracy
    on any hardware. known: whether this hardware is."""
    kept = kept or {}
    accuracy = {label: (kept.get(label), value) for label, value in accuracies(now).items()}
    lines = [f"{label} accuracy: {was} kept, {is_} now, beyond the tolerance of {config.golden.tolerance}"
             for label, (was, is_) in accuracy.items()
             if was is not None and abs(is_ - was) > config.golden.tolerance]  # fmt: skip
    if not kept or (known and then is None):
        verdict = UNKNOWN
    elif then is not None:
        lines += differences(then, now)
        verdict = DIFFERENT if lines else SAME
    else:
        verdict = DIFFERENT if lines else WITHIN
    return Finding(name, verdict, accuracy, now["weights"], tuple(lines))


def differences(then, now):
    """Lines saying what two outcomes differ in: digests, scores, and the first epoch that does."""
    plain = [dict(flatten({key: side[key] for key in ("weights", "data", "metrics")})) for side in (then, now)]
    lines = [line for line in differing(*plain) if ".low: " not in line and ".high: " not in line]
    for before, after in zip(then["epochs"], now["epochs"], strict=False):
        if before != after:
            return [*lines, *(f"epoch {after['epoch']}, {line}" for line in differing(before, after))]
    if len(then["epochs"]) != len(now["epochs"]):
        lines.append(f"epochs: {len(then['epochs'])} then, {len(now['epochs'])} now")
    return lines or differing(*plain)  # an interval alone


def causes(known, entry):
    """Lines naming what the runs are made of that is not what they were made of."""
    return differing(*(dict(flatten(side["made"])) for side in (known, entry)))


def table(mark, known, findings, changes, tolerance):
    held = "known: bit for bit" if known else f"not known: accuracies, within {100 * tolerance:g} points"
    lines = [f"hardware {mark}, {held}"]
    for found in findings:
        scores = ", ".join(
            f"{label} accuracy {now:.4f}" + ("" if was in (None, now) else f" ({was:.4f} kept)")
            for label, (was, now) in found.accuracy.items()
        )
        lines.append(f"{found.run:<18}{found.verdict:<18}{scores}  weights {found.weights[:16]}")
        lines += [f"    {line}" for line in found.lines]
    if changes:
        lines += ["made of something else than then:", *(f"    {line}" for line in changes)]
    elif known and any(found.verdict == DIFFERENT for found in findings):
        lines.append("nothing it is made of differs: hardware beyond the fingerprint, or chance that ought not to be")
    if moved(findings):
        lines.append("If that is meant: `make golden`, and commit what it changes.")
    return "\n".join(lines)


# ---- the file -------------------------------------------------------------------------------------------------------


def read(path, recording):
    """The results kept: {"accuracy": {run: {label: value}}, "hardware": {fingerprint: entry}}."""
    if recording and not path.exists():
        return {"accuracy": {}, "hardware": {}}
    try:
        kept = json.loads(path.read_text())
        if {"accuracy", "hardware"} <= kept.keys():
            return kept
        raise ValueError("accuracy or hardware is missing")
    except (OSError, ValueError, AttributeError) as error:
        raise RunError(f"{path}: expected the results of golden runs; {error}. `make golden` records them.") from None


def require_all(kept, names, path):
    """Raise ConfigError where a golden run that is kept would not be recorded with the others, and lost."""
    if missing := [name for name in kept["accuracy"] if name not in names]:
        raise ConfigError(
            f"golden.experiments: expected all runs that {path} keeps, as they are recorded together; missing: "
            f"{', '.join(missing)}. One that is to be a golden run no more is first taken out of that file's accuracy."
        )


def with_entry(kept, mark, entry, moved):
    """The results with those of this hardware anew. Where they moved, other hardware's are of what is no more."""
    others = {} if moved and mark in kept["hardware"] else kept["hardware"]
    accuracy = {name: accuracies(outcome) for name, outcome in entry["runs"].items()}
    return {"accuracy": accuracy, "hardware": others | {mark: entry}}


def write(path, results):
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(laid_out(results).encode() + b"\n")


def laid_out(value, indent=""):
    """JSON in which what fits on a line is a line, so that a diff shows what moved and no more."""
    text = json.dumps(value)
    nested = isinstance(value, dict | list) and any(isinstance(part, dict | list) for part in parts(value))
    if not isinstance(value, dict | list) or not value or (len(text) <= WIDTH and not nested):
        return text
    deeper = indent + " "
    if isinstance(value, dict):
        lines = [f"{deeper}{json.dumps(key)}: {laid_out(part, deeper)}" for key, part in value.items()]
    else:
        lines = [deeper + laid_out(part, deeper) for part in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    return f"{opening}\n" + ",\n".join(lines) + f"\n{indent}{closing}"


def parts(value):
    return value.values() if isinstance(value, dict) else value
