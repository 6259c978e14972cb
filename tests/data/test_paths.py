"""Paths of a data source that are neither files nor folders."""

import os

import pytest

from pipeline.data import splits, unlabeled
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.errors import DataError
from pipeline.spec import DataSpec


@pytest.mark.parametrize("kind", [Csv, Npz])
def test_a_device_or_a_pipe_is_refused_before_it_is_read(tmp_path, kind):
    os.mkfifo(tmp_path / "pipe")
    options = {"numeric": ["a"]} if kind is Csv else {}
    for path in ("/dev/zero", str(tmp_path / "pipe")):
        with pytest.raises(DataError, match=r"data\.path=.*expected a file or a folder"):
            splits.load(kind(path=path, **options))
        with pytest.raises(DataError, match=r"data\.path=.*expected a file or a folder"):
            next(unlabeled.read(kind(path=path, **options), DataSpec({}, {}), known={}, rows=1))
