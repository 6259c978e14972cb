"""Checks of row weights: whether a few rows of a split hold nearly all of the weight."""

from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from pipeline.evaluation.weighted_scores import effective_rows
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.setup import Setup

SMALLEST_SHARE = 0.1  # of the rows, below which the effective number of rows is reported
FEWEST = 30  # effective rows below which it is reported too, if they are less than a quarter of the rows
NEARLY_ALL = 0.9  # share of the weight


def check(setup: Setup) -> Iterator[Finding]:
    """Yield a finding for each split whose effective number of rows is far smaller than its number of rows."""
    for name, split in setup.data.splits.items():
        if split.weights is None:
            continue
        rows, effective = len(split), effective_rows(split.weights)
        if effective >= SMALLEST_SHARE * rows and (effective >= FEWEST or 4 * effective >= rows):
            continue
        shares = np.cumsum(np.sort(split.weights.astype(np.float64))[::-1])
        heaviest = int(np.searchsorted(shares, NEARLY_ALL * shares[-1])) + 1
        found = f"{heaviest:,} of {rows:,} rows hold {NEARLY_ALL:.0%} of the weight. The effective number of rows is "
        yield finding("few-rows-weigh", f"the {name} split", f"{found}{effective:,.1f}.")


def with_weight(batch: tuple) -> tuple:
    """Return a batch whose weights are 1 if all of its row weights are 0, so that its step has gradients."""
    if len(batch) < 3 or any(tf.reduce_any(weights > 0) for weights in tf.nest.flatten(batch[2])):
        return batch
    return (*batch[:2], tf.nest.map_structure(tf.ones_like, batch[2]))
