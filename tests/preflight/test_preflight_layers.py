"""Findings on layers that waste the model, and on updates that erase weights or leave them as they are."""

import keras
import numpy as np
from keras import layers

from pipeline.preflight import first_step, layer_checks, loss_checks
from pipeline.preflight.forward_pass import predict

ROWS = np.random.default_rng(5).integers(0, 17, (60, 4)).astype(np.uint8)


def dense(units=8, activation="relu", **config):
    return layers.Dense(units, activation, **config)


def head(activation="softmax", units=3):
    return layers.Dense(units, activation)


def norm(largest):
    return keras.constraints.MaxNorm(largest)


def codes(prepared, model, **options):
    """Return the codes that the checks of layers and of the last activation give for a model."""
    setup = prepared(model, **options)
    prediction = predict(setup, next(iter(setup.feed.batches(0)))[0])
    found = [
        *layer_checks.check(setup),
        *layer_checks.check_linear(setup, prediction),
        *loss_checks.check(setup, prediction),
    ]
    return [finding.code for finding in found]


LAYERS = {
    "softmax of a softmax": ("activation-twice", lambda: [dense(), head(), layers.Softmax()]),
    "softmax of a ReLU": ("one-sided-logits", lambda: [dense(), head("relu"), layers.Softmax()]),
    "softmax of a tanh": ("bounded-logits", lambda: [dense(), head("tanh"), layers.Softmax()]),
    "softmax of a scaled tanh": (None, lambda: [dense(), head("tanh"), layers.Rescaling(10.0), layers.Softmax()]),
    "softmax as a layer": (None, lambda: [dense(), head("linear"), layers.Softmax()]),
    "dropout of predictions": ("dropout-on-outputs", lambda: [dense(), head(), layers.Dropout(0.5)]),
    "dropout of the body": (None, lambda: [dense(), layers.Dropout(0.5), head()]),
    "a rate of 0 at the end": (None, lambda: [dense(), head(), layers.Dropout(0.0)]),
    "a hidden layer of ones": ("units-alike", lambda: [dense(kernel_initializer="ones"), head()]),
    "a last layer of ones": (None, lambda: [dense(), head(), layers.Activation("linear")]),
    "a logistic regression of ones": (None, lambda: [layers.Dense(3, "softmax", kernel_initializer="ones")]),
    "momentum in the sense of PyTorch": (
        "batch-norm-momentum", lambda: [layers.BatchNormalization(momentum=0.1), dense(), head()],
    ),
    "a usual momentum": (None, lambda: [layers.BatchNormalization(momentum=0.9), dense(), head()]),
    "three linear layers": ("linear-stack", lambda: [dense(8, None), dense(8, None), head()]),
    "linear layers and batch normalization": (
        "linear-stack", lambda: [dense(8, None), layers.BatchNormalization(), layers.Dropout(0.2), head()],
    ),
    "linear layers and a softmax layer": ("linear-stack", lambda: [dense(8, None), head("linear"), layers.Softmax()]),
    "a bottleneck": (None, lambda: [dense(2, None), head()]),
    "one layer": (None, lambda: [head()]),
    "a layer of its own": (None, lambda: [dense(8, None), layers.LeakyReLU(), head()]),
    "normalization of a row": (None, lambda: [dense(8, None), layers.LayerNormalization(), head()]),
}  # fmt: skip


def test_layers_that_waste_the_model_are_found_and_others_are_not(prepared):
    found = {name: codes(prepared, make()) for name, (_, make) in LAYERS.items()}
    assert found == {name: [code] if code else [] for name, (code, _) in LAYERS.items()}


def test_linear_stack_is_found_for_whole_numbers_and_one_sigmoid(prepared):
    for body, code in ((dense(8, None), ["linear-stack"]), (dense(8), [])):
        model = [layers.Rescaling(0.1), body, head("sigmoid", 1)]
        assert codes(prepared, model, width=2, x=ROWS, loss="binary_crossentropy") == code


STEPS = {
    "a norm of 0": ("weights-erased", {"kernel_constraint": norm(0.0)}, {}),
    "a usual norm": (None, {"kernel_constraint": norm(2.0)}, {}),
    "clipped to nothing": ("update-without-effect", {}, {"clipnorm": 1e-12}),
    "clipped": (None, {}, {"clipnorm": 1e-2}),
    "a large penalty": ("penalty-dominates", {"kernel_regularizer": keras.regularizers.L2(10.0)}, {}),
    "a usual penalty": (None, {"kernel_regularizer": keras.regularizers.L2(0.01)}, {}),
    "a warm-up from 0": (None, {}, {"learning_rate": {"class_name": "CosineDecay", "config": {
        "initial_learning_rate": 0.0, "decay_steps": 10, "warmup_target": 0.1, "warmup_steps": 10}}}),
}  # fmt: skip


def test_updates_that_erase_weights_or_change_none_are_found_and_others_are_not(prepared):
    found = {}
    for name, (_, config, arguments) in STEPS.items():
        setup = prepared([dense(**config), head()], optimizer=("SGD", {"learning_rate": 0.01, **arguments}))
        findings = []
        first_step.run(setup, next(iter(setup.feed.batches(0))), findings)
        found[name] = [finding.code for finding in findings]
    assert found == {name: [code] if code else [] for name, (code, *_) in STEPS.items()}
