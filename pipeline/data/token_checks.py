"""Check token IDs against the model's vocabulary; ID 0 is padding."""

from collections.abc import Mapping

import numpy as np

from pipeline.data.blocks import blocks
from pipeline.data.containers import Sequences, Split
from pipeline.errors import DataError
from pipeline.spec import TOKEN_PADDING, DataSpec


def check(spec: DataSpec, split: Split, vocabularies: Mapping[str, int]) -> None:
    """Check every token of a split.

    Args:
        spec: The spec of the split's rows.
        split: The split.
        vocabularies: Feature name -> the number of token IDs that the model can embed, ID 0 included.

    Raises:
        DataError: A token ID lies outside the vocabulary, or a row has no token but padding. The first row is named.
    """
    first_row = 0
    for features, _ in blocks(split, spec) if vocabularies else ():
        for name, vocabulary in vocabularies.items():
            if fault := _first_fault(features[name], vocabulary):
                row, message = fault
                raise DataError(f"{split.row_location(first_row + row)}, feature {name!r}: {message}")
        first_row += len(next(iter(features.values())))


def _first_fault(column: np.ndarray | Sequences, vocabulary: int) -> tuple[int, str] | None:
    """Return (row, message) of the first row with an unknown token ID or no token; None if there is none."""
    if isinstance(column, Sequences):
        tokens, row_of = column.values, np.repeat(np.arange(len(column)), column.lengths)
    else:
        tokens, row_of = column.ravel(), np.repeat(np.arange(len(column)), column[0].size)
    unknown = np.flatnonzero((tokens < 0) | (tokens >= vocabulary))
    if unknown.size:
        return int(row_of[unknown[0]]), (
            f"expected token IDs from 0 to {vocabulary - 1}, since model.vocabulary={vocabulary}; found "
            f"{tokens[unknown[0]]}. Raise model.vocabulary, or fix the row."
        )
    counts = np.bincount(row_of[tokens != TOKEN_PADDING], minlength=len(column))
    if not counts.all():
        return int(np.argmin(counts)), (
            f"expected a token; found only {TOKEN_PADDING}, which marks padding and is masked. Remove the row, or give "
            "empty texts a token of their own."
        )
    return None
