"""The data as the model of a run takes it: its spec, and checks of rows against what the model knows."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from pipeline.data import checks, splits, token_checks
from pipeline.data.containers import Split
from pipeline.data.source import DataSource
from pipeline.evaluation.options import KEEP
from pipeline.layer_names import layer_name
from pipeline.runs import trained_rows
from pipeline.runs.trained_rows import Selection
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    from pipeline.config import Config

logger = logging.getLogger(__name__)


def model_spec(config: Config, spec: DataSpec) -> DataSpec:
    """Return the spec that the model of a run is built for.

    Args:
        config: The config of the run.
        spec: Of the data.

    Raises:
        ConfigError: The objective or the regularization cannot be used with the data.
    """
    return config.regularization.model_spec(config.objective.model_spec(spec))


def check_tokens(config: Config, spec: DataSpec, rows: Split) -> None:
    """Check the token IDs of a split against the vocabulary of the model.

    Raises:
        DataError: A row holds an ID outside the vocabulary, or padding only.
    """
    token_checks.check(spec, rows, config.model.vocabularies(model_spec(config, spec)))


def check_categories(data: DataSource, spec: DataSpec, model: keras.Model, rows: Split, split: str) -> None:
    """Check the categories of a split against those of the training split, which the model's lookups hold.

    Raises:
        DataError: A row has another category, in a column whose categories must be known.
    """
    if not data.requires_known_categories:
        return
    features = {layer_name(name): name for name, feature in spec.features.items() if feature.holds_categories}
    for layer in model.layers:
        column = getattr(layer, "input", None)  # None for a layer that is not part of the graph
        if isinstance(layer, keras.layers.StringLookup) and column is not None and column.name in features:
            known = {"", *layer.get_vocabulary(include_special_tokens=False)}  # "" is a missing category
            checks.check_categories(features[column.name], known, {split: rows})


def load_rows(config: Config, spec: DataSpec, split: str, *, runs: Iterable[Path]) -> tuple[Selection, str]:
    """Read one split of the data of a config, for models that were trained on data of a spec.

    Rows that one of the models was trained on are left out, unless the option or the split asks for them. What is found
    is logged.

    Args:
        config: Of the command.
        spec: Of the training data.
        split: The split, or "all".
        runs: The folders of the runs.

    Returns:
        The rows and the fingerprint of the data.

    Raises:
        DataError: The data has another spec, the model cannot take a row, or a run was trained on all rows.
        RunError: A file of a run is damaged.
    """
    rows, fingerprint = splits.load_split(config.data, split, spec)
    check_tokens(config, spec, rows)
    notes: tuple[str, ...] = ()
    for folder in runs:
        if trained_rows.is_own_split(folder, config.data, fingerprint=fingerprint, split_name=split):
            continue
        policy = KEEP if split == "train" else config.evaluation.trained_rows
        selection = trained_rows.select(rows, folder, policy=policy)
        rows, notes = selection.rows, notes + selection.notes
    for note in notes:
        logger.warning("%s", note)
    return Selection(rows, notes), fingerprint
