"""Sequences of different lengths: padding changes no loss, metric or gradient, and each bucket is traced once.

Zeros are data: padding is another value."""

import subprocess
import sys
from textwrap import dedent

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import input_pipeline
from pipeline.data.columns import numbered_rows
from pipeline.data.containers import Sequences, Table
from pipeline.data.description import describe
from pipeline.data.precision import in_model_dtypes
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.errors import RunError
from pipeline.models.gru import Gru
from pipeline.models.model import build_model
from pipeline.models.transformer import Transformer
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.spec import STEP_PADDING, class_label
from pipeline.training import steps
from pipeline.training.model_inputs import check_padding
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
@pytest.mark.parametrize("more", [pytest.param(1, marks=pytest.mark.slow), 40])
def test_further_padding_changes_no_loss_metric_or_gradient(vowels, model, more):
    objective = objective_of(model, vowels)
    x, y = next(iter(input_pipeline.ordered_batches(vowels.train, vowels.spec, 16)))
    assert (x.numpy()[:, -1] == STEP_PADDING).all(axis=1).any()  # some rows are padded already
    plain = step(objective, (x, y))
    padded = step(objective, (tf.pad(x, [[0, 0], [0, more], [0, 0]], constant_values=STEP_PADDING), y))
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


# ---- zeros are data --------------------------------------------------------------------------------------------------


def sequences_of(rows):
    """Return the data of rows of measurements, whose labels alternate."""
    values, lengths = np.concatenate(rows), [len(row) for row in rows]
    table = Table(
        {"x": Sequences.from_lengths(values, lengths)},
        {"y": np.arange(len(rows)) % 2},
        numbered_rows("rows"),
    )
    return describe({"train": table}, labels={"y": class_label("ab")}, location="rows")


def with_zero_steps(*shape, dtype=np.float32):
    """Return rows of 1 to 6 steps, of which the first step of all and the last of some are zeros."""
    numbers = np.random.default_rng(0)
    rows = [(5 + 3 * numbers.normal(size=(1 + number % 6, *shape))).astype(dtype) for number in range(12)]
    for number, row in enumerate(rows):
        row[0] = 0
        row[-1] = row[-1] * (number % 2)
    return rows


def built_for(data, model):
    train = data.splits["train"]
    return build_model(model, data.spec, lambda name: input_pipeline.feature_batches(train, data.spec, name))


SHAPES = {"several numbers per step": (3,), "one number per step": ()}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize(
    "model", [MODELS["bidirectional"], MODELS["transformer"]], ids=["bidirectional", "transformer"]
)
def test_rows_with_zero_steps_are_predicted_alike_alone_and_padded(model, shape):
    rows = with_zero_steps(*shape)
    data = sequences_of(rows)
    built = built_for(data, model)
    ((x, _),) = input_pipeline.ordered_batches(data.splits["train"], data.spec, len(rows))
    alone = np.concatenate([built(row[np.newaxis]) for row in rows])
    np.testing.assert_allclose(built(x), alone, rtol=0, atol=1e-6)
    shorter = np.concatenate([built(row[np.newaxis, 1:]) for row in rows if len(row) > 1])
    assert np.abs(shorter - alone[[len(row) > 1 for row in rows]]).max(axis=1).min() > 1e-6  # a step of zeros counts


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_normalization_counts_steps_of_zeros_and_no_padding(dtype):
    rows = with_zero_steps(3, dtype=dtype)
    data = in_model_dtypes(sequences_of(rows))
    built = built_for(data, MODELS["gru"])
    (normalization,) = [layer for layer in built.layers if isinstance(layer, keras.layers.Normalization)]
    steps_of_all = np.concatenate(rows).astype(np.float64)
    np.testing.assert_allclose(normalization.adapt_mean.numpy().reshape(-1), steps_of_all.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(normalization.adapt_variance.numpy().reshape(-1), steps_of_all.var(axis=0), rtol=1e-6)


@pytest.mark.slow
def test_saved_model_needs_only_keras_and_takes_rows_padded_as_documented(tmp_path):
    rows = with_zero_steps(3)
    built = built_for(sequences_of(rows), MODELS["gru"])
    built.save(tmp_path / "model.keras")
    np.savez(tmp_path / "rows.npz", *rows)
    code = """
        import keras, numpy as np, sys
        rows = list(np.load("rows.npz").values())
        padded = keras.utils.pad_sequences(rows, dtype="float32", padding="post", value=np.finfo(np.float32).max)
        np.save("scores.npy", keras.saving.load_model("model.keras", compile=False).predict(padded, verbose=0))
        assert "pipeline" not in sys.modules
    """
    subprocess.run([sys.executable, "-c", dedent(code)], cwd=tmp_path, check=True)
    alone = np.concatenate([built(row[np.newaxis]) for row in rows])
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), alone, rtol=0, atol=1e-6)


def test_model_of_an_earlier_version_that_masks_zeros_is_refused(tmp_path):
    spec = sequences_of(with_zero_steps(3)).spec
    earlier = keras.Sequential([keras.Input((None, 3)), keras.layers.Masking(0), keras.layers.GRU(2)])
    with pytest.raises(RunError, match=r"of an earlier version, which masks steps of 0.*Train the run again"):
        check_padding(spec, earlier, tmp_path)
    check_padding(spec, built_for(sequences_of(with_zero_steps(3)), MODELS["gru"]), tmp_path)
