"""Simple models that a trained model has to beat: a constant prediction for all rows, and a linear model.

They are fit on the training rows in bounded time, with a fixed seed. Of more than MOST_ROWS rows, a selection is used.
Neighbouring values of wide features are averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
from scipy import optimize, special

from pipeline.data.containers import Images, Sequences, Split, Table
from pipeline.errors import RunError
from pipeline.evaluation.data_columns import feature_columns, flat_columns
from pipeline.evaluation.weighted_scores import scored_rows
from pipeline.spec import CLASS, MULTI_LABEL, REAL, DataSpec, Label
from pipeline.typed_json import convert

MOST_ROWS = 20_000  # rows that the linear model is fit on
MOST_VALUES = 100_000_000  # values of all features in these rows
MOST_COLUMNS = 512  # columns of all features; further features are left out
MOST_CATEGORIES = 30  # categories of a column that have a weight, the most frequent ones
MOST_PRODUCTS = 20_000_000  # rows x columns x outputs; if the product is larger, fewer rows are used
FEWEST_ROWS = 1_000  # rows of a selection; if the limits allow fewer, there is no linear model
MOST_STEPS = 100  # steps of L-BFGS
TOLERANCE = 1e-4  # L-BFGS stops if a step changes the loss by a smaller share
PENALTY = 1.0  # factor of half the sum of squared weights, which is added to the sum of the losses of the rows
ROWS_PER_BLOCK = 1_024  # rows that are predicted at a time


@dataclass(frozen=True, kw_only=True)
class ColumnCoding:
    """How features become standardized columns of numbers.

    Attributes:
        categories: Feature -> the categories that have a column.
        mean: (columns,) float64, the means of the training rows.
        deviation: (columns,) float64, the standard deviations of the training rows; 1 for a constant column.
    """

    categories: Mapping[str, tuple[str, ...]]
    mean: np.ndarray
    deviation: np.ndarray

    def code(self, spec: DataSpec, rows: Table) -> np.ndarray:
        """Return the columns of rows: (rows, columns) float64. A missing value becomes the mean.

        Raises:
            RunError: The models are those of other columns.
        """
        values = raw_columns(spec, rows, self.categories)
        if values.shape[1] != len(self.mean):
            raise RunError(
                f"baselines.json of the run: expected simple models of {values.shape[1]} columns; found "
                f"{len(self.mean)}. Restore the file, or delete it to evaluate without them."
            )
        columns = (values - self.mean) / self.deviation
        return np.nan_to_num(columns, copy=False)


@dataclass(frozen=True, kw_only=True)
class LinearModel:
    """A linear or logistic regression.

    Attributes:
        weights: (columns, width) float64.
        bias: (width,) float64.
    """

    weights: np.ndarray
    bias: np.ndarray


@dataclass(frozen=True, kw_only=True)
class SimpleModels:
    """The simple models of a run.

    Attributes:
        constants: Label -> (width,) float64: the mean of a real label, or the shares of the classes.
        linear: Label -> its linear model; {} if there is none.
        coding: The columns of the linear models; None if there are none.
    """

    constants: Mapping[str, np.ndarray]
    linear: Mapping[str, LinearModel]
    coding: ColumnCoding | None

    def predict_linear(self, spec: DataSpec, rows: Split) -> dict[str, np.ndarray]:
        """Return label -> (rows, width) float64, the predictions of the linear models; {} if there are none."""
        if self.coding is None or not isinstance(rows, Table):
            return {}
        outputs: dict[str, list[np.ndarray]] = {name: [] for name in self.linear}
        for start in range(0, len(rows), ROWS_PER_BLOCK):
            columns = self.coding.code(spec, rows.select(np.arange(start, min(start + ROWS_PER_BLOCK, len(rows)))))
            for name, model in self.linear.items():
                outputs[name].append(link(spec.labels[name])(columns @ model.weights + model.bias))
        return {name: np.concatenate(blocks) for name, blocks in outputs.items()}

    def to_json(self) -> dict[str, Any]:
        """Return the models as JSON types."""
        coding = self.coding
        return {
            "constants": {name: values.tolist() for name, values in self.constants.items()},
            "linear": {
                name: {"weights": model.weights.tolist(), "bias": model.bias.tolist()}
                for name, model in self.linear.items()
            },
            "coding": coding
            and {
                "categories": {name: list(values) for name, values in coding.categories.items()},
                "mean": coding.mean.tolist(),
                "deviation": coding.deviation.tolist(),
            },
        }


class _StoredLinear(TypedDict):
    weights: list[list[float]]
    bias: list[float]


class _StoredCoding(TypedDict):
    categories: dict[str, tuple[str, ...]]
    mean: list[float]
    deviation: list[float]


class _StoredModels(TypedDict):
    constants: dict[str, list[float]]
    linear: dict[str, _StoredLinear]
    coding: _StoredCoding | None


def simple_models_from_json(content: Any) -> SimpleModels:
    """Return the models that `SimpleModels.to_json` wrote.

    Raises:
        ValueError: The content is not of such models.
    """
    stored = convert(_StoredModels, content)
    coding = stored["coding"]
    columns = len(coding["mean"]) if coding else 0
    if coding and (len(coding["deviation"]) != columns or 0 in coding["deviation"]):
        raise ValueError(f"coding.deviation: expected {columns} numbers above 0; found others")
    linear = {
        name: LinearModel(weights=np.array(model["weights"]), bias=np.array(model["bias"]))
        for name, model in stored["linear"].items()
    }
    for name, model in linear.items():
        if model.weights.shape != (columns, len(model.bias)):
            raise ValueError(f"linear.{name}.weights: expected ({columns}, {len(model.bias)}) numbers; found others")
    return SimpleModels(
        constants={name: np.array(values) for name, values in stored["constants"].items()},
        linear=linear,
        coding=coding
        and ColumnCoding(
            categories=coding["categories"], mean=np.array(coding["mean"]), deviation=np.array(coding["deviation"])
        ),
    )


# ---- fitting --------------------------------------------------------------------------------------------------------


def fit_simple_models(spec: DataSpec, rows: Split) -> SimpleModels:
    """Fit the simple models of every label to the training rows.

    Rows count by their weights; for the linear models, these are divided by their mean. Images on disk and shards have
    no linear model, since they would be read again. Texts, tokens and rows with too many values have none either.
    """
    weights = rows.weights
    constants = {
        name: constant_outputs(label, rows.labels[name], row_weights=weights) for name, label in spec.labels.items()
    }
    if not isinstance(rows, Table) or not any(has_columns(spec, rows, name) for name in spec.features):
        return SimpleModels(constants=constants, linear={}, coding=None)
    most = min(MOST_ROWS, MOST_VALUES // values_per_row(rows))
    if most < min(FEWEST_ROWS, len(rows)):
        return SimpleModels(constants=constants, linear={}, coding=None)
    rows = rows.select(selected_rows(len(rows), most))
    coding, columns = fit_coding(spec, rows)
    linear = {}
    for name, label in spec.labels.items():
        chosen = selected_rows(len(rows), MOST_PRODUCTS // (columns.shape[1] * label.width))
        if len(chosen) >= min(FEWEST_ROWS, len(rows)):
            linear[name] = fit_linear(
                label,
                columns[chosen],
                label_columns(label, rows.labels[name][chosen]),
                None if rows.weights is None else rows.weights[chosen],
            )
    return SimpleModels(constants=constants, linear=linear, coding=coding if linear else None)


def constant_outputs(
    label: Label,
    targets: np.ndarray,
    class_weights: np.ndarray | None = None,
    row_weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return the constant prediction: the mean of a real label, or the shares of the classes.

    Args:
        label: The label.
        targets: (rows,) or (rows, width).
        class_weights: (classes,), the weight of a row of each class; only for a label with one class index per row.
        row_weights: (rows,), the weights of the rows.

    Returns:
        (width,) float64.
    """
    if label.kind != CLASS:
        columns = targets.reshape(len(targets), -1)
        if row_weights is not None:
            return np.average(columns.astype(np.float64), axis=0, weights=row_weights)
        return columns.mean(axis=0, dtype=np.float64)
    totals = class_totals(label, targets, class_weights, row_weights)
    return totals / totals.sum()


