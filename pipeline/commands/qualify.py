"""`qualify`: an upgrade on evidence. Train the golden set in two environments, seed by seed, and say what differs."""

import hashlib
import json
import logging
from dataclasses import asdict
from pathlib import Path

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, EnvironmentMismatch, ExitStatus, PipelineError, RunError, nearest
from pipeline.evaluation import equivalence
from pipeline.evaluation.equivalence import EquivalenceVerdict
from pipeline.files import atomic_write, sha256
from pipeline.reports import qualification_page
from pipeline.reports.formatting import align_columns, format_percent, format_points
from pipeline.runs import folder as run_folder
from pipeline.runs import identity
from pipeline.runtime import candidate, environment, hardware, subprocesses

logger = logging.getLogger(__name__)

STATUS = {
    EquivalenceVerdict.IDENTICAL: ExitStatus.DONE,
    EquivalenceVerdict.EQUIVALENT: ExitStatus.DONE,
    EquivalenceVerdict.DIFFERENT: ExitStatus.DIFFERENCE,
    EquivalenceVerdict.TOO_FEW_SEEDS: ExitStatus.UNDECIDED,
}


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Judge a candidate lock, print a table and write report.html. Returns the exit status of its verdict."""
    wanted = config.qualify
    baseline, lock = locks(wanted)
    changes = candidate.changes(baseline, lock)
    logger.info("baseline   %s", baseline)
    logger.info("candidate  %s: %s", lock, ", ".join(changes) or "the same versions")

    trained = {}
    for role, path in (("baseline", baseline), ("candidate", lock)):
        python = candidate.python_of(path, Path(wanted.root) / "environments")
        trained[role] = train_all(config, role, python, path)
    samples = paired(wanted, trained["baseline"], trained["candidate"])
    comparisons = equivalence.compare_environments(samples, wanted.margin, wanted.confidence)

    verdict = equivalence.overall_verdict(comparisons)
    folder = Path(wanted.root) / "reports" / f"{sha256(baseline)[:12]}-{sha256(lock)[:12]}"
    page = write(folder, config, invocation.command_line, (baseline, lock), changes, comparisons)
    if invocation.as_json:
        found = {"verdict": verdict, "changes": changes, "comparisons": list(map(asdict, comparisons))}
        print(json.dumps(found | {"report": str(page)}, indent=1))
    else:
        print(f"{table(comparisons, wanted)}\n\nverdict    {verdict}\nreport     {page}")
    return STATUS[verdict]


def locks(wanted):
    """The paths of the two locks, each in the form of a lock; the candidate is solved where a package was named."""
    if bool(wanted.candidate) == bool(wanted.package):
        raise ConfigError(
            "qualify: expected either qualify.candidate=LOCK or qualify.package=NAME==VERSION; found "
            f"{'both' if wanted.package else 'neither'}."
        )
    baseline = Path(wanted.baseline) if wanted.baseline else environment.lock_in_use()
    candidate.check(baseline)
    if wanted.package:
        if baseline.resolve() not in (environment.CPU_LOCK.resolve(), environment.GPU_LOCK.resolve()):
            raise ConfigError(
                f"qualify.baseline: expected a lock of the project's own, {environment.CPU_LOCK.name} or "
                f"{environment.GPU_LOCK.name}, since qualify.package is solved with the .in file of that name; found "
                f"{baseline}. Take it away, or give both locks: qualify.baseline=LOCK qualify.candidate=LOCK."
            )
        logger.info("solving %s ...", wanted.package)
        return baseline, candidate.solved(wanted.package, baseline, Path(wanted.root) / "candidates")
    candidate.check(wanted.candidate)
    return baseline, Path(wanted.candidate)


# ---- training -------------------------------------------------------------------------------------------------------


def train_all(config, role, python, lock):
    """The run folders of every experiment, by seed, trained in one environment: {experiment: [folder]}.

    Trainings of the same lock, code, hardware and words are gone on with, so that a second call with more seeds trains
    only those.
    """
    wanted, folders = config.qualify, {}
    options = [f"device={config.device}", f"hardware.gpus={json.dumps(config.hardware.gpus)}"]
    options += ["registry.url=none", "training.tensorboard=false", *wanted.overrides]
    for name in config.golden.experiments:
        words = [f"experiment={name}", *options]
        root = (Path(wanted.root) / "runs" / key(role, lock, words)).absolute()
        log = root / "log"
        logger.info("training   %s, %d seeds, %s; its output goes to %s", name, wanted.seeds, role, log)
        try:
            subprocesses.run_module(
                python, lock, ["pipeline.cli.seeds", str(wanted.seeds), *words, f"run.root={root}"], log
            )
        except EnvironmentMismatch as error:
            raise EnvironmentMismatch(
                f"the environment of {lock}: {error}\nTo have it made anew, remove {Path(python).parents[1]}."
            ) from None
        except PipelineError as error:
            error.args = (f"{name} in the environment of the {role}, {lock}: {error}",)
            raise
        folders[name] = [root / f"seed-{seed}" for seed in range(wanted.seeds)]
    return folders


def key(role, lock, words):
    """Names what decides the bits of a training: lock, code, presets, processor, and the words it is started with.

    The role is in it so that a lock that is held against itself is trained twice.
    """
    presets = [path.read_text() for path in sorted((environment.PROJECT / "configs").rglob("*.yaml"))]
    machine = [hardware.kind([]), environment.variables()]
    made_of = [role, sha256(lock), identity.code_digest(), presets, machine, words]
    return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:16]


# ---- comparing ------------------------------------------------------------------------------------------------------


def paired(wanted, baseline, trained):
    """The Pairs of every experiment and label: {"golden_mlp digit": Pairs}."""
    samples = {}
    for name, folders in baseline.items():
        outcomes = [[outcome(folder) for folder in side] for side in (folders, trained[name])]
        if len({json.dumps(found["on"]) for side in outcomes for found in side}) > 1:
            raise RunError(
                f"{name}: expected all trainings on the same data and device; one of these changed since the first. "
                f"Remove {wanted.root}/runs, and all are made anew."
            )
        first = outcomes[0][0]
        for label in labels(name, first, wanted.metric):
            before, after = (
                tuple(found["metrics"][label][wanted.metric]["value"] for found in side) for side in outcomes
            )
            identical = tuple(one == other for one, other in zip(*outcomes, strict=True))
            samples[f"{name} {label}"] = equivalence.PairedScores(before, after, identical, 1 / first["rows"])
    return samples


def outcome(folder):
    """All of a run that two trainings can be compared by: weights, scores with their intervals, every epoch's logs."""
    result, recorded = (run_folder.read(folder, name) for name in ("result.json", "environment.json"))
    return {
        "on": [result["fingerprint"], *(recorded["hardware"][key] for key in ("device", "gpus"))],
        "weights": result["weights_digest"],
        "metrics": result["metrics"],
        "epochs": (folder / "metrics.jsonl").read_text(),
        "rows": result["rows"]["test"],
    }


