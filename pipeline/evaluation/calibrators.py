"""Calibrators: functions from the predicted to calibrated probabilities, fit on validation rows after training.

Temperature scaling divides the logits of a label by one number (Guo et al. 2017, "On Calibration of Modern Neural
Networks"). Isotonic regression fits a monotone function to the probability of each class (Zadrozny and Elkan 2002,
"Transforming Classifier Scores into Accurate Multiclass Probability Estimates").
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import isotonic_regression, minimize_scalar
from scipy.special import logsumexp

from pipeline.errors import ConfigError
from pipeline.evaluation.options import ISOTONIC, NO_CALIBRATION, TEMPERATURE, Evaluation
from pipeline.evaluation.stored_results import read_by_label
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    from pipeline.data.containers import Split

KEY = "evaluation.calibrate"
LIMITS = np.log([0.01, 100.0])  # of the logarithm of a temperature
AT_LIMIT = 1e-3  # distance from a limit at which the log loss has no minimum between both

Curve = tuple[tuple[float, ...], tuple[float, ...]]
"""Predicted probabilities in increasing order, and the calibrated probability at each; linear between them."""


@dataclass(frozen=True, kw_only=True)
class Calibrator:
    """How the probabilities of a label are calibrated.

    Attributes:
        method: TEMPERATURE or ISOTONIC.
        rows: The number of validation rows that it was fit to.
        temperature: The divisor of the logits; None for ISOTONIC, or if the probabilities stay as they are.
        curves: ISOTONIC: one curve per class, or one for the second of two classes.
        note: The reason if the probabilities stay as they are; otherwise "".
    """

    method: str
    rows: int
    temperature: float | None = None
    curves: tuple[Curve, ...] = ()
    note: str = ""

    def describe(self) -> str:
        """Return one line, without a final period."""
        if self.note:
            return f"not calibrated: {self.note}"
        value = f" {self.temperature:.4g}" if self.temperature is not None else " regression"
        return f"calibrated by {self.method}{value}, fit to {self.rows:,} validation rows"


def check(options: Evaluation, spec: DataSpec, validation: Split | None, *, objective: str | None) -> None:
    """Check before training that the probabilities of a run can be calibrated.

    Args:
        options: The options.
        spec: The spec of the data.
        validation: The validation split; None if there is none.
        objective: The name of an objective that does not predict labels; None if it does.

    Raises:
        ConfigError: They cannot: there are no validation rows, no label with classes, or no predictions.
    """
    if options.calibrate == NO_CALIBRATION:
        return
    key, remove = f"{KEY}={options.calibrate}", f"Set {KEY}={NO_CALIBRATION}."
    if objective is not None:
        raise ConfigError(f"{key}: expected an objective that predicts labels; found objective={objective}. {remove}")
    if not any(label.classes for label in spec.labels.values()):
        kinds = ", ".join(f"{name} ({label.kind})" for name, label in spec.labels.items())
        raise ConfigError(f"{key}: expected a label with classes; found {kinds}. {remove}")
    if validation is None:
        raise ConfigError(
            f"{key}: expected validation rows to fit the calibration to; found none. Set data.split.validation=0.1, or "
            f"{KEY}={NO_CALIBRATION}."
        )


def check_command(stored: Mapping[str, Calibrator], options: Evaluation) -> None:
    """Check that a command on a stored run does not change how its probabilities are calibrated.

    Args:
        stored: The calibrators of the run.
        options: The options of the command.

    Raises:
        ConfigError: The options name another method than that of the training.
    """
    trained = next((calibrator.method for calibrator in stored.values()), NO_CALIBRATION)
    if options.calibrate != trained:
        raise ConfigError(
            f"{KEY}={options.calibrate}: expected {trained}, as in the training of the run, since its model holds the "
            f"calibration. Leave {KEY} out, or train under another run.name."
        )


# ---- fitting ---------------------------------------------------------------------------------------------------------


def fit_temperature(
    logits: np.ndarray, members: np.ndarray, *, exclusive: bool, weights: np.ndarray | None = None
) -> Calibrator:
    """Return the temperature of the lowest log loss.

    The log loss is convex in 1 / temperature, so that it has one minimum at most.

    Args:
        logits: (rows, units) float64.
        members: (rows, units) bool, whether the row belongs to the class of each unit.
        exclusive: Whether each row belongs to one of the units, so that softmax gives their probabilities; otherwise
            sigmoid.
        weights: (rows,) above 0; None: every row counts once.
    """

    def log_loss(logarithm: float) -> float:
        scaled = logits * np.exp(-logarithm)
        own = np.where(members, scaled, 0.0)
        if exclusive:
            return float(np.average(logsumexp(scaled, axis=1) - own.sum(axis=1), weights=weights))
        return float(np.average((np.logaddexp(0, scaled) - own).mean(axis=1), weights=weights))

    found = float(minimize_scalar(log_loss, bounds=LIMITS, method="bounded", options={"xatol": 1e-7}).x)
    predicted = logits == logits.max(axis=1, keepdims=True) if exclusive else logits > 0
    note = ""
    if (predicted == members).all():
        note = "all validation rows are predicted correctly, so that no temperature has the lowest log loss"
    elif np.abs(LIMITS - found).min() < AT_LIMIT:
        low, high = np.exp(LIMITS)
        note = f"the log loss of the validation rows has no minimum at a temperature between {low:g} and {high:g}"
    if note:
        return Calibrator(method=TEMPERATURE, rows=len(logits), note=note)
    return Calibrator(method=TEMPERATURE, rows=len(logits), temperature=float(np.exp(found)))


def fit_isotonic(probabilities: np.ndarray, members: np.ndarray, weights: np.ndarray | None = None) -> Calibrator:
    """Return the monotone functions with the lowest squared error, one per column.

    Args:
        probabilities: (rows, columns) float64.
        members: (rows, columns) bool, whether the row belongs to the class of each column.
        weights: (rows,) above 0; None: every row counts once.
    """
    curves = tuple(isotonic_curve(*column, weights) for column in zip(probabilities.T, members.T, strict=True))
    return Calibrator(method=ISOTONIC, rows=len(members), curves=curves)


def isotonic_curve(probabilities: np.ndarray, positive: np.ndarray, weights: np.ndarray | None = None) -> Curve:
    """Return the isotonic regression of 0 and 1 on the probabilities of one class.

    Calibrated probabilities stay between 1 / (rows + 2) and 1 - 1 / (rows + 2), Laplace's rule of succession: no class
    is impossible because some validation rows did not have it.

    Args:
        probabilities: (rows,) float64.
        positive: (rows,) bool.
        weights: (rows,) above 0; None: every row counts once.
    """
    values, index = np.unique(probabilities, return_inverse=True)
    totals = np.bincount(index, weights)
    shares = np.bincount(index, positive if weights is None else positive * weights) / totals
    fitted = isotonic_regression(shares, weights=totals).x
    is_end = np.ones(len(values), bool)  # only the ends of a constant piece are needed
    is_end[1:-1] = (fitted[1:-1] != fitted[:-2]) | (fitted[1:-1] != fitted[2:])
    smallest = 1 / (len(positive) + 2)
    bounded = np.clip(fitted[is_end], smallest, 1 - smallest)
    return tuple(values[is_end].tolist()), tuple(bounded.tolist())


# ---- as JSON ---------------------------------------------------------------------------------------------------------


def to_json(calibrators: Mapping[str, Calibrator]) -> dict[str, Any]:
    """Return calibrators by label as JSON types."""
    return {name: asdict(calibrator) for name, calibrator in calibrators.items()}


def of_run(result: Mapping[str, Any]) -> dict[str, Calibrator]:
    """Return the calibrators of a run by label, from its result.json; {} if it is not calibrated.

    Raises:
        RunError: The result.json is damaged.
    """
    return read_by_label(result, "calibrators", Calibrator)
