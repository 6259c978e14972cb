"""predictions.csv.gz: what it holds, that its bytes repeat, and that it is there whole or not at all."""

import csv
import gzip

import numpy as np
import pytest

from pipeline import files
from pipeline.errors import DataError
from pipeline.reports import predictions_csv
from pipeline.spec import MULTI_LABEL, ONE_HOT, class_label, real_label, row_label


def written(folder, labels, targets, outputs):
    path = folder / "predictions.csv.gz"
    predictions_csv.write_predictions(path, labels, targets, outputs)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def probabilities(rows, classes, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(classes), rows).astype(np.float32)


def test_row_names_target_prediction_and_confidence(tmp_path):
    outputs = np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], np.float32)
    rows = written(tmp_path, {"pet": class_label(["cat", "dog", "owl"])}, {"pet": np.array([1, 2])}, {"pet": outputs})
    assert list(rows[0]) == ["row", "id", "target", "prediction", "confidence", "p_cat", "p_dog", "p_owl"]
    assert list(rows[0].values()) == ["0", "0", "dog", "dog", "0.7", "0.2", "0.7", "0.1"]
    assert list(rows[1].values()) == ["1", "1", "owl", "cat", "0.5", "0.5", "0.25", "0.25"]


def test_names_from_the_data_are_no_formulas_of_a_spreadsheet(tmp_path):
    path, label = tmp_path / "predictions.csv.gz", class_label(["=1+1", "-1"])
    predictions_csv.write_predictions(path, {"y": label}, {"y": [0, 1]}, {"y": np.eye(2)}, ids=["@a", "b\x1b[2J"])
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert header[-2:] == ["p_=1+1", "p_-1"]
    assert [row[1:4] for row in rows] == [["'@a", "'=1+1", "'=1+1"], [r"b\x1b[2J", "-1", "-1"]]


def test_identity_of_each_row_is_written(tmp_path):
    path = tmp_path / "predictions.csv.gz"
    predictions_csv.write_predictions(path, {"y": real_label()}, {"y": [0.0, 1.0]}, {"y": [0.0, 1.0]}, ids=["a,b", 7])
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        assert [row["id"] for row in csv.DictReader(file)] == ["a,b", "7"]


def test_weights_of_rows_are_a_column(tmp_path):
    path, weights = tmp_path / "predictions.csv.gz", np.array([0.1, 3.0])
    predictions_csv.write_predictions(path, {"y": real_label()}, {"y": [0, 1]}, {"y": [0, 1]}, weights=weights)
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["row", "id", "weight", "target", "prediction"]
    assert [float(row["weight"]) for row in rows] == [0.1, 3.0]


def test_probabilities_read_back_as_the_same_float32(tmp_path):
    outputs = probabilities(100, 10)
    rows = written(tmp_path, {"y": class_label(range(10))}, {"y": np.zeros(100, int)}, {"y": outputs})
    read = np.array([[row[f"p_{name}"] for name in range(10)] for row in rows], np.float32)
    np.testing.assert_array_equal(read, outputs)


def test_real_numbers_read_back_as_the_same_float32(tmp_path):
    targets, outputs = np.random.default_rng(0).normal(1e6, 1, size=(2, 50, 2)).astype(np.float32)
    rows = written(tmp_path, {"y": real_label(2)}, {"y": targets}, {"y": outputs})
    for name, expected in (("target", targets), ("prediction", outputs)):
        read = np.array([[row[f"{name}_0"], row[f"{name}_1"]] for row in rows], np.float32)
        np.testing.assert_array_equal(read, expected)


def test_single_real_number_has_one_target_and_one_prediction(tmp_path):
    rows = written(tmp_path, {"y": real_label()}, {"y": np.array([1.5])}, {"y": np.array([[2.5]])})
    assert rows == [{"row": "0", "id": "0", "target": "1.5", "prediction": "2.5"}]


def test_every_row_is_written_once_and_in_order_beyond_one_chunk(tmp_path):
    count = predictions_csv.CHUNK_ROWS + 7
    targets = np.arange(count) % 3
    rows = written(tmp_path, {"y": class_label("abc")}, {"y": targets}, {"y": np.eye(3)[targets]})
    assert [row["row"] for row in rows] == [str(row) for row in range(count)]
    assert [row["target"] for row in rows] == ["abc"[target] for target in targets]


