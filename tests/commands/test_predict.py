"""`predict`: the rows of a file without labels, their order and identity, and which files are refused."""

import csv
import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli.main import main
from pipeline.data import unlabeled

PROJECT = Path(__file__).parents[2]
RANDOM = np.random.default_rng(0)
ROWS = 300
TOWNS = ("Oslo", "Rome", "Ulm")
QUICK = ("registry.url=none", "training.epochs=2", "training.tensorboard=false")


def people(rows, start=0):
    """Return rows of a table as dicts of text, without a label."""
    return [
        {
            "key": f"k{start + row}",
            "age": f"{RANDOM.normal(40, 10):.3f}",
            "town": TOWNS[row % 3],
            "note": "fine" if row % 2 else "a, b",
        }
        for row in range(rows)
    ]


def write(path, rows, columns=None, **format_options):
    with path.open("w", newline="") as file:
        table = csv.DictWriter(file, columns or list(rows[0]), extrasaction="ignore", **format_options)
        table.writeheader()
        table.writerows(rows)
    return path


def read(path):
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A working directory with the runs `classes` and `real`, trained on tables of the same rows."""
    folder = tmp_path_factory.mktemp("workplace")
    rows = people(ROWS)
    for row in rows:
        row["label"] = "old" if float(row["age"]) > 40 else "young"
        row["price"] = str(1000 * float(row["age"]))
    write(folder / "people.csv", rows)
    data = ("data=csv", "data.path=people.csv", "data.numeric=[age]", "data.categorical=[town]", "data.id=key")
    previous = Path.cwd()
    os.chdir(folder)
    try:
        model = ("model=tabular", "data.merge_spellings=true", *QUICK)
        assert main(["train", "run.name=classes", *data, "data.text=[note]", *model]) == 0
        assert main(["train", "run.name=real", *data, "data.labels=[price]", "data.label_kind=real", *model]) == 0
    finally:
        os.chdir(previous)
    return folder


def test_predictions_are_those_of_the_evaluation(workplace, answer):
    evaluated = {row["id"]: row for row in read(workplace / "runs/classes/predictions.csv.gz")}
    rows = {row["key"]: row for row in read(workplace / "people.csv")}
    write(workplace / "again.csv", [rows[key] for key in evaluated], ["town", "key", "note", "age"])
    status, said, _ = answer(workplace, "predict", "run.name=classes", "data.path=again.csv")
    predicted = read(workplace / "runs/classes/predictions/again.csv")
    assert status == 0 and "runs/classes/predictions/again.csv" in said
    assert list(predicted[0]) == ["id", "prediction", "confidence", "p_old", "p_young"]
    assert [row["id"] for row in predicted] == list(evaluated)
    for row in predicted:
        assert {name: evaluated[row["id"]][name] for name in row} == row


def test_every_row_is_predicted_in_order_however_the_file_is_divided(workplace, answer, monkeypatch):
    rows = [*people(700, start=1000), *people(1)]  # the last one has an id and a line of its own
    write(workplace / "many.csv", rows)
    status, _, _ = answer(workplace, "predict", "run.name=classes", "data.path=many.csv", "predict.output=one.csv")
    monkeypatch.setattr(unlabeled, "MOST_ROWS", 64)
    answer(workplace, "predict", "run.name=classes", "data.path=many.csv", "predict.output=eleven.csv")
    assert status == 0
    assert [row["id"] for row in read(workplace / "one.csv")] == [row["key"] for row in rows]
    assert (workplace / "one.csv").read_bytes() == (workplace / "eleven.csv").read_bytes()
    sides = [json.loads((workplace / f"{name}.csv.json").read_text()) for name in ("one", "eleven")]
    assert sides[0] == sides[1] and sides[0]["rows"] == 701


def test_side_file_names_run_model_data_and_columns(workplace, answer):
    write(workplace / "few.csv", people(5))
    answer(workplace, "predict", "run.name=classes", "data.path=few.csv", "predict.output=out/few.csv")
    side = json.loads((workplace / "out/few.csv.json").read_text())
    digest = (workplace / "runs/classes/model.keras.sha256").read_text().split()[0]
    assert (side["run"], side["model"], side["rows"]) == ("classes", digest, 5)
    assert side["columns"] == list(read(workplace / "out/few.csv")[0])
    assert len(side["fingerprint"]) == 64 and side["pipeline_version"]


def test_fingerprint_depends_on_the_features_and_not_on_other_columns(workplace, answer):
    rows = people(5)
    changed = [row | {"age": "1"} for row in rows]
    for name, table in (("first", rows), ("second", [row | {"extra": "x"} for row in rows]), ("third", changed)):
        write(workplace / f"{name}.csv", table)
        answer(workplace, "predict", "run.name=classes", f"data.path={name}.csv", f"predict.output={name}-out.csv")
    first, second, third = (
        json.loads((workplace / f"{name}-out.csv.json").read_text())["fingerprint"]
        for name in ("first", "second", "third")
    )
    assert first == second != third


def test_labels_of_the_file_are_not_looked_at(workplace, answer):
    labels = ("", "old", "nobody", "NA")
    write(workplace / "labelled.csv", [row | {"label": label} for row, label in zip(people(4), labels)])
    options = ("data.path=labelled.csv", "data.missing_labels=drop", "data.split.test=0.5", "predict.output=all.csv")
    status, _, _ = answer(workplace, "predict", "run.name=classes", *options)
    assert (status, len(read(workplace / "all.csv"))) == (0, 4)


def test_real_label_is_predicted_in_its_own_unit(workplace, answer):
    evaluated = {row["id"]: row["prediction"] for row in read(workplace / "runs/real/predictions.csv.gz")}
    rows = {row["key"]: row for row in read(workplace / "people.csv")}
    write(workplace / "prices.csv", [rows[key] for key in evaluated])
    assert answer(workplace, "predict", "run.name=real", "data.path=prices.csv")[0] == 0
    predicted = read(workplace / "runs/real/predictions/prices.csv")
    assert {row["id"]: row["prediction"] for row in predicted} == evaluated


def test_spellings_are_merged_into_those_of_the_training(workplace, answer):
    rows = people(6)
    write(workplace / "plain.csv", rows)
    write(workplace / "loud.csv", [row | {"town": row["town"].upper()} for row in rows])
    for name in ("plain", "loud"):
        arguments = ("run.name=classes", f"data.path={name}.csv", f"predict.output={name}-out.csv")
        assert answer(workplace, "predict", *arguments)[0] == 0
    assert (workplace / "plain-out.csv").read_text() == (workplace / "loud-out.csv").read_text()


@pytest.mark.slow
def test_standard_input_to_standard_output_gives_the_rows_of_a_file(workplace, answer):
    path = write(workplace / "piped.csv", people(100), delimiter="\t")
    answer(workplace, "predict", "run.name=classes", "data.path=piped.csv", "predict.output=piped-out.csv")
    command = [sys.executable, "-m", "pipeline", "predict", "run.name=classes", "data.path=-", "predict.output=-"]
    with path.open("rb") as rows:
        process = subprocess.run(
            command, stdin=rows, capture_output=True, cwd=workplace, env=os.environ | {"PYTHONPATH": str(PROJECT)}
        )
    assert process.returncode == 0, process.stderr
    assert process.stdout == (workplace / "piped-out.csv").read_bytes()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"age": "x"}, "bad.csv, line 3, column 'age': expected a number; found 'x'"),
        ({"age": ""}, "bad.csv, line 3, column 'age': expected a value; found none"),
        ({"age": "inf"}, "bad.csv, line 3: expected finite numbers in column 'age'; found inf"),
        ({"town": "Paris"}, "bad.csv, line 3, column 'town': expected a category that occurs in the train split"),
    ],
)
def test_row_that_the_training_would_refuse_is_named_and_no_file_is_left(workplace, answer, change, message):
    rows = people(3)
    rows[1] |= change
    write(workplace / "bad.csv", rows)
    status, said, error = answer(
        workplace, "predict", "run.name=classes", "data.path=bad.csv", "predict.output=bad/out.csv"
    )
    assert (status, said) == (2, "") and message in error
    assert list((workplace / "bad").iterdir()) == []


def test_column_that_is_missing_is_named_with_the_nearest_one(workplace, answer):
    write(
        workplace / "lacking.csv", [{"Age" if name == "age" else name: row[name] for name in row} for row in people(3)]
    )
    status, _, error = answer(workplace, "predict", "run.name=classes", "data.path=lacking.csv")
    assert status == 2 and "expected a column 'age'; found none. Did you mean Age?" in error


@pytest.mark.parametrize("text", ["", "key,age,town,note\n"], ids=["empty", "header only"])
def test_file_without_rows_is_refused(workplace, answer, text):
    (workplace / "empty.csv").write_text(text)
    status, _, error = answer(workplace, "predict", "run.name=classes", "data.path=empty.csv")
    assert status == 2 and "empty.csv: expected" in error


def test_output_that_would_replace_the_data_is_refused(workplace, answer):
    path = write(workplace / "only.csv", people(3))
    before = path.read_bytes()
    status, _, error = answer(workplace, "predict", "run.name=classes", "data.path=only.csv", f"predict.output={path}")
    assert status == 2 and "expected a file other than the data" in error
    assert path.read_bytes() == before


def test_training_from_standard_input_is_refused(workplace, answer):
    status, _, error = answer(workplace, "train", "data=csv", "data.path=-", "data.numeric=*", *QUICK)
    assert status == 2 and "only `predict` reads standard input" in error
