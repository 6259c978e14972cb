"""Findings on float64 features and on text; each fix is applied to the input that caused it."""

import re
from dataclasses import replace

import numpy as np
import pytest

from pipeline import experiment
from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.models.gru import Gru
from pipeline.models.mlp import Mlp
from pipeline.models.tabular import Tabular
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.preflight import inspection
from pipeline.preflight.setup import Setup
from pipeline.runs.options import Run
from pipeline.training.fit import Fit

NORMALIZATION = [{"class_name": "Normalization", "config": {"axis": -1}}]
PAIRS = [f"{first}{second}" for first in "bcdfghjkl" for second in "aeiou"]


@pytest.fixture
def findings(tmp_path):
    """A function from data and model options to the findings: code -> Finding."""

    def find(data, model):
        loaded = splits.load(data)
        run = Run(root=str(tmp_path / "runs"))
        config = Config(data=data, model=model, objective=SupervisedOptions(), training=Fit(), run=run)
        built = experiment.build(config, loaded)
        return {item.code: item for item in inspection.inspect(Setup(config, loaded, built.objective, built.feed))}

    return find


@pytest.fixture
def seconds(tmp_path):
    path = tmp_path / "seconds.npz"
    numbers = np.random.default_rng(0)
    np.savez(path, x=1.7e9 + numbers.integers(0, 5_000, (300, 2)), y=numbers.integers(0, 2, 300))
    return Npz(path=str(path))


@pytest.fixture
def notes(tmp_path):
    """A function from a vocabulary to a table: each text has words of the vocabulary."""

    def write(words):
        numbers = np.random.default_rng(0)
        rows = [f"{' '.join(numbers.choice(words, 6))},{'ab'[row % 2]}" for row in range(120)]
        path = tmp_path / "notes.csv"
        path.write_text("note,label\n" + "\n".join(rows) + "\n")
        return Csv(path=str(path), text=["note"], labels=["label"], split=SplitOptions(validation=0.2))

    return write


def test_seconds_that_no_layer_centres_are_reported_with_a_fix_that_works(findings, seconds):
    found = findings(seconds, Mlp(preprocessing=[]))["precision-lost"]
    assert found.place == "x" and re.search(r"distinct values of column 0 become \d+ in float32", found.found)
    assert "model.preprocessing='[{class_name: Normalization, config: {axis: -1}}]'" in found.fix
    assert "precision-lost" not in findings(seconds, Mlp(preprocessing=NORMALIZATION))


@pytest.mark.parametrize("preprocessing, is_lost", [([], True), (NORMALIZATION, False)], ids=["none", "normalized"])
def test_seconds_in_sequences_of_several_lengths_are_checked_too(findings, tmp_path, preprocessing, is_lost):
    path, numbers = tmp_path / "sequences.npz", np.random.default_rng(0)
    lengths = numbers.integers(2, 9, 200)
    values = 1.7e9 + numbers.integers(0, 5_000, (lengths.sum(), 2))
    np.savez(path, x=values, y=numbers.integers(0, 2, 200), n=lengths)
    found = findings(Npz(path=str(path), lengths="n"), Gru(units=[4], preprocessing=preprocessing))
    assert ("precision-lost" in found) == is_lost


def test_a_known_vocabulary_yields_no_finding_and_no_layer_of_a_text_column_is_unused(findings, notes):
    found = findings(notes(PAIRS), Tabular())
    assert not {"unknown-words", "layer-unused"} & found.keys()


@pytest.mark.slow
def test_words_that_are_new_in_each_row_are_reported_with_a_fix_that_works(findings, notes):
    words = [f"{first}{second}{third}" for first in PAIRS for second in PAIRS for third in PAIRS]
    data = notes(words)
    found = findings(data, Tabular())["unknown-words"]
    assert found.place == "note" and "% in validation" in found.found
    assert "set model.text_split=characters" in found.fix.lower()
    assert "unknown-words" not in findings(data, Tabular(text_split="characters"))


def test_a_vocabulary_that_is_too_small_is_reported_with_a_size_that_works(findings, notes):
    data, model = notes(PAIRS), Tabular(vocabulary=5)
    size = int(re.search(r"model.vocabulary=(\d+)", findings(data, model)["unknown-words"].fix)[1])
    assert size == len(PAIRS) + 1
    assert "unknown-words" not in findings(data, replace(model, vocabulary=size))
