"""Statistics of gradients during training: norms, relative updates, and conflicts between losses."""

import json
import logging
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipeline.files import atomic_write
from pipeline.training.histograms import HistogramFile
from pipeline.training.objective import Update

logger = logging.getLogger(__name__)
TINY = 1e-12  # smallest divisor of a ratio of norms

Gradient = tf.Tensor | tf.IndexedSlices


class GradientStatistics(NamedTuple):
    """Statistics of the gradients of one update, as tensors.

    norm: Global norm of all gradients, before clipping.
    layers: Layer's path -> (norm of its gradients, norm of its update divided by the norm of its weights).
    conflicts: "one|other" of two losses -> cosine of their gradients over the variables that both depend on. Below 0,
        a step that lowers one loss raises the other. Empty for a single loss.
    gradients: Variable's path -> gradient.
    """

    norm: tf.Tensor
    layers: dict[str, tuple[tf.Tensor, tf.Tensor]]
    conflicts: dict[str, tf.Tensor]
    gradients: dict[str, tf.Tensor]


def statistics_of(
    update: Update,
    tape: tf.GradientTape,
    losses: dict[str, tf.Tensor],
    grads: Sequence[Gradient],
    before: Sequence[tf.Tensor],
) -> GradientStatistics:
    """Return the statistics of an update that was just applied.

    Args:
        update: The update.
        tape: A persistent tape that holds the losses.
        losses: Loss name -> scalar.
        grads: The gradients, scaled as the optimizer scales losses.
        before: The values that the variables had before the update.
    """
    scale = update.optimizer.scale_loss(tf.ones([]))
    unscaled = {variable.path: values(grad) / scale for variable, grad in zip(update.variables, grads, strict=True)}
    changes = {variable.path: (variable - old, old) for variable, old in zip(update.variables, before, strict=True)}
    layers: dict[str, list[str]] = {}
    for path in unscaled:
        layers.setdefault(path.rpartition("/")[0], []).append(path)
    return GradientStatistics(
        tf.linalg.global_norm(list(unscaled.values())),
        {
            layer: _layer_statistics([unscaled[path] for path in paths], [changes[path] for path in paths])
            for layer, paths in layers.items()
        },
        conflicts(update.variables, tape, losses),
        unscaled,
    )


def _layer_statistics(
    grads: Sequence[tf.Tensor], changes: Sequence[tuple[tf.Tensor, tf.Tensor]]
) -> tuple[tf.Tensor, tf.Tensor]:
    change, weights = (tf.linalg.global_norm(list(tensors)) for tensors in zip(*changes, strict=True))
    return tf.linalg.global_norm(grads), change / tf.maximum(weights, TINY)


def conflicts(variables: Sequence[Any], tape: tf.GradientTape, losses: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Return "one|other" of two losses -> cosine of their gradients over the variables that both depend on.

    Args:
        variables: The variables of the update.
        tape: A persistent tape that holds the losses.
        losses: Loss name -> scalar.
    """
    if len(losses) < 2:
        return {}
    by_loss = {name: tape.gradient(loss, variables) for name, loss in losses.items()}
    cosines = {}
    for one, other in combinations(losses, 2):
        shared = [
            (values(first), values(second))
            for first, second in zip(by_loss[one], by_loss[other], strict=True)
            if first is not None and second is not None
        ]
        if shared:
            firsts, seconds = zip(*shared, strict=True)
            product = tf.add_n([tf.reduce_sum(first * second) for first, second in shared])
            norms = tf.linalg.global_norm(firsts) * tf.linalg.global_norm(seconds)
            cosines[f"{one}|{other}"] = product / tf.maximum(norms, TINY)
    return cosines


def values(gradient: Gradient) -> tf.Tensor:
    """Return the numbers of a gradient; of an embedding's, those of the rows that the batch used."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


class GradientRecorder:
    """Writes the statistics of every n-th step to gradients.jsonl, and histograms for TensorBoard.

    The first step of a run is recorded. A line is {"step": counted from 1 over the run, "epoch": counted from 1,
    "updates": name -> {"norm", "layers": path -> [norm, ratio], "conflicts"}}.
    """

    def __init__(self, every: int, folder: Path, *, histograms: bool) -> None:
        """Make a recorder.

        Args:
            every: The number of steps between two records.
            folder: The run folder.
            histograms: Whether to write histograms.
        """
        self.every = every
        self.path = folder / "gradients.jsonl"
        self._is_whole = False  # whether the file ends with a whole line
        self._histograms = HistogramFile(folder / "tensorboard" / "gradients") if histograms else None

    def start_after(self, step: int) -> None:
        """Remove the lines after this many steps of the run: a killed process wrote them, and they will come again."""
        kept = [line for line in read(self.path) if line["step"] <= step]
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in kept)
        self._is_whole = True

    def steps_until_due(self, step: int) -> int:
        """Return the number of steps before the next one to record; 0 if this one is due.

        Args:
            step: The number of the step over the run, counted from 0.
        """
        return -step % self.every

    def write(self, step: int, epoch: int, statistics: dict[str, GradientStatistics]) -> None:
        """Write the record of one step. If the file system refuses it, log a warning and go on.

        Args:
            step: The number of the step over the run, counted from 0.
            epoch: The number of the epoch, counted from 0.
            statistics: Update's name -> statistics.
        """
        line = {
            "step": step + 1,
            "epoch": epoch + 1,
            "updates": {name: _as_json(found) for name, found in statistics.items()},
        }
        try:
            if not self._is_whole:
                self.start_after(step)
            self._append(line)
            if self._histograms is not None:
                self._histograms.add(step + 1, _arrays(statistics))
        except (OSError, tf.errors.OpError) as error:  # the checkpoints decide whether the run continues
            reason = getattr(error, "strerror", None) or error
            logger.warning("%s: %s; the gradients of step %d are not recorded", self.path.parent, reason, step + 1)

    def _append(self, line: dict[str, Any]) -> None:
        self._is_whole = False
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        self._is_whole = True


def read(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a gradients.jsonl, oldest first, without one that was cut short; [] if there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _as_json(statistics: GradientStatistics) -> dict[str, Any]:
    return {
        "norm": float(statistics.norm),
        "layers": {layer: [float(norm), float(ratio)] for layer, (norm, ratio) in statistics.layers.items()},
        "conflicts": {pair: float(cosine) for pair, cosine in statistics.conflicts.items()},
    }


def _arrays(statistics: dict[str, GradientStatistics]) -> dict[str, np.ndarray]:
    return {
        f"gradients/{name}/{path}": gradient.numpy()
        for name, of_update in statistics.items()
        for path, gradient in of_update.gradients.items()
    }
