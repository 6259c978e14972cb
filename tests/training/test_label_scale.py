"""Real labels of any size are learned as if they were normalized, and everything is reported in their own unit."""

import keras
import numpy as np
import pytest

from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.npz import Npz
from pipeline.errors import ConfigError
from pipeline.experiment import build
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.models.tabular import Tabular
from pipeline.objectives.multi_task import MultiTaskOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs import saved_model
from pipeline.training import label_scale
from pipeline.training.baselines import compares_numbers
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.tape import Tape

ROWS = 300
SIZES = {"small": (1e-3, 0.0), "large": (1e6, 5e6), "constant": (0.0, 7.0)}
SGD = Optimizer("SGD", {"learning_rate": 0.05, "momentum": 0.9})


def values():
    x = np.random.default_rng(0).normal(size=(ROWS, 3)).astype(np.float32)
    y = {
        name: (x @ [1.0, -2.0, index] * scale + offset).astype(np.float32)
        for index, (name, (scale, offset)) in enumerate(SIZES.items())
    }
    return x, y


def data_of(folder, *names, **options):
    """An npz data set with some of the labels; two names joined by _and_ are the columns of one label."""
    x, y = values()
    labels = {name: np.stack([y[part] for part in name.split("_and_")], axis=1).squeeze() for name in names}
    np.savez(folder / "rows.npz", x=x, **labels)
    path = str(folder / "rows.npz")
    return Npz(path=path, labels=list(names), label_kind="real", split=SplitOptions(stratify=False), **options)


def r2(model, data, name, position=0):
    rows = splits.load(data).test
    outputs = model.predict(rows.features["x"], verbose=0)
    outputs = outputs[name] if isinstance(outputs, dict) else outputs
    targets = rows.labels[name].reshape(outputs.shape).astype(np.float64)
    errors = ((outputs - targets) ** 2).sum(axis=0) / ((targets - targets.mean(axis=0)) ** 2).sum(axis=0)
    return (1 - errors)[position]


@pytest.mark.parametrize("optimizer", [Optimizer("Adam", {"learning_rate": 0.01, "epsilon": 1e-7}), SGD])
@pytest.mark.parametrize("name", [pytest.param("small", marks=pytest.mark.slow), "large"])
def test_label_of_any_size_is_learned_alike_by_both_engines(train, configured, tmp_path, name, optimizer):
    data = data_of(tmp_path, name)
    model = Mlp(hidden=[8])
    fit, tape = (
        train(configured(engine, data=data, model=model, optimizer=optimizer, batch_size=20, epochs=15))
        for engine in (Fit, Tape)
    )
    assert fit.digest == tape.digest and fit.history == tape.history
    assert r2(fit.model, data, name) > 0.98
    variance = values()[1][name].var()
    assert fit.history[0]["loss"] > 0.01 * variance > fit.history[-1]["loss"] * 0.3  # in the unit of the label


@pytest.mark.parametrize("engine", [Fit, Tape])
def test_columns_of_different_size_in_one_label_are_learned_alike(train, configured, tmp_path, engine):
    data = data_of(tmp_path, "small_and_large_and_constant")
    trained = train(configured(engine, data=data, model=Mlp(hidden=[8]), batch_size=20, epochs=15))
    assert min(r2(trained.model, data, "small_and_large_and_constant", position) for position in (0, 1)) > 0.95
    outputs = trained.model.predict(values()[0], verbose=0)
    assert np.abs(outputs[:, 2] - 7).max() < 1


@pytest.mark.parametrize(
    ("engine", "objective"),
    [
        (Fit, SupervisedOptions()),
        pytest.param(Tape, MultiTaskOptions(), marks=pytest.mark.slow),
        pytest.param(Tape, MultiTaskOptions(weighting="learned"), marks=pytest.mark.slow),
    ],
    ids=["supervised", "fixed weights", "learned weights"],
)
def test_labels_of_different_size_are_learned_on_equal_terms(train, configured, tmp_path, engine, objective):
    data = data_of(tmp_path, "small", "large")
    config = configured(engine, data=data, model=Tabular(hidden=[8]), objective=objective, batch_size=20, epochs=15)
    trained = train(config)
    assert min(r2(trained.model, data, name) for name in ("small", "large")) > 0.95
    last = trained.history[-1]
    assert last["small_loss"] < 1e-6 and last["large_loss"] > 1e6  # each in the unit of its label
    assert last["loss"] < 1


