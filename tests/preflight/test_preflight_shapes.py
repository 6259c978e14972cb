"""Findings on shapes, masks and batch sizes."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pipeline.preflight.inspection import inspect
from pipeline.spec import STEP_PADDING, Feature

SEQUENCES = {"shape": (None, 3), "lengths": (2, 9)}


@pytest.mark.parametrize(
    "code, place, built_for, shape",
    [
        ("input-shape", "x, axis 0", ((5,), "float32"), (4,)),
        ("input-shape", "x, axis 2", ((8, 8, 3), "float32"), (8, 8, 1)),
        ("input-shape", "x", ((4, 4), "float32"), (4,)),
        ("input-shape", "x, axis 0", ((6, 3), "float32"), (None, 3)),
        ("input-dtype", "x", ((4,), "string"), (4,)),
    ],
)
def test_data_of_another_shape_than_the_input_is_named_by_axis(prepared, code, place, built_for, shape):
    def body(x):
        x = layers.StringLookup(vocabulary=["a"], output_mode="multi_hot")(x) if x.dtype == "string" else x
        return layers.Dense(3, "softmax")(layers.Flatten()(x))

    lengths = (2, 9) if shape[0] is None else None
    setup = prepared(body, shape=shape, lengths=lengths, built_for={"x": built_for})
    findings = [finding for finding in inspect(setup) if finding.code == code]
    assert [finding.place for finding in findings] == [place]


def test_input_without_a_feature_of_its_name_gives_a_finding(prepared):
    values = np.random.default_rng(0).normal(size=(60, 2)).astype("float32")
    two = {name: (Feature((2,), "float32"), values) for name in ("a", "b")}

    def build(inputs):
        return keras.Model(inputs, layers.Dense(3, "softmax")(layers.Concatenate()(list(inputs.values()))))

    setup = prepared(build, features=two, built_for={"a": ((2,), "float32"), "c": ((2,), "float32")})
    assert {finding.place for finding in inspect(setup) if finding.code == "input-names"} == {"b", "c"}


def test_subclassed_model_that_cannot_take_the_data_gives_a_finding(prepared):
    class Fixed(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(3, "softmax")

        def call(self, x, training=False):
            return self.head(keras.ops.reshape(x, (-1, 7)) if self.strict else x)

        strict = False

    def build(x):
        model = Fixed()
        model(x)
        return model

    setup = prepared(build)
    setup.model.strict = True
    assert "model-refuses-data" in {finding.code for finding in inspect(setup)}


# ---- masks -----------------------------------------------------------------------------------------------------------


def masked(x):
    return layers.Masking(STEP_PADDING)(x)


class Dropping(layers.Layer):
    """Returns its input without the mask."""

    def call(self, x):
        return x * 1.0


MASKS = {
    "recurrent without a mask": ("mask-missing", [layers.GRU, (4,)]),
    "attention without a mask": ("mask-missing", lambda x: pooled(layers.MultiHeadAttention(2, 2)(x, x))),
    "pooling without a mask": ("mask-missing", [layers.GlobalAveragePooling1D, ()]),
    "wrapped without a mask": ("mask-missing", lambda x: layers.Bidirectional(layers.LSTM(3))(x)),
    "a mask of zeros, which are data": ("mask-missing", lambda x: layers.GRU(4)(layers.Masking(0)(x))),
    "dropped by a layer": ("mask-lost", lambda x: layers.GRU(4)(Dropping()(masked(x)))),
    "dropped by a convolution": ("mask-lost", lambda x: layers.LSTM(4)(layers.Conv1D(4, 3, padding="same")(masked(x)))),
    "a function between": ("mask-lost", lambda x: layers.GlobalAveragePooling1D()(Dropping()(masked(x)))),
    "normalised before the mask": ("mask-missing", lambda x: layers.GRU(4)(masked(
        layers.BatchNormalization()(x)))),
    "a bias before the mask": ("mask-missing", lambda x: layers.GRU(4)(masked(layers.Dense(4)(x)))),
    "turned around without its mask": ("mask-missing", lambda x: layers.GRU(4)(ops.flip(masked(x), 1))),
    "convolution and maximum": ("padding-leaks", lambda x: layers.GlobalMaxPooling1D()(
        layers.Conv1D(4, 3, padding="same", bias_initializer="ones")(x))),
}  # fmt: skip


def pooled(x):
    return layers.GlobalAveragePooling1D()(x)


def headed(body):
    def build(x):
        x = body[0](*body[1])(x) if isinstance(body, list) else body(x)
        return layers.Dense(3, "softmax")(x)

    return build


@pytest.mark.parametrize("case", MASKS)
def test_padding_that_changes_the_output_gives_a_finding(found, case):
    code, body = MASKS[case]
    findings = found(headed(body), **SEQUENCES)
    assert {"mask-missing", "mask-lost", "padding-leaks"} & {*findings} == {code}


MASKED = {
    "recurrent": lambda x: layers.GRU(4)(masked(x)),
    "two layers": lambda x: layers.LSTM(3)(layers.GRU(4, return_sequences=True)(masked(x))),
    "bidirectional": lambda x: layers.Bidirectional(layers.GRU(4))(masked(x)),
    "pooling": lambda x: layers.GlobalAveragePooling1D()(layers.Dense(4)(masked(x))),
    "attention": lambda x: pooled(layers.MultiHeadAttention(2, 2)(*[masked(x)] * 2)),
}


@pytest.mark.parametrize("case", MASKED)
def test_mask_that_reaches_the_layer_gives_no_finding(found, case):
    findings = found(headed(MASKED[case]), **SEQUENCES)
    assert not {"mask-missing", "mask-lost", "padding-leaks"} & {*findings}


def test_rows_of_equal_length_need_no_mask(found):
    findings = found(headed([layers.GRU, (4,)]), shape=(6, 3))
    assert not {"mask-missing", "mask-lost", "padding-leaks"} & {*findings}


# ---- batches ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code, batch_size, shape, rows",
    [
        ("batch-norm-of-one", 1, (4,), 60),
        ("batch-norm-small", 4, (4,), 60),
        (None, 16, (4,), 60),
        (None, 1, (8, 8, 2), 60),
        ("last-batch-of-one", 7, (4,), 60),
    ],
)
def test_batch_normalization_of_few_values_gives_a_finding(found, code, batch_size, shape, rows):
    model = [layers.BatchNormalization(), layers.Flatten(), layers.Dense(3, "softmax")]
    findings = found(model, shape=shape, rows=rows, batch_size=batch_size)
    codes = {"batch-norm-of-one", "batch-norm-small", "last-batch-of-one"} & {*findings}
    assert code in codes if code else not codes


def test_advised_batch_size_gives_no_batch_of_one_row(found):
    advised = found([layers.Dense(3, "softmax")], batch_size=7)["last-batch-of-one"].fix
    assert 50 % int(advised.rpartition("=")[2]) != 1
