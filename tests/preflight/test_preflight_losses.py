"""Findings on the loss, the last activation and the labels. Correct combinations give no error."""

import re
import shlex
from dataclasses import dataclass, replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from pipeline.cli import compose as composition
from pipeline.data import checks, splits
from pipeline.data.source import DataSource, Table, class_label, describe, numbered_rows
from pipeline.errors import DataError
from pipeline.objectives.supervised import Supervised
from pipeline.preflight.catalogue import CATALOGUE, ERROR
from pipeline.preflight.inspection import inspect
from pipeline.spec import Label

SCE, CCE, BCE = "SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"
KLD, MSE, MAE, MSLE, MAPE = (
    "KLDivergence", "MeanSquaredError", "MeanAbsoluteError", "MeanSquaredLogarithmicError",
    "MeanAbsolutePercentageError",
)  # fmt: skip
DISTANCES = (MSE, MAE, "Huber", "LogCosh", "CosineSimilarity")


def logits(name):
    return {"class_name": name, "config": {"from_logits": True}}


class Own(layers.Layer):
    """A custom layer whose call is a compiled function."""

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 3))

    @tf.function
    def compiled(self, x):
        return tf.nn.softmax(tf.matmul(x, self.kernel))

    def call(self, x):
        return self.compiled(x)


