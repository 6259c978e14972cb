"""Data sets that Keras downloads, and the error if a download fails."""

import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.sources.keras import KerasDataset, last_tokens
from pipeline.errors import DataError

READ = """
import sys
from pipeline.data import splits
from pipeline.data.sources.keras import KerasDataset
from pipeline.errors import DataError
try:
    splits.read(KerasDataset(name=sys.argv[1]))
except DataError as error:
    sys.exit(f"DataError: {error}")
"""


def read_elsewhere(cache, proxy):
    """Return the stderr of a process whose downloads go to a proxy of this test."""
    environment = os.environ | {"KERAS_HOME": str(cache), "https_proxy": proxy, "no_proxy": ""}
    done = subprocess.run(
        [sys.executable, "-c", READ, "mnist"], env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return done.stderr[done.stderr.index("DataError") :]


@pytest.mark.slow
def test_a_failed_download_is_reported_with_the_cache_and_an_alternative(tmp_path):
    error = read_elsewhere(tmp_path, "http://127.0.0.1:9")  # nothing listens there
    for word in ("keras.datasets.mnist", str(tmp_path / "datasets"), "data=idx data.path="):
        assert word in error


@pytest.mark.slow
def test_a_server_that_does_not_answer_ends_the_download(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        error = read_elsewhere(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
    assert "timed out" in error
    assert list((tmp_path / "datasets").iterdir()) == []


@pytest.fixture(scope="module", params=["mnist", "fashion_mnist", "cifar10", "imdb"])
def name(request):
    return request.param


@pytest.fixture(scope="module")
def source(name):
    try:
        return splits.read(KerasDataset(name=name))
    except DataError as error:
        pytest.skip(f"neither in Keras's cache nor to be downloaded here: {error}")


@pytest.mark.slow
def test_a_downloaded_data_set_has_train_and_test_with_labels_of_its_classes(source):
    assert set(source.splits) == {"train", "test"}
    for table in source.splits.values():
        for name, label in source.spec.labels.items():
            assert set(np.unique(table.labels[name])) == set(range(len(label.classes)))


@pytest.mark.slow
def test_a_downloaded_data_set_has_the_shape_of_its_input(name, source):
    shapes = {
        "mnist": (28, 28, 1),
        "fashion_mnist": (28, 28, 1),
        "cifar10": (32, 32, 3),
        "imdb": (None,),
    }
    (feature,) = source.spec.features.values()
    assert feature.shape == shapes[name]


REVIEWS = [[1, 14, 22], [1, 7], [1, 3, 5, 8, 9], [1]]


def test_reviews_keep_their_last_tokens():
    column = last_tokens(np.array(REVIEWS, object), 2)
    assert [column.select([row]).values.tolist() for row in range(4)] == [[14, 22], [1, 7], [8, 9], [1]]
    assert column.values.dtype == np.int32
