"""Rows without labels for a trained model: read in tables of bounded size, and checked by the rules of the training."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from pipeline.data import checks
from pipeline.data.description import describe_feature
from pipeline.data.precision import in_trained_dtypes
from pipeline.data.splits import check_features, read_errors_explained

if TYPE_CHECKING:
    from pipeline.data.containers import Table
    from pipeline.data.source import DataSource
    from pipeline.spec import DataSpec

MOST_ROWS = 1 << 16  # per table
MOST_BYTES = 1 << 26  # per table, unless one batch needs more
BYTES = {"uint8": 1, "string": 64}  # approximate bytes per value by dtype; other dtypes: 8


def rows_per_table(spec: DataSpec, batch_size: int) -> int:
    """Return a number of rows that needs little memory: whole batches, so that tables do not change the batches."""
    longest = spec.lengths[1] if spec.lengths else 1
    size = sum(
        prod(feature.fixed_shape) * (longest if feature.variable_length else 1) * BYTES.get(feature.dtype, 8)
        for feature in spec.features.values()
    )
    rows = min(MOST_ROWS, MOST_BYTES // max(size, 1))
    return max(1, rows // batch_size) * batch_size


def read(source: DataSource, spec: DataSpec, *, known: Mapping[str, Collection[str]], rows: int) -> Iterator[Table]:
    """Yield the rows of a data source, in their order, in the dtypes of the training.

    Args:
        source: The data source.
        spec: The spec of the training data.
        known: Feature -> the categories that the model knows.
        rows: The largest number of rows of a table.

    Raises:
        DataError: The data cannot be read, its features differ from those of the training, or a row is not valid.
    """
    with read_errors_explained():
        checks.check_paths(source)
        for table in source.read_unlabeled(spec, known=known, rows=rows):
            yield _checked(table, source, spec, known)


def _checked(table: Table, source: DataSource, spec: DataSpec, known: Mapping[str, Collection[str]]) -> Table:
    location = table.row_location(0)
    found = {name: describe_feature(column) for name, column in table.features.items()}
    table, found = in_trained_dtypes(table, found, spec.features, location)
    names = {name: spec.features[name] for name in found if name in spec.features}
    found |= {  # names of columns and kinds of text are not part of an array
        name: replace(found[name], text=trained.text, columns=trained.columns, categories=trained.categories)
        for name, trained in names.items()
    }
    check_features(found, spec, source, location=location)
    checks.check_rows(replace(spec, labels={}), {"": table}, source)
    for name in known if source.requires_known_categories else ():
        checks.check_categories(name, {"", *known[name]}, {"": table})  # "" is a missing category
    return table
