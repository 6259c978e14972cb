"""Models that predict quantiles of a real label: both engines, units of the label, saving, and what is refused."""

import csv
import gzip

import keras
import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.data.table_windows import WindowOptions
from pipeline.errors import ConfigError
from pipeline.experiment import build
from pipeline.models.gru import Gru
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.runs import folder as run_folder
from pipeline.runs import saved_model
from pipeline.training import label_scale
from pipeline.training.fit import Fit
from pipeline.training.tape import Tape

LEVELS = [0.1, 0.5, 0.9]
OBJECTIVE = SupervisedOptions(quantiles=LEVELS)
ROWS = 600


@pytest.fixture
def two_numbers(tmp_path):
    """Rows with a label of two numbers in different units. The noise of the second grows with the input."""
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (ROWS, 2)).astype(np.float32)
    noise = rng.normal(size=(ROWS, 2))
    y = np.stack([0.001 * (x[:, 0] + noise[:, 0]), 5e6 + 1e6 * (1 + 5 * x[:, 1]) * noise[:, 1]], axis=1)
    np.savez(tmp_path / "rows.npz", x=x, y=y.astype(np.float32))
    return Npz(path=str(tmp_path / "rows.npz"), label_kind="real", split=SplitOptions(stratify=False))


def test_quantiles_are_learned_alike_by_both_engines_in_the_unit_of_each_number(
    train, configured, two_numbers, tmp_path
):
    fit, tape = (
        train(
            configured(engine, data=two_numbers, model=Mlp(hidden=[8]), objective=OBJECTIVE, epochs=20, batch_size=20)
        )
        for engine in (Fit, Tape)
    )
    assert fit.digest == tape.digest and fit.history == tape.history
    rows = splits.load(two_numbers).train
    outputs = fit.model.predict(rows.features["x"], verbose=0)
    low, middle, high = np.moveaxis(outputs.reshape(-1, 2, 3), -1, 0)
    assert (low < middle).all() and (middle < high).all()
    covered = (low <= rows.labels["y"]) & (rows.labels["y"] <= high)
    np.testing.assert_allclose(covered.mean(axis=0), 0.8, atol=0.08)
    widths, noisy = (high - low)[:, 1], rows.features["x"][:, 1]
    assert widths[noisy > 0.8].mean() > 1.5 * widths[noisy < 0.2].mean()

    statistics = label_scale.statistics(fit.model, splits.load(two_numbers).spec)["y"]
    assert np.shape(statistics["mean"]) == (2,)
    saved_model.save(fit.model, tmp_path / "model.keras")
    stored = keras.saving.load_model(tmp_path / "model.keras")  # compiled, with the loss and the metric
    assert stored.predict(rows.features["x"], verbose=0).tobytes() == outputs.tobytes()


def test_forecast_has_the_quantiles_of_every_step(configured, tmp_path):
    lines = [f"{day},{day % 7}" for day in range(60)]
    (tmp_path / "sales.csv").write_text("\n".join(["day,sales", *lines]))
    data = Csv(path=str(tmp_path / "sales.csv"), labels=["sales"], window=WindowOptions(steps=7, horizon=4, stride=1))
    experiment = build(configured(Fit, data=data, model=Gru(units=[4]), objective=OBJECTIVE), splits.load(data))
    assert experiment.objective.model.output_shape == (None, 12)


def test_stack_of_layers_needs_one_unit_per_quantile_of_each_number(configured, two_numbers):
    def stack(units):
        return Layers(layers=["Flatten", {"class_name": "Dense", "config": {"units": units}}])

    data = splits.load(two_numbers)
    with pytest.raises(ConfigError, match="Set units: 6 in the last layer"):
        build(configured(Fit, data=two_numbers, model=stack(2), objective=OBJECTIVE), data)
    model = build(configured(Fit, data=two_numbers, model=stack(6), objective=OBJECTIVE), data).objective.model
    outputs = model.predict(data.test.features["x"], verbose=0).reshape(-1, 2, 3)
    assert (np.diff(outputs, axis=-1) > 0).all()


@pytest.mark.parametrize("levels", [[0.1, 0.9], [0.5, 0.9], [0.5], [0.9, 0.5, 0.1], [0.1, 0.5, 0.5, 0.9]])
def test_quantiles_without_an_interval_around_the_median_are_refused(levels):
    with pytest.raises(ConfigError, match=r"Set objective.quantiles=\[0.1,0.5,0.9\]"):
        SupervisedOptions(quantiles=levels)


def test_quantiles_need_a_real_label_without_another_loss(two_numbers, digits):
    with pytest.raises(ConfigError, match="expected a real label; found digit"):
        OBJECTIVE.model_spec(digits.spec)
    with pytest.raises(ConfigError, match="expected none for 'y'"):
        SupervisedOptions(quantiles=LEVELS, loss="huber").model_spec(splits.load(two_numbers).spec)


@pytest.mark.slow
def test_run_writes_intervals_with_the_scored_and_with_the_new_rows(two_numbers, tmp_path):
    run = [f"run.root={tmp_path}", "run.name=intervals", "registry.url=none"]
    data = ["data=npz", f"data.path={two_numbers.path}", "data.label_kind=real"]
    quick = ["training.epochs=1", "training.tensorboard=false", "evaluation.resamples=100"]
    assert main(["train", *data, *quick, *run, "objective.quantiles=[0.1,0.25,0.5,0.9]"]) == 0
    scores = run_folder.read(tmp_path / "intervals", "result.json")["metrics"]["y"]
    assert 0 < scores["interval_coverage"]["value"] < 1
    assert "Prediction intervals" in (tmp_path / "intervals/report.html").read_text()
    assert main(["predict", *run, f"data.path={two_numbers.path}"]) == 0
    predicted = [*csv.DictReader((tmp_path / "intervals/predictions/rows.csv").open())]
    with gzip.open(tmp_path / "intervals/predictions.csv.gz", "rt") as file:
        scored = {row["id"]: row for row in csv.DictReader(file)}
    names = [f"{name}_{number}" for name in ("prediction", "lower", "upper", "quantile_0.25") for number in (0, 1)]
    assert list(predicted[0]) == ["id", *names]
    again = [row for row in predicted if row["id"] in scored]
    assert len(again) == len(scored)
    numbers = [
        [[float(row[name]) for name in names] for row in rows] for rows in (again, [scored[row["id"]] for row in again])
    ]
    np.testing.assert_allclose(*numbers, rtol=1e-4)  # the rows are in other batches
    assert all(float(row["lower_1"]) < float(row["quantile_0.25_1"]) < float(row["upper_1"]) for row in predicted)
