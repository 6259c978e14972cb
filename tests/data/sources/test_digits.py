"""The bundled digits."""

from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets

from pipeline.data import splits
from pipeline.data.sources.digits import FILE, Digits


@pytest.fixture(scope="module")
def digits():
    return splits.read(Digits())


def test_the_bundled_digits_are_byte_for_byte_those_of_scikit_learn():
    theirs = Path(sklearn.datasets.__file__).parent / "data" / "digits.csv.gz"
    assert FILE.read_bytes() == theirs.read_bytes()


def test_digits_hold_the_images_and_classes_that_scikit_learn_reads(digits):
    theirs = sklearn.datasets.load_digits()
    table = digits.splits["train"]
    np.testing.assert_array_equal(table.features["image"][..., 0], theirs.images)
    np.testing.assert_array_equal(table.labels["digit"], theirs.target)


def test_digits_have_their_shapes_and_classes(digits):
    feature, label = digits.spec.features["image"], digits.spec.labels["digit"]
    assert (feature.shape, feature.dtype) == ((8, 8, 1), "uint8")
    assert label.classes == tuple("0123456789")
    assert set(digits.splits) == {"train"}


def test_bundled_data_is_found_from_any_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(splits.read(Digits()).splits["train"]) == 1797
