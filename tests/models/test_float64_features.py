"""Models of features that float32 cannot hold: their offset is removed in float64, also after saving."""

import keras
import numpy as np
import pytest

from pipeline.data import input_pipeline, splits
from pipeline.data.sources.npz import Npz
from pipeline.models.cnn import Cnn
from pipeline.models.gru import Gru
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.models.model import build_model
from pipeline.models.tabular import Tabular
from pipeline.models.transformer import Transformer

ROWS = 60
SECONDS = 1.7e9 + np.random.default_rng(0).permutation(ROWS * 30)
HEAD = [{"class_name": "Dense", "config": {"units": 2, "activation": "softmax"}}]
MODELS = {
    "mlp": (Mlp(hidden=[4]), (3,)),
    "layers": (Layers(layers=HEAD), (3,)),
    "tabular": (Tabular(hidden=[4]), (3,)),
    "cnn": (Cnn(filters=[2], hidden=[]), (4, 4)),
    "gru": (Gru(units=[3]), (5, 2)),
    "gru of several lengths": (Gru(units=[3]), (None, 2)),
    "transformer": (Transformer(depth=1, width=4, heads=2, feed_forward=4), (5, 2)),
}


@pytest.fixture
def loaded(tmp_path):
    """A function from the shape of a row to a data set of seconds."""

    def load(shape):
        y, size = np.arange(ROWS) % 2, np.prod(shape[1:], dtype=int)
        arrays = {"x": SECONDS[: ROWS * 3 * size].reshape(-1, *shape[1:]), "n": np.full(ROWS, 3)}
        if shape[0] is not None:
            arrays = {"x": SECONDS[: ROWS * shape[0] * size].reshape(ROWS, *shape)}
        np.savez(tmp_path / "data.npz", y=y, **arrays)
        return splits.load(Npz(path=str(tmp_path / "data.npz"), lengths="n" if "n" in arrays else ""))

    return load


@pytest.mark.parametrize(
    "name",
    [
        name if name in ("mlp", "gru of several lengths") else pytest.param(name, marks=pytest.mark.slow)
        for name in MODELS
    ],
)
def test_a_model_tells_seconds_apart_before_and_after_saving(name, loaded, tmp_path):
    options, shape = MODELS[name]
    data = loaded(shape)
    assert data.spec.features["x"].dtype == "float64"
    model = build_model(options, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))
    (x, _), *_ = input_pipeline.ordered_batches(data.train, data.spec, ROWS)
    outputs = np.asarray(model(x))
    assert outputs.dtype == np.float32 and len(np.unique(outputs[:, 0])) == len(data.train)
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.models.load_model(tmp_path / "model.keras")(x), outputs)
    np.testing.assert_array_equal(model(x.numpy()), outputs)


def test_normalization_of_seconds_has_the_statistics_of_float64(loaded):
    data = loaded((3,))
    model = build_model(Mlp(), data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))
    values = data.train.features["x"]
    layers = [layer for layer in model.layers if isinstance(layer, (keras.layers.Normalization, keras.layers.Identity))]
    x = values
    for layer in layers:
        x = layer(x)
    assert x.dtype.name == "float32"
    np.testing.assert_allclose(x, (values - values.mean(axis=0)) / values.std(axis=0), atol=1e-6)
