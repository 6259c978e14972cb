"""Columns that look like groups are named; row numbers, categories and quantities are not."""

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn import datasets

from pipeline.cli.main import main
from pipeline.data import splits
from pipeline.data.containers import Dataset, Table
from pipeline.data.options import SplitOptions
from pipeline.data.sources.digits import Digits
from pipeline.data.sources.japanese_vowels import JapaneseVowels
from pipeline.data.splits import SplitDataset
from pipeline.preflight import group_checks
from pipeline.preflight.setup import Setup
from pipeline.spec import DataSpec, Feature, class_label, real_label

RANDOM = np.random.default_rng(0)
PATIENTS, VISITS = 60, 8
PATIENT = np.repeat(np.arange(PATIENTS), VISITS)
ILL = RANDOM.integers(0, 2, PATIENTS)[PATIENT]
BODY = RANDOM.normal(size=(PATIENTS, 6))[PATIENT]
NOISE = RANDOM.normal(size=(len(PATIENT), 6))
NAMES = np.array([f"P{number:03d}" for number in PATIENT], object)


def setup_of(data, options):
    return Setup(config=SimpleNamespace(data=SimpleNamespace(split=options)), data=data, objective=None, feed=None)


def found(x, y, *, real=False, options=None, **keys):
    """Return the findings on key columns of a table: name -> what was found."""
    options = options or SplitOptions()
    label = real_label() if real else class_label(range(int(y.max()) + 1))
    y = y.astype(np.float32 if real else np.int64)
    table = Table({"x": np.asarray(x, np.float32)}, {"y": y}, str, keys)
    spec = DataSpec({"x": Feature(x.shape[1:], "float32")}, {"y": label})
    parts = splits.divide(Dataset(spec, {"train": table}, "file"), options)
    data = SplitDataset(
        spec=spec, train=parts["train"], validation=parts["validation"], test=parts["test"], fingerprint=""
    )
    findings = group_checks.check(setup_of(data, options))
    return {finding.place: finding.found for finding in findings if finding.code == "group-in-two-splits"}


@pytest.mark.parametrize("names", [PATIENT, PATIENT * 7 + 100, NAMES, PATIENT.astype(str)], ids=str)
def test_a_group_with_constant_labels_is_found(names):
    text = found(NOISE, ILL, patient=names)["patient"]
    assert "labels hardly differ" in text and "60 values, of which" in text


def test_a_group_with_nearly_constant_real_labels_is_found():
    height = RANDOM.normal(size=PATIENTS)[PATIENT]
    assert "patient" in found(NOISE, height + 0.1 * NOISE[:, 0], real=True, patient=NAMES)


@pytest.mark.parametrize("noise", [0.01, 0.1, 0.3])
def test_a_group_of_nearly_equal_rows_is_found(noise):
    text = found(BODY + noise * NOISE, RANDOM.integers(0, 2, len(PATIENT)), patient=NAMES)["patient"]
    assert "Rows of one value are far more alike" in text


def test_a_column_of_names_without_influence_is_passed():
    assert found(NOISE, RANDOM.integers(0, 2, len(PATIENT)), patient=NAMES) == {}


def test_groups_that_are_kept_together_are_passed():
    assert found(BODY, ILL, patient=NAMES, options=SplitOptions(group="patient")) == {}


def test_splits_in_the_order_of_time_are_passed():
    assert found(BODY, ILL, patient=NAMES, options=SplitOptions(time="row_order")) == {}


@pytest.mark.parametrize("load", ["iris", "wine", "breast_cancer", "diabetes", "digits", "linnerud"])
def test_columns_of_ordinary_data_are_no_groups(load):
    """A row number, categories by chance, categories that depend on the class, and every column of the data itself."""
    data = getattr(datasets, f"load_{load}")()
    x, y = data.data.reshape(len(data.data), -1), data.target[:, 0] if data.target.ndim > 1 else data.target
    real, rows = y.dtype.kind == "f", len(x)
    order = np.argsort(np.argsort(y, kind="stable"))
    keys = {
        "id": np.arange(rows),
        "name": np.array([f"row-{row}" for row in range(rows)], object),
        "city": np.array([f"city {number}" for number in RANDOM.integers(0, 12, rows)], object),
        "district": RANDOM.integers(0, max(rows // 6, 1), rows),
        "grade": np.array([f"g{number}" for number in (order * 12 // rows + RANDOM.integers(0, 3, rows))], object),
    }
    assert found(x, y, real=real, **keys) == {}
    for column in range(min(x.shape[1], 13)):
        values = x[:, column]
        own = {
            "as it is": np.array([f"{value:g}" for value in values], object),
            "whole": np.rint(values * 10).astype(int),
        }
        assert found(np.delete(x, column, axis=1), y, real=real, **own) == {}


@pytest.mark.parametrize("source", [Digits(), JapaneseVowels()], ids=["digits", "vowels"])
def test_bundled_data_has_no_groups(source):
    assert [*group_checks.check(setup_of(splits.load(source), source.split))] == []


def test_a_categorical_feature_can_be_the_group():
    features = {"x": BODY.astype(np.float32), "who": NAMES[:, np.newaxis]}
    spec = DataSpec({"x": Feature((6,), "float32"), "who": Feature((1,), "string")}, {"y": class_label("ab")})
    table = Table(features, {"y": ILL}, str)
    parts = splits.divide(Dataset(spec, {"train": table}, "file"), SplitOptions())
    data = SplitDataset(
        spec=spec, train=parts["train"], validation=parts["validation"], test=parts["test"], fingerprint=""
    )
    assert [finding.place for finding in group_checks.check(setup_of(data, SplitOptions()))] == ["who"]


@pytest.mark.slow
def test_the_proposed_option_clears_the_finding_and_keeps_the_groups_together(tmp_path, capsys):
    lines = [
        f"{name},{','.join(f'{value:.3f}' for value in row)},{'yes' if ill else 'no'}"
        for name, row, ill in zip(NAMES, BODY + 0.05 * NOISE, ILL, strict=True)
    ]
    (tmp_path / "visits.csv").write_text("\n".join(["patient id,a,b,c,d,e,f,ill", *lines]))
    arguments = [
        "check", "data=csv", f"data.path={tmp_path}/visits.csv", "data.numeric=[a,b,c,d,e,f]", "data.labels=[ill]",
        "model=tabular", f"run.root={tmp_path}/runs",
    ]  # fmt: skip
    assert main(arguments) == 0
    said = capsys.readouterr()
    said = said.out + said.err
    assert "group-in-two-splits" in said
    fix = "data.split.group='\"patient id\"'"
    assert fix in said
    assert main([*arguments, fix.replace("'", "")]) == 0
    said = capsys.readouterr()
    assert "group-in-two-splits" not in said.out + said.err
