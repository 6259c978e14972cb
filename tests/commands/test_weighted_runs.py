"""Row weights from the training to the scores of new data without weights."""

import csv
import gzip

import numpy as np
import pytest

from pipeline.runs import folder as run_folder

pytestmark = pytest.mark.slow


def test_run_with_row_weights_scores_new_rows_with_and_without_them(tmp_path, answer):
    x = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    arrays = {"x": x, "y": (x[:, 0] > 0.5).astype(np.int64)}
    np.savez(tmp_path / "old.npz", **arrays, weight=np.arange(300) % 4)
    np.savez(tmp_path / "new.npz", x=x + 0.01, y=arrays["y"])
    run = [f"run.root={tmp_path}", "run.name=mine", "registry.url=none"]
    options = [f"data.path={tmp_path}/old.npz", "data.weight=weight", "objective.class_weight=balanced"]
    status, out, _ = answer(tmp_path, "train", "data=npz", *options, "training.epochs=1", *run)
    assert status == 0
    result = run_folder.read(tmp_path / "mine", "result.json")
    assert f"effective number {result['effective_rows']['y']:.1f}; " in out
    with gzip.open(tmp_path / "mine" / "predictions.csv.gz", "rt") as file:
        weights = np.array([[row["weight"], row["target"] == row["prediction"]] for row in csv.DictReader(file)])
    right, weights = weights[:, 1] == "True", weights[:, 0].astype(float)
    assert result["metrics"]["y"]["accuracy"]["value"] == pytest.approx(np.average(right, weights=weights), rel=1e-9)
    page = (tmp_path / "mine" / "report.html").read_text()
    assert "Scores and intervals use row weights" in page and "sums of the weights of rows" in page

    status, out, _ = answer(tmp_path, "evaluate", *run, f"data.path={tmp_path}/old.npz")
    assert status == 0 and "Scores and intervals use row weights" in out
    status, out, _ = answer(tmp_path, "evaluate", *run, f"data.path={tmp_path}/new.npz")
    assert status == 0 and "row weights" not in out
    assert "300 rows: all rows of" in out and "new.npz, each counted once, since it has no 'weight'\n" in out
    assert answer(tmp_path, "predict", *run, f"data.path={tmp_path}/new.npz")[0] == 0
