"""`drift`: its exit statuses, its records in the registry and its page."""

import html
import json
import re
import shutil

import numpy as np
import pytest
import sqlalchemy as sa
from written_runs import write_run

from pipeline.cli.main import main
from pipeline.registry import store, tables, verification
from pipeline.registry.options import Registry


@pytest.fixture(scope="module")
def workplace(tmp_path_factory, digits):
    """A working directory with two finished runs, and changed copies of the digits."""
    folder = tmp_path_factory.mktemp("drift")
    for name, epochs in (("good", 12), ("short", 2)):
        arguments = ["train", f"run.name={name}", f"run.root={folder}/runs", f"training.epochs={epochs}"]
        assert main([*arguments, "training.tensorboard=false"]) == 0
    rng = np.random.default_rng(0)
    images, labels = digits.test.features["image"], digits.test.labels["digit"]
    noisy = np.clip(images + rng.normal(0, 4, images.shape), 0, 16).astype(np.uint8)
    np.savez(folder / "noisy.npz", image=noisy, digit=labels)
    np.savez(folder / "few.npz", image=images[:60], digit=labels[:60])
    np.savez(folder / "narrow.npz", image=images[:, :7], digit=labels)
    return folder


def options_of_file(folder, name):
    return [
        "data=npz",
        f"data.path={folder}/{name}.npz",
        "data.features=[image]",
        "data.labels=[digit]",
        "data.classes=10",
    ]


@pytest.fixture
def detect(workplace, capsys):
    """A function of the arguments after `drift`: exit status, output."""

    def call(*arguments, run="good"):
        capsys.readouterr()
        status = main(["drift", f"run.name={run}", f"run.root={workplace}/runs", *arguments])
        output = capsys.readouterr()
        return status, output.out or output.err

    return call


def test_drift_of_the_same_data_is_none_with_status_0(detect):
    status, output = detect()
    assert status == 0, output
    assert "input: 53 comparisons: 53 none" in output


def test_drift_of_noisy_data_is_status_4_and_is_in_the_registry_and_on_the_page(workplace, detect):
    status, output = detect(*options_of_file(workplace, "noisy"), "--json")
    assert status == 4, output
    results = json.loads(output)
    assert {result["kind"] for result in results if result["verdict"] == "drift"} == {"input", "prediction"}
    with store.connect_read_only(store.create_engine(Registry(), workplace / "runs")) as connection:
        query = sa.select(tables.drift_result.c.subject, tables.drift_result.c.method, tables.drift_result.c.verdict)
        kept = [tuple(row) for row in connection.execute(query.where(tables.drift_result.c.verdict == "drift"))]
    assert kept == [
        (result["subject"], result["method"], result["verdict"]) for result in results if result["verdict"] == "drift"
    ]
    pages = [path.read_text() for path in (workplace / "runs/good/drift").glob("*/drift.html")]
    (page,) = [text for text in pages if '<p class="drift">Drift detected</p>' in text]
    assert page.count("<rect") > 50 and "default-src 'none'" in page
    assert {result["subject"] for result in results} <= set(map(html.unescape, re.findall(r"<td>(.*?)</td>", page)))


def test_drift_of_too_few_rows_is_status_5(workplace, detect):
    status, output = detect(*options_of_file(workplace, "few"))
    assert status == 5 and "too few rows" in output


@pytest.mark.parametrize("data", ["narrow", "japanese_vowels"])
def test_drift_of_data_with_other_columns_is_status_2(workplace, detect, data):
    other = (
        ["data=japanese_vowels", "drift.split=test"] if data == "japanese_vowels" else options_of_file(workplace, data)
    )
    status, output = detect(*other)
    assert status == 2 and "expected the features" in output


def test_drift_compares_the_scores_of_two_runs_on_the_same_rows(workplace, detect):
    status, output = detect("drift.split=test", "drift.against=good", "--json", run="short")
    assert status == 4, output
    (accuracy,) = [result for result in json.loads(output) if result["subject"] == "digit accuracy"]
    assert (accuracy["kind"], accuracy["method"], accuracy["verdict"]) == ("performance", "paired bootstrap", "drift")
    scores = [json.loads((workplace / "runs" / name / "result.json").read_text()) for name in ("short", "good")]
    scores = [score["metrics"]["digit"]["accuracy"]["value"] for score in scores]
    assert accuracy["effect"] == pytest.approx(scores[0] - scores[1])


