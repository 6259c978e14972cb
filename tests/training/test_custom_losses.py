"""A loss and metrics of the user's own code train under both engines to the same weights."""

import pytest

from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

LOSSES = """
    import keras


    def focal(y_true, y_pred):
        share = keras.ops.take_along_axis(y_pred, keras.ops.cast(y_true[:, None], "int32"), axis=-1)
        return -((1 - share) ** 2) * keras.ops.log(share + 1e-7)


    class Focal(keras.losses.Loss):
        def __init__(self, gamma=2, **arguments):
            super().__init__(**arguments)
            self.gamma = gamma

        def call(self, y_true, y_pred):
            share = keras.ops.take_along_axis(y_pred, keras.ops.cast(y_true[:, None], "int32"), axis=-1)[:, 0]
            return -((1 - share) ** self.gamma) * keras.ops.log(share + 1e-7)
"""
METRICS = """
    import keras


    def confidence(y_true, y_pred):
        return keras.ops.max(y_pred, axis=-1)


    class LeastSure(keras.metrics.Metric):
        def __init__(self, **arguments):
            super().__init__(**arguments)
            self.least = self.add_variable((), "ones", name="least")

        def update_state(self, y_true, y_pred, sample_weight=None):
            self.least.assign(keras.ops.minimum(self.least, keras.ops.min(keras.ops.max(y_pred, axis=-1))))

        def result(self):
            return self.least + 0

        def reset_state(self):
            self.least.assign(1.0)
"""


@pytest.mark.parametrize(
    "loss",
    ["focal", pytest.param({"class_name": "Focal", "config": {"gamma": 2}}, marks=pytest.mark.slow)],
    ids=["function", "class"],
)
def test_custom_loss_and_metrics_give_the_same_bits_with_both_engines(train, configured, custom_file, loss):
    custom_file("losses.py", LOSSES)
    custom_file("metrics.py", METRICS)
    objective = SupervisedOptions(loss, ["accuracy", "confidence", "LeastSure"], class_weight="balanced")
    fit, tape = (train(configured(engine, objective=objective)) for engine in (Fit, Tape))
    assert fit.digest == tape.digest
    assert fit.history == tape.history
    assert {"confidence", "least_sure", "val_confidence", "val_least_sure"} < set(fit.history[-1])
    assert 0.1 < fit.history[0]["confidence"] < fit.history[-1]["confidence"] < 1
    assert fit.history[-1]["loss"] < fit.history[0]["loss"]
