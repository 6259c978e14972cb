"""What the evaluation makes of outputs that are no probabilities: preflight lets such set-ups through."""

import keras
import numpy as np
import pytest

from pipeline.evaluation.label_scores import as_probabilities
from pipeline.spec import class_label, real_label, row_label

THREE, TWO, MULTI = class_label("abc"), class_label("ab"), row_label("multi_label", "abc")
SCORES = np.array([[2.0, -1.0, 0.5], [-3.0, 0.2, 0.1]], np.float32)
LOGITS = {"from_logits": True}


@pytest.mark.parametrize(
    "label, loss",
    [
        (THREE, keras.losses.SparseCategoricalCrossentropy(**LOGITS)),
        (row_label("one_hot", "abc"), keras.losses.CategoricalHinge()),
        (row_label("one_hot", "abc"), keras.losses.MeanSquaredError()),
    ],
)
def test_the_class_with_the_largest_score_stays_the_largest(label, loss):
    judged = as_probabilities(label, loss, SCORES)
    assert (judged.argmax(axis=1) == SCORES.argmax(axis=1)).all() and ((judged >= 0) & (judged <= 1)).all()


@pytest.mark.parametrize("loss", [keras.losses.BinaryCrossentropy(**LOGITS), keras.losses.Hinge()])
def test_a_score_above_0_stays_a_label_that_holds(loss):
    judged = as_probabilities(MULTI, loss, SCORES)
    assert ((judged > 0.5) == (SCORES > 0)).all()


def test_the_logit_of_a_lone_unit_is_that_of_the_second_class():
    judged = as_probabilities(TWO, keras.losses.BinaryCrossentropy(**LOGITS), SCORES[:, :1])
    np.testing.assert_allclose(judged, 1 / (1 + np.exp(-SCORES[:, :1])), rtol=1e-6)


def test_probabilities_and_real_numbers_stay_as_they_are():
    share = np.array([[0.2, 0.3, 0.5]], np.float32)
    np.testing.assert_array_equal(as_probabilities(THREE, keras.losses.SparseCategoricalCrossentropy(), share), share)
    np.testing.assert_array_equal(as_probabilities(real_label(3), keras.losses.MeanSquaredError(), SCORES), SCORES)
