"""The data as the model of a run takes it: its spec, and checks of rows against what the model knows."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import keras

from pipeline.data import checks, splits, token_checks
from pipeline.data.containers import Split
from pipeline.data.source import DataSource
from pipeline.errors import RunError
from pipeline.evaluation.options import AUTO, KEEP
from pipeline.keras_internals import all_layers
from pipeline.layer_names import layer_name
from pipeline.runs import folder as run_folder
from pipeline.runs import trained_rows
from pipeline.spec import DataSpec

if TYPE_CHECKING:
    from pipeline.config import Config

logger = logging.getLogger(__name__)


def model_spec(config: Config, spec: DataSpec) -> DataSpec:
    """Return the spec that the model of a run is built for.

    Args:
        config: The config of the run.
        spec: The spec of the data.

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
    for name, known in known_categories(spec, model).items() if data.requires_known_categories else ():
        checks.check_categories(name, {"", *known}, {split: rows})  # "" is a missing category


def known_categories(spec: DataSpec, model: keras.Model) -> dict[str, list[str]]:
    """Return feature -> the categories of the training split, as stored in the lookup layers of the model."""
    features = {layer_name(name): name for name, feature in spec.features.items() if feature.holds_categories}
    known = {}
    for layer in all_layers(model):
        column = getattr(layer, "input", None)  # None for a layer that is not part of the graph
        if isinstance(layer, keras.layers.StringLookup) and column is not None and column.name in features:
            known[features[column.name]] = layer.get_vocabulary(include_special_tokens=False)
    return known


def check_padding(spec: DataSpec, model: keras.Model, folder: Path) -> None:
    """Check that the model of a run masks the padding of this version. Earlier versions masked steps of zeros.

    Args:
        spec: The spec of the training data.
        model: The stored model.
        folder: The folder of the run, for the error message.

    Raises:
        RunError: The Masking layers of the model mask other values.
    """
    paddings = {feature.padding for feature in spec.features.values() if feature.variable_length}
    masked = [layer.mask_value for layer in all_layers(model) if isinstance(layer, keras.layers.Masking)]
    if paddings and masked and not paddings & set(masked):
        raise RunError(
            f"{folder / 'model.keras'}: expected a model that masks steps of {max(paddings):.8g}, which are padding; "
            f"found one of an earlier version, which masks steps of {masked[0]:g}. Train the run again under another "
            "name."
        )


@dataclass(frozen=True, kw_only=True)
class EvaluatedRows:
    """The rows that a stored run is evaluated on.

    Attributes:
        rows: The rows.
        split: The name of the split, or "all".
        fingerprint: The fingerprint of the whole data set.
        own_data: Whether the data is the training data of the run.
        own_split: Whether the rows are the unchanged validation or test split of the training.
        left_out: The number of rows that are left out, since a run was trained on them.
        origin: One line with the number of rows and their source.
        notes: One sentence per finding about rows that a run was trained on.
    """

    rows: Split
    split: str
    fingerprint: str
    own_data: bool
    own_split: bool
    left_out: int
    origin: str
    notes: tuple[str, ...]


def load_rows(
    config: Config, spec: DataSpec, split: str, *, runs: Sequence[Path], keys: Collection[str] = ()
) -> EvaluatedRows:
    """Read the rows that a stored run is evaluated on.

    Rows that a run was trained on are left out, unless `evaluation.trained_rows` or the split "train" selects them. The
    notes on such rows are logged.

    Args:
        config: The config of the command.
        spec: The spec of the training data.
        split: The split, "all", or AUTO.
        runs: The folder of the run, and of the run that it is compared with.
        keys: Columns to keep among the keys of the rows.

    Raises:
        DataError: The data has another spec, the model cannot take a row, or a run was trained on all rows.
        RunError: A file of a run is damaged.
    """
    data = splits.read_matching(config.data, spec, keys)
    own_data = data.fingerprint == run_folder.read(runs[0], "result.json")["fingerprint"]
    split = data.choose(own=own_data) if split == AUTO else split
    every_row = rows = data.split(split)
    check_tokens(config, spec, rows)
    notes: tuple[str, ...] = ()
    own_splits = [
        trained_rows.is_own_split(folder, config.data, fingerprint=data.fingerprint, split_name=split)
        for folder in runs
    ]
    for folder, own_split in zip(runs, own_splits, strict=True):
        if own_split:
            continue
        policy = KEEP if split == "train" else config.evaluation.trained_rows
        selection = trained_rows.select(rows, folder, policy=policy)
        rows, notes = selection.rows, notes + selection.notes
    for note in notes:
        logger.warning("%s", note)
    left_out = len(every_row) - len(rows)
    count = f"{len(rows):,} of {len(every_row):,}" if left_out else f"{len(rows):,}"
    name = "all rows" if split == "all" else f"the {split} split"
    location = config.data.file_of(split) or data.dataset.location
    weight = getattr(config.data, "weight", "")
    without_weights = f", each counted once, since it has no {weight!r}" if weight and rows.weights is None else ""
    of_training = f", the data that {runs[0].name} was trained on" if own_data else ""
    return EvaluatedRows(
        rows=rows,
        split=split,
        fingerprint=data.fingerprint,
        own_data=own_data,
        own_split=own_splits[0],
        left_out=left_out,
        origin=f"{count} rows: {name} of {location}{of_training}{without_weights}",
        notes=notes,
    )
