"""Simple models: they are optimal on the training rows, they repeat, and they are restored as they were."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.data.containers import Table
from pipeline.evaluation import simple_models
from pipeline.evaluation.simple_models import constant_outputs, fit_simple_models, simple_models_from_json
from pipeline.spec import MULTI_LABEL, DataSpec, Feature, class_label, real_label, row_label

ROWS = 400
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal([0, 5, 100], [1, 0.1, 30], size=(ROWS, 3)).astype(np.float32)
CITY = RANDOM.choice(["Oslo", "Rome", "Lima"], ROWS).astype(object)
SUM = NUMBERS[:, 0] + (NUMBERS[:, 2] - 100) / 30 + 2 * (CITY == "Rome")
PRICE = (SUM + RANDOM.normal(size=ROWS)).astype(np.float32)
KIND = np.digitize(SUM + RANDOM.normal(size=ROWS), [0, 1.5])
SPEC = DataSpec(
    {"numeric": Feature((3,), "float32", columns=("a", "b", "c")), "city": Feature((1,), "string")},
    {
        "price": real_label(),
        "kind": class_label(["low", "middle", "high"]),
        "flags": row_label(MULTI_LABEL, ["up", "odd"]),
    },
)
FLAGS = np.stack([SUM > 0.5, np.arange(ROWS) % 2], axis=1).astype(np.float32)
TABLE = Table(
    {"numeric": NUMBERS, "city": CITY[:, np.newaxis]}, {"price": PRICE, "kind": KIND, "flags": FLAGS}, "row {}".format
)
STANDARDIZED = np.hstack([NUMBERS, CITY[:, np.newaxis] == np.array(["Lima", "Oslo", "Rome"])]).astype(np.float64)
STANDARDIZED = (STANDARDIZED - STANDARDIZED.mean(axis=0)) / STANDARDIZED.std(axis=0)


@pytest.fixture(scope="module")
def models():
    return fit_simple_models(SPEC, TABLE)


def test_linear_regression_is_that_of_scikit_learn(models):
    expected = Ridge(alpha=1).fit(STANDARDIZED, PRICE).predict(STANDARDIZED)
    assert models.predict_linear(SPEC, TABLE)["price"][:, 0] == pytest.approx(expected, abs=1e-5)


def test_logistic_regression_is_nearly_that_of_scikit_learn(models):
    expected = LogisticRegression(C=1).fit(STANDARDIZED, KIND).predict_proba(STANDARDIZED)
    assert models.predict_linear(SPEC, TABLE)["kind"] == pytest.approx(expected, abs=0.02)


def test_each_answer_of_a_multi_label_has_its_own_regression(models):
    predicted = models.predict_linear(SPEC, TABLE)["flags"] > 0.5
    assert ((predicted == FLAGS).mean(axis=0) > [0.95, 0.4]).all()


def test_models_are_the_same_after_they_were_stored(models):
    restored = simple_models_from_json(json.loads(json.dumps(models.to_json())))
    for name, outputs in models.predict_linear(SPEC, TABLE).items():
        assert (restored.predict_linear(SPEC, TABLE)[name] == outputs).all()
        assert (restored.constants[name] == models.constants[name]).all()


def test_unknown_categories_and_missing_numbers_are_predicted(models):
    numbers = np.full((2, 3), np.nan, np.float32)
    cities = np.array([["Bonn"], [""]], object)
    rows = replace(TABLE.select(np.arange(2)), features={"numeric": numbers, "city": cities})
    outputs = models.predict_linear(SPEC, rows)
    assert np.isfinite(outputs["price"]).all() and np.isfinite(outputs["kind"]).all()


def test_rows_beyond_the_cap_are_left_out_the_same_way_each_time(monkeypatch):
    monkeypatch.setattr(simple_models, "MOST_ROWS", 100)
    first, second = fit_simple_models(SPEC, TABLE), fit_simple_models(SPEC, TABLE)
    assert first.to_json() == second.to_json() != fit_simple_models(SPEC, TABLE.select(np.arange(100))).to_json()


def test_text_alone_has_no_linear_model():
    spec = DataSpec({"city": Feature((1,), "string", text=True)}, {"price": real_label()})
    models = fit_simple_models(spec, Table({"city": CITY[:, np.newaxis]}, {"price": PRICE}, "row {}".format))
    assert models.linear == {} and models.constants["price"] == pytest.approx([PRICE.mean()])


def test_sequences_have_a_linear_model_of_their_means_and_spreads(vowels):
    models = fit_simple_models(vowels.spec, vowels.train)
    predicted = models.predict_linear(vowels.spec, vowels.test)["speaker"].argmax(axis=1)
    assert (predicted == vowels.test.labels["speaker"]).mean() > 0.9


def test_constant_outputs_are_shares_that_count_class_weights():
    label = class_label(["a", "b"])
    assert constant_outputs(label, np.array([0, 0, 0, 1])).tolist() == [0.75, 0.25]
    assert constant_outputs(label, np.array([0, 0, 0, 1]), np.array([1, 3])).tolist() == [0.5, 0.5]
