"""The first layers of a model: each column has a mean and a variance of its own, and they are right."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.data.sources.digits import read_digits
from pipeline.layers.column_statistics import column_statistics
from pipeline.layers.inputs import adapted_normalization
from pipeline.models.cnn import Cnn
from pipeline.models.mlp import Mlp
from pipeline.models.model import build_model
from pipeline.spec import DataSpec, Feature, class_label

ROWS = 600


def normalization(values, axis=-1, batch=250):
    return adapted_normalization(
        keras.layers.Normalization(axis=axis), tf.data.Dataset.from_tensor_slices(values).batch(batch)
    )


def columns():
    numbers = np.random.default_rng(0).normal(size=(ROWS, 4))
    return (numbers * [1, 1e3, 1e-4, 1] + [0, 5e3, 1, 1e6]).astype(np.float32)


def test_each_column_gets_mean_0_and_variance_1():
    scaled = normalization(columns())(columns()).numpy().astype(np.float64)
    assert scaled.mean(axis=0) == pytest.approx(np.zeros(4), abs=0.05)
    assert scaled.std(axis=0) == pytest.approx(np.ones(4), rel=0.01)


def test_statistics_are_those_of_float64():
    values, layer = columns(), normalization(columns())
    assert layer.adapt_mean.numpy() == pytest.approx(values.mean(axis=0, dtype=np.float64), rel=1e-6)
    assert layer.adapt_variance.numpy() == pytest.approx(values.var(axis=0, dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 7.0, 0.1, 1e6 / 3])
def test_constant_column_is_only_centred_as_by_scikit_learn(value, tmp_path):
    values = columns()
    values[:, 1] = value
    layer = normalization(values)
    unseen = values[:1] + np.float32([0, 2, 0, 0])
    assert layer(values).numpy()[:, 1] == pytest.approx(0, abs=1e-6)
    assert layer(unseen).numpy()[0, 1] == pytest.approx(2, rel=0.02)
    keras.Sequential([keras.Input((4,)), layer]).save(tmp_path / "model.keras")
    stored = keras.saving.load_model(tmp_path / "model.keras")
    assert stored(unseen).numpy().tobytes() == layer(unseen).numpy().tobytes()


def test_missing_values_count_in_no_statistic():
    values = columns()
    values[::3, 0] = np.nan
    values[:, 2] = np.nan
    layer = normalization(values)
    assert layer.adapt_mean.numpy()[0] == pytest.approx(np.nanmean(values[:, 0].astype(np.float64)), abs=1e-6)
    assert layer.adapt_variance.numpy()[0] == pytest.approx(np.nanvar(values[:, 0].astype(np.float64)), rel=1e-6)
    assert (layer.adapt_mean.numpy()[2], layer.adapt_variance.numpy()[2]) == (0, 1)


def test_statistics_do_not_depend_on_the_batches():
    whole, parts = (column_statistics([*tf.split(columns(), count)], (1,)) for count in (1, 6))
    for name in ("count", "mean", "variance", "smallest", "largest"):
        assert getattr(whole, name) == pytest.approx(getattr(parts, name), rel=1e-9)
    assert parts.pooled().variance[0] == pytest.approx(columns().var(dtype=np.float64), rel=1e-9)


@pytest.mark.parametrize("scale", [1, 1 / 16], ids=["whole numbers", "shares"])
def test_image_without_channel_axis_has_one_mean_and_variance(scale):
    images = (read_digits()[0][:ROWS, ..., 0] * scale).astype(np.uint8 if scale == 1 else np.float32)
    layer = normalization(images)
    assert layer.adapt_mean.shape == ()
    assert float(layer.adapt_variance) == pytest.approx(images.var(dtype=np.float64), rel=1e-6)
    assert normalization(images, axis=2).adapt_mean.shape == (8,)  # as a config asks for it


def test_steps_of_features_of_different_scale_keep_one_mean_per_feature():
    values = columns().reshape(ROWS // 10, 10, 4)
    assert normalization(values).adapt_mean.shape == (4,)
    counts = np.random.default_rng(1).integers(0, [2, 900, 1000, 2], (ROWS, 5, 4)).astype(np.float32)
    assert normalization(counts).adapt_mean.shape == (4,)


def test_channels_of_images_have_a_mean_each():
    values = columns().reshape(ROWS // 20, 5, 4, 4)
    assert normalization(values).adapt_mean.shape == (4,)


@pytest.mark.parametrize("model", [Mlp(hidden=[4]), Cnn(filters=[4])], ids=["mlp", "cnn"])
def test_models_take_images_without_channel_axis(model):
    images, _ = read_digits()
    spec = DataSpec({"x": Feature((8, 8), "uint8")}, {"y": class_label(range(10))})
    values = tf.data.Dataset.from_tensor_slices(images[..., 0]).batch(512)
    built = build_model(model, spec, lambda name: values)
    layer = next(layer for layer in built.layers if isinstance(layer, keras.layers.Normalization))
    assert layer.adapt_mean.numpy().size == 1
    assert built(images[:2, ..., 0]).shape == (2, 10)