class Subclassed(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.body, self.head = layers.Dense(5, "relu"), layers.Dense(3, activation)

    def call(self, x, training=False):
        return self.head(self.body(x))


def subclassed(activation):
    def build(x):
        model = Subclassed(activation)
        model(x)
        return model

    return build


# the same softmax in every form that Keras allows
SOFTMAXES = {
    "argument": [layers.Dense, (3, "softmax")],
    "layer": lambda x: layers.Softmax()(layers.Dense(3)(x)),
    "activation layer": lambda x: layers.Activation("softmax")(layers.Dense(3)(x)),
    "nested model": lambda x: keras.Sequential([layers.Dense(3), layers.Softmax()])(layers.Dense(5, "relu")(x)),
    "nested twice": lambda x: keras.Sequential([keras.Sequential([layers.Dense(3, "softmax")])])(x),
    "lambda": lambda x: layers.Lambda(lambda z: ops.softmax(z))(layers.Dense(3)(x)),
    "function": lambda x: ops.softmax(layers.Dense(3)(x)),
    "written out": lambda x: written_out(layers.Dense(3)(x)),
    "reshape behind": lambda x: layers.Reshape((3,))(layers.Reshape((3, 1))(layers.Dense(3, "softmax")(x))),
    "cast behind": lambda x: ops.cast(layers.Dense(3, "softmax", dtype="bfloat16")(x), "float32"),
    "dropout behind": lambda x: layers.Dropout(0.1)(layers.Dense(3, "softmax")(x)),
    "wrapper": lambda x: layers.Flatten()(layers.TimeDistributed(layers.Dense(3, "softmax"))(x[:, None])),
    "compiled layer": lambda x: Own()(x),
    "subclassed": subclassed("softmax"),
}


def written_out(x):
    odds = ops.exp(x)
    return odds / ops.sum(odds, axis=-1, keepdims=True)


def mixture(x):
    """A mixture of sigmoids, weighted by another sigmoid.

    It lies within 0 and 1, which interval arithmetic over its operations does not show.
    """
    gate = layers.Dense(3, "sigmoid")(x)
    return gate * layers.Dense(3, "sigmoid")(x) + (1 - gate) * layers.Dense(3, "sigmoid")(x)


@pytest.mark.parametrize("loss, code", [(BCE, None), (logits(BCE), "probabilities-as-logits")])
def test_mixture_of_probabilities_is_a_probability(found, loss, code):
    assert [*errors(found(mixture, "multi_label", 3, loss))] == ([code] if code else [])


def test_head_that_starts_at_0_is_not_a_probability(found):
    findings = found([layers.Dense(3, kernel_initializer="zeros")], "multi_label", 3, BCE)
    assert "logits-as-probabilities" in findings


def build(form):
    return [form[0](*form[1])] if isinstance(form, list) else form


@pytest.mark.parametrize("form", SOFTMAXES)
def test_softmax_in_any_form_is_not_logits(found, form):
    assert "probabilities-as-logits" in found(build(SOFTMAXES[form]), loss=logits(SCE))


@pytest.mark.parametrize("form", SOFTMAXES)
def test_softmax_in_any_form_fits_its_loss(found, form):
    assert errors(found(build(SOFTMAXES[form]), loss=SCE)).keys() <= {"dropout-on-outputs"}


def errors(findings):
    return {code: str(finding) for code, finding in findings.items() if finding.is_error}


# activation of the last layer; loss; kind and width of the label; number of units if it is not the width
MULTI, HOT, REAL = ("multi_label", 3), ("one_hot", 3), ("real", 3)
CLASSES, TWO, ONE_REAL, ONE_LABEL = ("class", 3), ("class", 2), ("real", 1), ("multi_label", 1)
COUNTS = np.random.default_rng(0).poisson(3.0, 60).astype(np.float32) + np.float32(0.5)
WRONG = [
    # logits used as probabilities, and the reverse
    *[("logits-as-probabilities", head, SCE, CLASSES) for head in ("linear", "relu", "tanh", "softplus", "gelu")],
    *[("logits-as-probabilities", "linear", loss, HOT) for loss in (CCE, "CategoricalFocalCrossentropy", KLD, BCE)],
    *[("logits-as-probabilities", head, BCE, MULTI) for head in ("linear", "relu", "tanh", "elu", "exponential")],
    *[("logits-as-probabilities", "linear", loss, MULTI) for loss in ("Dice", "Tversky", "BinaryFocalCrossentropy")],
    ("logits-as-probabilities", "linear", "CategoricalGeneralizedCrossEntropy", CLASSES),
    ("logits-as-probabilities", "linear", BCE, TWO, 1),
    *[("probabilities-as-logits", head, logits(SCE), CLASSES) for head in ("softmax", "sigmoid", "hard_sigmoid")],
    *[("probabilities-as-logits", "softmax", logits(f"Categorical{name}"), HOT) for name in ("Crossentropy",
      "FocalCrossentropy")],
    *[("probabilities-as-logits", "sigmoid", logits(name), MULTI) for name in (BCE, "BinaryFocalCrossentropy")],
    ("probabilities-as-logits", "sigmoid", logits(BCE), TWO, 1),
    *[("log-probabilities", head, loss, kind) for head, loss, kind in (("log_softmax", SCE, CLASSES),
      ("log_softmax", CCE, HOT), ("log_softmax", KLD, HOT), ("log_sigmoid", BCE, MULTI))],
    *[("one-sided-logits", "relu", logits(loss), kind) for loss, kind in ((SCE, CLASSES), (CCE, HOT), (BCE, MULTI))],
    ("one-sided-logits", "log_sigmoid", logits(BCE), MULTI),
    *[("bounded-logits", "tanh", logits(loss), kind) for loss, kind in ((SCE, CLASSES), (CCE, HOT), (BCE, MULTI))],
    *[("sigmoid-with-categorical", "sigmoid", loss, kind) for loss, kind in ((SCE, CLASSES), (CCE, HOT), (KLD, HOT),
      ("CategoricalFocalCrossentropy", HOT), ("CategoricalGeneralizedCrossEntropy", CLASSES))],
    *[("softmax-on-multi-label", "softmax", loss, MULTI) for loss in (BCE, "Dice", MSE)],
    ("softmax-of-one", "log_softmax", logits(BCE), TWO, 1),
    ("one-sided-logits", "log_softmax", logits(BCE), MULTI),
    *[("softmax-of-one", "softmax", loss, kind, 1) for loss, kind in ((BCE, TWO), (BCE, ONE_LABEL), (MSE, ONE_REAL))],
    *[("binary-loss-over-softmax", "softmax", loss, HOT) for loss in (BCE, "BinaryFocalCrossentropy")],
    ("one-hot-with-sigmoid", "sigmoid", BCE, HOT),
    # labels of another kind than the loss expects
    *[("integer-labels", "softmax", loss, CLASSES) for loss in (CCE, KLD, MSE, "Hinge",
      "CategoricalHinge", BCE, "Dice")],
    *[("one-hot-labels", "softmax", loss, HOT) for loss in (SCE, "CategoricalGeneralizedCrossEntropy")],
    *[("multi-label-with-categorical", "softmax", loss, MULTI) for loss in (SCE, CCE, KLD, "CategoricalHinge")],
    *[("real-labels", "linear", loss, REAL) for loss in (SCE, CCE, BCE, KLD, "Dice", "CategoricalHinge")],
    *[("one-unit-categorical", "sigmoid", loss, kind, 1) for loss, kind in ((SCE, CLASSES), (SCE, TWO), (CCE, HOT),
      (CCE, ONE_LABEL))],
    *[("two-units-binary", head, loss, TWO) for head, loss in (("sigmoid", BCE), ("softmax", BCE), ("tanh", "Hinge"))],
    *[("classes-as-numbers", head, loss, CLASSES, 1) for head, loss in (("linear", MSE), ("sigmoid", BCE))],
    # shapes
    *[("broadcast", "linear", MSE, REAL, 1), ("broadcast", "linear", MAE, ONE_REAL, 3)],
    *[("broadcast", "sigmoid", BCE, MULTI, 1), ("broadcast", "sigmoid", BCE, ONE_LABEL, 3)],
    *[("output-width", "softmax", SCE, CLASSES, units) for units in (2, 4)],
    *[("output-width", head, loss, kind, 4) for head, loss, kind in (("softmax", CCE, HOT), ("sigmoid", BCE, MULTI),
      ("linear", MSE, REAL))],
    # outputs outside the range that a loss expects
    *[("log-of-negative", head, "Poisson", ONE_REAL) for head in ("linear", "tanh", "elu")],
    *[("clipped-outputs", head, MSLE, ONE_REAL) for head in ("linear", "elu")],
    *[("hinge-one-sided", head, loss, MULTI) for head in ("sigmoid", "relu") for loss in ("Hinge", "SquaredHinge")],
    ("labels-not-signs", "tanh", "Hinge", ONE_REAL),
    *[("negative-labels", "softplus", loss, ONE_REAL) for loss in ("Poisson", MSLE)],
    *[("unreachable-labels", head, MSE, ONE_REAL) for head in ("sigmoid", "relu", "tanh", "softplus", "log_sigmoid")],
    ("unreachable-labels", "softmax", MAE, REAL),
    ("cosine-of-one", "linear", "CosineSimilarity", ONE_REAL),
    ("loss-needs-sequences", "linear", "CTC", CLASSES),
    ("not-unit-length", "linear", "Circle", CLASSES),
    *[("distance-on-classes", "softmax", loss, HOT) for loss in DISTANCES],
    *[("scores-not-probabilities", "linear", loss, HOT) for loss in (MSE, "CategoricalHinge")],
]  # fmt: skip


@pytest.mark.parametrize("case", WRONG, ids=lambda case: f"{case[0]}-{case[1]}-{case[3]}")
def test_loss_that_does_not_fit_gives_its_finding(found, case):
    code, head, loss, (kind, width), *units = case
    values = COUNTS if code in ("log-of-negative", "clipped-outputs") else None
    model = [layers.Dense(5, "relu"), layers.Dense(*(units or [width]), head)]
    findings = found(model, kind, width, loss, values=values)
    assert code in findings, [*findings]
    assert set(errors(findings)) <= {code, *CONSEQUENCES}, errors(findings)


CHANGES = re.compile(r"activation: (?P<head>\w+)|units: (?P<units>\d+)|objective\.loss=(?P<loss>'[^']*'|[\w.]+)")
FIRST_OF_CODE = {case[0]: case for case in reversed(WRONG)}
NOT_APPLIED = ("not-unit-length", "label-dtype")  # these are fixed by another layer or other data, not by an option


@pytest.mark.parametrize("code", FIRST_OF_CODE)
def test_fix_of_a_loss_finding_removes_it(found, code):
    _, head, loss, (kind, width), *units = FIRST_OF_CODE[code]
    values = COUNTS if code in ("log-of-negative", "clipped-outputs") else None

    def finding(head, loss, units):
        model = [layers.Dense(5, "relu"), layers.Dense(units, head)]
        return found(model, kind, width, loss, values=values).get(code)

    setup_options = {"head": head, "loss": loss, "units": units[0] if units else width}
    fixed = []
    for alternative in finding(**setup_options).fix.split(", or "):
        changed = {
            name: text for match in CHANGES.finditer(alternative) for name, text in match.groupdict().items() if text
        }
        if "units" in changed:
            changed["units"] = int(changed["units"])
        if "loss" in changed:
            (argument,) = shlex.split(f"objective.loss={changed['loss']}")
            changed["loss"] = composition.compose([argument]).objective.loss
        if changed:
            fixed.append(alternative)
            assert finding(**{**setup_options, **changed}) is None, alternative
    assert fixed or code in NOT_APPLIED


CONSEQUENCES = (
    "update-without-effect",
    "loss-not-finite",
    "gradient-not-finite",
    "unreachable-labels",
    "output-ignores-input",
)

RIGHT = [
    ("softmax", SCE, CLASSES),
    ("softmax", None, CLASSES),
    ("linear", logits(SCE), CLASSES),
    ("log_softmax", logits(SCE), CLASSES),
    ("leaky_relu", logits(SCE), CLASSES),
    ("gelu", logits(SCE), CLASSES),
    ("softmax", "CategoricalGeneralizedCrossEntropy", CLASSES),
    *[("softmax", loss, TWO) for loss in (SCE, "BinaryFocalCrossentropy", "CategoricalFocalCrossentropy")],
    ("softmax", "CategoricalFocalCrossentropy", CLASSES),
    ("sigmoid", "BinaryFocalCrossentropy", TWO, 1),
    *[("softmax", loss, HOT) for loss in (CCE, None, KLD, "CategoricalFocalCrossentropy", "Dice", "Tversky")],
    ("softmax", {"class_name": CCE, "config": {"label_smoothing": 0.1}}, HOT),
    ("linear", logits(CCE), HOT),
    ("linear", logits("CategoricalFocalCrossentropy"), HOT),
    *[("softmax", loss, HOT) for loss in DISTANCES],
    *[("linear", loss, HOT) for loss in (MSE, "CategoricalHinge")],
    ("sigmoid", BCE, HOT),
    ("softmax", BCE, HOT),
    *[("sigmoid", loss, MULTI) for loss in (BCE, None, "BinaryFocalCrossentropy", "Dice", "Tversky", MSE)],
    ("hard_sigmoid", BCE, MULTI),
    ("linear", logits(BCE), MULTI),
    ("linear", logits("BinaryFocalCrossentropy"), MULTI),
    *[(head, loss, MULTI) for head in ("tanh", "linear") for loss in ("Hinge", "SquaredHinge")],
    ("sigmoid", BCE, ONE_LABEL),
    ("sigmoid", BCE, TWO, 1),
    ("linear", logits(BCE), TWO, 1),
    ("tanh", "Hinge", TWO, 1),
    *[("linear", loss, REAL) for loss in (*DISTANCES, None, MAPE)],
    *[("linear", loss, ONE_REAL) for loss in (MSE, MAE, "Huber", "LogCosh", None)],
    ("elu", MSE, ("real", 2)),
]  # fmt: skip


@pytest.mark.parametrize("case", RIGHT, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_loss_that_fits_gives_no_error(found, case):
    head, loss, (kind, width), *units = case
    values = None
    if head == "elu":
        values = np.abs(np.random.default_rng(0).normal(size=(60, 2))).astype(np.float32)
    findings = found([layers.Dense(5, "relu"), layers.Dense(*(units or [width]), head)], kind, width, loss,
                     values=values)  # fmt: skip
    assert not errors(findings)


@pytest.mark.parametrize(
    "head, loss",
    [("softplus", "Poisson"), ("exponential", "Poisson"), ("relu", "Poisson"), ("softplus", MSLE), ("relu", MSE),
     ("softplus", MAPE), ("linear", MSLE)],
)  # fmt: skip
def test_counts_and_amounts_fit_outputs_above_0(found, head, loss):
    assert not errors(found([layers.Dense(1, head)], "real", 1, loss, values=COUNTS))


def test_scaled_real_labels_fit_a_sigmoid(found):
    values = np.linspace(0, 1, 60, dtype=np.float32)
    assert not errors(found([layers.Dense(1, "sigmoid")], "real", 1, MSE, values=values))


@pytest.mark.parametrize("width", [1, 4])
def test_labels_from_0_to_1_fit_a_sigmoid_and_a_binary_loss(found, width):
    x = np.random.default_rng(0).random((60, width), np.float32)
    values = x[:, 0] if width == 1 else x
    assert not errors(found([layers.Dense(width, "sigmoid")], "real", width, BCE, values=values))


def test_soft_labels_fit_a_softmax(found):
    soft = np.full((60, 3), 0.1, np.float32) + 0.7 * np.eye(3, dtype=np.float32)[np.arange(60) % 3]
    assert not errors(found([layers.Dense(3, "softmax")], "one_hot", 3, CCE, values=soft))


@pytest.mark.parametrize("loss", ["Dice", "Tversky"])
def test_overlap_loss_with_a_softmax_gives_no_finding(found, loss):
    assert found([layers.Dense(3, "softmax")], "one_hot", 3, loss) == {}


def a_label_a_step(kind, classes, shape):
    rows = np.arange(60 * int(np.prod(shape))).reshape(60, *shape) % max(len(classes), 2)
    dtype = np.int64 if kind == "class" else np.float32
    return {"y": (Label(kind, classes, len(classes), shape, np.dtype(dtype).name), rows.astype(dtype))}


STEPS = a_label_a_step("class", ("a", "b", "c"), (6,))
PIXELS = a_label_a_step("multi_label", ("inside",), (4, 4, 1))


@pytest.mark.parametrize(
    "labels, shape, model, loss",
    [
        (STEPS, (6, 2), lambda: [layers.GRU(4, return_sequences=True), layers.Dense(3, "softmax")], None),
        (STEPS, (14, 2), lambda: [layers.GRU(4, return_sequences=True), layers.Dense(4)], "CTC"),
        (PIXELS, (4, 4, 1), lambda: [layers.Conv2D(1, 3, padding="same", activation="sigmoid")], "Dice"),
        (PIXELS, (4, 4, 1), lambda: [layers.Conv2D(1, 3, padding="same")], logits(BCE)),
    ],
    ids=["steps", "aligned", "overlap", "pixels"],
)
def test_label_per_step_or_pixel_fits_an_output_for_each(found, labels, shape, model, loss):
    assert not errors(found(model(), labels=labels, shape=shape, loss=loss))


def test_output_per_row_for_a_label_per_step_gives_a_finding(found):
    assert "output-rank" in found([layers.GRU(4), layers.Dense(3, "softmax")], labels=STEPS, shape=(6, 2))


def test_unit_length_embeddings_fit_the_circle_loss(found):
    findings = found([layers.Dense(3), layers.UnitNormalization()], "class", 3, "Circle")
    assert not {"not-unit-length", *errors(findings)} & {*findings}


# ---- values of labels ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, kind, width, loss, head, values",
    [
        ("label-dtype", "class", 3, SCE, "softmax", (np.arange(60) % 3).astype(np.float32)),
        ("label-dtype", "class", 3, SCE, "softmax", np.arange(60) % 3 + 0.5),
        ("zero-labels", "real", 1, MAPE, "linear", np.arange(60, dtype=np.float32) % 30),
        ("real-labels-look-like-classes", "real", 1, MSE, "linear", (np.arange(60) % 3).astype(np.float32)),
        ("multi-label-looks-one-hot", "multi_label", 3, BCE, "sigmoid",
         np.eye(3, dtype=np.float32)[np.arange(60) % 3]),
        ("unreachable-labels", "real", 1, MSE, "sigmoid", np.linspace(0, 100, 60, dtype=np.float32)),
    ],
)  # fmt: skip
def test_wrong_label_values_give_a_finding(found, code, kind, width, loss, head, values):
    assert code in found([layers.Dense(width, head)], kind, width, loss, values=values)


@dataclass
class FloatClasses(DataSource):
    """A custom data source that returns class labels as floats."""

    def read(self):
        x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
        table = Table({"x": x}, {"y": (np.arange(60) % 3).astype(np.float32)}, numbered_rows("made"))
        return describe({"train": table}, labels={"y": class_label("abc")}, location="made")


def test_float_class_labels_of_a_custom_data_source_give_a_finding(prepared):
    setup, data = prepared([layers.Dense(3, "softmax")]), splits.load(FloatClasses())
    own = replace(setup, data=data, feed=replace(setup.feed, split=data.train, spec=data.spec))
    assert "label-dtype" in {item.code for item in inspect(own)}


@pytest.mark.parametrize("kind", ["class", "one_hot"])
@pytest.mark.parametrize("weights, code", [([1.0, 0.0, 2.0], "class-weight-zero"), ([1.0, 1.0, 2.0], None)])
def test_class_weight_of_0_gives_a_finding(found, kind, weights, code):
    findings = found([layers.Dense(3, "softmax")], kind=kind, class_weight=weights)
    assert (code in findings) if code else (errors(findings) == {})


@pytest.mark.parametrize(
    "kind, values, message",
    [
        ("class", np.arange(60) % 4, "expected a class from 0 to 2 in label 'y'; found 3"),
        ("class", np.arange(60) % 3 - 1, "expected a class from 0 to 2 in label 'y'; found -1"),
        ("one_hot", np.ones((60, 3), np.float32), "expected numbers of at least 0 that sum to 1 in label 'y'"),
        ("class", np.arange(60) % 2, "expected every class of label 'y'; found no row of 2"),
        ("real", np.where(np.arange(60) == 30, np.nan, 0.5).astype(np.float32), "expected finite numbers in label 'y'"),
    ],
    ids=["too large", "negative", "sum of 3", "class without rows", "NaN"],
)  # fmt: skip
def test_labels_are_checked_before_preflight(prepared, kind, values, message):
    setup = prepared(
        [layers.Dense(3 if kind != "real" else 1, "softmax")], kind, 1 if kind == "real" else 3, values=values
    )
    with pytest.raises(DataError, match=message):
        checks.check(setup.spec, setup.data.splits, setup.config.data)


# ---- shapes of outputs -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, model, kind, width",
    [
        ("output-rank", [layers.Reshape((2, 2)), layers.Dense(3, "softmax")], "class", 3),
        ("softmax-axis", [layers.Dense(3), layers.Softmax(axis=0)], "class", 3),
        ("broadcast", lambda x: layers.Reshape(())(layers.Dense(1)(x)), "real", 2),
        ("output-without-label", lambda x: {"z": layers.Dense(3, "softmax")(x)}, "class", 3),
    ],
)
def test_output_of_another_shape_gives_a_finding(prepared, code, model, kind, width):
    if code == "output-without-label":
        setup = prepared([layers.Dense(width, "softmax")], kind, width)
        other = prepared(model, kind, width, objective=Anonymous)
        setup = type(setup)(setup.config, setup.data, other.objective, setup.feed)
    else:
        setup = prepared(model, kind, width, loss=MSE if kind == "real" else None)
    assert code in {finding.code for finding in inspect(setup)}


