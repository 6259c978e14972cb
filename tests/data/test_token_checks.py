"""Numbers of words against the vocabulary of the model that looks them up, wherever the rows lie."""

import numpy as np
import pytest

from pipeline.data import splits, token_checks
from pipeline.data.shards import write_shards
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.tfrecord import TFRecord
from pipeline.errors import DataError
from pipeline.models.gru import Gru
from pipeline.models.mlp import Mlp

VOCABULARY = 11
MODEL = Gru(vocabulary=VOCABULARY)


def fixed(folder, **rows):
    """Six rows of four words in each split. rows: split -> what stands in its third row instead."""
    arrays = {}
    for split in ("train", "test"):
        x = np.random.default_rng(0).integers(1, VOCABULARY, (6, 4)).astype(np.int32)
        x[2] = rows.get(split, x[2])
        arrays |= {f"{split}_x": x, f"{split}_y": np.arange(6) % 2}
    np.savez(folder / "words.npz", **arrays)
    return splits.read(Npz(path=str(folder / "words.npz")))


def various(folder, **steps):
    """Six rows of one to six words. steps: split -> the last word of its last row."""
    arrays = {}
    for split in ("train", "test"):
        x = np.random.default_rng(0).integers(1, VOCABULARY, 21).astype(np.int32)
        x[-1] = steps.get(split, x[-1])
        arrays |= {f"{split}_x": x, f"{split}_n": np.arange(1, 7), f"{split}_y": np.arange(6) % 2}
    np.savez(folder / "words.npz", **arrays)
    return splits.read(Npz(path=str(folder / "words.npz"), lengths="n"))


def sharded(folder, **steps):
    source = various(folder, **steps)
    write_shards(source.spec, source.splits, folder / "shards", rows_per_shard=4)
    return splits.read(TFRecord(path=str(folder / "shards")))


def check(source, model=MODEL):
    for part in source.splits.values():
        token_checks.check(source.spec, part, model.vocabularies(source.spec))


@pytest.mark.parametrize("kind", [fixed, various, sharded])
def test_words_of_the_vocabulary_are_let_through(tmp_path, kind):
    check(kind(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "kind, wrong, place",
    [
        (fixed, [1, 2, VOCABULARY, 0], "row 2"),
        (fixed, [1, -2, 3, 0], "row 2"),
        (various, VOCABULARY, "row 5"),
        (sharded, VOCABULARY, "record 1"),
    ],
)
def test_a_word_beyond_the_vocabulary_is_refused_in_any_split_naming_the_row(tmp_path, split, kind, wrong, place):
    with pytest.raises(DataError, match=rf"{place}, feature 'x': expected token IDs from 0 to 10"):
        check(kind(tmp_path, **{split: wrong}))


def test_a_row_of_padding_alone_is_refused_naming_it(tmp_path):
    with pytest.raises(DataError, match="row 2, feature 'x': expected a token; found only 0"):
        check(fixed(tmp_path, test=[0, 0, 0, 0]))


def test_a_model_without_an_embedding_takes_any_numbers(tmp_path):
    check(fixed(tmp_path, test=[99, -1, 0, 0]), Mlp())
