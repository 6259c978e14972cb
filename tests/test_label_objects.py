"""Keras metrics on labels of classes in each form: the values of scikit-learn."""

import keras
import numpy as np
import pytest
from keras import losses, metrics
from sklearn import metrics as reference

from pipeline import keras_objects
from pipeline.evaluation.ordinal_scores import ranked_probability_scores
from pipeline.label_objects import LabelMetric, for_label, loss_for_label
from pipeline.spec import MULTI_LABEL, ONE_HOT, class_label, real_label, row_label

NUMBERS = np.random.default_rng(0)
ROWS = 200

TRUTH = NUMBERS.integers(0, 2, ROWS)
SHARES = 1 / (1 + np.exp(-(NUMBERS.normal(size=ROWS) + TRUTH)))
PAIRS = np.stack([1 - SHARES, SHARES], axis=1)
LOGITS = np.log(PAIRS) + 3
PREDICTED = SHARES > 0.5
CATEGORIES, BINARY = losses.SparseCategoricalCrossentropy, losses.BinaryCrossentropy
BINARY_FORMS = {  # label, loss, labels and outputs
    "softmax": (class_label("ab"), CATEGORIES(), TRUTH, PAIRS),
    "two logits": (class_label("ab"), CATEGORIES(from_logits=True), TRUTH, LOGITS),
    "sigmoid": (class_label("ab"), BINARY(), TRUTH, PAIRS[:, 1:]),
    "one logit": (class_label("ab"), BINARY(from_logits=True), TRUTH, LOGITS[:, 1:] - LOGITS[:, :1]),
    "one-hot": (row_label(ONE_HOT, "ab"), losses.CategoricalCrossentropy(), np.eye(2)[TRUTH], PAIRS),
}
BINARY_METRICS = [
    (metrics.AUC, {"num_thresholds": 5000}, reference.roc_auc_score(TRUTH, SHARES), 1e-3),
    (metrics.AUC, {"curve": "PR", "num_thresholds": 5000}, reference.average_precision_score(TRUTH, SHARES), 5e-3),
    (metrics.Precision, {}, reference.precision_score(TRUTH, PREDICTED), 1e-6),
    (metrics.Precision, {"class_id": 0}, reference.precision_score(1 - TRUTH, ~PREDICTED), 1e-6),
    (metrics.Recall, {}, reference.recall_score(TRUTH, PREDICTED), 1e-6),
    (metrics.F1Score, {}, reference.f1_score(TRUTH, PREDICTED), 1e-6),
    (metrics.F1Score, {"average": "macro"}, reference.f1_score(TRUTH, PREDICTED, average="macro"), 1e-6),
    (metrics.FBetaScore, {"beta": 2.0}, reference.fbeta_score(TRUTH, PREDICTED, beta=2), 1e-6),
    (metrics.MeanSquaredError, {}, reference.brier_score_loss(TRUTH, SHARES), 1e-6),
    (metrics.SparseCategoricalAccuracy, {}, reference.accuracy_score(TRUTH, PREDICTED), 1e-6),
    (metrics.BinaryAccuracy, {}, reference.accuracy_score(TRUTH, PREDICTED), 1e-6),
    (metrics.BinaryCrossentropy, {}, reference.log_loss(TRUTH, SHARES), 1e-5),
    (metrics.CategoricalCrossentropy, {}, reference.log_loss(TRUTH, SHARES), 1e-5),
    (metrics.MeanIoU, {"num_classes": 2}, reference.jaccard_score(TRUTH, PREDICTED, average="macro"), 1e-6),
]

CLASSES = NUMBERS.integers(0, 3, ROWS)
SCORES = NUMBERS.normal(size=(ROWS, 3)) + np.eye(3)[CLASSES]
TRIPLES = np.exp(SCORES) / np.exp(SCORES).sum(axis=1, keepdims=True)
LARGEST = TRIPLES.argmax(axis=1)
HOT = np.eye(3)[CLASSES]
FORMS_OF_THREE = {
    "softmax": (class_label("abc"), CATEGORIES(), CLASSES, TRIPLES),
    "logits": (class_label("abc"), CATEGORIES(from_logits=True), CLASSES, SCORES),
    "one-hot": (row_label(ONE_HOT, "abc"), losses.CategoricalCrossentropy(), HOT, TRIPLES),
}
METRICS_OF_THREE = [
    (metrics.AUC, {"num_thresholds": 5000}, reference.roc_auc_score(HOT, TRIPLES, average="micro"), 1e-3),
    (metrics.Precision, {}, reference.precision_score(HOT, TRIPLES > 0.5, average="micro"), 1e-6),
    (metrics.F1Score, {"average": "macro"}, reference.f1_score(CLASSES, LARGEST, average="macro"), 1e-6),
    (metrics.SparseCategoricalCrossentropy, {}, reference.log_loss(CLASSES, TRIPLES), 1e-5),
    (metrics.CategoricalCrossentropy, {}, reference.log_loss(CLASSES, TRIPLES), 1e-5),
    (metrics.TopKCategoricalAccuracy, {"k": 2}, reference.top_k_accuracy_score(CLASSES, TRIPLES, k=2), 1e-6),
    (metrics.OneHotMeanIoU, {"num_classes": 3}, reference.jaccard_score(CLASSES, LARGEST, average="macro"), 1e-6),
    (metrics.MeanIoU, {"num_classes": 3}, reference.jaccard_score(CLASSES, LARGEST, average="macro"), 1e-6),
]

