"""Thresholds: chosen as scikit-learn's best on the same curve, stored, and applied."""

import json

import numpy as np
import pytest
from sklearn import metrics as reference

from pipeline.errors import ConfigError
from pipeline.evaluation import decisions, metrics
from pipeline.evaluation.options import Evaluation
from pipeline.spec import MULTI_LABEL, DataSpec, class_label, row_label

BINARY = class_label(["no", "yes"])


def rows_of(seed=0, rows=300, grain=0.02):
    rng = np.random.default_rng(seed)
    truth = (rng.random(rows) < 0.2).astype(int)
    shares = np.round(1 / (1 + np.exp(-(rng.normal(size=rows) + 2 * truth - 1.5))) / grain) * grain
    return truth, np.stack([1 - shares, shares], axis=1)


def chosen(rule, truth, outputs, label=BINARY, **options):
    evaluation = Evaluation(threshold=rule, **options)
    evaluation.check()
    return decisions.choose(label, members=metrics.members_of(label, truth), probabilities=outputs, options=evaluation)


@pytest.mark.parametrize("seed", range(5))
def test_threshold_of_max_f1_is_that_of_scikit_learn(seed):
    truth, outputs = rows_of(seed)
    _, _, thresholds = reference.precision_recall_curve(truth, outputs[:, 1])
    scores = [reference.f1_score(truth, outputs[:, 1] >= threshold) for threshold in thresholds]
    assert chosen("max_f1", truth, outputs).thresholds == (thresholds[int(np.argmax(scores))],)


@pytest.mark.parametrize("least", ["0.9", "0.5"])
def test_threshold_of_a_least_recall_has_the_highest_precision(least):
    truth, outputs = rows_of()
    precision, recall, thresholds = reference.precision_recall_curve(truth, outputs[:, 1])
    best = np.where(recall[:-1] >= float(least), precision[:-1], -1).argmax()
    assert chosen(f"recall>={least}", truth, outputs).thresholds == (thresholds[best],)


def test_threshold_of_a_least_precision_has_the_highest_recall():
    truth, outputs = rows_of()
    precision, recall, thresholds = reference.precision_recall_curve(truth, outputs[:, 1])
    best = np.where(precision[:-1] >= 0.6, recall[:-1], -1).argmax()
    assert chosen("precision>=0.6", truth, outputs).thresholds == (thresholds[best],)


@pytest.mark.parametrize(("wrong_positive", "wrong_negative"), [(1, 20), (20, 1), (1, 0)])
def test_threshold_of_a_cost_has_the_lowest_cost(wrong_positive, wrong_negative):
    truth, outputs = rows_of()

    def cost(threshold):
        _, false_positive, false_negative, _ = reference.confusion_matrix(truth, outputs[:, 1] >= threshold).ravel()
        return wrong_positive * false_positive + wrong_negative * false_negative

    (threshold,) = chosen(f"cost(fp={wrong_positive}, fn={wrong_negative})", truth, outputs).thresholds
    assert cost(threshold) == min(cost(value) for value in [*np.unique(outputs[:, 1]), 2])


def test_rule_that_no_threshold_fulfils_gives_the_nearest_one_and_a_note():
    truth = np.array([1, 0, 1, 0])
    outputs = np.array([[0.4, 0.6], [0.1, 0.9], [0.6, 0.4], [0.8, 0.2]])
    decision = chosen("precision>=0.9", truth, outputs)
    assert "no threshold reaches precision>=0.9" in decision.note
    assert decision.thresholds == (0.4,)


def test_named_class_is_the_positive_one():
    truth, outputs = rows_of()
    decision = chosen("recall>=0.9", 1 - truth, outputs[:, ::-1], positive="no")
    assert decision.positive == 0
    assert decision.thresholds == chosen("recall>=0.9", truth, outputs).thresholds
    predicted = decisions.decide(BINARY, outputs[:, ::-1], decision)
    assert reference.recall_score(1 - truth, predicted, pos_label=0) >= 0.9


def test_each_class_of_a_multi_label_has_its_threshold():
    truth, outputs = rows_of()
    label = row_label(MULTI_LABEL, "ab")
    decision = chosen("max_f1", np.stack([truth, 1 - truth], axis=1), outputs, label)
    first, second = (
        chosen("max_f1", members, np.stack([1 - shares, shares], axis=1)).thresholds[0]
        for members, shares in ((truth, outputs[:, 0]), (1 - truth, outputs[:, 1]))
    )
    assert decision.thresholds == (first, second)
    assert (decisions.decide(label, outputs, decision) == (outputs >= [first, second])).all()


def test_without_a_decision_the_most_probable_class_is_predicted():
    outputs = np.array([[0.5, 0.5], [0.4, 0.6]])
    assert decisions.decide(BINARY, outputs, None).tolist() == [0, 1]
    assert decisions.decide(BINARY, outputs, chosen(0.5, np.array([0, 1]), outputs)).tolist() == [0, 1]


def test_scores_are_those_of_the_decision():
    truth, outputs = rows_of()
    decision = chosen("recall>=0.9", truth, outputs)
    scores = metrics.evaluate_label(
        "y", BINARY, targets=truth, outputs=outputs, losses={}, options=Evaluation(resamples=100), seed=0,
        decision=decision,
    ).scores  # fmt: skip
    predicted = outputs[:, 1] >= decision.thresholds[0]
    assert scores["recall"].value == pytest.approx(reference.recall_score(truth, predicted), abs=1e-12)
    assert scores["precision"].value == pytest.approx(reference.precision_score(truth, predicted), abs=1e-12)


def test_stored_decisions_are_read_as_they_were():
    made = {"y": chosen("max_f1", *rows_of())}
    assert decisions.of_run(json.loads(json.dumps({"decisions": decisions.to_json(made)}))) == made


def test_command_applies_the_stored_rule_or_a_number_and_refuses_another_rule():
    spec, stored = DataSpec({}, {"y": BINARY}), {"y": chosen("max_f1", *rows_of())}
    assert decisions.of_command(stored, spec, Evaluation(threshold="max_f1")) == stored
    assert decisions.of_command(stored, spec, Evaluation(threshold=0.3))["y"].thresholds == (0.3,)
    with pytest.raises(ConfigError, match="expected the rule of the training, max_f1"):
        decisions.of_command(stored, spec, Evaluation(threshold="recall>=0.9"))


@pytest.mark.parametrize("rule", ["max_f2", "1.5", 0, "recall>=1.2", "cost(fp=1)", "precision>0.9"])
def test_unknown_rule_is_refused(rule):
    with pytest.raises(ConfigError, match=r"evaluation\.threshold: expected a number between 0 and 1, max_f1"):
        Evaluation(threshold=rule).check()


def test_rule_without_validation_rows_or_two_classes_is_refused():
    with pytest.raises(ConfigError, match=r"expected validation rows .* data\.split\.validation=0\.1"):
        decisions.check(Evaluation(threshold="max_f1"), DataSpec({}, {"y": BINARY}), None)
    with pytest.raises(ConfigError, match=r"expected a label of two classes.*found y \(class, 3\)"):
        decisions.check(Evaluation(threshold="max_f1"), DataSpec({}, {"y": class_label("abc")}), None)
    with pytest.raises(ConfigError, match=r"positive=yess: expected a class .* found no, yes\. .*yes"):
        decisions.check(Evaluation(positive="yess"), DataSpec({}, {"y": BINARY}), None)
