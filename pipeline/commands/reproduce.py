"""`reproduce`: train a stored run anew from its own config, and hold the outcome against the record, bit for bit."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.commands import Invocation, train
from pipeline.config import Config
from pipeline.data import splits
from pipeline.errors import DataError, EnvironmentMismatch, ExitStatus, RunError
from pipeline.runs import folder as run_folder
from pipeline.runs import identity, saved_model
from pipeline.runtime import determinism, devices, environment


def run(config: Config, invocation: Invocation) -> ExitStatus:
    """Train runs/NAME again in runs/NAME/reproductions/N and compare. Returns DONE if all is identical.

    Raises RunError, DataError or EnvironmentMismatch where what the run was made of is not there any more.
    """
    folder = Path(config.run.root) / config.run.name
    result = finished(folder)
    require_environment(config, folder)
    require_data(config, folder, result)
    target = folder / "reproductions" / next_name(folder, config)
    again = replace(
        config,
        run=replace(config.run, root=str(target.parent), name=target.name),
        registry=replace(config.registry, url="none"),  # it is the record of one run, not another run
    )
    train.run(again, invocation)

    epochs = first_epoch(history(folder), history(target))
    anew = run_folder.read(target, "result.json")["weights_digest"]
    identical = epochs is None and anew == result["weights_digest"]
    found = {"identical": identical, "weights_digest": {"then": result["weights_digest"], "now": anew}}
    if not identical:
        found |= {"epoch": epochs, "variable": first_variable(folder, target), "causes": causes(folder, target)}
    run_folder.write(target, "comparison.json", found)
    print("\n" + (f"identical: {len(history(folder))} epochs, weights {anew}" if identical else told(found)))
    return ExitStatus.DONE if identical else ExitStatus.DIFFERENCE


# ---- what the run was made of ----------------------------------------------------------------------------------------


def finished(folder):
    """The result.json of a finished run whose record is whole."""
    result = run_folder.finished(folder)
    missing = [name for name in ("environment.json", "metrics.jsonl") if not (folder / name).exists()]
    if missing:
        raise RunError(f"{folder}: expected the record of a run; missing: {', '.join(missing)}.")
    return result


def require_environment(config, folder):
    """Hold lock and kind of device to the record."""
    recorded = run_folder.read(folder, "environment.json")
    environment.require_lock(config.environment.allow_drift)
    lock = environment.describe()["lock"]
    if lock["sha256"] != recorded["lock"]["sha256"] and not config.environment.allow_drift:
        commit = recorded["git"]["commit"]
        raise EnvironmentMismatch(
            f"{folder}: expected the lock it was trained with, {recorded['lock']['name']} of sha256 "
            f"{recorded['lock']['sha256'][:16]}; found {lock['name']} of {lock['sha256'][:16]}. "
            + (f"It is in commit {commit[:12]}: check that out. " if commit else "")
            + "Or compare all the same: environment.allow_drift=true."
        )
    device = devices.select(config.device, config.hardware)["device"]
    if device != recorded["hardware"]["device"]:
        raise EnvironmentMismatch(
            f"{folder}: expected the device it was trained on, {recorded['hardware']['device']}; found {device}."
        )


def require_data(config, folder, result):
    """Hold the data to the record, before an hour is spent on other data."""
    determinism.prepare(config.determinism, config.seed, config.hardware.threads)
    fingerprint = splits.load(config.data).fingerprint
    if fingerprint != result["fingerprint"]:
        raise DataError(
            f"{folder}: expected the data it was trained on, of fingerprint {result['fingerprint']}; found "
            f"{fingerprint}. Put that data back, or name where it is: data.path=..."
        )


def next_name(folder, config):
    """The number of the newest reproduction if it is unfinished and the same, else the next."""
    begun = {int(path.parent.name): path.parent for path in folder.glob("reproductions/*/result.json")}
    newest = max(begun, default=0)
    if not newest or run_folder.status(begun[newest]) == run_folder.FINISHED:
        return str(newest + 1)
    same = run_folder.read(begun[newest], "environment.json")["identity"] == identity.identity(config)
    return str(newest if same else newest + 1)


# ---- what came out ---------------------------------------------------------------------------------------------------


def history(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def first_epoch(before, after):
    """The first epoch that differs: {"epoch", "values": {name: {"then", "now"}}}; None where there is none."""
    for number in range(max(len(before), len(after))):
        then, now = ((rows[number] if number < len(rows) else {}) for rows in (before, after))
        names = [name for name in {**then, **now} if json.dumps(then.get(name)) != json.dumps(now.get(name))]
        if names:
            values = {name: {"then": then.get(name), "now": now.get(name)} for name in names}
            return {"epoch": number + 1, "values": values}
    return None


def first_variable(folder, target):
    """The first weight that differs, {"name", "values": how many, "of", "by": at most}; None where none does."""
    then, now = ([weights["sha256"] for weights in kept_digests(run)] for run in (folder, target))
    places = [place for place, pair in enumerate(zip(then, now, strict=False)) if pair[0] != pair[1]]
    if not places:
        return None
    name = kept_digests(target)[places[0]]["path"]
    try:
        before, after = (saved_model.load(run / "model.keras").weights[places[0]].numpy() for run in (folder, target))
    except RunError:  # damaged or gone: by how much cannot be told any more
        return {"name": name, "weights": len(places)}
    apart = np.abs(before.astype(np.float64) - after.astype(np.float64))
    return {
        "name": name,
        "weights": len(places),
        "values": int(np.count_nonzero(apart)),
        "of": apart.size,
        "by": float(apart.max()),
    }


def kept_digests(folder):
    return run_folder.read(folder, "weights.json") if (folder / "weights.json").exists() else []


def causes(folder, target):
    """Lines saying what differs between the two environments and changes the bits, or that nothing does."""
    then, now = (run_folder.read(run, "environment.json") for run in (folder, target))
    lines = [
        *(f"config.{line}" for line in identity.differing(then["identity"]["config"], now["identity"]["config"])),
        *identity.deciding(then, now),
        *(f"changed while the run was trained: {line}" for line in then.get("mixed", [])),
    ]
    if then["hardware"].get("determinism") != determinism.STRICT:
        lines.append("determinism: the run was not strict, which promises no equal bits")
    return lines or ["nothing that was recorded differs: hardware beyond the record, or a defect of this program"]


def told(found):
    lines = ["different:"]
    if found["epoch"]:
        lines.append(f"  first epoch     {found['epoch']['epoch']}")
        for name, value in found["epoch"]["values"].items():
            pair = [value["then"], value["now"]]
            apart = "" if None in pair else f" ({abs(pair[0] - pair[1]):.3g} apart)"
            lines.append(f"                  {name}: {pair[0]} then, {pair[1]} now{apart}")
    variable = found["variable"]
    if variable:
        amount = "; by how much cannot be told, a model.keras is damaged or gone"
        if "by" in variable:
            amount = f": {variable['values']} of {variable['of']} values differ, by {variable['by']:.3g} at most"
        lines.append(f"  first variable  {variable['name']}{amount}")
    lines.append("  weights         {then} then\n                  {now} now".format(**found["weights_digest"]))
    lines.append("  likely cause    " + "\n                  ".join(found["causes"]))
    return "\n".join(lines)