def class_totals(
    label: Label, targets: np.ndarray, class_weights: np.ndarray | None, row_weights: np.ndarray | None = None
) -> np.ndarray:
    """Return the total weight of the rows of each class, (classes,) float64. Arguments as for `constant_outputs`."""
    counts = np.bincount(targets.reshape(-1), row_weights, minlength=label.width).astype(np.float64)
    return counts if class_weights is None else counts * class_weights


def selected_rows(rows: int, most: int) -> np.ndarray:
    """Return the indices of all rows, or of a random selection of `most` rows with a fixed seed: (n,) int64."""
    if rows <= most:
        return np.arange(rows)
    return np.sort(np.random.Generator(np.random.Philox(0)).permutation(rows)[:most])


def values_per_row(rows: Table) -> int:
    """Return the mean number of feature values per row."""
    arrays = [column.values if isinstance(column, Sequences) else column for column in rows.features.values()]
    return max(1, sum(array.size for array in arrays if isinstance(array, np.ndarray)) // len(rows))


def fit_coding(spec: DataSpec, rows: Table) -> tuple[ColumnCoding, np.ndarray]:
    """Return the coding of features, and the coded columns of the rows it was fit to."""
    categories = {}
    for name, feature in spec.features.items():
        if feature.holds_categories and has_columns(spec, rows, name):
            values, counts = np.unique(np.asarray(rows.features[name])[:, 0].astype(str), return_counts=True)
            frequent = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
            categories[name] = tuple(values[np.sort(frequent)].tolist())
    columns = raw_columns(spec, rows, categories)
    known = np.isfinite(columns)
    count = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, columns, 0).sum(axis=0) / count
    deviation = np.sqrt((np.where(known, columns - mean, 0) ** 2).sum(axis=0) / count)
    constant = deviation <= 1e-12 * np.abs(mean)
    coding = ColumnCoding(categories=categories, mean=mean, deviation=np.where(constant, 1.0, deviation))
    return coding, np.nan_to_num((columns - coding.mean) / coding.deviation, copy=False)


