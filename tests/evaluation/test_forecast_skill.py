"""The skill of forecasts compared with baselines."""

import numpy as np
import pytest

from pipeline.evaluation.forecast_skill import with_skill
from pipeline.evaluation.metrics import evaluate_label
from pipeline.evaluation.options import Evaluation
from pipeline.spec import real_label

TARGETS = np.random.default_rng(0).normal(size=(40, 3))


def scores_of(predictions, **baselines):
    options = Evaluation(resamples=100)
    evaluation = evaluate_label(
        "y", real_label(3), targets=TARGETS, outputs=predictions, losses={}, options=options, seed=0
    )
    return with_skill(evaluation, baselines, options=options, seed=0).scores


def test_skill_is_one_less_the_ratio_of_the_errors():
    scores = scores_of(TARGETS + 0.5, naive=TARGETS - 2.0)
    assert scores["skill_naive"].value == pytest.approx(0.75)
    assert scores["mae_naive"].value == pytest.approx(2.0)
    assert scores["mae"].value == pytest.approx(0.5)


def test_forecast_that_is_the_baseline_has_no_skill_in_every_resample():
    skill = scores_of(TARGETS + 1.0, naive=TARGETS + 1.0)["skill_naive"]
    assert (skill.low, skill.value, skill.high) == pytest.approx((0, 0, 0))


def test_interval_of_the_skill_holds_its_value():
    numbers = np.random.default_rng(1)
    skill = scores_of(TARGETS + numbers.normal(size=(40, 3)), naive=TARGETS + 2 * numbers.normal(size=(40, 3)))
    assert skill["skill_naive"].low < skill["skill_naive"].value < skill["skill_naive"].high


def test_exact_baseline_leaves_the_skill_undefined():
    assert np.isnan(scores_of(TARGETS + 1.0, naive=TARGETS)["skill_naive"].value)