class Anonymous(Supervised):
    """Compiles with losses by output name, as a custom objective may do."""

    def compile(self, optimizer, training):
        self.model.compile(optimizer, {"z": "sparse_categorical_crossentropy"})
        optimizer.build(self.model.trainable_variables)


class PairwiseError(keras.losses.Loss):
    """A custom loss that ignores that labels are (rows,) and outputs (rows, 1)."""

    def call(self, y_true, y_pred):
        return ops.square(ops.cast(y_true, y_pred.dtype) - y_pred)


class RowwiseError(keras.losses.Loss):
    def call(self, y_true, y_pred):
        return ops.square(ops.cast(y_true, y_pred.dtype) - ops.squeeze(y_pred, -1))


class WithOwnLoss(Supervised):
    loss_class = PairwiseError

    def compile(self, optimizer, training):
        super().compile(optimizer, training)
        self.model.compile(optimizer, self.loss_class())


class WithRowwiseLoss(WithOwnLoss):
    loss_class = RowwiseError


@pytest.mark.parametrize("objective, code", [(WithOwnLoss, "broadcast"), (WithRowwiseLoss, None)])
def test_custom_loss_that_compares_rows_with_each_other_gives_a_finding(found, objective, code):
    findings = found([layers.Dense(1)], "real", 1, objective=objective)
    assert {*errors(findings)} == ({code} if code else set())


