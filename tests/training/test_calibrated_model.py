"""A calibrated model: its outputs in each form, after it was saved and loaded by Keras alone, and its weights."""

import zipfile

import keras
import numpy as np
import pytest
from keras import losses
from scipy.special import expit, logit, softmax

from pipeline.evaluation.calibrators import Calibrator
from pipeline.runs import saved_model
from pipeline.spec import DataSpec, Feature, class_label, row_label
from pipeline.training import calibrated_model
from pipeline.training.weights_digest import digest_per_weight

X = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
FEATURES = {"x": Feature((4,), "float32")}
TWO, THREE, TAGS = class_label("ab"), class_label("abc"), row_label("multi_label", "abc")
CURVE = ((0.1, 0.4, 0.4000001, 0.9), (0.05, 0.2, 0.6, 0.95))
FORMS = {  # label, units, activation, loss
    "softmax": (THREE, 3, "softmax", losses.SparseCategoricalCrossentropy()),
    "logits": (THREE, 3, "linear", losses.SparseCategoricalCrossentropy(from_logits=True)),
    "sigmoid": (TWO, 1, "sigmoid", losses.BinaryCrossentropy()),
    "logit": (TWO, 1, "linear", losses.BinaryCrossentropy(from_logits=True)),
    "two units": (TWO, 2, "softmax", losses.SparseCategoricalCrossentropy()),
    "multi-label": (TAGS, 3, "sigmoid", losses.BinaryCrossentropy()),
}
EXCLUSIVE = ("softmax", "logits", "two units")


def calibrated(form, calibrator):
    """Return a model, and the same model calibrated."""
    label, units, activation, loss = FORMS[form]
    model = keras.Sequential([keras.Input((4,), name="x"), keras.layers.Dense(units, activation=activation)])
    spec = DataSpec(FEATURES, {"kind": label})
    return model, calibrated_model.with_calibrators(model, spec, {"kind": loss}, {"kind": calibrator})


@pytest.mark.parametrize("form", FORMS)
def test_saved_model_divides_the_logits_of_every_form(tmp_path, form):
    model, scaled = calibrated(form, Calibrator(method="temperature", rows=9, temperature=2.5))
    saved_model.save(scaled, tmp_path / "model.keras")
    with zipfile.ZipFile(tmp_path / "model.keras") as file:
        assert b"pipeline" not in file.read("config.json")  # no class of this project is needed to load it
    raw = model.predict(X, verbose=0).astype(np.float64)
    outputs = keras.saving.load_model(tmp_path / "model.keras").predict(X, verbose=0)
    expected = {
        "logits": lambda: raw / 2.5,
        "logit": lambda: raw / 2.5,
        "softmax": lambda: softmax(np.log(raw) / 2.5, axis=1),
        "two units": lambda: softmax(np.log(raw) / 2.5, axis=1),
    }.get(form, lambda: expit(logit(raw) / 2.5))()
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_saved_model_applies_a_curve_to_every_form(tmp_path, form):
    curves = 1 if FORMS[form][0] is TWO else 3
    model, changed = calibrated(form, Calibrator(method="isotonic", rows=9, curves=(CURVE,) * curves))
    saved_model.save(changed, tmp_path / "model.keras")
    outputs = saved_model.load(tmp_path / "model.keras").predict(X, verbose=0).astype(np.float64)
    raw = model.predict(X, verbose=0).astype(np.float64)
    if "logit" in form:
        raw, outputs = (softmax(each, axis=1) if form in EXCLUSIVE else expit(each) for each in (raw, outputs))
    expected = np.interp(raw, *CURVE)
    if form == "two units":
        expected = np.stack([1 - expected[:, 1], expected[:, 1]], axis=1)
    elif form in EXCLUSIVE:
        expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, rtol=1e-4, atol=1e-6)


def test_trained_model_is_kept_inside(tmp_path):
    model, scaled = calibrated("softmax", Calibrator(method="temperature", rows=9, temperature=0.5))
    assert calibrated_model.without_calibrators(model) is model
    assert calibrated_model.without_calibrators(scaled) is model
    assert digest_per_weight(scaled) == digest_per_weight(model)
    saved_model.save(scaled, tmp_path / "model.keras")
    inside = calibrated_model.without_calibrators(saved_model.load(tmp_path / "model.keras"))
    assert inside.predict(X, verbose=0).tobytes() == model.predict(X, verbose=0).tobytes()


def test_outputs_that_stay_need_no_further_model():
    model, same = calibrated("softmax", Calibrator(method="temperature", rows=9, note="no minimum"))
    assert same is model
