"""Scores of prediction intervals."""

import numpy as np
import pytest

from pipeline.evaluation.metrics import evaluate_label
from pipeline.evaluation.options import Evaluation
from pipeline.evaluation.prediction_intervals import PredictedQuantiles, with_interval_skill, with_intervals
from pipeline.spec import real_label

LEVELS = (0.1, 0.5, 0.9)
TARGETS = np.random.default_rng(0).normal(size=(200, 2))
ARGUMENTS = {"options": Evaluation(resamples=100), "seed": 0}


def evaluation_of(quantiles):
    plain = evaluate_label("y", real_label(2), targets=TARGETS, outputs=quantiles[..., 1], losses={}, **ARGUMENTS)
    return with_intervals(plain, PredictedQuantiles(levels=LEVELS, values=quantiles), **ARGUMENTS)


def around(middle, low, high):
    return np.stack([middle + low, middle, middle + high], axis=-1)


def test_coverage_and_width_count_every_number():
    quantiles = around(TARGETS, -1.0, 2.0)
    quantiles[:50, 0] += 10  # a quarter of the first number lies below its interval
    scores = evaluation_of(quantiles).scores
    assert scores["interval_coverage"].value == pytest.approx(0.875)
    assert scores["interval_coverage"].low < 0.875 < scores["interval_coverage"].high
    assert scores["interval_width"].value == pytest.approx(3)


def test_simple_interval_has_no_skill_against_itself():
    naive = np.zeros_like(TARGETS)
    errors = np.quantile(TARGETS, LEVELS, axis=0)
    quantiles = np.broadcast_to(errors.T, (200, 2, 3)).copy()
    scores = with_interval_skill(evaluation_of(quantiles), {"naive": naive}, **ARGUMENTS).scores
    assert scores["skill_naive_interval"].value == pytest.approx(0)
    better = with_interval_skill(evaluation_of(around(TARGETS, -0.1, 0.1)), {"naive": naive}, **ARGUMENTS)
    assert better.scores["skill_naive_interval"].value > 0.9


def test_coverage_counts_rows_by_their_weights_and_leaves_out_those_of_weight_0():
    quantiles = around(TARGETS, -1.0, 2.0)
    quantiles[:50] += 10
    weights = np.repeat([3.0, 1.0, 0.0], [50, 100, 50])
    plain = evaluate_label(
        "y", real_label(2), targets=TARGETS, outputs=quantiles[..., 1], losses={}, weights=weights, **ARGUMENTS
    )
    evaluation = with_intervals(plain, PredictedQuantiles(levels=LEVELS, values=quantiles), **ARGUMENTS)
    assert evaluation.scores["interval_coverage"].value == pytest.approx(100 / 250)
    assert len(evaluation.quantiles.values) == 150
