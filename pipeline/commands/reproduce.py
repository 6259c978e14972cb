"""`reproduce`: train a stored run again from its own config, and compare the two bit for bit."""

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from pipeline import logs
from pipeline.commands import Invocation, train
from pipeline.commands.train import TrainedRun
from pipeline.config import Config
from pipeline.errors import DataError, EnvironmentMismatch, ExitStatus, RunError
from pipeline.experiment import Experiment, prepare
from pipeline.runs import folder as run_folder
from pipeline.runs import provenance, saved_model
from pipeline.runs.identity import differences, identity
from pipeline.runtime import determinism, environment
from pipeline.training.weights_digest import digest_per_weight


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train runs/NAME again in runs/NAME/reproductions/N and compare. Returns DIFFERENCE unless all is identical.

    Raises:
        RunError: The run is not finished, or its record is incomplete.
        DataError: The data is not that of the run.
        EnvironmentMismatch: The lock or the kind of device is not that of the run.
    """
    start_time = time.monotonic()
    assert config.run.name is not None
    folder = run_folder.find(config.run.root, config.run.name)
    result = read_complete(folder)
    environment.require_lock(config.environment.allow_drift)
    require_same_lock(folder, allow_drift=config.environment.allow_drift)

    target = folder / "reproductions" / next_number(folder, config)
    again = replace(
        config,
        run=replace(config.run, root=str(target.parent), name=target.name),
        # a reproduction is stored with its run, not as a run in the registry
        registry=replace(config.registry, url="none"),
    )
    with logs.collected() as log:
        experiment = prepare(again)
        require_same_device_and_data(folder, result, experiment)
        reproduction = train.train(
            again, experiment, target, command_line=invocation.command_line, start_time=start_time, log=log
        )

    comparison = compare(folder, result["weights_digest"], reproduction)
    run_folder.write(target, "comparison.json", comparison)
    print(f"\n{describe(comparison, epochs=len(reproduction.history))}")
    return ExitStatus.DONE if comparison["identical"] else ExitStatus.DIFFERENCE


# ---- before the training --------------------------------------------------------------------------------------------


def read_complete(folder: Path) -> dict[str, Any]:
    """Return the result.json of a finished run that has all files which a comparison needs.

    Raises:
        RunError: The run is not finished, or a file is missing.
    """
    result = run_folder.read_finished(folder)
    missing = [name for name in ("environment.json", "metrics.jsonl") if not (folder / name).exists()]
    if missing:
        raise RunError(f"{folder}: expected the complete record of a run; missing: {', '.join(missing)}.")
    return result


def require_same_lock(folder: Path, *, allow_drift: bool) -> None:
    """Check that the lock in use is the one of the run.

    Raises:
        EnvironmentMismatch: It is another one, and that is not allowed.
    """
    record = run_folder.read(folder, "environment.json")
    then, now = record["lock"], environment.describe()["lock"]
    if now["sha256"] == then["sha256"] or allow_drift:
        return
    commit = record["git"]["commit"]
    raise EnvironmentMismatch(
        f"{folder}: expected the lock it was trained with, {then['name']} with sha256 {then['sha256'][:16]}; found "
        f"{now['name']} with {now['sha256'][:16]}. "
        + (f"It is in commit {commit[:12]}: check that out. " if commit else "")
        + "To compare anyway: environment.allow_drift=true."
    )


def require_same_device_and_data(folder: Path, result: dict[str, Any], experiment: Experiment) -> None:
    """Check device and data before the training starts.

    Raises:
        EnvironmentMismatch: The kind of device differs.
        DataError: The fingerprint of the data differs.
    """
    device = run_folder.read(folder, "environment.json")["hardware"]["device"]
    if experiment.device["device"] != device:
        raise EnvironmentMismatch(
            f"{folder}: expected the device it was trained on, {device}; found {experiment.device['device']}."
        )
    if experiment.data.fingerprint != result["fingerprint"]:
        raise DataError(
            f"{folder}: expected the data it was trained on, with fingerprint {result['fingerprint']}; found "
            f"{experiment.data.fingerprint}. Restore that data, or set its path: data.path=..."
        )


def next_number(folder: Path, config: Config) -> str:
    """Return the number of the newest reproduction if it is unfinished and the same, else the next number."""
    begun = {int(path.parent.name): path.parent for path in folder.glob("reproductions/*/result.json")}
    newest = max(begun, default=0)
    if not newest or run_folder.status(begun[newest]) == run_folder.FINISHED:
        return str(newest + 1)
    same = run_folder.read(begun[newest], "environment.json")["identity"] == identity(config)
    return str(newest if same else newest + 1)


# ---- the comparison -------------------------------------------------------------------------------------------------


def compare(folder: Path, weights_digest: str, reproduction: TrainedRun) -> dict[str, Any]:
    """Compare a run with its reproduction.

    Args:
        folder: The run folder.
        weights_digest: sha256 of the weights of the run.
        reproduction: The run that was trained again.

    Returns:
        The content of comparison.json.
    """
    epoch = first_epoch(run_folder.read_epochs(folder), reproduction.history)
    digests = {"then": weights_digest, "now": reproduction.weights_digest}
    comparison = {"identical": epoch is None and digests["then"] == digests["now"], "weights_digest": digests}
    if not comparison["identical"]:
        comparison |= {
            "epoch": epoch,
            "variable": first_variable(folder, reproduction.model),
            "causes": causes(run_folder.read(folder, "environment.json"), reproduction.environment),
        }
    return comparison


def first_epoch(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Return the first epoch that differs, with the values that do: {"epoch", "values": {name: {"then", "now"}}}."""
    for index in range(max(len(before), len(after))):
        then, now = ((rows[index] if index < len(rows) else {}) for rows in (before, after))
        names = [name for name in {**then, **now} if json.dumps(then.get(name)) != json.dumps(now.get(name))]
        if names:
            values = {name: {"then": then.get(name), "now": now.get(name)} for name in names}
            return {"epoch": index + 1, "values": values}
    return None


