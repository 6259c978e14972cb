"""Decision thresholds: the probability from which a row is predicted to belong to a class.

A threshold is chosen on the validation rows at the end of training, stored with the run, and used by every later
command. The candidates are the probabilities of these rows. A row whose probability equals the threshold is positive.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ConfigError, RunError, nearest
from pipeline.evaluation.curves import ThresholdCurve, threshold_curve
from pipeline.evaluation.options import AT_LEAST, COST, DEFAULT_THRESHOLD, Evaluation
from pipeline.evaluation.stored_results import read_by_label
from pipeline.evaluation.weighted_scores import only_scored
from pipeline.spec import CLASS, MULTI_LABEL, ONE_HOT, DataSpec, Label

if TYPE_CHECKING:
    from pipeline.data.containers import Split

KEY = "evaluation.threshold"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How the classes of a row are decided from its probabilities.

    Attributes:
        rule: The rule that chose the thresholds, as `evaluation.threshold` gives it.
        thresholds: The probability from which a row is predicted positive; one per class of a multi-label.
        positive: The index of the positive class of two; None for a multi-label.
        note: The reason if a threshold does not fulfil its rule; otherwise "".
    """

    rule: str
    thresholds: tuple[float, ...]
    positive: int | None
    note: str = ""


def decide(label: Label, probabilities: np.ndarray, decision: Decision | None) -> np.ndarray:
    """Return the predicted classes: (rows,) class indices; for a multi-label (rows, classes) bool.

    Args:
        label: The label, with classes.
        probabilities: (rows, classes), as `metrics.check_outputs` returns them.
        decision: The decision of the label. None, or the default rule, predicts the most probable class.
    """
    if decision is None or not has_own_threshold(decision):
        return probabilities > 0.5 if label.kind == MULTI_LABEL else probabilities.argmax(axis=1)
    if decision.positive is None:
        return probabilities >= np.array(decision.thresholds)
    positive = decision.positive
    return np.where(probabilities[:, positive] >= decision.thresholds[0], positive, 1 - positive)


def has_own_threshold(decision: Decision) -> bool:
    """Return whether another class than the most probable one may be predicted."""
    return decision.rule != DEFAULT_THRESHOLD


def check(options: Evaluation, spec: DataSpec, validation: Split | None) -> None:
    """Check the options of decisions against the data, before training.

    Raises:
        ConfigError: There are no validation rows, no label that the options apply to, or no class of this name.
    """
    if options.positive:
        _check_positive(options, spec)
    if are_default(options):
        return
    if not any(has_decision(label) for label in spec.labels.values()):
        kinds = ", ".join(f"{name} ({label.kind}, {label.width})" for name, label in spec.labels.items())
        key = "evaluation.positive" if options.positive else KEY
        raise ConfigError(f"{key}: expected a label of two classes, or a multi-label; found {kinds}. Remove {key}.")
    if fixed_threshold(options) is None and validation is None:
        raise ConfigError(
            f"{KEY}={options.threshold}: expected validation rows to choose the threshold on; found none. Set "
            f"data.split.validation=0.1, or a number: {KEY}=0.5."
        )


def _check_positive(options: Evaluation, spec: DataSpec) -> None:
    names = [name for label in spec.labels.values() if is_binary(label) for name in label.classes]
    if options.positive not in names:
        raise ConfigError(
            f"evaluation.positive={options.positive}: expected a class of a label of two classes; found "
            f"{', '.join(names) or 'no such label'}. {nearest(options.positive, names) if names else ''}".rstrip()
        )


def is_binary(label: Label) -> bool:
    """Return whether each row has one of two classes."""
    return label.kind in (CLASS, ONE_HOT) and label.width == 2


def has_decision(label: Label) -> bool:
    """Return whether a threshold decides the classes of a label."""
    return is_binary(label) or label.kind == MULTI_LABEL


def are_default(options: Evaluation) -> bool:
    """Return whether the most probable class is predicted, and the second class is the positive one."""
    return str(options.threshold) == DEFAULT_THRESHOLD and not options.positive


def fixed_threshold(options: Evaluation) -> float | None:
    """Return the threshold that the options give as a number; None if a rule chooses it."""
    try:
        return float(options.threshold)
    except ValueError:
        return None


def positive_index(label: Label, options: Evaluation) -> int:
    """Return the index of the positive class of two: the class in the options, or the second."""
    return label.classes.index(options.positive) if options.positive in label.classes else 1


def fixed(spec: DataSpec, options: Evaluation) -> dict[str, Decision]:
    """Return the decisions with a number as the threshold, by label; {} if a rule chooses the thresholds."""
    decisions = {name: fixed_decision(label, options) for name, label in spec.labels.items()}
    return {name: decision for name, decision in decisions.items() if decision is not None}


def fixed_decision(label: Label, options: Evaluation) -> Decision | None:
    """Return the decision with a number as the threshold; None if a rule chooses it, or the label has no decision."""
    threshold = fixed_threshold(options)
    if threshold is None or not has_decision(label):
        return None
    positive = positive_index(label, options) if is_binary(label) else None
    count = label.width if positive is None else 1
    return Decision(rule=str(options.threshold), thresholds=(threshold,) * count, positive=positive)