@pytest.mark.parametrize("classes, columns", [(20, 20), (21, 0)])
def test_probabilities_have_columns_for_up_to_twenty_classes(tmp_path, classes, columns):
    outputs = probabilities(3, classes)
    rows = written(tmp_path, {"y": class_label(range(classes))}, {"y": np.zeros(3, int)}, {"y": outputs})
    assert sum(name.startswith("p_") for name in rows[0]) == columns
    assert float(rows[0]["confidence"]) == pytest.approx(outputs[0].max())


def test_lone_sigmoid_unit_is_written_as_two_probabilities(tmp_path):
    rows = written(tmp_path, {"y": class_label(["no", "yes"])}, {"y": np.array([0])}, {"y": np.array([0.75])})
    values = {"target": "no", "prediction": "yes", "confidence": "0.75", "p_no": "0.25", "p_yes": "0.75"}
    assert rows == [{"row": "0", "id": "0", **values}]


def test_one_hot_target_is_written_as_its_class(tmp_path):
    rows = written(tmp_path, {"y": row_label(ONE_HOT, "abc")}, {"y": np.eye(3)}, {"y": probabilities(3, 3)})
    assert [row["target"] for row in rows] == ["a", "b", "c"]


def test_several_classes_at_once_are_joined(tmp_path):
    targets, outputs = np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0.9, 0.6, 0.1], [0.1, 0.2, 0.3]])
    rows = written(tmp_path, {"y": row_label(MULTI_LABEL, "abc")}, {"y": targets}, {"y": outputs})
    assert [(row["target"], row["prediction"]) for row in rows] == [("a|c", "a|b"), ("", "")]


def test_columns_of_several_labels_open_with_the_labels_name(tmp_path):
    labels = {"kind": class_label("ab"), "price": real_label()}
    rows = written(tmp_path, labels, {"kind": [0], "price": [1.0]}, {"kind": [[1.0, 0.0]], "price": [2.0]})
    columns = ["kind.target", "kind.prediction", "kind.confidence", "kind.p_a", "kind.p_b", "price.target"]
    assert list(rows[0]) == ["row", "id", *columns, "price.prediction"]


def test_class_names_with_commas_quotes_and_line_breaks_come_back_whole(tmp_path):
    names = ['a,"b"', "c\nd", "日本"]
    rows = written(tmp_path, {"y": class_label(names)}, {"y": np.arange(3)}, {"y": probabilities(3, 3)})
    assert [row["target"] for row in rows] == names


def test_folder_name_that_is_no_text_is_written_escaped(tmp_path):
    rows = written(tmp_path, {"y": class_label(["a", "\udcff"])}, {"y": np.array([1])}, {"y": probabilities(1, 2)})
    assert rows[0]["target"] == "\\udcff"


def test_same_predictions_give_the_same_bytes_under_another_name(tmp_path):
    arguments = {"y": class_label("abc")}, {"y": np.arange(30) % 3}, {"y": probabilities(30, 3)}
    predictions_csv.write_predictions(tmp_path / "first.csv.gz", *arguments)
    predictions_csv.write_predictions(tmp_path / "second.csv.gz", *arguments)
    assert (tmp_path / "first.csv.gz").read_bytes() == (tmp_path / "second.csv.gz").read_bytes()


def test_header_holds_neither_a_name_nor_a_time(tmp_path):
    predictions_csv.write_predictions(tmp_path / "y.csv.gz", {"y": real_label()}, {"y": [0.0]}, {"y": [0.0]})
    header = (tmp_path / "y.csv.gz").read_bytes()[:10]
    assert header[3] == 0  # no optional field follows
    assert header[4:8] == bytes(4)  # the time


def test_predictions_that_are_not_finite_are_refused_and_leave_the_old_file(tmp_path):
    path = tmp_path / "predictions.csv.gz"
    path.write_bytes(b"old")
    with pytest.raises(DataError, match="row 1"):
        predictions_csv.write_predictions(path, {"y": real_label()}, {"y": [0.0, 1.0]}, {"y": [0.0, np.nan]})
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [(path.name, b"old")]


def test_write_that_breaks_off_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.atomic_write(path) as file:
        file.write(b"half")
        raise KeyboardInterrupt
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]