def fit_linear(
    label: Label, columns: np.ndarray, targets: np.ndarray, row_weights: np.ndarray | None = None
) -> LinearModel:
    """Fit a ridge regression to a real label, or a logistic regression to a label with classes.

    Args:
        label: The label.
        columns: (rows, columns) float64, standardized.
        targets: (rows, width) float64: numbers, or a probability per class.
        row_weights: (rows,), the weights of the rows; None: every row counts once. Only their ratios matter.
    """
    if row_weights is not None:
        kept = scored_rows(row_weights)
        columns, targets, row_weights = columns[kept], targets[kept], row_weights[kept] / row_weights[kept].mean()
    if label.kind == REAL and row_weights is not None:
        mean, centre = (np.average(values, axis=0, weights=row_weights) for values in (targets, columns))
        roots = np.sqrt(row_weights)[:, np.newaxis]
        centred = roots * (columns - centre)
        gram = centred.T @ centred + PENALTY * np.eye(columns.shape[1])
        weights = np.linalg.solve(gram, centred.T @ (roots * (targets - mean)))
        return LinearModel(weights=weights, bias=mean - centre @ weights)
    if label.kind == REAL:
        mean = targets.mean(axis=0)
        gram = columns.T @ columns + PENALTY * np.eye(columns.shape[1])
        weights = np.linalg.solve(gram, columns.T @ (targets - mean))
        return LinearModel(weights=weights, bias=mean - columns.mean(axis=0) @ weights)
    (rows, inputs), width = columns.shape, targets.shape[1]
    probabilities = link(label)
    each = np.ones((1, 1)) if row_weights is None else row_weights[:, np.newaxis]

    def loss_and_gradient(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        weights, bias = np.split(parameters.reshape(inputs + 1, width), [inputs])
        logits = columns @ weights + bias
        errors = each * (probabilities(logits) - targets)
        normalizers = (
            np.logaddexp(0, logits) if label.kind == MULTI_LABEL else special.logsumexp(logits, 1, keepdims=True)
        )
        loss = (each * normalizers).sum() - (each * targets * logits).sum() + PENALTY / 2 * (weights**2).sum()
        gradient = np.concatenate([columns.T @ errors + PENALTY * weights, errors.sum(axis=0, keepdims=True)])
        return loss / rows, gradient.ravel() / rows

    start = np.zeros((inputs + 1) * width)
    options = {"maxiter": MOST_STEPS, "ftol": TOLERANCE}
    found = optimize.minimize(loss_and_gradient, start, jac=True, method="L-BFGS-B", options=options).x
    weights, bias = np.split(found.reshape(inputs + 1, width), [inputs])
    return LinearModel(weights=weights, bias=bias[0])


def link(label: Label) -> Callable[[np.ndarray], np.ndarray]:
    """Return the inverse link function, from linear predictors (rows, width) to outputs."""
    if label.kind == REAL:
        return np.asarray
    return special.expit if label.kind == MULTI_LABEL else lambda logits: special.softmax(logits, axis=1)


def label_columns(label: Label, targets: np.ndarray) -> np.ndarray:
    """Return the values of a label as (rows, width) float64: numbers, or a probability per class."""
    if label.kind == CLASS:
        return np.eye(label.width)[targets.reshape(-1)]
    return targets.reshape(len(targets), -1).astype(np.float64)


# ---- columns --------------------------------------------------------------------------------------------------------


def has_columns(spec: DataSpec, rows: Table, name: str) -> bool:
    """Return whether the linear model uses a feature: numbers, categories, or sequences of numbers."""
    feature, values = spec.features[name], rows.features[name]
    if isinstance(values, Images) or feature.text or (feature.holds_tokens and feature.variable_length):
        return False
    return not feature.holds_categories or (isinstance(values, np.ndarray) and values.shape[1:] == (1,))


def raw_columns(spec: DataSpec, rows: Table, categories: Mapping[str, tuple[str, ...]]) -> np.ndarray:
    """Return the columns of rows before they are standardized: (rows, columns) float64.

    A sequence gives its length, and the mean and spread of each channel.
    """
    blocks, width = [], 0
    for block in _blocks(spec, rows, categories):
        if width + block.shape[1] > MOST_COLUMNS and blocks:
            break
        blocks.append(block)
        width += block.shape[1]
    return np.hstack(blocks).astype(np.float64)


def _blocks(spec: DataSpec, rows: Table, categories: Mapping[str, tuple[str, ...]]) -> Iterator[np.ndarray]:
    """Yield (rows, columns) of each feature."""
    for name, values in rows.features.items():
        if not has_columns(spec, rows, name):
            continue
        if name in categories:
            yield np.asarray(values)[:, 0].astype(str)[:, np.newaxis] == np.array(categories[name])
        elif isinstance(values, Sequences):
            yield np.stack([column for _, column in feature_columns(spec.features[name], values)], axis=1)
        elif isinstance(values, np.ndarray):
            yield np.stack([column for _, column in flat_columns(values.reshape(len(values), -1))], axis=1)
