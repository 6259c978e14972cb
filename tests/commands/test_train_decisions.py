"""A threshold that the training chose: in the results, and in a later evaluation."""

import csv
import gzip

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.runs import folder as run_folder

pytestmark = pytest.mark.slow


def test_threshold_chosen_in_training_decides_in_evaluate(tmp_path):
    x = np.random.default_rng(0).normal(size=(400, 3)).astype(np.float32)
    np.savez(tmp_path / "rare.npz", x=x, y=(x[:, 0] > 1).astype(np.int64))
    run = [f"run.root={tmp_path}", "run.name=rare", "registry.url=none", f"data.path={tmp_path}/rare.npz"]
    options = ["training.epochs=2", "evaluation.threshold=recall>=0.9"]
    assert main(["train", "data=npz", *options, "training.tensorboard=false", *run]) == 0
    result = run_folder.read(tmp_path / "rare", "result.json")
    (decision,) = result["decisions"].values()
    assert decision["rule"] == "recall>=0.9"

    assert main(["evaluate", *run]) == 0
    (folder,) = (tmp_path / "rare" / "evaluations").iterdir()
    assert run_folder.read(folder, "result.json")["metrics"] == result["metrics"]
    with gzip.open(folder / "predictions.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    predicted = [row["prediction"] == "1" for row in rows]
    assert predicted == [np.float32(row["p_1"]) >= np.float32(decision["thresholds"][0]) for row in rows]

    assert main(["evaluate", *run, "evaluation.threshold=max_f1"]) == 2
