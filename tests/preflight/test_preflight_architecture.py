"""Findings on the model alone: layers that do not train, unconnected inputs, and the `training` argument."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.objectives.supervised import Supervised
from pipeline.preflight.inspection import inspect
from pipeline.spec import Feature, class_label

HEAD = layers.Dense


def frozen(*body):
    for layer in body:
        layer.trainable = False
    return list(body)


class Unhanded(keras.Model):
    """Calls a layer without passing `training` on."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.head = inner, layers.Dense(3, "softmax")

    def call(self, x, training=False):
        return self.head(self.inner(x, training=False))


class Handing(Unhanded):
    def call(self, x, training=False):
        return self.head(self.inner(x, training=training))


class Hoarder(keras.Model):
    """Has a layer that it never calls."""

    def __init__(self):
        super().__init__()
        self.spare, self.head = layers.Dense(3), layers.Dense(3, "softmax")

    def call(self, x, training=False):
        return self.head(x)


class Aimless(keras.Model):
    """Returns the same output for every row, and has weights that `call` does not use."""

    def __init__(self):
        super().__init__()
        self.spare, self.head = layers.Dense(3), layers.Dense(3, "softmax")
        self.spare.build((None, 4))

    def call(self, x, training=False):
        return self.head(x - x)


def of(make):
    def build(x):
        model = make()
        model(x)
        return model

    return build


def two_heads(x):
    return layers.Dense(3, "softmax")(layers.Dense(4)(x) * 0.0 + ops.stop_gradient(layers.Dense(4)(x)))


