"""Comparisons with simple models and between groups of rows: on the terminal, in files and in the report."""

import contextlib
import io
import json

import numpy as np
import pytest

from pipeline.cli.main import main

HEADER = "a,b,region,age,y"


def lines(count, seed):
    random = np.random.default_rng(seed)
    values = random.normal(size=(count, 2)).round(4)
    regions, ages = random.choice(["north", "<south>"], count), random.integers(18, 80, count)
    labels = values[:, 0] + np.where(regions == "north", 3, 0.1) * random.normal(size=count) > 0
    rows = zip(values.tolist(), regions, ages, labels, strict=True)
    return [f"{a},{b},{region},{age},{'yes' if label else 'no'}" for (a, b), region, age, label in rows]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with a run on people.csv, scored by region and age, and new.csv."""
    folder = tmp_path_factory.mktemp("groups")
    (folder / "people.csv").write_text("\n".join([HEADER, *lines(600, 0)]))
    (folder / "new.csv").write_text("\n".join([HEADER, *lines(200, 1)]))
    (folder / "without.csv").write_text("\n".join(["a,b,y", "1,1,yes", "0,1,no"]))
    return folder


@pytest.fixture(scope="module")
def output_of_training(workplace):
    """What the training prints."""
    arguments = [
        "train", "run.name=mine", f"run.root={workplace}/runs", "data=csv", f"data.path={workplace}/people.csv",
        "data.numeric=[a,b]", "data.labels=[y]", "model=tabular", "training.epochs=1", "training.tensorboard=false",
        "optimizer.learning_rate=0.0000001", "evaluation.groups=[region,age]",
        "preflight.ignore=[few-steps,update-without-effect]",
    ]  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()) as output:
        assert main(arguments) == 0
    return output.getvalue()


@pytest.fixture
def evaluate(workplace, output_of_training, capsys):
    """A function of options on the run: (exit status, stdout, stderr)."""

    def call(*options):
        capsys.readouterr()
        path = (
            [] if any(option.startswith("data.path=") for option in options) else [f"data.path={workplace}/people.csv"]
        )
        status = main(["evaluate", "run.name=mine", f"run.root={workplace}/runs", *path, *options])
        return status, *capsys.readouterr()

    return call


def test_the_first_line_of_the_result_says_that_the_model_is_no_better_than_a_simple_one(workplace, output_of_training):
    result = output_of_training[output_of_training.index("y: accuracy") :].splitlines()
    assert "not better than" in result[0] or "worse than" in result[0]
    assert "logistic regression" in result[0] and "the majority class" in result[0]
    page = (workplace / "runs/mine/report.html").read_text()
    assert page.index("<h2>Scores</h2>") < page.index(result[0][:20]) < page.index('class="tiles"')


def test_result_and_report_hold_the_comparisons(workplace, output_of_training):
    result = json.loads((workplace / "runs/mine/result.json").read_text())
    baseline = result["baselines"]["y"]["the majority class"]
    assert baseline["score"] - baseline["baseline"] == pytest.approx(baseline["difference"]["value"])
    groups = result["groups"]["y"]["region"]
    assert {group["name"] for group in groups["groups"]} == {"north", "<south>"}
    assert sum(group["rows"] for group in groups["groups"]) == 120
    page = (workplace / "runs/mine/report.html").read_text()
    assert "<h3>By region</h3>" in page and "&lt;south&gt;" in page and "<south>" not in page
    assert any(line.startswith("y by age: accuracy worst in ") for line in output_of_training.splitlines())


def test_evaluation_of_the_own_test_rows_gives_the_same_comparisons(workplace, evaluate):
    assert evaluate()[0] == 0
    (again,) = (workplace / "runs/mine/evaluations").glob("test-*/result.json")
    trained, again = (json.loads(path.read_text()) for path in (workplace / "runs/mine/result.json", again))
    assert trained["baselines"] == again["baselines"] and trained["groups"] == again["groups"]


def test_new_data_is_compared_by_other_groups_with_the_simple_models_of_the_training(workplace, evaluate):
    status, said, _ = evaluate(f"data.path={workplace}/new.csv", "evaluation.groups=[a]")
    assert status == 0 and said.startswith("200 rows: all rows of")
    assert "than logistic regression" in said and "y by a: accuracy worst in " in said


def test_groups_change_neither_fingerprint_nor_identity(workplace, output_of_training):
    environment = json.loads((workplace / "runs/mine/environment.json").read_text())
    assert not any("groups" in key for key in environment["identity"]["config"])


def test_new_data_without_the_columns_of_the_groups_is_refused_with_the_way_out(workplace, evaluate):
    status, _, said = evaluate(f"data.path={workplace}/without.csv")
    assert status == 2 and "evaluation.groups: expected columns of the data; found 'region'." in said
    assert evaluate(f"data.path={workplace}/without.csv", "evaluation.groups=[]")[0] == 0


def test_a_run_of_an_earlier_version_is_evaluated_without_simple_models(workplace, evaluate):
    stored = workplace / "runs/mine/baselines.json"
    content = stored.read_text()
    stored.unlink()
    try:
        status, said, _ = evaluate()
        assert status == 0 and "logistic regression" not in said
        stored.write_text("{}")
        status, _, said = evaluate()
        assert status == 2 and "expected the entry" in said
    finally:
        stored.write_text(content)
