"""The bundled Japanese Vowels."""

import zipfile

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.containers import Sequences
from pipeline.data.sources.japanese_vowels import FILE, JapaneseVowels


@pytest.fixture(scope="module")
def vowels():
    return splits.read(JapaneseVowels())


def test_japanese_vowels_have_both_splits_and_their_lengths(vowels):
    assert {name: len(table) for name, table in vowels.splits.items()} == {"train": 270, "test": 370}
    assert vowels.spec.lengths == (7, 29)
    assert vowels.spec.features["utterance"].shape == (None, 12)


def test_a_row_of_japanese_vowels_is_its_slice_of_the_file(vowels):
    column = vowels.splits["test"].features["utterance"]
    with zipfile.ZipFile(FILE) as archive:
        with archive.open("test_values.npy") as stream:
            values = np.lib.format.read_array(stream)
        with archive.open("test_lengths.npy") as stream:
            lengths = np.lib.format.read_array(stream)
    assert isinstance(column, Sequences)
    np.testing.assert_array_equal(column.select([5]).values, values[lengths[:5].sum() : lengths[:6].sum()])


def test_every_speaker_is_in_both_splits(vowels):
    for table in vowels.splits.values():
        assert set(table.labels["speaker"]) == set(range(9))
