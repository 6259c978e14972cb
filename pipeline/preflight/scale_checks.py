"""Checks of the scale of the numbers that meet weights first, column by column, and of labels."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np

from pipeline.layers import heads
from pipeline.overrides import shell_value
from pipeline.preflight.findings import Finding, finding
from pipeline.preflight.forward_pass import FirstInput, Prediction
from pipeline.preflight.setup import Setup
from pipeline.spec import REAL

# Initial weights are made for numbers of mean 0 and standard deviation 1. Raw data within these limits trains about as
# well: the columns of iris, or pixels from 0 to 16. Those of wine up to 1,680, or pixels up to 255, do not.
LARGE = 20.0  # standard deviation, or distance of the mean from 0
LARGE_SHARE = 0.01  # share of rows with such large numbers; fewer are outliers, which scaling does not remove
SMALL = 0.01  # standard deviation: a hundred times the steps for the same change of the output
OFF_CENTRE = 100.0  # distance of the mean from 0 in standard deviations: the column is a second bias
RARE = 0.9  # share of rows with the same value; above it, as for a rare word, the deviation means little
SHRINKS = 0.1  # a Rescaling with a smaller scale is meant for large numbers, such as pixels
MOST_ROWS = 4_096  # rows of a column that are checked, such as the pixels of a channel
NAMED = 3  # columns that a message names
NORMALIZATION = {"class_name": "Normalization", "config": {"axis": -1}}


def check_inputs(setup: Setup, prediction: Prediction) -> Iterator[Finding]:
    """Yield the layers whose weights meet columns that are constant or far from mean 0 and standard deviation 1."""
    layers = {given.layer: given for given in reversed(prediction.first_inputs)}
    for layer, given in layers.items():
        problems = _problems(given)
        if not problems:
            continue
        columns = given.values.shape[1]
        found = f"{len(problems)} of {columns} columns. " if columns > 1 else ""
        found += "; ".join(f"column {index}: {problem}" for index, problem in list(problems.items())[:NAMED])
        shrinks = [layer for layer in setup.layers if _shrinks(layer)]
        if shrinks and float(given.values.std()) < SMALL:
            scale = f"{shrinks[0].name} multiplies by {float(shrinks[0].scale):.3g}. "
            yield finding("rescaled-twice", layer, f"{scale}{found}.", **_without_rescaling(setup))
        else:
            yield finding("unscaled-inputs", layer, f"{found}.", preprocessing=_preprocessing(setup, given, problems))


def _problems(given: FirstInput) -> dict[int, str]:
    """Return a description of each column with a wrong scale, by index."""
    values = np.sort(given.values[:: max(1, len(given.values) // MOST_ROWS)].astype(np.float64), axis=0)
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    is_constant = values[0] == values[-1]
    same = int(RARE * len(values))
    is_rare = (values[same:] == values[: len(values) - same]).any(axis=0)
    is_large = np.maximum(np.abs(mean), deviation) > LARGE
    is_large &= (np.abs(values) > LARGE).mean(axis=0) > LARGE_SHARE
    is_small = (deviation < SMALL) | (np.abs(mean) > OFF_CENTRE * deviation)
    found = {
        index: f"always {mean[index]:.3g}, although the data varies" for index in given.varying if is_constant[index]
    }
    for index in np.flatnonzero(is_large | (is_small & ~is_rare & ~is_constant) | ~np.isfinite(deviation)):
        found.setdefault(int(index), f"mean {mean[index]:.3g}, standard deviation {deviation[index]:.3g}")
    return dict(sorted(found.items()))


def _shrinks(layer: keras.Layer) -> bool:
    is_rescaling = isinstance(layer, keras.layers.Rescaling) and np.ndim(layer.scale) == 0
    return is_rescaling and not layer.name.endswith(heads.UNIT) and 0 < abs(float(layer.scale)) < SHRINKS


def _without_rescaling(setup: Setup) -> dict[str, str]:
    """Return the option that holds a Rescaling, and layers without it, for a fix; {} if there is none."""
    for name in ("layers", "preprocessing"):
        given = getattr(setup.config.model, name, None) or []
        others = [layer for layer in given if layer != "Rescaling" and _class_name(layer) != "Rescaling"]
        if len(others) < len(given):
            return {"option": f"model.{name}", "layers": shell_value(others if name == "layers" else [NORMALIZATION])}
    return {}


def _preprocessing(setup: Setup, given: FirstInput, problems: dict[int, str]) -> str:
    """Return the layers that scale each column.

    Normalization divides by no standard deviation below 1e-7: smaller columns are multiplied before. Arrays without
    channels that were taken for images get a mean for each column.
    """
    if NORMALIZATION not in setup.config.model.preprocessing:
        return shell_value([NORMALIZATION])
    if any(len(feature.shape) == 2 and not feature.variable_length for feature in setup.spec.features.values()):
        return shell_value([{"class_name": "Normalization", "config": {"axis": 2}}])
    smallest = given.values[:, list(problems)].std(axis=0, dtype=np.float64).min()
    scale = 10.0 ** np.ceil(1 - np.log10(smallest)) if smallest > 0 else 1e6
    return shell_value([{"class_name": "Rescaling", "config": {"scale": scale}}, NORMALIZATION])


def _class_name(layer: object) -> object:
    return layer.get("class_name") if isinstance(layer, dict) else layer


def check_labels(setup: Setup) -> Iterator[Finding]:
    """Yield the real labels that are far from mean 0 and standard deviation 1 and that the model does not normalize."""
    normalized = {layer.name for layer in setup.layers}
    for name, label in setup.spec.labels.items():
        if label.kind != REAL or heads.unit_layer_name(name) in normalized:
            continue
        values = setup.data.train.labels[name]
        values = values.reshape(len(values), -1).astype(np.float64)
        mean, deviation = values.mean(axis=0), values.std(axis=0)
        is_far = (np.maximum(np.abs(mean), deviation) > LARGE) | ((deviation > 0) & (deviation < SMALL))
        if is_far.any():
            worst = int(is_far.argmax())
            found = f"mean {mean[worst]:.4g}, standard deviation {deviation[worst]:.3g}"
            found += f" in column {worst}." if len(mean) > 1 else "."
            is_off = not setup.config.data.normalize_labels
            yield finding("unscaled-labels", name, found, **({"normalize": "auto"} if is_off else {}))
