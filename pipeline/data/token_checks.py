"""Numbers of words: a model can look up those that its vocabulary holds, and 0 marks padding."""

import numpy as np

from pipeline.data.blocks import blocks
from pipeline.data.containers import Sequences
from pipeline.errors import DataError
from pipeline.spec import PADDING


def check(spec, part, vocabularies):
    """Raise DataError for the first row with a word beyond its vocabulary, or without any.

    part: Table or Shards. vocabularies: feature name -> words known to the model, 0 among them.
    """
    first = 0
    for features, labels in blocks(part, spec) if vocabularies else ():
        for name, vocabulary in vocabularies.items():
            if wrong := first_wrong(features[name], vocabulary):
                row, words = wrong
                raise DataError(f"{part.where(first + row)}, feature {name!r}: {words}")
        first += len(next(iter(labels.values())))


def first_wrong(column, vocabulary):
    """(row, what is wrong with it) of the first of some rows that a model with this vocabulary could not take."""
    if isinstance(column, Sequences):
        numbers, row_of = column.values, np.repeat(np.arange(len(column)), column.lengths)
    else:
        numbers, row_of = column.ravel(), np.repeat(np.arange(len(column)), column[0].size)
    beyond = np.flatnonzero((numbers < 0) | (numbers >= vocabulary))
    if beyond.size:
        return int(row_of[beyond[0]]), (
            f"expected numbers of words from 0 to {vocabulary - 1}, which model.vocabulary={vocabulary} holds; found "
            f"{numbers[beyond[0]]}. Raise model.vocabulary, or mend the row."
        )
    words = np.bincount(row_of[numbers != PADDING], minlength=len(column))
    if not words.all():
        return int(np.argmin(words)), (
            f"expected a word; found {PADDING} only, which marks padding and is masked. Leave the row out, or give "
            "empty texts a word of their own."
        )
    return None
