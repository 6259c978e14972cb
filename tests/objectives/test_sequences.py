"""Sequences of different lengths: padding changes no loss, metric or gradient, and each bucket is traced once."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import input_pipeline
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.models.gru import Gru
from pipeline.models.model import build_model
from pipeline.models.transformer import Transformer
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.training import steps
from pipeline.training.tape import Tape

PER_COLUMN = [{"class_name": "Normalization", "config": {"axis": -1}}]
MODELS = {
    "gru": Gru(units=[8, 8], preprocessing=PER_COLUMN),
    "bidirectional": Gru(units=[8], bidirectional=True, preprocessing=PER_COLUMN),
    "transformer": Transformer(depth=2, width=16, heads=2, dropout=0.0, preprocessing=PER_COLUMN),
}


def objective_of(model, data):
    built = build_model(model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))
    objective = Supervised(SupervisedOptions(), data.spec, built)
    objective.compile(keras.optimizers.Adam(0.01), Tape())
    return objective


def step(objective, batch):
    """Return (loss, metrics, gradients) of one batch."""
    (update,) = objective.updates()
    with tf.GradientTape() as tape:
        losses, auxiliary = update.losses(batch)
    objective.model.reset_metrics()
    objective.measure(batch, losses, auxiliary)
    gradients = tape.gradient(losses["loss"], update.variables)
    return float(losses["loss"]), objective.model.get_metrics_result(), [gradient.numpy() for gradient in gradients]


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("more", [1, 40])
def test_further_padding_changes_no_loss_metric_or_gradient(vowels, model, more):
    objective = objective_of(model, vowels)
    x, y = next(iter(input_pipeline.ordered_batches(vowels.train, vowels.spec, 16)))
    assert (x.numpy()[:, -1] == 0).all(axis=1).any()  # some rows are padded already
    plain = step(objective, (x, y))
    padded = step(objective, (tf.pad(x, [[0, 0], [0, more], [0, 0]]), y))
    assert padded[0] == pytest.approx(plain[0], abs=1e-6)
    for name, value in plain[1].items():
        assert float(padded[1][name]) == pytest.approx(float(value), abs=1e-6), name
    for one, other, variable in zip(plain[2], padded[2], objective.model.trainable_variables, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=1e-6, err_msg=variable.path)
    assert max(np.abs(gradient).max() for gradient in plain[2]) > 1e-2  # 1e-6 is small compared with them


class Traces:
    """Wraps the `measure` of an objective and records the shape of every call. Each trace of the step calls it once."""

    def __init__(self, objective):
        self.shapes, self.inner = [], objective.measure

    def __call__(self, batch, losses, auxiliary):
        self.shapes.append(batch[0].shape.as_list())
        self.inner(batch, losses, auxiliary)


@pytest.mark.parametrize(
    "model", [MODELS["gru"], pytest.param(MODELS["transformer"], marks=pytest.mark.slow)], ids=["gru", "transformer"]
)
def test_step_is_traced_at_most_once_per_bucket(vowels, model):
    objective = objective_of(model, vowels)
    objective.measure = traces = Traces(objective)
    data = JapaneseVowels()
    training_feed = input_pipeline.TrainingFeed(
        split=vowels.train, spec=vowels.spec, source=data, batch_size=16, seed=0
    )
    buckets = input_pipeline.bucket_boundaries(vowels.train, data)
    epochs = [training_feed.batches(epoch) for epoch in range(3)]
    assert len({batch[0].shape[1] for batch in epochs[0]}) == len(buckets) > 1
    training = steps.Steps(objective, epochs[0].element_spec, full_steps=0)
    for batches in epochs:
        training.train(iter(batches), training_feed.steps)
    assert 1 <= len(traces.shapes) <= len(buckets)


def test_batches_are_padded_to_the_bounds_of_buckets(vowels):
    data = JapaneseVowels(buckets=[12, 18])
    training_feed = input_pipeline.TrainingFeed(
        split=vowels.train, spec=vowels.spec, source=data, batch_size=16, seed=0
    )
    assert {batch[0].shape[1] for batch in training_feed.batches(0)} == set(
        input_pipeline.bucket_boundaries(vowels.train, data)
    )