def labels(name, outcome, metric):
    found = [label for label, scores in outcome["metrics"].items() if metric in scores]
    if not found:
        known = {score for scores in outcome["metrics"].values() for score in scores}
        raise ConfigError(f"qualify.metric: {name} has no {metric}. {nearest(metric, known)}")
    return found


# ---- telling --------------------------------------------------------------------------------------------------------


def table(comparisons, wanted):
    """A line a data set; differences in points, candidate less baseline."""
    rows = [("data set", "seeds", "same bits", "baseline", "candidate", "difference", "interval", "TOST p", "verdict")]
    for found in comparisons:
        pairs = found.pairs
        rows.append(
            (
                found.name,
                str(len(pairs.identical)),
                str(sum(pairs.identical)),
                *(f"{100 * sum(side) / len(side):.2f}" for side in (pairs.baseline, pairs.candidate)),
                format_points(found.difference),
                f"[{format_points(found.low)}, {format_points(found.high)}]",
                f"{found.p_equivalent:.2g}",
                found.verdict + qualification_page.seeds_needed_note(found),
            )
        )
    margin = format_points(wanted.margin)
    return "\n".join(
        [
            f"{wanted.metric} in points; margin {margin}, confidence {format_percent(wanted.confidence)}",
            *align_columns(rows),
        ]
    )


def write(folder, config, command_line, paths, changes, comparisons):
    """Write report.html and result.json. Returns the page's path."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        "verdict": equivalence.overall_verdict(comparisons),
        "command": command_line,
        "locks": {role: {"path": str(path), "sha256": sha256(path)}
                  for role, path in zip(("baseline", "candidate"), paths, strict=True)},
        "changes": changes,
        "code": identity.code_digest(),
        "hardware": hardware.kind([]),
        "settings": asdict(config.qualify),
        "comparisons": list(map(asdict, comparisons)),
    }  # fmt: skip
    with atomic_write(folder / "result.json") as file:
        file.write(json.dumps(found, indent=1).encode() + b"\n")
    qualification_page.write_qualification_page(folder / "report.html", found, comparisons)
    return folder / "report.html"
