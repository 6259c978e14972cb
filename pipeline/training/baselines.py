"""The loss of a prediction that is the same for every row: the mean of a real label, or the shares of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from pipeline.evaluation.metrics import true_classes
from pipeline.evaluation.simple_models import class_totals, constant_outputs
from pipeline.ordinal_loss import RankedProbabilityScore
from pipeline.quantile_objects import QuantileLoss
from pipeline.spec import CLASS, REAL, Label
from pipeline.training.label_scores import losses_of_rows

MOST_NUMBERS = 1 << 24  # label values that are compared; if there are more, only every n-th row
FAR = 3.0  # standard deviations from the mean at which a loss between numbers of one unit is larger than at the mean
SMALLEST = 1e-7  # smaller probabilities are raised to it before the logarithm
OF_PROBABILITIES = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.CategoricalCrossentropy,
    keras.losses.BinaryCrossentropy,
    RankedProbabilityScore,
)


def baseline_loss(
    label: Label,
    loss: keras.losses.Loss,
    targets: np.ndarray,
    *,
    class_weights: np.ndarray | None = None,
    row_weights: np.ndarray | None = None,
) -> float | None:
    """Return the loss of predicting the mean of a real label, or the shares of the classes, as an epoch logs it.

    Args:
        label: The label.
        loss: Its loss.
        targets: The label of each training row: (rows,) or (rows, width).
        class_weights: (classes,), the weight of a row of each class.
        row_weights: (rows,), the weights of these rows.

    Returns:
        The loss; None if this loss has no such value.
    """
    if label.kind != REAL and not isinstance(loss, OF_PROBABILITIES):
        return None
    if label.kind != CLASS:
        columns = columns_of(label, targets)
        if class_weights is not None:
            of_classes = class_weights[true_classes(label, targets)]
            row_weights = of_classes if row_weights is None else row_weights * of_classes
        weights = None if row_weights is None else row_weights[:: _step(targets)]
        outputs = constant_outputs(label, columns, row_weights=weights)
        if label.kind != REAL:
            outputs = _as_outputs(loss, outputs, exclusive=not isinstance(loss, keras.losses.BinaryCrossentropy))
        return loss_of_constant(loss, columns, outputs, weights)
    totals = class_totals(label, targets, class_weights, row_weights)
    shares = totals / totals.sum()
    is_binary = isinstance(loss, keras.losses.BinaryCrossentropy)
    outputs = _as_outputs(loss, shares[1:] if is_binary else shares, exclusive=not is_binary)
    classes = np.arange(label.width)
    values = _row_losses(loss, classes[:, np.newaxis] if is_binary else classes, outputs)
    return None if values is None else float(totals @ values / targets.size)


def losses_above_baseline(history: Sequence[Mapping[str, Any]], baselines: Mapping[str, float]) -> list[str]:
    """Return a message for each training loss that no epoch brought below that of predicting the same for every row.

    Args:
        history: The logs of each epoch.
        baselines: The loss of that prediction, by the name that an epoch logs.
    """
    messages = []
    for name, baseline in baselines.items():
        best = min((epoch[name] for epoch in history if name in epoch), default=None)
        if best is not None and baseline > 0 and not best < baseline:
            messages.append(
                f"The training {name} was {best:.4g} at best; predicting the mean, or the shares of the classes, for "
                f"every row has {baseline:.4g}. No epoch was better than that. Raise training.epochs, or change "
                "optimizer.learning_rate or the model."
            )
    return messages


def loss_of_constant(
    loss: keras.losses.Loss, targets: np.ndarray, outputs: np.ndarray, row_weights: np.ndarray | None = None
) -> float | None:
    """Return the mean loss of the same outputs for every row; None if it is not finite, or not a mean over rows.

    As in Keras, a weighted loss is the mean of weight * loss.

    Args:
        loss: The loss.
        targets: (rows, width).
        outputs: (width,).
        row_weights: (rows,), the weights of the rows; None: every row counts once.
    """
    values = _row_losses(loss, targets, outputs)
    if values is not None and row_weights is not None:
        values = row_weights * values
    mean = np.nan if values is None else float(values.mean())
    return mean if np.isfinite(mean) else None


def compares_numbers(loss: keras.losses.Loss, targets: np.ndarray) -> bool:
    """Return whether outputs of a loss are numbers in the unit of a real label, rather than logits or logarithms.

    Such a loss is smaller at the mean of the label than on both sides of it.

    Args:
        loss: The loss.
        targets: (rows, width).
    """
    if isinstance(loss, QuantileLoss):
        return True
    mean, deviation = mean_and_deviation(targets)
    middle, *sides = (loss_of_constant(loss, targets, mean + shift * deviation) for shift in (0.0, -FAR, FAR))
    return middle is not None and all(side is None or middle < side for side in sides)


def mean_and_deviation(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation of each column, (width,) float64; a constant one has deviation 1."""
    mean = targets.mean(axis=0, dtype=np.float64)
    deviation = targets.std(axis=0, dtype=np.float64, mean=mean[np.newaxis])
    return mean, np.where(np.ptp(targets, axis=0) == 0, 1.0, deviation)


def columns_of(label: Label, targets: np.ndarray) -> np.ndarray:
    """Return the values of a label that has one or several numbers per row: (rows, width)."""
    return targets.reshape(len(targets), -1)[:: _step(targets)]


def _step(targets: np.ndarray) -> int:
    """Return n if only every n-th row is compared."""
    return max(1, -(-targets.size // MOST_NUMBERS))


def _as_outputs(loss: keras.losses.Loss, shares: np.ndarray, *, exclusive: bool) -> np.ndarray:
    """Return shares in the form that a loss takes: probabilities or logits."""
    if not loss.get_config().get("from_logits"):
        return shares
    logarithms = np.log(np.maximum(shares, SMALLEST))
    return logarithms if exclusive else logarithms - np.log(np.maximum(1 - shares, SMALLEST))


def _row_losses(loss: keras.losses.Loss, targets: np.ndarray, outputs: np.ndarray) -> np.ndarray | None:
    """Return the loss of each row, (rows,) float64, for the same outputs; None if the loss gives no mean over rows."""
    same: Any = np.broadcast_to(outputs.astype(np.float32), (len(targets), len(outputs)))
    try:
        return losses_of_rows(loss, targets, same).get("loss")
    except Exception:  # a custom loss may raise anything; the first training step reports it
        return None