SETS = (NUMBERS.random((ROWS, 3)) < 0.4).astype(int)
SET_SHARES = 1 / (1 + np.exp(-(NUMBERS.normal(size=(ROWS, 3)) + SETS)))
FORMS_OF_SETS = {
    "sigmoid": (row_label(MULTI_LABEL, "abc"), BINARY(), SETS, SET_SHARES),
    "logits": (row_label(MULTI_LABEL, "abc"), BINARY(from_logits=True), SETS, np.log(SET_SHARES / (1 - SET_SHARES))),
}
METRICS_OF_SETS = [
    (metrics.F1Score, {"average": "micro"}, reference.f1_score(SETS, SET_SHARES > 0.5, average="micro"), 1e-6),
    (metrics.AUC, {"num_thresholds": 5000}, reference.roc_auc_score(SETS, SET_SHARES, average="micro"), 1e-3),
    (metrics.BinaryAccuracy, {}, ((SET_SHARES > 0.5) == SETS).mean(), 1e-6),
]

CASES = [
    pytest.param(forms[form], *case, id=f"{form}-{case[0].__name__}-{len(forms[form][0].classes)}-{index}")
    for forms, cases in (
        (BINARY_FORMS, BINARY_METRICS),
        (FORMS_OF_THREE, METRICS_OF_THREE),
        (FORMS_OF_SETS, METRICS_OF_SETS),
    )
    for form in forms
    for index, case in enumerate(cases)
]


@pytest.mark.parametrize(("form", "kind", "arguments", "expected", "tolerance"), CASES)
def test_metric_has_the_value_of_scikit_learn(form, kind, arguments, expected, tolerance):
    label, loss, labels, outputs = form
    saved = keras.saving.serialize_keras_object(for_label(kind(**arguments), label, loss))
    loaded = keras.saving.deserialize_keras_object(saved)
    for batch in np.array_split(np.arange(ROWS), 3):
        loaded.update_state(labels[batch], outputs[batch].astype(np.float32))
    assert float(loaded.result()) == pytest.approx(expected, abs=tolerance)


def test_metric_that_fits_stays_as_it_is():
    for metric, label, loss in (
        (metrics.SparseCategoricalAccuracy(), class_label("abc"), CATEGORIES(from_logits=True)),
        (metrics.AUC(), row_label(ONE_HOT, "abc"), losses.CategoricalCrossentropy()),
        (metrics.MeanAbsoluteError(), real_label(), losses.MeanSquaredError()),
    ):
        assert for_label(metric, label, loss) is metric


def test_metric_that_takes_logits_gets_the_logit_of_the_second_class():
    label, loss, labels, outputs = BINARY_FORMS["two logits"]
    metric = for_label(metrics.BinaryCrossentropy(from_logits=True), label, loss)
    assert isinstance(metric, LabelMetric)
    metric.update_state(labels, outputs)
    assert float(metric.result()) == pytest.approx(reference.log_loss(TRUTH, SHARES), abs=1e-5)


@pytest.mark.parametrize("from_logits", [False, True])
def test_ranked_probability_score_is_that_of_the_report_for_indices_and_one_hot_rows(from_logits):
    outputs = (SCORES if from_logits else TRIPLES).astype(np.float32)
    loss = keras_objects.loss(
        "objective.loss", {"class_name": "RankedProbabilityScore", "config": {"from_logits": from_logits}}
    )
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(loss))
    expected = pytest.approx(ranked_probability_scores(CLASSES, TRIPLES), abs=1e-6)
    assert restored.call(CLASSES, outputs).numpy().tolist() == expected
    assert restored.call(HOT, outputs).numpy().tolist() == expected


@pytest.mark.parametrize("from_logits", [False, True])
def test_focal_losses_of_class_indices_are_those_of_one_hot_rows(from_logits):
    scores, shares = (values.astype(np.float32) for values in (SCORES, TRIPLES))
    keras_loss = losses.CategoricalFocalCrossentropy(from_logits=from_logits)
    loss = loss_for_label(losses.CategoricalFocalCrossentropy(from_logits=from_logits), class_label("abc"))
    outputs = scores if from_logits else shares
    assert float(loss(CLASSES, outputs)) == pytest.approx(float(keras_loss(HOT, outputs)), rel=1e-6)


@pytest.mark.parametrize("form", ["softmax", "two logits", "sigmoid", "one logit"])
def test_binary_focal_loss_of_class_indices_is_that_of_one_unit(form):
    from_logits = "logit" in form
    arguments = {"apply_class_balancing": True, "alpha": 0.9, "from_logits": from_logits}
    outputs = BINARY_FORMS[form][3].astype(np.float32)
    loss = loss_for_label(losses.BinaryFocalCrossentropy(**arguments), class_label("ab"))
    one_unit = losses.BinaryFocalCrossentropy(**arguments | {"from_logits": False})
    expected = one_unit(TRUTH[:, None], PAIRS[:, 1:].astype(np.float32))
    assert float(loss(TRUTH, outputs)) == pytest.approx(float(expected), rel=1e-4)
