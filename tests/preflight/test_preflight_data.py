"""The data by itself, and the numbers that reach the first weights."""

import json

import numpy as np
import pytest
from keras import layers

from pipeline.data import checks, splits
from pipeline.data.containers import Dataset, Sequences, Table
from pipeline.data.options import SplitOptions
from pipeline.data.splits import SplitDataset
from pipeline.errors import DataError
from pipeline.preflight import data_checks
from pipeline.preflight.inspection import inspect
from pipeline.preflight.setup import Setup
from pipeline.spec import DataSpec, Feature, class_label


def head():
    return [layers.Dense(3, "softmax")]


def normal(*shape):
    return np.random.default_rng(5).normal(size=shape).astype(np.float32)


def spoilt(value, row=40):
    values = normal(60, 4)
    values[row, 2] = value
    return values


def with_column(column):
    values = normal(60, 4)
    values[:, 1] = column
    return values


CLASS = np.arange(60) % 3
WRONG = {
    "a constant column": ("constant-feature", with_column(7.0)),
    "the label as a column": ("label-leak", with_column(CLASS)),
    "the label shifted and scaled": ("label-leak", with_column(CLASS * -5.0 + 3)),
    "the label with noise": ("label-leak", with_column(CLASS + 0.1 * normal(60))),
    "one column of the one-hot label": ("label-leak", with_column(CLASS == 1)),
    "the label in another order": ("label-leak", with_column(np.array([2, 0, 1])[CLASS])),
    "a finer label": ("label-leak", with_column(CLASS * 10 + np.arange(60) // 3 % 2)),
    "large numbers": ("unscaled-inputs", normal(60, 4) * 1000),
    "numbers far from 0": ("unscaled-inputs", normal(60, 4) + 500),
}


@pytest.mark.parametrize("case", WRONG)
def test_data_that_is_wrong_is_found_under_its_code(found, case):
    code, x = WRONG[case]
    assert code in found(head(), x=x)


@pytest.mark.parametrize("code, x", [WRONG["a constant column"], WRONG["the label as a column"]])
def test_a_column_of_a_table_is_named_as_its_file_writes_it(found, code, x):
    columns = ("age", "Größe (cm)", "a/b", "d")
    item = found(head(), features={"numeric": (Feature((4,), "float32", columns=columns), x)})[code]
    assert "Größe (cm)" in str(item) and "a/b" not in str(item)


def test_token_ids_of_rows_of_different_lengths_are_not_constant(found):
    tokens = Sequences.from_lengths(np.random.default_rng(0).integers(1, 9, 300).astype(np.int32), [5] * 60)
    body = [layers.Embedding(9, 2, mask_zero=True), layers.GRU(3), *head()]
    assert "constant-feature" not in found(body, features={"x": (Feature((None,), "int32"), tokens)})


def test_sound_data_is_passed_without_a_word(found):
    assert found(head()) == {}


@pytest.mark.parametrize("told", [lambda x: 2 * x + 1, np.exp, lambda x: x + 0.02 * normal(61)[1:]])
def test_real_labels_in_a_column_are_found(found, told):
    x = normal(60, 4)
    assert "label-leak" in found([layers.Dense(1)], "real", 1, x=x, values=told(x[:, 3]))


@pytest.mark.parametrize(
    "column", [CLASS + 0.6 * normal(60), np.arange(60) // 7 % 2, np.arange(60)], ids=["good", "coin", "row number"]
)
def test_a_feature_that_says_something_of_the_label_is_no_leak(found, column):
    assert "label-leak" not in found(head(), x=with_column(column))


def test_a_label_that_a_few_rows_of_a_column_contradict_has_leaked(found):
    labels = np.arange(600) % 3
    x = normal(600, 4)
    x[:, 1] = np.where(np.arange(600) % 100 == 50, 0, labels)
    assert "label-leak" in found(head(), x=x, values=labels, rows=600)


def test_a_pixel_that_tells_the_label_is_found_by_its_place(found):
    x = normal(60, 3, 3, 1)
    x[:, 0, 2, 0] = CLASS
    assert found([layers.Flatten(), *head()], x=x, shape=(3, 3, 1))["label-leak"].place == "x, column 0, 2, 0"


def test_one_of_several_labels_that_leaks_is_named(found):
    x, labels = normal(60, 4), normal(60, 3) + 1
    x[:, 1] = labels[:, 2]
    assert "'y', column 2" in found([layers.Dense(3)], "real", 3, x=x, values=labels)["label-leak"].found


def test_an_autoencoder_leaks_nothing(found):
    x = normal(60, 4)
    assert "label-leak" not in found([layers.Dense(4)], "real", 4, x=x, values=x)


@pytest.mark.parametrize(
    "x", [spoilt(np.nan), spoilt(np.inf), spoilt(np.nan, row=2)], ids=["NaN", "infinity", "NaN in the test split"]
)
def test_features_are_checked_before_preflight(prepared, x):
    setup = prepared(head(), x=x)
    with pytest.raises(DataError, match=r"expected finite numbers in feature 'x'; found (nan|inf)"):
        checks.check(setup.spec, setup.data.splits, setup.config.data)


def test_a_normalisation_inside_the_model_scales_its_inputs(found):
    x = normal(60, 4) * 1000 + 500
    layer = layers.Normalization()
    layer.adapt(x)
    assert "unscaled-inputs" not in found([layer, *head()], x=x)


@pytest.mark.parametrize(
    "body",
    [
        lambda: [layers.Dense(4, "relu"), layers.Dense(3, "softmax")],
        lambda: [layers.Reshape((2, 2)), layers.GRU(4), layers.Dense(3, "softmax")],
        lambda: [layers.Reshape((2, 2, 1)), layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(3, "softmax")],
    ],
    ids=["dense", "recurrent", "convolution"],
)
def test_unscaled_inputs_are_seen_at_whatever_layer_meets_them_first(found, body):
    assert "unscaled-inputs" in found(body(), x=normal(60, 4) * 1000)


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_test_rows_copied_into_training_are_found(found):
    def leaky(whole):
        return {"train": whole.select(np.concatenate([np.arange(10, 60), np.arange(5)]))}

    findings = found(head(), parts=leaky)
    assert findings["rows-in-two-splits"].place in ("the test split", "the validation split")


def test_rows_that_repeat_everywhere_are_only_mentioned(found):
    coarse = np.random.default_rng(0).integers(0, 2, (240, 2)).astype(np.float32)
    findings = found([layers.Dense(3, "softmax")], x=coarse, shape=(2,), rows=240)
    assert "repeated-rows" in findings and "rows-in-two-splits" not in findings


def coarse(rows, decimals, seed=1):
    """Measurements that were rounded, so that a few rows are equal by coincidence."""
    return np.random.default_rng(seed).normal(size=(rows, 4)).round(decimals).astype(np.float32)


def copies_found(x, seed, leaked=0):
    """Return the codes of the findings on copies in random splits, after test rows were copied into training."""
    label = class_label(range(3))
    y = np.arange(len(x)) % 3
    spec = DataSpec({"x": Feature((4,), "float32")}, {"y": label})
    dataset = Dataset(spec, {"train": Table({"x": x}, {"y": y}, str)}, "file")
    parts = splits.divide(dataset, SplitOptions(seed=seed))
    test = parts["test"]
    if leaked:
        x = np.concatenate([parts["train"].features["x"], test.features["x"][:leaked]])
        parts["train"] = Table({"x": x}, {"y": np.arange(len(x)) % 3}, str)
    data = SplitDataset(
        spec=spec, train=parts["train"], validation=parts["validation"], test=parts["test"], fingerprint=""
    )
    setup = Setup(config=None, data=data, objective=None, feed=None)
    return [finding.code for finding in data_checks._check_copies(setup)]


@pytest.mark.parametrize("rows, decimals", [(150, 1), (150, 0), (600, 0), (5_000, 1)])
def test_coincidences_are_refused_in_at_most_one_of_a_hundred_cuts(rows, decimals):
    x = coarse(rows, decimals)
    if rows == 150 and decimals:
        x[1], x[7], x[90] = x[0], x[6], x[91]  # three pairs of equal rows, as in Fisher's iris data
    found = [copies_found(x, seed) for seed in range(300)]
    assert sum(bool(codes) for codes in found) > 30  # there are coincidences
    assert sum("rows-in-two-splits" in codes for codes in found) <= 3


@pytest.mark.parametrize("rows, decimals", [(500, 3), (600, 1), (2_000, 1), (5_000, 1)])
def test_five_percent_of_the_test_rows_copied_into_training_are_always_refused(rows, decimals):
    x = coarse(rows, decimals)
    leaked = round(0.05 * rows * 0.2)
    assert all("rows-in-two-splits" in copies_found(x, seed, leaked) for seed in range(50))


def test_copies_by_chance_are_those_of_random_assignment():
    rows = np.repeat(np.arange(76), [1] * 50 + [2] * 20 + [3] * 5 + [40])
    train, test = round(0.7 * len(rows)), round(0.2 * len(rows))
    mean, deviation = data_checks.expected_copies(rows, rows[:train], rows[:test])
    random, simulated = np.random.default_rng(0), []
    for _ in range(4_000):
        part = random.choice(3, len(rows), p=np.array([train, test, len(rows) - train - test]) / len(rows))
        simulated.append(np.isin(rows[part == 1], rows[part == 0]).sum())
    assert mean == pytest.approx(np.mean(simulated), rel=0.02)
    assert deviation == pytest.approx(np.std(simulated), rel=0.05)


def test_copies_are_found_if_validation_and_test_are_the_same_rows(found):
    x = coarse(1_200, 3)
    leaky = np.concatenate([np.arange(200, 1_200), np.arange(10)])
    findings = found(head(), x=x, rows=1_200, parts=lambda whole: {"train": whole.select(leaky)})
    assert "rows-in-two-splits" in findings


def test_a_class_that_a_split_misses_is_mentioned(found):
    def without(whole):
        rows = np.arange(10)
        return {"test": whole.select(rows[whole.labels["y"][rows] != 2])}

    findings = found(head(), parts=without)
    assert findings["class-missing"].place in ("y, test", "y, validation")


@pytest.mark.parametrize("spread, is_constant", [(0, True), (1, False)])
def test_a_real_label_of_one_number_is_mentioned(found, spread, is_constant):
    values = 7 + spread * np.arange(60, dtype=np.float32) % 5
    assert ("constant-label" in found([layers.Dense(1)], "real", 1, values=values)) == is_constant


def test_images_with_their_channels_in_front_are_mentioned(found):
    x = normal(60, 3, 12, 12)
    model = [layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(3, "softmax")]
    assert "channel-order" in found(model, x=x, shape=(3, 12, 12))
    assert "channel-order" not in found(
        [layers.Conv2D(2, 2), layers.Flatten(), layers.Dense(3, "softmax")], x=normal(60, 12, 12, 3), shape=(12, 12, 3)
    )


def test_a_model_that_moves_the_channels_by_itself_is_passed(found):
    body = [layers.Permute((2, 3, 1)), layers.Conv2D(2, 2), layers.Flatten()]
    assert "channel-order" not in found([*body, *head()], x=normal(60, 3, 12, 12), shape=(3, 12, 12))


# ---- the cache -------------------------------------------------------------------------------------------------------


def test_the_same_data_is_looked_at_once(prepared, root, monkeypatch):
    x = with_column(3.25)
    setup = prepared(head(), x=x)
    first = data_checks.check(setup)
    assert [finding.code for finding in first] == ["constant-feature"]
    data_checks.store(setup, first)
    path = data_checks.cache_path(setup)
    assert json.loads(path.read_text())[0]["code"] == "constant-feature"
    path.write_text("[]")
    assert data_checks.check(prepared(head(), x=x)) == []  # what is kept under the fingerprint is what is told
    assert [finding.code for finding in data_checks.check(prepared(head(), x=with_column(3.5)))] == ["constant-feature"]
    path.unlink()


@pytest.mark.parametrize("content", ["", "{", "[1]", '[{"code": "of-another-version"}]'])
def test_a_damaged_cache_is_looked_through(prepared, content):
    setup = prepared(head(), x=with_column(4.5))
    data_checks.store(setup, [])
    path = data_checks.cache_path(setup)
    path.write_text(content)
    assert [finding.code for finding in data_checks.check(setup)] == ["constant-feature"]


def test_rows_of_text_are_compared_too(found):
    words = np.array([["a"], ["b"], ["c"]], dtype=object)[np.arange(60) % 3]

    def build(x):
        codes = layers.StringLookup(vocabulary=["a", "b", "c"], output_mode="one_hot")(x)
        return layers.Dense(3, "softmax")(layers.Flatten()(codes))

    features = {"word": (Feature((1,), "string"), words)}
    findings = found(build, features=features)
    assert {"label-leak", "repeated-rows"} <= {*findings}


def test_a_table_is_not_changed_by_being_looked_at(prepared):
    setup = prepared(head())
    before = [column.copy() for column in setup.data.train.features.values()]
    inspect(setup)
    assert isinstance(setup.data.train, Table)
    for old, now in zip(before, setup.data.train.features.values(), strict=True):
        np.testing.assert_array_equal(old, now)
