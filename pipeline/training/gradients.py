"""Gradients looked at while training: their norms, how far they move the weights, and whether losses pull apart."""

import json
import logging
import math
from itertools import combinations
from typing import NamedTuple

import tensorflow as tf

from pipeline.files import atomic_write
from pipeline.training.histograms import HistogramFile

logger = logging.getLogger(__name__)

TINY = 1e-12  # in place of a norm of 0


class Look(NamedTuple):
    """What one update's gradients were, as tensors.

    norm: of all together, unclipped. layers: layer's path -> (norm, ratio of the move's norm to the weights').
    conflicts: "one|other" of the losses, where there are several -> cosine of their gradients over the variables that
    both depend on; below 0, what helps one harms the other. gradients: variable's path -> the gradient.
    """

    norm: tf.Tensor
    layers: dict[str, tuple[tf.Tensor, tf.Tensor]]
    conflicts: dict[str, tf.Tensor]
    gradients: dict[str, tf.Tensor]


def look(update, tape, losses, grads, before):
    """The Look at one update that was just made.

    tape: persistent, with the losses on it. grads: the gradients, scaled as the optimizer scales losses. before: the
    variables' values until then.
    """
    scale = update.optimizer.scale_loss(tf.ones([]))
    grads = {variable.path: values(grad) / scale for variable, grad in zip(update.variables, grads, strict=True)}
    moves = {variable.path: (variable - old, old) for variable, old in zip(update.variables, before, strict=True)}
    layers = {}
    for path in grads:
        layers.setdefault(path.rpartition("/")[0], []).append(path)
    return Look(
        tf.linalg.global_norm(list(grads.values())),
        {
            layer: _of_layer([grads[path] for path in paths], [moves[path] for path in paths])
            for layer, paths in layers.items()
        },
        _conflicts(update, tape, losses),
        grads,
    )


def _of_layer(grads, moves):
    step, weights = (tf.linalg.global_norm(list(parts)) for parts in zip(*moves, strict=True))
    return tf.linalg.global_norm(grads), step / tf.maximum(weights, TINY)


def _conflicts(update, tape, losses):
    if len(losses) < 2:
        return {}
    of_each = {name: tape.gradient(loss, update.variables) for name, loss in losses.items()}
    found = {}
    for one, other in combinations(losses, 2):
        shared = [
            (values(first), values(second))
            for first, second in zip(of_each[one], of_each[other], strict=True)
            if first is not None and second is not None
        ]
        if shared:
            firsts, seconds = zip(*shared, strict=True)
            product = tf.add_n([tf.reduce_sum(first * second) for first, second in shared])
            norms = tf.linalg.global_norm(firsts) * tf.linalg.global_norm(seconds)
            found[f"{one}|{other}"] = product / tf.maximum(norms, TINY)
    return found


def values(gradient):
    """The numbers of a gradient; of an embedding's, those of the rows that were looked up."""
    return gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient


class Watch:
    """Keeps a Look at every `every`-th step, the first among them: gradients.jsonl, and histograms for TensorBoard.

    folder: of the run. Lines are {"step": counted from 1 over the run, "epoch": from 1, "updates": name -> {"norm",
    "layers": path -> [norm, ratio], "conflicts"}}.
    """

    def __init__(self, every, folder, histograms):
        self.every = every
        self.path = folder / "gradients.jsonl"
        self.is_whole = False  # whether a line can be added as the file stands
        self.histograms = HistogramFile(folder / "tensorboard" / "gradients") if histograms else None

    def begin(self, step):
        """Go on after so many steps of the run: later lines are of a process that was killed, and come again."""
        kept = [line for line in read(self.path) if line["step"] <= step]
        with atomic_write(self.path) as file:
            file.writelines(json.dumps(line).encode() + b"\n" for line in kept)
        self.is_whole = True

    def until_due(self, step):
        """Steps before the next that is due; 0 where this one is."""
        return -step % self.every

    def keep(self, step, epoch, looks):
        line = {"step": step + 1, "epoch": epoch + 1, "updates": {name: _plain(seen) for name, seen in looks.items()}}
        try:
            if not self.is_whole:
                self.begin(step)
            self._add(line)
            if self.histograms is not None:
                self.histograms.add(step + 1, _arrays(looks))
        except (OSError, tf.errors.OpError) as error:  # whether the run goes on without is for its checkpoints to say
            reason = getattr(error, "strerror", None) or error
            logger.warning("%s: %s; the gradients of step %d are not kept", self.path.parent, reason, step + 1)

    def _add(self, line):
        self.is_whole = False
        with self.path.open("ab") as file:
            file.write(json.dumps(line).encode() + b"\n")
        self.is_whole = True


class Unwatched:
    """Looks at no step's gradients."""

    def begin(self, step):
        pass

    def until_due(self, step):
        return math.inf

    def keep(self, step, epoch, looks):
        raise AssertionError("no step is due")


def read(path):
    """The lines of a gradients.jsonl, oldest first, less one that was cut short; [] where there is no file."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        return []
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def _plain(seen):
    return {
        "norm": float(seen.norm),
        "layers": {layer: [float(norm), float(ratio)] for layer, (norm, ratio) in seen.layers.items()},
        "conflicts": {pair: float(cosine) for pair, cosine in seen.conflicts.items()},
    }


def _arrays(looks):
    return {
        f"gradients/{name}/{path}": gradient.numpy()
        for name, seen in looks.items()
        for path, gradient in seen.gradients.items()
    }