@pytest.mark.slow
def test_drift_converts_the_outputs_of_another_run_by_its_own_loss(workplace, tmp_path, capsys):
    shutil.copytree(workplace / "runs/good", tmp_path / "good")
    logits = "objective.loss={class_name: SparseCategoricalCrossentropy, config: {from_logits: true}}"
    layers = "model.layers=[Flatten, {class_name: Dense, config: {units: 10}}]"
    here = [f"run.root={tmp_path}", "registry.url=none"]
    few = ["training.epochs=2", "training.tensorboard=false"]
    assert main(["train", *here, *few, "run.name=logits", "model=layers", layers, logits]) == 0
    capsys.readouterr()
    assert main(["drift", *here, "run.name=good", "drift.split=test", "drift.against=logits", "--json"]) in (0, 4)
    results = json.loads(capsys.readouterr().out)
    scores = [json.loads((tmp_path / name / "result.json").read_text()) for name in ("good", "logits")]
    scores = [score["metrics"]["digit"]["accuracy"]["value"] for score in scores]
    (accuracy,) = [result for result in results if result["subject"] == "digit accuracy"]
    assert accuracy["effect"] == pytest.approx(scores[0] - scores[1])


def test_drift_of_a_moved_run_is_written_to_its_new_folder(workplace, tmp_path, monkeypatch):
    shutil.copytree(workplace / "runs/good", tmp_path / "runs/good")
    monkeypatch.chdir(tmp_path)
    before = sorted((workplace / "runs/good").rglob("*"))
    assert main(["drift", "run.name=good", "registry.url=none"]) == 0
    assert list((tmp_path / "runs/good/drift").glob("*/drift.html"))
    assert sorted((workplace / "runs/good").rglob("*")) == before


def test_evaluation_of_other_data_is_recorded_in_the_registry(workplace):
    arguments = [f"run.root={workplace}/runs", "run.name=good", "evaluation.split=all"]
    assert main(["evaluate", *arguments, *options_of_file(workplace, "noisy")]) == 0
    engine = store.create_engine(Registry(), workplace / "runs")
    with store.connect_read_only(engine) as connection:
        query = sa.select(tables.evaluation.c.data, tables.evaluation.c.split).distinct()
        assert set(map(tuple, connection.execute(query))) == {("digits", "test"), ("npz", "all")}
        profiles = sa.select(sa.func.count()).select_from(tables.prediction_profile)
        assert connection.scalar(profiles) == 3
    assert verification.verify_journals(engine, workplace / "runs") == (2, [])


# ---- series ---------------------------------------------------------------------------------------------------------


def write_runs(root, accuracies, **changes):
    for accuracy in accuracies:
        write_run(root, f"run-{len(list(root.glob('run-*'))):03}", epochs=1, accuracy=accuracy, **changes)


def noisy_scores(rng, level, runs):
    return (level + rng.normal(0, 0.004, runs)).tolist()


def detect_in_series(root, capsys):
    capsys.readouterr()
    status = main(["drift", "series", f"run.root={root}", "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_series_that_falls_with_a_new_lock_is_drift_and_names_the_lock(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_runs(tmp_path, noisy_scores(rng, 0.97, 25))
    write_runs(tmp_path, noisy_scores(rng, 0.95, 25), lock="2" * 64)
    status, results = detect_in_series(tmp_path, capsys)
    assert status == 4
    assert [result["method"] for result in results] == ["ADWIN", "Page-Hinkley"]
    for result in results:
        assert result["verdict"] == "drift" and result["effect"] == pytest.approx(-0.02, abs=0.005)
        assert "from run run-025 on; lock changed with run run-025" in result["detail"]
    page = (tmp_path / "drift.html").read_text()
    assert "lock changed with run run-025" in page and "<polyline" in page
    with store.connect_read_only(store.create_engine(Registry(), tmp_path)) as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(tables.drift_result)) == 2


def test_series_that_falls_without_a_recorded_change_reports_none(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_runs(tmp_path, [*noisy_scores(rng, 0.97, 25), *noisy_scores(rng, 0.95, 25)])
    status, results = detect_in_series(tmp_path, capsys)
    assert status == 4 and all("nothing else changed" in result["detail"] for result in results)


def test_series_of_constant_level_is_status_0_even_if_the_lock_changed(tmp_path, capsys):
    rng = np.random.default_rng(0)
    write_runs(tmp_path, noisy_scores(rng, 0.97, 20))
    write_runs(tmp_path, noisy_scores(rng, 0.97, 20), lock="2" * 64)
    assert detect_in_series(tmp_path, capsys)[0] == 0


def test_series_that_is_too_short_is_status_5(tmp_path, capsys):
    write_runs(tmp_path, [0.97] * 5 + [0.5] * 4)
    status, results = detect_in_series(tmp_path, capsys)
    assert status == 5 and {result["verdict"] for result in results} == {"too few rows"}


def test_series_of_a_score_that_no_run_has_is_status_2(tmp_path, capsys):
    write_runs(tmp_path, [0.97])
    assert main(["drift", "series", f"run.root={tmp_path}", "drift.metric=accuracyy"]) == 2
    assert "drift.metric=accuracyy" in capsys.readouterr().err