def choose(
    label: Label,
    *,
    members: np.ndarray,
    probabilities: np.ndarray,
    options: Evaluation,
    weights: np.ndarray | None = None,
) -> Decision | None:
    """Choose the decision of a label on validation rows; None if the label has no decision.

    Args:
        label: The label.
        members: (rows, classes) bool, the classes of each row.
        probabilities: (rows, classes) float64.
        options: The rule, and the positive class.
        weights: (rows,), the weights of the rows; None: every row counts once.
    """
    if not has_decision(label) or fixed_threshold(options) is not None:
        return fixed_decision(label, options)
    rule, positive = str(options.threshold), positive_index(label, options) if is_binary(label) else None
    weights, members, probabilities = only_scored(weights, members, probabilities)
    chosen, notes = [], []
    for index in range(label.width) if positive is None else [positive]:
        threshold, note = best_threshold(threshold_curve(members[:, index], probabilities[:, index], weights), rule)
        chosen.append(threshold)
        notes += [f"{label.classes[index]}: {note}"] if note else []
    return Decision(rule=rule, thresholds=tuple(chosen), positive=positive, note=" ".join(notes))


def best_threshold(curve: ThresholdCurve, rule: str) -> tuple[float, str]:
    """Return the best threshold by a rule, and a note if no threshold fulfils it. Ties: the lowest threshold.

    Args:
        curve: The curve of the class on validation rows.
        rule: max_f1, recall>=R (the highest precision), precision>=P (the highest recall) or cost(fp=A, fn=B).
    """
    if not (curve.positives and curve.negatives):
        return 0.5, "the validation rows contain only one of the two classes, so that the threshold stays at 0.5."
    if rule == "max_f1":
        return float(curve.thresholds[curve.f1.argmax()]), ""
    if match := COST.fullmatch(rule):
        wrong_positive, wrong_negative = map(float, match.groups())
        missed = curve.positives - curve.true_positives
        costs = [*(wrong_positive * curve.false_positives + wrong_negative * missed), wrong_negative * curve.positives]
        above_all = np.nextafter(curve.thresholds[-1], np.inf)  # no row is predicted positive
        return float([*curve.thresholds, above_all][int(np.argmin(costs))]), ""
    match = AT_LEAST.fullmatch(rule)
    assert match is not None, rule  # the options were checked
    kept, improved = (curve.recall, curve.precision) if match[1] == "recall" else (curve.precision, curve.recall)
    fulfils = kept >= float(match[2])
    if fulfils.any():
        return float(curve.thresholds[np.where(fulfils, improved, -1).argmax()]), ""
    best = kept.argmax()
    return float(
        curve.thresholds[best]
    ), f"no threshold reaches {rule} on the validation rows; the best is {kept[best]:.4f}."


# ---- as JSON ---------------------------------------------------------------------------------------------------------


def to_json(decisions: Mapping[str, Decision]) -> dict[str, Any]:
    """Return decisions by label as JSON types."""
    return {name: asdict(decision) for name, decision in decisions.items()}


def of_run(result: Mapping[str, Any]) -> dict[str, Decision]:
    """Return the decisions of a run by label, from its result.json, to which `to_json` wrote them.

    Raises:
        RunError: The result.json is damaged.
    """
    return read_by_label(result, "decisions", Decision)


def of_command(stored: Mapping[str, Decision], spec: DataSpec, options: Evaluation) -> dict[str, Decision]:
    """Return the decisions of a command on a stored run: the stored ones, or decisions with another fixed threshold.

    Args:
        stored: The decisions of the training, by label.
        spec: The spec of the data of the training.
        options: The options of the command.

    Raises:
        ConfigError: The options set a rule that differs from that of the training.
        RunError: The stored decisions are not for these labels.
    """
    for name, decision in stored.items():
        label = spec.labels.get(name)
        thresholds = label.width if label and label.kind == MULTI_LABEL else 1
        if not label or len(decision.thresholds) != thresholds or not 0 <= (decision.positive or 0) < label.width:
            raise RunError(
                f"result.json of the run: expected decisions for the labels {', '.join(spec.labels)}; found others for "
                f"{name!r}. Restore the file from a backup."
            )
    rules = {decision.rule for decision in stored.values()}
    same = all(
        decision.positive in (None, positive_index(spec.labels[name], options)) for name, decision in stored.items()
    )
    if same and (str(options.threshold) in rules or (not stored and are_default(options))):
        return dict(stored)
    if fixed_threshold(options) is None:
        raise ConfigError(
            f"{KEY}={options.threshold}: expected the rule of the training, {', '.join(rules) or DEFAULT_THRESHOLD}, "
            "or a number. A rule needs the validation rows of the training: train with this rule, or set a number such "
            f"as {KEY}=0.3."
        )
    return fixed(spec, options)


def describe(label: Label, decision: Decision) -> str:
    """Return a decision in one line, without a final period."""
    names = label.classes if decision.positive is None else [label.classes[decision.positive]]
    parts = [f"{name!r} if p >= {threshold:.6g}" for name, threshold in zip(names, decision.thresholds, strict=True)]
    source = "" if is_number(decision.rule) else ", chosen on the validation rows"
    note = f". {decision.note.removesuffix('.')}" if decision.note else ""
    return f"decision threshold {decision.rule}{source}: {', '.join(parts)}{note}"


def is_number(rule: str) -> bool:
    """Return whether a rule is a number."""
    return re.fullmatch(r"[\d.]+", rule) is not None
