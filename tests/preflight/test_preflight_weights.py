"""Row weights: a few rows that hold nearly all of the weight are reported, right set-ups are not."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.containers import Table
from pipeline.preflight import weight_checks
from pipeline.preflight.setup import Setup

RANDOM = np.random.default_rng(0)
WRONG = {
    "one heavy row": np.where(np.arange(500) == 3, 1e4, 1.0),
    "amounts of money": RANDOM.lognormal(sigma=3.0, size=500),
    "an effective number of 5 rows": np.where(np.arange(40) < 5, 1.0, 1e-3),
}
RIGHT = {
    "none": None,
    "equal weights of few rows": np.full(12, 7.0),
    "weights of a survey": RANDOM.lognormal(sigma=0.8, size=500),
    "balanced classes of 1:20": np.where(np.arange(500) % 20, 0.5, 10.0),
    "weights of a survey in a small split": np.where(np.arange(40) % 10, RANDOM.lognormal(sigma=1.0, size=40), 0),
    "half of the rows left out": np.arange(200) % 2.0,
}


class Data:
    """The splits of a data set."""

    def __init__(self, weights):
        rows = 12 if weights is None else len(weights)
        table = Table({"x": np.zeros((rows, 1))}, {"y": np.zeros(rows)}, str, weights=weights)
        self.splits = {"train": replace(table, weights=None), "test": table}


def found(weights):
    return [*weight_checks.check(Setup(None, Data(weights), None, None))]


@pytest.mark.parametrize("weights", WRONG.values(), ids=WRONG)
def test_few_rows_with_nearly_all_weight_are_reported(weights):
    (finding,) = found(weights)
    assert (finding.code, finding.place, finding.is_error) == ("few-rows-weigh", "the test split", False)


@pytest.mark.parametrize("weights", RIGHT.values(), ids=RIGHT)
def test_right_weights_are_not_reported(weights):
    assert not found(weights)


def test_report_names_the_number_of_heavy_rows():
    weights = np.ones(1_000)
    weights[:4] = 10_000
    assert found(weights)[0].found == "4 of 1,000 rows hold 90% of the weight. The effective number of rows is 4.2."


def test_trial_step_of_a_batch_of_weight_0_counts_every_row_once():
    x, y, none = tf.ones([3, 1]), tf.ones([3]), tf.zeros([3])
    assert weight_checks.with_weight((x, y, none))[2].numpy().tolist() == [1, 1, 1]
    assert weight_checks.with_weight((x, y, y * [0, 2, 0]))[2].numpy().tolist() == [0, 2, 0]
    assert len(weight_checks.with_weight((x, y))) == 2
