"""A run whose loss never beats a constant prediction says so; a run with real labels records how it normalizes them."""

import json

import numpy as np
import pytest

from pipeline.cli.main import main


def trained(folder, rate, capsys):
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    np.savez(folder / "rows.npz", x=x, y=(x.sum(axis=1) * 400 + 5_000).astype(np.float32))
    options = [f"data.path={folder}/rows.npz", "data.label_kind=real", f"optimizer.learning_rate={rate}"]
    options += [f"run.root={folder}", "run.name=mine", "training.epochs=8", "training.batch_size=16"]
    assert main(["train", "data=npz", *options, "training.tensorboard=false", "registry.url=none"]) == 0
    report = (folder / "mine" / "report.html").read_text()
    return json.loads((folder / "mine" / "result.json").read_text()), report, capsys.readouterr().err


def test_run_that_never_beats_the_mean_says_so(tmp_path, capsys):
    result, report, log = trained(tmp_path, 1e-6, capsys)
    (warning,) = result["warnings"]
    assert "predicting the mean" in warning and "No epoch was better" in warning
    assert warning in log and "No epoch was better" in report


def test_run_on_labels_far_from_0_learns_them_and_records_their_statistics(tmp_path, capsys):
    result, report, log = trained(tmp_path, 0.01, capsys)
    assert result["warnings"] == [] and "No epoch was better" not in log + report
    assert result["metrics"]["y"]["r2"]["value"] > 0.95
    assert result["normalized_labels"]["y"]["mean"] == pytest.approx(5_000, rel=0.05)
    assert result["normalized_labels"]["y"]["deviation"] == pytest.approx(700, rel=0.2)