def first_variable(folder: Path, model: keras.Model) -> dict[str, Any] | None:
    """Return the first variable that differs.

    Args:
        folder: The run folder.
        model: The model that was trained again.

    Returns:
        name: Its path in the model.
        weights: How many variables differ.
        values, of, by: How many of its values differ, how many it has, and the largest difference; missing if the saved
            model of the run cannot be loaded.
    """
    then, now = read_digests(folder), digest_per_weight(model)
    differing = [index for index, pair in enumerate(zip(then, now)) if pair[0]["sha256"] != pair[1]["sha256"]]
    if not differing:
        return None
    first = differing[0]
    variable = {"name": now[first]["path"], "weights": len(differing)}
    try:
        stored = saved_model.load(folder / "model.keras")
    except RunError:
        return variable
    shapes = [[weight.shape for weight in each.weights] for each in (stored, model)]
    if shapes[0] != shapes[1]:
        return variable
    before, after = (keras.ops.convert_to_numpy(each.weights[first]) for each in (stored, model))
    distance = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return variable | {"values": int(np.count_nonzero(distance)), "of": distance.size, "by": float(distance.max())}


def read_digests(folder: Path) -> list[dict[str, str]]:
    """Return path and sha256 of every variable of a run; [] if they were not stored."""
    return run_folder.read(folder, "weights.json") if (folder / "weights.json").exists() else []


def causes(then: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return a line for each difference of two environment records that changes the bits, or one line if none does."""
    lines = [
        *(f"config.{line}" for line in differences(then["identity"]["config"], now["identity"]["config"])),
        *provenance.changes(then, now),
        *(f"changed while the run was trained: {line}" for line in then.get("mixed", [])),
    ]
    if then["hardware"].get("determinism") != determinism.STRICT:
        lines.append("determinism: the run was not strict, and only strict runs repeat bit for bit")
    return lines or ["nothing that was recorded differs: hardware beyond the record, or a defect of this program"]


# ---- as text --------------------------------------------------------------------------------------------------------


def describe(comparison: dict[str, Any], *, epochs: int) -> str:
    """Return a comparison as text."""
    weights = comparison["weights_digest"]
    if comparison["identical"]:
        return f"identical: {epochs} epochs, weights {weights['now']}"
    lines = ["different:"]
    if comparison["epoch"]:
        lines.append(f"  first epoch     {comparison['epoch']['epoch']}")
        lines += [_indented(_change(name, value)) for name, value in comparison["epoch"]["values"].items()]
    if comparison["variable"]:
        lines.append(f"  first variable  {_amount(comparison['variable'])}")
    lines += [f"  weights         {weights['then']} then", _indented(f"{weights['now']} now")]
    first, *others = comparison["causes"]
    return "\n".join([*lines, f"  likely cause    {first}", *map(_indented, others)])


def _indented(text: str) -> str:
    return f"{'':<18}{text}"


def _change(name: str, value: dict[str, Any]) -> str:
    then, now = value["then"], value["now"]
    distance = "" if then is None or now is None else f" ({abs(then - now):.3g} apart)"
    return f"{name}: {then} then, {now} now{distance}"


def _amount(variable: dict[str, Any]) -> str:
    if "by" not in variable:
        return f"{variable['name']}; the amount is unknown, since the model.keras of the run is damaged or missing"
    return (
        f"{variable['name']}: {variable['values']} of {variable['of']} values differ, by {variable['by']:.3g} at most"
    )