@pytest.mark.parametrize("reduced", [True, False])
def test_custom_loss_that_reduces_the_rows_is_named_with_file_and_line(found, custom_file, reduced):
    values = "(y_true - y_pred) ** 2"
    returned = f"ops.mean({values})" if reduced else values
    custom_file("losses.py", f"from keras import ops\n\n\ndef error(y_true, y_pred):\n    return {returned}\n")
    findings = errors(found([layers.Dense(1)], "real", 1, loss="error"))
    assert [*findings] == (["step-fails"] if reduced else [])
    if reduced:
        message = " ".join(str(findings["step-fails"]).split())
        assert "custom/losses.py, line 4: expected error to return one value per row" in message
        assert "function_objects" not in message


def test_catalogue_has_a_reason_and_a_fix_for_every_finding():
    for code, entry in CATALOGUE.items():
        assert entry.severity in (ERROR, "warning") and entry.explanation.endswith(".") and entry.general_fix(), code


@pytest.mark.parametrize(("width", "units", "needed"), [(1, 1, 3), (2, 2, 6), (2, 3, 6), (2, 6, None)])
def test_quantiles_need_one_unit_each_for_every_number(found, width, units, needed):
    findings = found([keras.layers.Dense(units)], kind="real", width=width, quantiles=[0.1, 0.5, 0.9])
    if needed is None:
        assert not any(finding.is_error for finding in findings.values())
    else:
        assert f"units: {needed}" in findings["output-width"].fix
