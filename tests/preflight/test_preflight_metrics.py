"""Findings on metrics that do not fit the labels or outputs."""

import re
import shlex

import numpy as np
import pytest
from keras import layers

from pipeline.cli import compose as composition
from pipeline.spec import class_label

HOT, MULTI, REAL, CLASSES, TWO = ("one_hot", 3), ("multi_label", 3), ("real", 1), ("class", 3), ("class", 2)


def with_(name, **config):
    return {"class_name": name, "config": config}


WRONG = [
    *[("accuracy-on-regression", "linear", None, metric, REAL) for metric in ("Accuracy", "BinaryAccuracy",
      "CategoricalAccuracy", "SparseCategoricalAccuracy", "TopKCategoricalAccuracy")],
    *[("metric-labels", "sigmoid", None, metric, MULTI) for metric in ("SparseCategoricalAccuracy",
      "CategoricalAccuracy", with_("MeanIoU", num_classes=3))],
    ("metric-labels", "softmax", None, with_("MeanIoU", num_classes=3, sparse_y_true=False), CLASSES),
    *[("metric-labels", "linear", None, metric, REAL) for metric in ("AUC", "Recall", "F1Score")],
    *[("metric-on-logits", "linear", "MeanSquaredError", metric, MULTI) for metric in (
      "AUC", "Precision", "Recall", "BinaryAccuracy", "BinaryCrossentropy")],
    *[("metric-on-logits", "sigmoid", None, with_(metric, from_logits=True), MULTI) for metric in ("AUC",
      "BinaryCrossentropy")],
    *[("metric-not-of-predictions", "softmax", None, metric, CLASSES) for metric in ("Mean", "Sum")],
    ("exact-accuracy", "softmax", None, "Accuracy", CLASSES),
    *[("binary-accuracy-on-classes", "softmax", None, "BinaryAccuracy", label) for label in (HOT, CLASSES)],
    ("top-k-of-all", "softmax", None, with_("SparseTopKCategoricalAccuracy", k=3), CLASSES),
    *[("metric-of-several-numbers", "softmax", None, "F1Score", label) for label in (HOT, CLASSES)],
    *[("metric-tells-nothing", "linear", None, metric, REAL) for metric in ("Hinge", "PearsonCorrelation",
      "ConcordanceCorrelation", "CosineSimilarity", "Poisson")],
    ("metric-tells-nothing", "sigmoid", None, "MeanAbsolutePercentageError", MULTI),
    ("metric-fails", "sigmoid", None, with_("AUC", multi_label=True, label_weights=[1.0, 1.0]), MULTI),
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case[0]}-{case[3]}-{case[4]}")
def test_metric_that_does_not_fit_gives_its_finding(found, case):
    code, head, loss, metric, (kind, width), *units = case
    findings = found([layers.Dense(*(units or [width]), head)], kind, width, loss, metrics=[metric])
    assert code in findings, [*findings]
    assert {finding.code for finding in findings.values() if finding.is_error} <= {code}


FIRST_OF_CODE = {case[0]: case for case in reversed(WRONG)}


@pytest.mark.parametrize("code", FIRST_OF_CODE)
def test_fix_of_a_metric_finding_removes_it(found, code):
    _, head, loss, metric, (kind, width), *units = FIRST_OF_CODE[code]

    def finding(metrics):
        model = [layers.Dense(*(units or [width]), head)]
        return found(model, kind, width, loss, metrics=metrics).get(code)

    (argument,) = re.findall(r"objective\.metrics=(?:'[^']*'|[^\s,]+)", finding([metric]).fix)
    config = composition.compose(shlex.split(argument))
    assert finding(config.objective.metrics) is None, argument


def test_fix_keeps_the_other_metrics(found):
    metrics = ["accuracy", with_("SparseTopKCategoricalAccuracy", k=3), "SparseCategoricalCrossentropy"]
    fix = found([layers.Dense(3, "softmax")], metrics=metrics)["top-k-of-all"].fix
    config = composition.compose(shlex.split(fix.removeprefix("Set ")))
    assert config.objective.metrics == [metrics[0], with_("SparseTopKCategoricalAccuracy", k=1), metrics[2]]


def test_fix_keeps_the_losses_of_other_labels(found):
    labels = {name: (class_label(range(size)), np.arange(60) % size) for name, size in (("p", 2), ("q", 3))}

    def build(x):
        return {"p": layers.Dense(2, name="p")(x), "q": layers.Dense(3, "softmax", name="q")(x)}

    loss = {"p": with_("SparseCategoricalCrossentropy", from_logits=True), "q": "categorical_crossentropy"}
    fix = found(build, labels=labels, loss=loss)["integer-labels"].fix
    config = composition.compose(shlex.split(fix.removeprefix("Set ")))
    assert config.objective.loss == {**loss, "q": "sparse_categorical_crossentropy"}