WRONG = {
    "all layers frozen": ("nothing-trains", lambda: frozen(layers.Dense(3, "softmax"))),
    "no weights": ("nothing-trains", lambda: [layers.Softmax()]),
    "behind stop_gradient": ("takes-no-part", lambda: lambda x: HEAD(3, "softmax")(ops.stop_gradient(HEAD(4)(x)))),
    "behind rounding": ("gradient-zero", lambda: lambda x: HEAD(3, "softmax")(ops.sign(HEAD(4)(x)))),
    "behind argmax": ("takes-no-part", lambda: lambda x: HEAD(3, "softmax")(
        ops.one_hot(ops.argmax(HEAD(4)(x), -1), 4))),
    "times zero": ("gradient-zero", lambda: two_heads),
    "dead relu": ("gradient-zero", lambda: [HEAD(4, "relu", bias_initializer=keras.initializers.Constant(-99.0)),
                                            HEAD(3, "softmax")]),
    "never called": ("layer-unused", lambda: of(Hoarder)),
    "of constants": ("output-ignores-input", lambda: lambda x: HEAD(3, "softmax")(ops.zeros_like(x))),
    "of its shape": ("output-ignores-input", lambda: lambda x: HEAD(3, "softmax")(ops.ones_like(x))),
    "a product with 0": ("output-ignores-input", lambda: lambda x: HEAD(3, "softmax")(HEAD(4)(x) * 0.0)),
    "a difference of equals": ("output-ignores-input", lambda: lambda x: HEAD(3, "softmax")(x - x)),
    "thirty sigmoids": ("gradient-vanishes", lambda: [*(HEAD(4, "sigmoid") for _ in range(30)), HEAD(3, "softmax")]),
    "dropout not told": ("no-training-flag", lambda: of(lambda: Unhanded(layers.Dropout(0.5)))),
    "batch norm not told": ("no-training-flag", lambda: of(lambda: Unhanded(layers.BatchNormalization()))),
    "noise not told": ("no-training-flag", lambda: of(lambda: Unhanded(layers.GaussianNoise(0.1)))),
    "nested not told": ("no-training-flag", lambda: of(lambda: Unhanded(keras.Sequential(
        [HEAD(4), layers.Dropout(0.5)])))),
    "infinite gradient": ("gradient-not-finite", lambda: lambda x: HEAD(3, "softmax")(
        ops.sqrt(HEAD(4, kernel_initializer="zeros")(x)))),
    "infinite loss": ("loss-not-finite", lambda: lambda x: HEAD(3, "softmax")(ops.log(HEAD(4)(x) * 0.0 - 1.0))),
    "confident start": ("initial-loss", lambda: [HEAD(3, "softmax", kernel_initializer=keras.initializers.RandomNormal(
        stddev=50.0))]),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_layer_that_cannot_learn_gives_its_finding(found, case):
    code, make = WRONG[case]
    findings = found(make())
    assert code in findings, [*findings]


def test_weights_are_restored_after_a_check_with_other_weights(prepared):
    setup = prepared(of(Aimless))
    before = [weight.copy() for weight in setup.model.get_weights()]
    assert "output-ignores-input" in {finding.code for finding in inspect(setup)}
    for old, now in zip(before, setup.model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)


RIGHT = {
    "dropout": lambda: [HEAD(4, "relu"), layers.Dropout(0.5), HEAD(3, "softmax")],
    "dropout of none": lambda: [HEAD(4, "relu"), layers.Dropout(0.0), HEAD(3, "softmax")],
    "dropout told": lambda: of(lambda: Handing(layers.Dropout(0.5))),
    "batch norm told": lambda: of(lambda: Handing(layers.BatchNormalization())),
    "batch norm frozen": lambda: [*frozen(layers.BatchNormalization()), HEAD(3, "softmax")],
    "batch norm without centre": lambda: [layers.BatchNormalization(center=False), HEAD(3, "softmax")],
    "first layer frozen": lambda: [*frozen(HEAD(4, "relu")), HEAD(3, "softmax")],
    "head of zeros": lambda: [HEAD(4, "relu"), HEAD(3, "softmax", kernel_initializer="zeros")],
    "head and body of zeros but for a bias": lambda: [HEAD(4, "sigmoid", kernel_initializer="zeros"),
                                                      HEAD(3, "softmax", kernel_initializer="zeros")],
    "residual": lambda: lambda x: HEAD(3, "softmax")(x + HEAD(4)(x)),
    "shared layer": lambda: lambda x: HEAD(3, "softmax")(twice(HEAD(4, "relu"), x)),
    "recurrent without dropout": lambda: [layers.Reshape((2, 2)), layers.GRU(4), HEAD(3, "softmax")],
    "recurrent with dropout": lambda: [layers.Reshape((2, 2)), layers.GRU(4, dropout=0.3), HEAD(3, "softmax")],
    "attention with dropout": lambda: lambda x: HEAD(3, "softmax")(layers.Flatten()(attended(x))),
    "pre-trained part as in prediction": lambda: of(lambda: Unhanded(keras.Sequential(
        frozen(layers.Dense(4), layers.Dropout(0.5), layers.BatchNormalization())))),
    "spectral norm": lambda: [layers.SpectralNormalization(HEAD(4)), HEAD(3, "softmax")],
    "group norm": lambda: [HEAD(4), layers.GroupNormalization(2), HEAD(3, "softmax")],
    "regularised": lambda: [HEAD(4, kernel_regularizer="l2"), HEAD(3, "softmax")],
    "augmented": lambda: [layers.Reshape((2, 2, 1)), layers.RandomFlip(), layers.Flatten(), HEAD(3, "softmax")],
    "embedding": lambda: lambda x: HEAD(3, "softmax")(layers.Flatten()(
        layers.Embedding(9, 2)(ops.clip(ops.cast(ops.abs(x), "int32"), 0, 8)))),
    "convolution": lambda: [layers.Reshape((2, 2, 1)), layers.Conv2D(3, 2), layers.Flatten(), HEAD(3, "softmax")],
    "separable": lambda: [layers.Reshape((4, 1)), layers.SeparableConv1D(3, 2), layers.Flatten(), HEAD(3, "softmax")],
}  # fmt: skip


def twice(layer, x):
    return layer(layer(x))


def attended(x):
    x = layers.Reshape((2, 2))(x)
    return layers.MultiHeadAttention(1, 2, dropout=0.2)(x, x)


@pytest.mark.parametrize("case", RIGHT)
def test_correct_model_gives_no_error(found, case):
    findings = found(RIGHT[case]())
    assert [str(finding) for finding in findings.values() if finding.is_error] == []
    assert "no-training-flag" not in findings


@pytest.mark.parametrize(
    "change",
    [
        lambda model: setattr(model.layers[0], "trainable", False),
        lambda model: model.add(layers.Dense(3, "softmax")),
        lambda model: model.pop(),
        lambda model: setattr(model.layers[0], "activation", keras.activations.tanh),
        lambda model: setattr(model.layers[1], "rate", 0.9),
    ],
    ids=["frozen", "added to", "cut short", "another activation", "another rate"],
)
def test_model_changed_after_compile_gives_a_finding(found, change):
    model = [HEAD(3, "relu"), layers.Dropout(0.1), HEAD(3, "softmax"), HEAD(3, "softmax")]
    assert "changed-after-compile" in found(model, change=change)


class FreezesAfterCompile(Supervised):
    """A custom objective whose compile changes the model afterwards."""

    def compile(self, optimizer, training):
        super().compile(optimizer, training)
        self.model.layers[0].trainable = False


def test_model_that_a_custom_objective_changes_after_compile_gives_a_finding(found):
    model = [HEAD(3, "relu"), HEAD(3, "softmax")]
    assert "changed-after-compile" in found(model, objective=FreezesAfterCompile)


def test_layer_of_a_subclassed_model_changed_after_compile_gives_a_finding(found):
    def swap(model):
        model.head.activation = keras.activations.sigmoid

    handing = of(lambda: Handing(HEAD(4, "relu")))
    assert "changed-after-compile" in found(handing, change=swap)
    assert "changed-after-compile" not in found(handing)


def numbers(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def test_feature_that_reaches_no_output_gives_a_finding(found):
    two = {name: (Feature((2,), "float32"), numbers(60, 2) + index) for index, name in enumerate(("a", "b"))}

    def build(inputs):
        x = inputs["a"] + ops.cast(ops.shape(inputs["b"])[1], "float32")
        return keras.Model(inputs, layers.Dense(3, "softmax")(x))

    assert found(build, features=two)["input-unused"].place == "b"


def test_model_with_two_inputs_and_two_heads_gives_no_error(found):
    two = {name: (Feature((2,), "float32"), numbers(60, 2) + index) for index, name in enumerate(("a", "b"))}
    labels = {name: (class_label(range(size)), np.arange(60) % size) for name, size in (("p", 2), ("q", 3))}

    def build(inputs):
        x = layers.Concatenate()(list(inputs.values()))
        return {"p": layers.Dense(2, "softmax", name="p")(x), "q": layers.Dense(3, "softmax", name="q")(x)}

    findings = found(build, features=two, labels=labels, metrics=["accuracy"])
    assert [str(finding) for finding in findings.values() if finding.is_error] == []


def test_each_of_two_heads_is_compared_with_its_own_label(found):
    labels = {name: (class_label(range(size)), np.arange(60) % size) for name, size in (("p", 2), ("q", 3))}

    def build(x):
        return {"p": layers.Dense(2, "softmax", name="p")(x), "q": layers.Dense(3, name="q")(x)}

    assert found(build, labels=labels)["logits-as-probabilities"].place == "q"
