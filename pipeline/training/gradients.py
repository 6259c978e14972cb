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

    Attributes:
        norm: Global norm of all gradients, before clipping.
        layers: Layer's path -> (norm of its gradients, norm of its update divided by the norm of its weights).
        conflicts: The names of two losses, joined by "|" -> cosine of their gradients over the variables that both
            depend on. If the cosine is negative, a step that lowers one loss raises the other. Empty if there is only
            one loss.
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
    """Return the statistics of an update after it was applied.

    Args:
        update: The update, already applied.
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
    """Return the cosine of the gradients of each pair of losses, under the key "one|other".

    The gradients are those of the variables that both losses depend on.

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
    """Return the values of a gradient. For an embedding, these are the values of the rows that the batch used."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


class GradientRecorder:
    """Writes the statistics of every n-th step to gradients.jsonl, and histograms for TensorBoard.

    The first step of a run is recorded. Each line is {"step": counted from 1 over the run, "epoch": counted from 1,
    "updates": name -> {"norm", "layers": path -> [norm, ratio], "conflicts"}}.
    """

    def __init__(self, every: int, folder: Path, *, histograms: bool) -> None:
        """Create the recorder.

        Args:
            every: The number of steps between two records.
            folder: The run folder.
            histograms: Whether to write histograms.
        """
        self.every = every
        self.path = folder / "gradients.jsonl"
        self._is_whole = False  # whether the last line of the file is complete
        self._histograms = HistogramFile(folder / "tensorboard" / "gradients") if histograms else None

    def start_after(self, step: int) -> None:
        """Remove the records of later steps, which a killed process wrote: the resumed run writes them again.

        Args:
            step: The number of steps that the run has finished.
        """
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
        """Write the record of one step. If the write fails, log a warning and continue.

        Args:
            step: The number of the step over the run, counted from 0.
            epoch: The number of the epoch, counted from 0.
            statistics: Update's name -> statistics.
        """
        line = {
            "step": step + 1,
            "epoch": epoch + 1,
            "updates": {name: _as_json(values_of_update) for name, values_of_update in statistics.items()},
        }
        try:
            if not self._is_whole:
                self.start_after(step)
            self._append(line)
            if self._histograms is not None:
                self._histograms.add(step + 1, _arrays(statistics))
        except (OSError, tf.errors.OpError) as error:  # a failed record never stops a run; a failed checkpoint may
            reason = getattr(error, "strerror", None) or error
            logger.warning("%s: %s; the gradients of step %d are not recorded", self.path.parent, reason, step + 1)

    def _append(self, line: dict[str, Any]) -> None:
        self._is_whole = False
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        self._is_whole = True


def read(path: Path) -> list[dict[str, Any]]:
    """Return the records in a gradients.jsonl, oldest first; [] if there is no file.

    An incomplete last line is left out.
    """
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
