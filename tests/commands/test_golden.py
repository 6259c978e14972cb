"""Golden runs: the kept results still hold, and each kind of change has its verdict."""

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
    """The results of training, which is not run here: the first kept entry."""
    return copy.deepcopy(next(iter(kept["hardware"].values())))


@pytest.fixture
def compare(kept, entry, tmp_path, monkeypatch, capsys):
    """A function that runs `golden` with `entry` as results: exit status, report. known: whether the hardware is."""
    monkeypatch.setattr(golden, "train_all", lambda config: entry)
    path = tmp_path / "results.json"

    def call(*arguments, known=True):
        fingerprint = hardware.fingerprint(entry["hardware"]) if known else "other"
        before = next(iter(kept["hardware"].values()))
        path.write_text(json.dumps(kept | {"hardware": {fingerprint: before, "elsewhere": before}}))
        status = main(["golden", *arguments, f"golden.file={path}", "--json"])
        return status, json.loads(capsys.readouterr().out)

    return call


def comparison(report, name=RUN):
    return next(each for each in report["runs"] if each["run"] == name)


@pytest.mark.slow
def test_golden_runs_give_the_kept_results(capsys):
    status = main(["golden", f"golden.file={environment.PROJECT / 'golden/results.json'}"])
    assert status == 0, capsys.readouterr().out
    print(capsys.readouterr().out)


def test_kept_results_cover_every_golden_run(kept):
    names = composition.compose([]).golden.experiments
    assert list(kept["accuracy"]) == names
    assert all(list(entry["runs"]) == names for entry in kept["hardware"].values())


def test_same_bits_are_status_0(compare):
    status, report = compare()
    assert status == 0 and report["known"] and {each["verdict"] for each in report["runs"]} == {"same"}


def test_changed_bits_are_status_4_with_scores_epoch_and_causes(compare, entry):
    entry["runs"][RUN]["weights"] = "f" * 64
    entry["runs"][RUN]["metrics"]["digit"]["accuracy"]["value"] -= 0.01
    entry["runs"][RUN]["epochs"][2]["loss"] += 1e-7
    entry["made"]["packages"]["keras"] = "0.1"
    status, report = compare()
    lines = "\n".join(comparison(report)["lines"])
    assert (
        status == 4
        and comparison(report)["verdict"] == "moved"
        and comparison(report, "golden_cnn")["verdict"] == "same"
    )
    assert "weights: " in lines and "metrics.digit.accuracy.value: " in lines and "epoch 3, loss: " in lines
    assert [line for line in report["causes"] if line.startswith("packages.keras: ") and '"0.1" now' in line]


def test_unknown_hardware_is_compared_within_the_tolerance(compare, entry, tmp_path, kept, capsys):
    entry["runs"][RUN]["weights"] = "f" * 64
    status, report = compare(known=False)
    assert status == 0 and not report["known"] and comparison(report)["verdict"] == "within tolerance"
    assert main(["golden", f"golden.file={tmp_path}/results.json"]) == 0
    assert "not known: accuracies, within 2 points" in capsys.readouterr().out


def test_accuracy_beyond_the_tolerance_is_status_4_on_any_hardware(compare, entry):
    entry["runs"][RUN]["metrics"]["digit"]["accuracy"]["value"] -= 0.021
    for known in (True, False):
        status, report = compare(known=known)
        assert status == 4 and "beyond the tolerance" in comparison(report)["lines"][0]


def test_run_without_a_kept_result_is_status_4(compare, entry):
    entry["runs"]["golden_new"] = entry["runs"][RUN]
    status, report = compare()
    assert status == 4 and comparison(report, "golden_new")["verdict"] == "not recorded"


def test_record_drops_results_of_other_hardware_only_if_the_bits_changed(compare, entry, tmp_path):
    fingerprint = hardware.fingerprint(entry["hardware"])
    assert compare("record")[0] == 0
    assert set(json.loads((tmp_path / "results.json").read_text())["hardware"]) == {fingerprint, "elsewhere"}
    entry["runs"][RUN]["weights"] = "f" * 64
    assert compare("record")[0] == 0
    results = json.loads((tmp_path / "results.json").read_text())["hardware"]
    assert set(results) == {fingerprint} and results[fingerprint]["runs"][RUN]["weights"] == "f" * 64


def test_record_of_some_runs_is_refused_and_keeps_the_file(compare, tmp_path, capsys):
    (tmp_path / "results.json").write_text((environment.PROJECT / "golden/results.json").read_text())
    arguments = ["golden", "record", f"golden.file={tmp_path}/results.json", f"golden.experiments=[{RUN}]"]
    assert main(arguments) == 2
    assert "missing: golden_mlp_tape, golden_cnn" in capsys.readouterr().err
    assert (tmp_path / "results.json").read_text() == (environment.PROJECT / "golden/results.json").read_text()


def test_missing_or_damaged_file_is_status_2(tmp_path, capsys):
    for text in (None, "{", "[]", "{}"):
        if text:
            (tmp_path / "results.json").write_text(text)
        assert main(["golden", f"golden.file={tmp_path}/results.json"]) == 2
        assert "`make golden` records them" in capsys.readouterr().err


def test_file_has_a_line_per_value_so_that_a_diff_shows_changes(entry):
    text = golden.format_json(entry)
    assert json.loads(text) == entry and max(map(len, text.splitlines())) < 400
    changed = copy.deepcopy(entry)
    changed["runs"][RUN]["epochs"][1]["loss"] += 1
    assert sum(a != b for a, b in zip(text.splitlines(), golden.format_json(changed).splitlines(), strict=True)) == 1
