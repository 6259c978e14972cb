"""Profiles of a model's predictions, and counts for their calibration."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluation.data_columns import flat_columns
from pipeline.evaluation.metrics import LabelEvaluation, ScoresOnly, true_classes
from pipeline.evaluation.profiles import (
    Column,
    Profile,
    build_profile,
    count_rows,
    profile_from_json,
    profile_to_json,
)
from pipeline.spec import MULTI_LABEL, REAL, Label
from pipeline.typed_json import convert

MAX_CLASSES = 20  # classes whose probabilities are columns of their own
CONFIDENCE_BINS = 10

CalibrationCounts = Mapping[str, tuple[float, ...]]
"""Per tenth of the confidence: "rows", rows that are "right", and the sum of their "confidence"."""


@dataclass(frozen=True)
class PredictionProfile:
    """The profile of the predictions of one label.

    Attributes:
        profile: Histograms of the predictions.
        calibration: None unless each row has one class.
    """

    profile: Profile
    calibration: CalibrationCounts | None


def profile_predictions(
    label: Label, *, targets: np.ndarray, outputs: np.ndarray, columns: Mapping[str, Column] | None = None
) -> PredictionProfile:
    """Build the profile of the predictions of one label.

    Args:
        label: The label.
        targets: As `metrics.evaluate_label` takes them.
        outputs: (rows, width) float64, as `metrics.check_outputs` returns them.
        columns: Columns of an earlier profile to count in; None chooses bins from these rows.
    """
    blocks = [prediction_columns(label, targets=targets, outputs=outputs)]
    profile = build_profile(blocks) if columns is None else count_rows(columns, blocks)
    has_one_class = label.kind not in (REAL, MULTI_LABEL)
    calibration = calibration_counts(label, targets=targets, outputs=outputs) if has_one_class else None
    return PredictionProfile(profile, calibration)


def prediction_columns(label: Label, *, targets: np.ndarray, outputs: np.ndarray) -> dict[str, np.ndarray]:
    """Return the columns that describe the predictions of a label: column name -> (rows,)."""
    if label.kind == REAL:
        errors = np.abs(outputs - targets.reshape(outputs.shape)).mean(axis=1)
        columns = {f"prediction{suffix}": values for suffix, values in flat_columns(outputs)}
        return columns | {"absolute error": errors}
    probabilities = dict(zip(label.classes[:MAX_CLASSES], outputs.T, strict=False))
    columns = {f"probability of {name}": values for name, values in probabilities.items()}
    if label.kind == MULTI_LABEL:
        share = ((outputs > 0.5) == (targets.reshape(outputs.shape) > 0.5)).mean(axis=1)
        return columns | {"share of classes right": share}
    right = right_rows(label, targets=targets, outputs=outputs)
    names = np.array(label.classes, dtype=object)
    return columns | {
        "predicted class": names[outputs.argmax(axis=1)],
        "confidence": outputs.max(axis=1),
        "right or wrong": np.where(right, "right", "wrong").astype(object),
    }


def right_rows(label: Label, *, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """Return whether the predicted class of each row is right: (rows,) bool."""
    return outputs.argmax(axis=1) == true_classes(label, targets)


def calibration_counts(label: Label, *, targets: np.ndarray, outputs: np.ndarray) -> CalibrationCounts:
    """Count rows and sum confidences by tenths of the confidence."""
    confidences = outputs.max(axis=1)
    tenth = np.clip((confidences * CONFIDENCE_BINS).astype(int), 0, CONFIDENCE_BINS - 1)
    weights = {"rows": None, "right": right_rows(label, targets=targets, outputs=outputs), "confidence": confidences}
    return {key: tuple(np.bincount(tenth, values, CONFIDENCE_BINS).tolist()) for key, values in weights.items()}


def prediction_profile_to_json(profile: PredictionProfile) -> dict[str, Any]:
    """Return the profile in the types of JSON."""
    return profile_to_json(profile.profile) | {"calibration": profile.calibration}


def evaluations_to_json(evaluations: Iterable[LabelEvaluation | ScoresOnly]) -> dict[str, Any]:
    """Return the profiles of evaluations by label, as `json.dumps` takes them; {} if no profile was built."""
    return {
        evaluation.name: prediction_profile_to_json(evaluation.predictions)
        for evaluation in evaluations
        if isinstance(evaluation, LabelEvaluation) and evaluation.predictions is not None
    }


def prediction_profile_from_json(content: Any) -> PredictionProfile:
    """Return the profile from the content of `prediction_profile_to_json`.

    Raises:
        ValueError: The content is not a profile.
    """
    stored = dict(convert(dict[str, Any], content))
    calibration = convert(Mapping[str, tuple[float, ...]] | None, stored.pop("calibration", None), "calibration")
    sizes = {key: len(values) for key, values in (calibration or {}).items()}
    if sizes not in ({}, dict.fromkeys(("rows", "right", "confidence"), CONFIDENCE_BINS)):
        raise ValueError(f"calibration: expected {CONFIDENCE_BINS} of rows, right and confidence; found {sizes}")
    return PredictionProfile(profile_from_json(stored), calibration)


def profiles_from_json(content: Any, labels: Collection[str]) -> dict[str, PredictionProfile]:
    """Return the profiles by label from the content of `evaluations_to_json`.

    Args:
        content: The content.
        labels: The names of the labels that it must have.

    Raises:
        ValueError: The content is not of such profiles.
    """
    if content.keys() != set(labels):
        raise ValueError(f"expected the labels {', '.join(labels)}; found {', '.join(content)}")
    return {name: prediction_profile_from_json(profile) for name, profile in content.items()}
