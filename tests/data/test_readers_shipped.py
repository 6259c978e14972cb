"""The data sets that come with the project, and made-up data."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from pipeline.data import readers, splits
from pipeline.data.containers import Sequences
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.data.sources.synthetic import Synthetic


@pytest.fixture(scope="module")
def digits():
    return splits.read(Digits())


@pytest.fixture(scope="module")
def vowels():
    return splits.read(JapaneseVowels())


def test_the_shipped_digits_are_byte_for_byte_those_of_scikit_learn():
    theirs = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    assert (readers.SHIPPED / "digits" / "digits.csv.gz").read_bytes() == theirs.read_bytes()


def test_digits_hold_the_images_and_classes_that_scikit_learn_reads(digits):
    theirs = sklearn.datasets.load_digits()
    part = digits.splits["train"]
    np.testing.assert_array_equal(part.features["image"][..., 0], theirs.images)
    np.testing.assert_array_equal(part.labels["digit"], theirs.target)


def test_digits_state_their_shapes_and_classes(digits):
    feature, label = digits.spec.features["image"], digits.spec.labels["digit"]
    assert (feature.shape, feature.dtype) == ((8, 8, 1), "uint8")
    assert label.classes == tuple("0123456789")
    assert set(digits.splits) == {"train"}


def test_shipped_data_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(splits.read(Digits()).splits["train"]) == 1797


def test_japanese_vowels_give_both_splits_and_their_lengths(vowels):
    assert {split: len(part) for split, part in vowels.splits.items()} == {"train": 270, "test": 370}
    assert vowels.spec.lengths == (7, 29)
    assert vowels.spec.features["utterance"].shape == (None, 12)


def test_a_row_of_japanese_vowels_is_its_stretch_of_the_file(vowels):
    column = vowels.splits["test"].features["utterance"]
    with zipfile.ZipFile(readers.SHIPPED / "japanese_vowels" / "japanese_vowels.npz") as archive:
        with archive.open("test_values.npy") as stream:
            values = np.lib.format.read_array(stream)
        with archive.open("test_lengths.npy") as stream:
            lengths = np.lib.format.read_array(stream)
    assert isinstance(column, Sequences)
    np.testing.assert_array_equal(column.select([5]).values, values[lengths[:5].sum() : lengths[:6].sum()])


def test_every_speaker_is_in_both_splits(vowels):
    for part in vowels.splits.values():
        assert set(part.labels["speaker"]) == set(range(9))


@pytest.mark.parametrize("lengths", [[], [2, 6]])
def test_synthetic_data_is_a_function_of_its_seed(lengths):
    def made(seed):
        part = splits.read(Synthetic(rows=50, shape=[3], lengths=lengths, seed=seed)).splits["train"]
        x = part.features["x"]
        return (x.values if lengths else x).tobytes(), part.labels["y"].tobytes()

    assert made(4) == made(4)
    assert made(4) != made(5)


def test_synthetic_sequences_have_lengths_from_shortest_to_longest():
    source = splits.read(Synthetic(rows=500, shape=[3], lengths=[2, 6]))
    assert set(source.splits["train"].lengths) == {2, 3, 4, 5, 6}
    assert source.spec.lengths == (2, 6)


def test_synthetic_numbers_without_noise_are_a_linear_function_of_the_input():
    part = splits.read(Synthetic(rows=100, shape=[2, 4], classes=0, noise=0)).splits["train"]
    x, y = part.features["x"].reshape(100, 8), part.labels["y"]
    rule, *_ = np.linalg.lstsq(x, y)
    np.testing.assert_allclose(x @ rule, y, atol=1e-5)


def test_synthetic_classes_are_all_shown():
    labels = splits.read(Synthetic(rows=2000, classes=10)).splits["train"].labels["y"]
    assert np.bincount(labels, minlength=10).min() > 50
