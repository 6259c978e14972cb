"""A run whose probabilities are calibrated: its results, a later evaluation, and predictions of categories."""

import csv
import gzip

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.runs import folder as run_folder

pytestmark = pytest.mark.slow


def test_calibration_of_the_training_applies_in_evaluate_and_predict(tmp_path):
    rng = np.random.default_rng(0)
    x, noise = rng.normal(size=(2, 600))
    town = np.where(noise > 0, "Oslo", "Rome")
    lines = [f"{a:.4f},{b},{'high' if a + c > 0 else 'low'}" for a, b, c in zip(x, town, rng.normal(size=600))]
    (tmp_path / "rows.csv").write_text("\n".join(["x,town,label", *lines]))
    run = [f"run.root={tmp_path}", "registry.url=none"]
    data = ["data=csv", f"data.path={tmp_path}/rows.csv", "data.numeric=[x]", "data.categorical=[town]"]
    options = [
        *data,
        "model=tabular",
        "training.epochs=2",
        "training.tensorboard=false",
        "evaluation.resamples=100",
        *run,
    ]
    assert main(["train", *options, "run.name=plain"]) == 0
    assert main(["train", *options, "run.name=sure", "evaluation.calibrate=temperature"]) == 0
    plain, sure = (run_folder.read(tmp_path / name, "result.json") for name in ("plain", "sure"))
    assert sure["weights_digest"] == plain["weights_digest"]
    assert sure["calibrators"]["label"]["rows"] == sure["rows"]["validation"]
    change = sure["calibration_change"]["label"]["log_loss"]
    assert change["before"] == plain["metrics"]["label"]["log_loss"]
    assert change["after"] == sure["metrics"]["label"]["log_loss"] != change["before"]
    assert not {"calibrators", "calibration_change"} & set(plain)
    assert "Calibration after training" in (tmp_path / "sure" / "report.html").read_text()

    assert main(["evaluate", *run, "run.name=sure", f"data.path={tmp_path}/rows.csv"]) == 0
    (folder,) = (tmp_path / "sure" / "evaluations").iterdir()
    again = run_folder.read(folder, "result.json")
    assert again["metrics"] == sure["metrics"] and again["calibration_change"] == sure["calibration_change"]

    assert main(["predict", *run, "run.name=sure", f"data.path={tmp_path}/rows.csv"]) == 0
    predicted = {row["id"]: row for row in csv.DictReader((tmp_path / "sure/predictions/rows.csv").open())}
    with gzip.open(tmp_path / "sure" / "predictions.csv.gz", "rt") as file:
        scored = list(csv.DictReader(file))
    assert all(predicted[row["id"]]["p_high"] == row["p_high"] for row in scored)
