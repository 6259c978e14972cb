"""Resuming a run under other code, and with its data moved."""

import json

import pytest

from pipeline.cli.main import main

TINY = ["training.epochs=1", "model.hidden=[8]", "training.tensorboard=false", "registry.url=none"]


def read(path):
    return json.loads(path.read_text())


def mark_interrupted(folder):
    result = folder / "result.json"
    result.write_text(json.dumps(read(result) | {"status": "interrupted"}))


@pytest.mark.slow
def test_resume_with_other_code_is_refused_or_recorded_permanently(tmp_path, capsys):
    named = [f"run.root={tmp_path}", "run.name=mine"]
    record = tmp_path / "mine" / "environment.json"
    assert main(["train", *named, *TINY]) == 0
    begun = read(record)
    begun["identity"]["code"] = "other"
    record.write_text(json.dumps(begun))
    mark_interrupted(tmp_path / "mine")

    assert main(["train", *named, *TINY]) == 3
    assert 'identity.code: "other" then' in capsys.readouterr().err
    assert read(record) == begun

    assert main(["train", *named, *TINY, "environment.allow_drift=true"]) == 0
    assert main(["evaluate", *named]) == 0
    (evaluated,) = record.parent.glob("evaluations/*")
    for folder in (record.parent, evaluated):
        assert "Changed while it was trained: identity.code" in (folder / "report.html").read_text()
    assert read(record)["mixed"][0].startswith('identity.code: "other" then')


@pytest.mark.slow
def test_resume_with_every_data_file_moved_continues_the_run_and_its_log(tmp_path, capsys):
    data = tmp_path / "before"
    data.mkdir()
    for name, rows in (("train", range(70)), ("validation", range(70, 90)), ("test", range(90, 120))):
        lines = [f"{number},{number % 7},{'yes' if number % 2 else 'no'}" for number in rows]
        (data / f"{name}.csv").write_text("\n".join(["a,b,bought", *lines]) + "\n")

    def train(folder):
        files = {"path": "train", "validation_path": "validation", "test_path": "test"}
        paths = [f"data.{key}={folder}/{name}.csv" for key, name in files.items()]
        columns = ["data=csv", "data.numeric=[a,b]", "data.labels=[bought]", "model=tabular"]
        return main(["train", f"run.root={tmp_path}/runs", "run.name=mine", *columns, *paths, *TINY])

    assert train(data) == 0
    digest = read(tmp_path / "runs/mine/result.json")["weights_digest"]
    mark_interrupted(tmp_path / "runs/mine")
    data.rename(tmp_path / "after")
    capsys.readouterr()
    assert train(tmp_path / "after") == 0
    assert "resuming after epoch 1" in capsys.readouterr().err
    assert read(tmp_path / "runs/mine/result.json")["weights_digest"] == digest
    log = (tmp_path / "runs/mine/run.log").read_text()
    assert log.count("data: csv, 70 train") == 2 and log.count("DEBUG epoch 1: ") == 1
    assert log.index("runs/mine, new") < log.index("runs/mine, resuming after epoch 1") < log.rindex(digest)
