"""Going on with a run under other code than it began with: refused, or allowed and marked for good."""

import json

from pipeline.cli.main import main

TINY = ["training.epochs=1", "model.hidden=[8]", "training.tensorboard=false", "registry.url=none"]


def read(path):
    return json.loads(path.read_text())


def test_a_run_gone_on_with_by_other_code_is_refused_or_marked_for_good(tmp_path, capsys):
    named = [f"run.root={tmp_path}", "run.name=mine"]
    record, result = (tmp_path / "mine" / name for name in ("environment.json", "result.json"))
    assert main(["train", *named, *TINY]) == 0
    begun = read(record)
    begun["identity"]["code"] = "other"
    record.write_text(json.dumps(begun))
    result.write_text(json.dumps(read(result) | {"status": "interrupted"}))

    assert main(["train", *named, *TINY]) == 3
    assert 'identity.code: "other" then' in capsys.readouterr().err
    assert read(record) == begun

    assert main(["train", *named, *TINY, "environment.allow_drift=true"]) == 0
    assert main(["evaluate", *named]) == 0
    (evaluated,) = record.parent.glob("evaluations/*")
    for folder in (record.parent, evaluated):
        assert "Changed while it was trained: identity.code" in (folder / "report.html").read_text()
    assert read(record)["mixed"][0].startswith('identity.code: "other" then')
