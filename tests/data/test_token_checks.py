"""Token IDs and the vocabulary of the model, in every kind of split."""

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
    """Return splits of six rows of four tokens. rows: split -> its third row."""
    arrays = {}
    for split in ("train", "test"):
        x = np.random.default_rng(0).integers(1, VOCABULARY, (6, 4)).astype(np.int32)
        x[2] = rows.get(split, x[2])
        arrays |= {f"{split}_x": x, f"{split}_y": np.arange(6) % 2}
    np.savez(folder / "tokens.npz", **arrays)
    return splits.read(Npz(path=str(folder / "tokens.npz")))


def various(folder, **steps):
    """Return splits of six rows of one to six tokens. steps: split -> the last token of its last row."""
    arrays = {}
    for split in ("train", "test"):
        x = np.random.default_rng(0).integers(1, VOCABULARY, 21).astype(np.int32)
        x[-1] = steps.get(split, x[-1])
        arrays |= {f"{split}_x": x, f"{split}_n": np.arange(1, 7), f"{split}_y": np.arange(6) % 2}
    np.savez(folder / "tokens.npz", **arrays)
    return splits.read(Npz(path=str(folder / "tokens.npz"), lengths="n"))


def sharded(folder, **steps):
    source = various(folder, **steps)
    write_shards(source.spec, source.splits, folder / "shards", rows_per_shard=4)
    return splits.read(TFRecord(path=str(folder / "shards")))


def check(source, model=MODEL):
    for split in source.splits.values():
        token_checks.check(source.spec, split, model.vocabularies(source.spec))


@pytest.mark.parametrize("kind", [fixed, various, sharded])
def test_tokens_of_the_vocabulary_are_accepted(tmp_path, kind):
    check(kind(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize(
    "kind, wrong, location",
    [
        (fixed, [1, 2, VOCABULARY, 0], "row 2"),
        (fixed, [1, -2, 3, 0], "row 2"),
        (various, VOCABULARY, "row 5"),
        (sharded, VOCABULARY, "record 1"),
    ],
)
def test_a_token_outside_the_vocabulary_is_refused_in_any_split_naming_the_row(tmp_path, split, kind, wrong, location):
    with pytest.raises(DataError, match=rf"{location}, feature 'x': expected token IDs from 0 to 10"):
        check(kind(tmp_path, **{split: wrong}))


def test_a_row_of_only_padding_is_refused_naming_it(tmp_path):
    with pytest.raises(DataError, match="row 2, feature 'x': expected a token; found only 0"):
        check(fixed(tmp_path, test=[0, 0, 0, 0]))


def test_a_model_without_an_embedding_accepts_any_numbers(tmp_path):
    check(fixed(tmp_path, test=[99, -1, 0, 0]), Mlp())
