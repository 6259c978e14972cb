"""The supervised objective: defaults for every kind of label, the same bits with both engines, and refusals."""

import numpy as np
import pytest

from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

LOGGED = {
    "class": "accuracy",
    "one_hot": "accuracy",
    "multi_label": "accuracy",
    "real": "mean_absolute_error",
}


def data_of(folder, kind, width=3, rows=60):
    """Return an npz data set whose labels, of one kind, are computed from its features."""
    x = np.random.default_rng(0).normal(size=(rows, width)).astype(np.float32)
    y = {
        "class": x.argmax(axis=1),
        "one_hot": np.eye(width, dtype=np.float32)[x.argmax(axis=1)],
        "multi_label": (x > 0).astype(np.float32),
        "real": x.sum(axis=1),
    }[kind]
    np.savez(folder / "rows.npz", x=x, y=y)
    return Npz(path=str(folder / "rows.npz"), label_kind=kind, split=SplitOptions(stratify=False))


@pytest.mark.parametrize(
    "kind", ["real", *(pytest.param(kind, marks=pytest.mark.slow) for kind in LOGGED if kind != "real")]
)
def test_every_kind_of_label_gives_the_same_bits_with_both_engines(train, configured, tmp_path, kind):
    data = data_of(tmp_path, kind)
    fit, tape = (train(configured(engine, data=data, batch_size=20, epochs=2)) for engine in (Fit, Tape))
    assert fit.digest == tape.digest and fit.history == tape.history
    assert fit.history[-1].keys() >= {"loss", LOGGED[kind], "val_loss", f"val_{LOGGED[kind]}"}
    assert fit.history[-1]["loss"] < fit.history[0]["loss"]


def test_ranked_probability_score_gives_the_same_bits_with_both_engines(train, configured, tmp_path):
    data, objective = data_of(tmp_path, "one_hot"), SupervisedOptions(loss="ranked_probability_score")
    runs = [
        train(configured(engine, data=data, objective=objective, batch_size=20, epochs=2)) for engine in (Fit, Tape)
    ]
    assert runs[0].digest == runs[1].digest and runs[0].history == runs[1].history


def test_accuracy_of_real_numbers_is_refused(tmp_path):
    spec = splits.load(data_of(tmp_path, "real")).spec
    with pytest.raises(ConfigError, match="mean_absolute_error"):
        SupervisedOptions(metrics=["accuracy"]).label_metrics(spec)


@pytest.mark.parametrize("kind", ["multi_label", "real"])
def test_class_weights_without_class_labels_are_refused(tmp_path, kind):
    data = splits.load(data_of(tmp_path, kind))
    with pytest.raises(ConfigError, match=kind):
        SupervisedOptions(class_weight="balanced").class_weights(data.spec, data.train.labels)


def test_loss_has_a_value_per_row(digits):
    loss = SupervisedOptions().label_losses(digits.spec)["digit"]
    outputs = np.full((4, 10), 0.1, np.float32)
    np.testing.assert_allclose(loss.call(np.arange(4), outputs), np.full(4, np.log(10)), rtol=1e-6)


def test_a_label_of_one_class_is_refused(tmp_path):
    np.savez(tmp_path / "one.npz", x=np.zeros((20, 2), np.float32), y=np.full(20, "only"))
    spec = splits.load(Npz(path=str(tmp_path / "one.npz"))).spec
    with pytest.raises(ConfigError, match="expected at least two classes; found one in label 'y', 'only'"):
        SupervisedOptions().model_spec(spec)
