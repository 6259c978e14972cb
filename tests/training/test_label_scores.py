"""Outputs that are not probabilities are converted to probabilities before they are scored."""

import keras
import numpy as np
import pytest

from pipeline.spec import class_label, real_label, row_label
from pipeline.training.label_scores import as_probabilities

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
def test_class_with_the_largest_output_keeps_the_largest_probability(label, loss):
    probabilities = as_probabilities(label, loss, SCORES)
    assert (probabilities.argmax(axis=1) == SCORES.argmax(axis=1)).all() and (
        (probabilities >= 0) & (probabilities <= 1)
    ).all()


@pytest.mark.parametrize("loss", [keras.losses.BinaryCrossentropy(**LOGITS), keras.losses.Hinge()])
def test_output_above_0_becomes_a_probability_above_one_half(loss):
    probabilities = as_probabilities(MULTI, loss, SCORES)
    assert ((probabilities > 0.5) == (SCORES > 0)).all()


def test_logit_of_a_single_unit_is_that_of_the_second_class():
    probabilities = as_probabilities(TWO, keras.losses.BinaryCrossentropy(**LOGITS), SCORES[:, :1])
    np.testing.assert_allclose(probabilities, 1 / (1 + np.exp(-SCORES[:, :1])), rtol=1e-6)


def test_probabilities_and_real_numbers_are_not_changed():
    share = np.array([[0.2, 0.3, 0.5]], np.float32)
    np.testing.assert_array_equal(as_probabilities(THREE, keras.losses.SparseCategoricalCrossentropy(), share), share)
    np.testing.assert_array_equal(as_probabilities(real_label(3), keras.losses.MeanSquaredError(), SCORES), SCORES)
