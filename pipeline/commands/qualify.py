"""`qualify`: train the golden experiments in the locked environment and in a candidate's, and compare seed by seed."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipeline.commands import Invocation
from pipeline.config import Config
from pipeline.errors import ConfigError, EnvironmentMismatch, ExitStatus, PipelineError, RunError, nearest
from pipeline.evaluation import equivalence
from pipeline.evaluation.equivalence import EnvironmentComparison, EquivalenceVerdict, PairedScores
from pipeline.files import sha256
from pipeline.reports import qualification_page
from pipeline.reports.formatting import align_columns, format_percent, format_points
from pipeline.runs import folder as run_folder
from pipeline.runs import identity
from pipeline.runtime import candidate, environment, hardware, subprocesses, variables
from pipeline.runtime.options import Qualify

logger = logging.getLogger(__name__)

STATUS = {
    EquivalenceVerdict.IDENTICAL: ExitStatus.DONE,
    EquivalenceVerdict.EQUIVALENT: ExitStatus.DONE,
    EquivalenceVerdict.DIFFERENT: ExitStatus.DIFFERENCE,
    EquivalenceVerdict.TOO_FEW_SEEDS: ExitStatus.UNDECIDED,
}


@dataclass(frozen=True)
class Locks:
    """The lock files of the two environments."""

    baseline: Path
    candidate: Path


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Everything by which two trainings can be compared.

    Attributes:
        conditions: Fingerprint of the data, kind of device and GPUs.
        weights: sha256 of the weights.
        metrics: Label -> score -> "value", "low" and "high".
        epochs: The logs of every epoch, as in metrics.jsonl.
        rows: Number of rows of the test split.
    """

    conditions: tuple[Any, ...]
    weights: str
    metrics: dict[str, dict[str, dict[str, float]]]
    epochs: str
    rows: int


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Compare a candidate lock with the baseline, print a table and write report.html.

    Returns:
        The exit status of the verdict.

    Raises:
        ConfigError: The options name no candidate, or a lock has an invalid line.
        EnvironmentMismatch: An environment cannot be installed, or differs from its lock.
        PipelineError: A training fails.
    """
    options = config.qualify
    locks = find_locks(options)
    changes = candidate.changes(baseline=locks.baseline, candidate=locks.candidate)
    logger.info("baseline   %s", locks.baseline)
    logger.info("candidate  %s: %s", locks.candidate, ", ".join(changes) or "the same versions")

    baseline = train_experiments(config, "baseline", locks.baseline)
    trained = train_experiments(config, "candidate", locks.candidate)
    samples = pair_scores(baseline, trained, options)
    comparisons = equivalence.compare_environments(samples, margin=options.margin, confidence=options.confidence)

    verdict = equivalence.overall_verdict(comparisons)
    page = write_report(config, invocation.command_line, locks=locks, changes=changes, comparisons=comparisons)
    if invocation.as_json:
        report = {"verdict": verdict, "changes": changes, "comparisons": list(map(asdict, comparisons))}
        print(json.dumps(report | {"report": str(page)}, indent=1))
    else:
        print(f"{table(comparisons, options)}\n\nverdict    {verdict}\nreport     {page}")
    return STATUS[verdict]


def find_locks(options: Qualify) -> Locks:
    """Return the two lock files, and solve the candidate if qualify.package is set.

    Raises:
        ConfigError: The options do not name one candidate, or a lock has an invalid line.
        EnvironmentMismatch: The candidate cannot be solved.
    """
    if bool(options.candidate) == bool(options.package):
        raise ConfigError(
            "qualify: expected either qualify.candidate=LOCK or qualify.package=NAME==VERSION; found "
            f"{'both' if options.package else 'neither'}."
        )
    baseline = Path(options.baseline) if options.baseline else environment.lock_in_use()
    candidate.check(baseline)
    if options.package:
        if baseline.resolve() not in (environment.CPU_LOCK.resolve(), environment.GPU_LOCK.resolve()):
            raise ConfigError(
                f"qualify.baseline: expected a lock of the project, {environment.CPU_LOCK.name} or "
                f"{environment.GPU_LOCK.name}, since qualify.package is solved with the .in file of that name; found "
                f"{baseline}. Remove this option, or name both locks: qualify.baseline=LOCK qualify.candidate=LOCK."
            )
        logger.info("solving %s ...", options.package)
        return Locks(baseline, candidate.solved(options.package, baseline, Path(options.root) / "candidates"))
    candidate.check(options.candidate)
    return Locks(baseline, Path(options.candidate))


# ---- training -------------------------------------------------------------------------------------------------------


def train_experiments(config: Config, role: str, lock: Path) -> dict[str, list[Path]]:
    """Train every golden experiment with every seed in one environment, which is installed if it does not exist.

    Finished runs of the same lock, code, hardware and arguments are kept, so that a second call with more seeds trains
    only the new ones.

    Args:
        config: The config of the command.
        role: "baseline" or "candidate".
        lock: The lock file of the environment.

    Returns:
        Experiment -> its run folders by seed.

    Raises:
        EnvironmentMismatch: The environment cannot be installed, or differs from its lock.
        PipelineError: A training fails.
    """
    options, folders = config.qualify, {}
    python = candidate.python_of(lock, Path(options.root) / "environments")
    overrides = [
        f"device={config.device}",
        f"hardware.gpus={json.dumps(config.hardware.gpus)}",
        "registry.url=none",
        "training.tensorboard=false",
        *options.overrides,
    ]
    for name in config.golden.experiments:
        arguments = [f"experiment={name}", *overrides]
        root = (Path(options.root) / "runs" / training_key(role, lock, arguments)).absolute()
        log = root / "log"
        logger.info("training   %s, %d seeds, %s; its output goes to %s", name, options.seeds, role, log)
        try:
            subprocesses.run_module(
                ["pipeline.cli.seeds", str(options.seeds), *arguments, f"run.root={root}"],
                python=python,
                lock=lock,
                log=log,
            )
        except EnvironmentMismatch as error:
            raise EnvironmentMismatch(
                f"the environment of {lock}: {error}\n"
                f"To install this environment again, remove {Path(python).parents[1]} and run the same command."
            ) from None
        except PipelineError as error:
            error.args = (f"{name} in the environment of the {role}, {lock}: {error}",)
            raise
        folders[name] = [root / f"seed-{seed}" for seed in range(options.seeds)]
    return folders


def training_key(role: str, lock: Path, arguments: Sequence[str]) -> str:
    """Return a digest of everything that decides the bits of a training.

    It covers the lock, the code, the presets, the processor and the arguments. It also covers the role: if a lock is
    compared with itself, the baseline and the candidate are then trained separately.
    """
    presets = [path.read_text() for path in sorted((environment.PROJECT / "configs").rglob("*.yaml"))]
    machine = [hardware.kind([]), variables.recorded()]
    provenance = [role, sha256(lock), identity.code_digest(), presets, machine, arguments]
    return hashlib.sha256(json.dumps(provenance).encode()).hexdigest()[:16]


# ---- comparing ------------------------------------------------------------------------------------------------------


def pair_scores(
    baseline: Mapping[str, Sequence[Path]], trained: Mapping[str, Sequence[Path]], options: Qualify
) -> dict[str, PairedScores]:
    """Pair the scores of both environments by seed.

    Args:
        baseline: Experiment -> run folders by seed, trained in the baseline's environment.
        trained: The same of the candidate's environment.
        options: The metric to compare.

    Returns:
        "EXPERIMENT LABEL" -> scores.

    Raises:
        RunError: The runs were trained on different data or devices.
        ConfigError: An experiment does not have the metric.
    """
    samples = {}
    for name, folders in baseline.items():
        before = [read_outcome(folder) for folder in folders]
        after = [read_outcome(folder) for folder in trained[name]]
        first = before[0]
        if any(outcome.conditions != first.conditions for outcome in (*before, *after)):
            raise RunError(
                f"{name}: expected all runs on the same data and device; one of these changed since the first run. "
                f"Remove {options.root}/runs and run the same command, which trains all of them again."
            )
        for label in labels_with_metric(name, first, options.metric):
            samples[f"{name} {label}"] = PairedScores(
                baseline=tuple(outcome.metrics[label][options.metric]["value"] for outcome in before),
                candidate=tuple(outcome.metrics[label][options.metric]["value"] for outcome in after),
                identical=tuple(one == other for one, other in zip(before, after, strict=True)),
                resolution=1 / first.rows,
            )
    return samples


def read_outcome(folder: Path) -> Outcome:
    """Read the outcome of a finished run."""
    result, record = run_folder.read(folder, "result.json"), run_folder.read(folder, "environment.json")
    return Outcome(
        conditions=(result["fingerprint"], record["hardware"]["device"], record["hardware"]["gpus"]),
        weights=result["weights_digest"],
        metrics=result["metrics"],
        epochs=run_folder.read_text(folder, "metrics.jsonl"),
        rows=result["rows"]["test"],
    )


def labels_with_metric(experiment: str, outcome: Outcome, metric: str) -> list[str]:
    """Return the labels that have a metric.

    Raises:
        ConfigError: There are none.
    """
    labels = [label for label, scores in outcome.metrics.items() if metric in scores]
    if not labels:
        known = {name for scores in outcome.metrics.values() for name in scores}
        raise ConfigError(f"qualify.metric: {experiment} has no {metric}. {nearest(metric, known)}")
    return labels


# ---- report ---------------------------------------------------------------------------------------------------------


def table(comparisons: Sequence[EnvironmentComparison], options: Qualify) -> str:
    """Return one line per data set; differences in percentage points, candidate minus baseline."""
    rows = [("data set", "seeds", "same bits", "baseline", "candidate", "difference", "interval", "TOST p", "verdict")]
    for comparison in comparisons:
        pairs = comparison.pairs
        seeds = len(pairs.identical)
        rows.append(
            (
                comparison.name,
                str(seeds),
                str(sum(pairs.identical)),
                f"{100 * sum(pairs.baseline) / seeds:.2f}",
                f"{100 * sum(pairs.candidate) / seeds:.2f}",
                format_points(comparison.difference),
                f"[{format_points(comparison.low)}, {format_points(comparison.high)}]",
                f"{comparison.p_equivalent:.2g}",
                comparison.verdict + qualification_page.seeds_needed_note(comparison),
            )
        )
    margin, confidence = format_points(options.margin), format_percent(options.confidence)
    heading = f"{options.metric} in points; margin {margin}, confidence {confidence}"
    return "\n".join([heading, *align_columns(rows)])


def write_report(
    config: Config,
    command_line: str,
    *,
    locks: Locks,
    changes: Sequence[str],
    comparisons: Sequence[EnvironmentComparison],
) -> Path:
    """Write report.html and result.json.

    Args:
        config: The config of the command.
        command_line: The command.
        locks: The two lock files.
        changes: The packages whose versions differ.
        comparisons: The comparisons.

    Returns:
        The path of the page.
    """
    digests = {"baseline": sha256(locks.baseline), "candidate": sha256(locks.candidate)}
    folder = Path(config.qualify.root) / "reports" / f"{digests['baseline'][:12]}-{digests['candidate'][:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    record = {
        "verdict": equivalence.overall_verdict(comparisons),
        "command": command_line,
        "locks": {
            "baseline": {"path": str(locks.baseline), "sha256": digests["baseline"]},
            "candidate": {"path": str(locks.candidate), "sha256": digests["candidate"]},
        },
        "changes": changes,
        "code": identity.code_digest(),
        "hardware": hardware.kind([]),
        "settings": asdict(config.qualify),
        "comparisons": list(map(asdict, comparisons)),
    }
    run_folder.write(folder, "result.json", record)
    page = folder / "report.html"
    qualification_page.write_qualification_page(page, record, comparisons)
    return page