def test_gradients_are_those_of_normalized_labels(tmp_path):
    """The update of plain SGD is the same for a label and for the label normalized by hand."""
    x, y = values()
    plain = (y["large"] - y["large"].mean(dtype=np.float64)) / y["large"].std(dtype=np.float64)
    weights = []
    for labels, normalized in ((y["large"], "auto"), (plain.astype(np.float32), False)):
        np.savez(tmp_path / "rows.npz", train_x=x, train_y=labels, test_x=x, test_y=labels)
        data = Npz(path=str(tmp_path / "rows.npz"), label_kind="real", split=SplitOptions(validation=0))
        data.normalize_labels = normalized
        config = Config(
            data=data,
            model=Mlp(hidden=[4]),
            optimizer=Optimizer("SGD", {"learning_rate": 0.1}),
            objective=SupervisedOptions(),
            training=Fit(epochs=1, batch_size=ROWS, tensorboard=False),
        )
        experiment = build(config, splits.load(data))
        experiment.objective.model.fit(x, labels, batch_size=ROWS, epochs=3, verbose=0, shuffle=False)
        weights.append([variable.numpy() for variable in experiment.objective.model.trainable_variables])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_saved_model_predicts_in_the_unit_of_the_label_in_plain_keras(train, configured, tmp_path):
    data = data_of(tmp_path, "large")
    trained = train(configured(Fit, data=data, model=Mlp(hidden=[8]), batch_size=20, epochs=2))
    saved_model.save(trained.model, tmp_path / "model.keras")
    x, y = values()
    stored = keras.saving.load_model(tmp_path / "model.keras")  # compiled, with the loss of Keras
    assert stored.predict(x, verbose=0).tobytes() == trained.model.predict(x, verbose=0).tobytes()
    assert stored.evaluate(x, y["large"], verbose=0)[0] == pytest.approx(np.var(y["large"]), rel=1)
    found = label_scale.statistics(stored, splits.load(data).spec)["large"]
    assert found["mean"] == pytest.approx(y["large"].mean(dtype=np.float64), rel=0.05)


@pytest.mark.parametrize(("activation", "layers"), [("linear", 1), ("softplus", 0)])
def test_stack_of_layers_is_normalized_if_its_output_is_linear(configured, tmp_path, activation, layers):
    stack = ["Flatten", {"class_name": "Dense", "config": {"units": 1, "activation": activation}}]
    data = data_of(tmp_path, "large")
    experiment = build(configured(Fit, data=data, model=Layers(layers=stack)), splits.load(data))
    assert len(label_scale.statistics(experiment.objective.model, experiment.data.spec)) == layers


def test_option_turns_it_off_and_on(configured, tmp_path, digits):
    data = data_of(tmp_path, "large", normalize_labels=False)
    experiment = build(configured(Fit, data=data), splits.load(data))
    assert label_scale.statistics(experiment.objective.model, experiment.data.spec) == {}
    config = configured(Fit)
    config.data.normalize_labels = True
    with pytest.raises(ConfigError, match="expected a real label"):
        build(config, digits)
    with pytest.raises(ConfigError, match="one of auto, true, false"):
        data_of(tmp_path, "large", normalize_labels="maybe")


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (keras.losses.MeanSquaredError(), True),
        (keras.losses.MeanAbsoluteError(), True),
        (keras.losses.Huber(), True),
        (keras.losses.LogCosh(), True),
        (keras.losses.MeanAbsolutePercentageError(), True),
        (keras.losses.BinaryCrossentropy(from_logits=True), False),
        (keras.losses.CosineSimilarity(), False),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_only_labels_of_losses_that_compare_numbers_are_normalized(loss, expected):
    targets = np.random.default_rng(0).uniform(0.1, 0.5, (ROWS, 1)).astype(np.float32)
    assert compares_numbers(loss, targets) == expected
