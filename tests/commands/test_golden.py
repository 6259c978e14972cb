"""Golden runs: those kept still come out, and a change of code, lock or hardware is told for what it is."""

import copy
import json

import pytest

from pipeline.cli import compose as composition
from pipeline.cli.main import main
from pipeline.commands import golden
from pipeline.runtime import environment, hardware

RUN = "golden_mlp"


@pytest.fixture
def kept():
    return json.loads((environment.PROJECT / "golden/results.json").read_text())


@pytest.fixture
def entry(kept):
    """What training came to here, made up: the first entry kept, on hardware of this kind."""
    return copy.deepcopy(next(iter(kept["hardware"].values())))


@pytest.fixture
def called(kept, entry, tmp_path, monkeypatch, capsys):
    """A function of words and of what is kept: (status, JSON that was told). `entry` is what training came to."""
    monkeypatch.setattr(golden, "train_all", lambda config: entry)
    path = tmp_path / "results.json"

    def call(*words, known=True):
        mark = hardware.fingerprint(entry["hardware"]) if known else "other"
        then = next(iter(kept["hardware"].values()))
        path.write_text(json.dumps(kept | {"hardware": {mark: then, "elsewhere": then}}))
        status = main(["golden", *words, f"golden.file={path}", "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


def finding(told, name=RUN):
    return next(found for found in told["runs"] if found["run"] == name)


@pytest.mark.slow
def test_the_golden_runs_come_out_as_they_are_kept(capsys):
    status = main(["golden", f"golden.file={environment.PROJECT / 'golden/results.json'}"])
    assert status == 0, capsys.readouterr().out
    print(capsys.readouterr().out)


def test_the_results_are_kept_of_every_golden_run(kept):
    names = composition.compose([]).golden.experiments
    assert list(kept["accuracy"]) == names
    assert all(list(entry["runs"]) == names for entry in kept["hardware"].values())


def test_the_same_bits_are_status_0(called):
    status, told = called()
    assert status == 0 and told["known"] and {found["verdict"] for found in told["runs"]} == {"same"}


def test_bits_that_moved_are_status_4_with_scores_epoch_and_causes(called, entry):
    entry["runs"][RUN]["weights"] = "f" * 64
    entry["runs"][RUN]["metrics"]["digit"]["accuracy"]["value"] -= 0.01
    entry["runs"][RUN]["epochs"][2]["loss"] += 1e-7
    entry["made"]["packages"]["keras"] = "0.1"
    status, told = called()
    lines = "\n".join(finding(told)["lines"])
    assert status == 4 and finding(told)["verdict"] == "moved" and finding(told, "golden_cnn")["verdict"] == "same"
    assert "weights: " in lines and "metrics.digit.accuracy.value: " in lines and "epoch 3, loss: " in lines
    assert [line for line in told["causes"] if line.startswith("packages.keras: ") and '"0.1" now' in line]


def test_unknown_hardware_is_held_to_the_tolerance_and_says_so(called, entry, tmp_path, kept, capsys):
    entry["runs"][RUN]["weights"] = "f" * 64
    status, told = called(known=False)
    assert status == 0 and not told["known"] and finding(told)["verdict"] == "within tolerance"
    assert main(["golden", f"golden.file={tmp_path}/results.json"]) == 0
    assert "not known: accuracies, within 2 points" in capsys.readouterr().out


def test_an_accuracy_beyond_the_tolerance_is_status_4_on_any_hardware(called, entry):
    entry["runs"][RUN]["metrics"]["digit"]["accuracy"]["value"] -= 0.021
    for known in (True, False):
        status, told = called(known=known)
        assert status == 4 and "beyond the tolerance" in finding(told)["lines"][0]


def test_a_run_that_is_not_kept_is_status_4(called, entry):
    entry["runs"]["golden_new"] = entry["runs"][RUN]
    status, told = called()
    assert status == 4 and finding(told, "golden_new")["verdict"] == "not recorded"


def test_recording_drops_other_hardware_only_where_the_bits_moved(called, entry, tmp_path):
    mark = hardware.fingerprint(entry["hardware"])
    assert called("record")[0] == 0
    assert set(json.loads((tmp_path / "results.json").read_text())["hardware"]) == {mark, "elsewhere"}
    entry["runs"][RUN]["weights"] = "f" * 64
    assert called("record")[0] == 0
    found = json.loads((tmp_path / "results.json").read_text())["hardware"]
    assert set(found) == {mark} and found[mark]["runs"][RUN]["weights"] == "f" * 64


def test_recording_some_of_the_runs_is_refused_and_loses_none(called, tmp_path, capsys):
    (tmp_path / "results.json").write_text((environment.PROJECT / "golden/results.json").read_text())
    words = ["golden", "record", f"golden.file={tmp_path}/results.json", f"golden.experiments=[{RUN}]"]
    assert main(words) == 2
    assert "missing: golden_mlp_tape, golden_cnn" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == (environment.PROJECT / "golden/results.json").read_text()


def test_a_file_that_is_gone_or_damaged_is_status_2(tmp_path, capsys):
    for text in (None, "{", "[]", "{}"):
        if text:
            (tmp_path / "results.json").write_text(text)
        assert main(["golden", f"golden.file={tmp_path}/results.json"]) == 2
        assert "`make golden` records them" in capsys.readouterr().err


def test_the_file_is_laid_out_so_that_a_diff_shows_what_moved(entry):
    text = golden.format_json(entry)
    assert json.loads(text) == entry and max(map(len, text.splitlines())) < 400
    changed = copy.deepcopy(entry)
    changed["runs"][RUN]["epochs"][1]["loss"] += 1
    assert sum(a != b for a, b in zip(text.splitlines(), golden.format_json(changed).splitlines(), strict=True)) == 1