RIGHT = [
    *[("softmax", None, metric, CLASSES) for metric in ("accuracy", "SparseCategoricalAccuracy",
      "SparseCategoricalCrossentropy", with_("SparseTopKCategoricalAccuracy", k=2), "AUC", "Precision",
      "CategoricalCrossentropy", with_("MeanIoU", num_classes=3), with_("F1Score", average="macro"))],
    *[("softmax", None, metric, HOT) for metric in ("accuracy", "CategoricalAccuracy", "AUC", "MeanSquaredError",
      "Precision", "KLDivergence", with_("F1Score", average="macro"), with_("OneHotMeanIoU", num_classes=3),
      "SparseCategoricalAccuracy", with_("MeanIoU", num_classes=3))],
    *[("sigmoid", None, metric, MULTI) for metric in ("accuracy", "AUC", "Recall", with_("AUC", multi_label=True),
      with_("F1Score", average="micro", threshold=0.5))],
    *[("linear", None, metric, REAL) for metric in ("MeanAbsoluteError", "RootMeanSquaredError", "R2Score",
      with_("PearsonCorrelation", axis=0), "MeanAbsolutePercentageError")],
    *[("linear", None, metric, ("real", 3)) for metric in ("PearsonCorrelation", "CosineSimilarity")],
    *[("linear", with_("BinaryCrossentropy", from_logits=True), metric, MULTI) for metric in (
      with_("AUC", from_logits=True), with_("BinaryAccuracy", threshold=0.0), with_("Precision", thresholds=0),
      "AUC", "BinaryAccuracy", "Precision")],
    *[("sigmoid", "BinaryCrossentropy", metric, TWO, 1) for metric in ("BinaryAccuracy", "AUC", "accuracy", "F1Score")],
    *[("softmax", None, metric, TWO) for metric in ("AUC", "F1Score", "Recall", "MeanSquaredError", "accuracy")],
]  # fmt: skip


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case[2]}-{case[3]}")
def test_metric_that_fits_gives_no_error(found, case):
    head, loss, metric, (kind, width), *units = case
    findings = found([layers.Dense(*(units or [width]), head)], kind, width, loss, metrics=[metric])
    assert [str(finding) for finding in findings.values() if finding.is_error] == []
    assert "metric-tells-nothing" not in findings


RARE = (np.arange(240) % 20 == 0).astype(int)


@pytest.mark.parametrize(
    "monitor, weights, is_warned",
    [("val_accuracy", None, True), ("val_loss", None, False), ("val_accuracy", "balanced", False)],
)
def test_monitored_accuracy_with_a_rare_class_gives_a_warning(found, monitor, weights, is_warned):
    from pipeline.training.options import EarlyStopping

    findings = found([layers.Dense(2, "softmax")], width=2, values=RARE, rows=240, metrics=["accuracy"],
                     class_weight=weights, early_stopping=EarlyStopping(2, monitor))  # fmt: skip
    assert ("imbalance-accuracy" in findings) is is_warned


@pytest.mark.parametrize(("width", "values"), [(2, RARE), (3, RARE + (np.arange(240) % 2))])
def test_accuracy_as_the_only_metric_with_a_rare_class_gives_a_warning_whose_fix_removes_it(found, width, values):
    def warning(metrics):
        model = [layers.Dense(width, "softmax")]
        return found(model, width=width, values=values, rows=240, metrics=metrics).get("rare-class-accuracy")

    (argument,) = re.findall(r"objective\.metrics=(?:'[^']*'|[^\s,]+)", warning(["accuracy"]).fix)
    metrics = composition.compose(shlex.split(argument)).objective.metrics
    assert metrics[0] == "accuracy"
    assert warning(metrics) is None


OWN = """
    import keras
    from keras import ops


    def pairs(y_true, y_pred):
        return ops.mean(ops.abs(y_true[:, 0] - y_pred), axis=-1)


    def total(y_true, y_pred):
        return ops.mean(ops.abs(y_true - y_pred))


    def distance(y_true, y_pred):
        return ops.abs(y_true - y_pred)


    class Last(keras.metrics.Metric):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.last = self.add_variable((), "zeros", name="last")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.last.assign(ops.max(y_pred))

        def result(self):
            return self.last
"""


@pytest.mark.parametrize(
    ("metric", "code", "message"),
    [
        ("pairs", "metric-broadcast", "compares every row with every other"),
        ("total", "metric-fails", r"custom/metrics\.py, line 10: expected total to return one value per row"),
        ("Last", "metric-is-a-variable", "its result is the variable 'last' itself"),
        ("distance", None, None),
    ],
)
def test_custom_metric_with_wrong_values_gives_a_finding(found, custom_file, metric, code, message):
    custom_file("metrics.py", OWN)
    findings = found([layers.Dense(1)], "real", 1, metrics=[metric])
    errors = {code: str(finding) for code, finding in findings.items() if finding.is_error}
    assert [*errors] == ([code] if code else [])
    if code:
        assert re.search(message, " ".join(errors[code].split()))
