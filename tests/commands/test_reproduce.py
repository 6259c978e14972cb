"""`reproduce`: identical is exit status 0, a difference is named and is 4, an incomplete record is refused first."""

import hashlib
import json
import shutil

import keras
import numpy as np
import pytest

from pipeline import stored_config
from pipeline.cli.main import main

TINY = ["training.epochs=2", "model.hidden=[8]", "model.dropout=0.3", "training.tensorboard=false", "registry.url=none"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A root with one finished run, `mine`, of data in a file."""
    root = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    np.savez(root / "rows.npz", x=rng.normal(size=(300, 4)).astype(np.float32), y=rng.integers(0, 3, 300))
    assert (
        main(["train", f"run.root={root}", "run.name=mine", "data=npz", f"data.path={root / 'rows.npz'}", *TINY]) == 0
    )
    return root


@pytest.fixture
def root(trained, tmp_path):
    shutil.copytree(trained / "mine", tmp_path / "mine")
    shutil.copy(trained / "rows.npz", tmp_path)
    return tmp_path


def reproduce(root, *overrides):
    return main(["reproduce", f"run.root={root}", "run.name=mine", f"data.path={root}/rows.npz", *overrides])


def change(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def comparison(root, number=1):
    return json.loads((root / "mine" / "reproductions" / str(number) / "comparison.json").read_text())


def files(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "reproductions" not in path.parts
    }


def test_same_run_is_identical_and_its_record_is_not_changed(root, capsys):
    before = files(root / "mine")
    assert reproduce(root) == 0
    digest = json.loads((root / "mine" / "result.json").read_text())["weights_digest"]
    assert f"identical: 2 epochs, weights {digest}" in capsys.readouterr().out
    assert comparison(root) == {"identical": True, "weights_digest": {"then": digest, "now": digest}}
    assert files(root / "mine") == before


def test_reproduction_stores_its_own_config(root):
    assert reproduce(root) == 0
    folder = root / "mine" / "reproductions" / "1"
    kept = stored_config.read(folder / "config.yaml")
    assert (kept.run.root, kept.run.name, kept.registry.url) == (str(folder.parent), "1", "none")


def test_difference_is_reported_by_epoch_variable_amount_and_cause(root, capsys):
    assert reproduce(root, "seed=1") == 4
    out = capsys.readouterr().out
    for words in (
        "first epoch     1",
        "loss:",
        "apart)",
        "first variable  ",
        "values differ, by ",
        "seed: 0 then, 1 now",
    ):
        assert words in out
    found = comparison(root)
    assert found["variable"]["by"] > 0 and found["identical"] is False


@pytest.mark.slow
def test_first_differing_epoch_is_named(root, capsys):
    lines = [json.loads(line) for line in (root / "mine" / "metrics.jsonl").read_text().splitlines()]
    lines[1]["loss"] += 0.5
    (root / "mine" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert reproduce(root) == 4
    assert comparison(root)["epoch"]["epoch"] == 2 and list(comparison(root)["epoch"]["values"]) == ["loss"]
    assert "nothing that was recorded differs" in capsys.readouterr().out


@pytest.mark.slow
def test_each_reproduction_has_its_own_folder(root):
    assert [reproduce(root), reproduce(root)] == [0, 0]
    assert comparison(root, 1) == comparison(root, 2)


@pytest.mark.slow
def test_amount_is_unknown_without_the_saved_model(root, capsys):
    (root / "mine" / "model.keras").unlink()
    assert reproduce(root, "seed=1") == 4
    assert "the amount is unknown" in capsys.readouterr().out


def refused(root, capsys, status, *words):
    assert reproduce(root) == status
    err = capsys.readouterr().err
    for word in words:
        assert word in err
    assert not (root / "mine" / "reproductions").exists()


def test_missing_data_is_named(root, capsys):
    (root / "rows.npz").unlink()
    refused(root, capsys, 2, "rows.npz")


def test_other_data_is_refused(root, capsys):
    change(root / "mine" / "result.json", fingerprint="0" * 64)
    refused(root, capsys, 2, "data it was trained on", "0" * 64)


def test_another_lock_is_exit_status_3(root, capsys):
    path = root / "mine" / "environment.json"
    change(path, lock=json.loads(path.read_text())["lock"] | {"sha256": "f" * 64})
    refused(root, capsys, 3, "the lock it was trained with", "f" * 16, "environment.allow_drift=true")


def test_another_device_is_exit_status_3(root, capsys):
    path = root / "mine" / "environment.json"
    change(path, hardware=json.loads(path.read_text())["hardware"] | {"device": "tpu"})
    refused(root, capsys, 3, "device it was trained on, tpu")


def test_unfinished_run_is_refused(root, capsys):
    change(root / "mine" / "result.json", status="interrupted")
    refused(root, capsys, 2, "expected a finished run")


@pytest.mark.parametrize("name", ["environment.json", "metrics.jsonl", "config.yaml"])
def test_incomplete_record_is_refused_naming_the_missing_file(root, capsys, name):
    (root / "mine" / name).unlink()
    refused(root, capsys, 2, name)


def test_stored_digests_of_variables_match_the_saved_model(root):
    model = keras.saving.load_model(root / "mine" / "model.keras", compile=False)
    kept = json.loads((root / "mine" / "weights.json").read_text())
    for weight, found in zip(kept, map(np.ascontiguousarray, model.get_weights()), strict=True):
        head = json.dumps([weight["path"], found.shape, str(found.dtype)]).encode()
        assert weight["sha256"] == hashlib.sha256(head + found.tobytes()).hexdigest()


@pytest.mark.slow
def test_interrupted_reproduction_is_resumed(root):
    assert reproduce(root) == 0
    change(root / "mine" / "reproductions" / "1" / "result.json", status="interrupted")
    assert reproduce(root) == 0
    begun = (root / "mine" / "reproductions").glob("[!.]*")  # beside the cache of the data checks
    assert [path.name for path in begun] == ["1"]


@pytest.mark.slow
def test_another_lock_is_allowed_with_allow_drift(root):
    path = root / "mine" / "environment.json"
    change(path, lock=json.loads(path.read_text())["lock"] | {"sha256": "f" * 64})
    assert reproduce(root, "environment.allow_drift=true") == 0
