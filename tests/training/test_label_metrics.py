"""Metrics of zeros and ones for class labels: both engines, early stopping and the saved model."""

import keras
import numpy as np
import pytest

from pipeline.data.sources.npz import Npz
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs import saved_model
from pipeline.training.fit import Fit
from pipeline.training.options import EarlyStopping
from pipeline.training.tape import Tape

METRICS = ["AUC", {"class_name": "AUC", "config": {"curve": "PR", "name": "ap"}}, "F1Score", "MeanSquaredError"]


@pytest.fixture
def rare(tmp_path):
    """A data set with one row of eight in the second class."""
    x = np.random.default_rng(0).normal(size=(320, 4)).astype(np.float32)
    np.savez(tmp_path / "rare.npz", x=x, y=(x[:, 0] > 1.15).astype(np.int64))
    return Npz(path=str(tmp_path / "rare.npz"))


@pytest.mark.slow
def test_binary_metrics_give_the_same_history_with_both_engines(train, configured, rare):
    objective = SupervisedOptions(metrics=METRICS)
    fit, tape = (train(configured(engine, data=rare, objective=objective)) for engine in (Fit, Tape))
    assert fit.digest == tape.digest and fit.history == tape.history
    assert fit.history[-1]["val_auc"] > fit.history[0]["val_auc"] > 0
    assert {"f1_score", "val_ap", "val_mean_squared_error"} < fit.history[-1].keys()


def test_early_stopping_keeps_the_epoch_of_the_largest_auc(train, configured, rare):
    early = EarlyStopping(patience=3, monitor="val_auc")
    trained = train(configured(Tape, data=rare, objective=SupervisedOptions(metrics=["AUC"]), epochs=8,
                               early_stopping=early))  # fmt: skip
    values = [epoch["val_auc"] for epoch in trained.history]
    assert trained.kept_epoch == int(np.argmax(values)) + 1


@pytest.mark.slow
def test_saved_model_loads_with_its_metrics(train, configured, rare, tmp_path):
    trained = train(configured(Fit, data=rare, objective=SupervisedOptions(metrics=METRICS), epochs=1))
    saved_model.save(trained.model, tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    x, y = np.zeros((2, 4), np.float32), np.array([0, 1])
    assert {"auc", "ap", "f1_score"} < loaded.evaluate(x, y, verbose=0, return_dict=True).keys()
