"""Models: raw input, saving, and the options in their layers."""

import keras
import numpy as np
import pytest

from pipeline.data import input_pipeline, splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.csv import Csv
from pipeline.data.sources.npz import Npz
from pipeline.data.sources.synthetic import Synthetic
from pipeline.errors import ConfigError
from pipeline.keras_internals import all_layers
from pipeline.layer_names import original_log_name
from pipeline.layers import heads, transformer_encoder
from pipeline.members import members
from pipeline.models.cnn import Cnn
from pipeline.models.gan import Gan
from pipeline.models.gru import Gru
from pipeline.models.layers import Layers
from pipeline.models.mlp import Mlp
from pipeline.models.model import BatchNormalization, build_model
from pipeline.models.residual_cnn import ResidualCnn
from pipeline.models.tabular import Tabular
from pipeline.models.transformer import Transformer
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.spec import STEP_PADDING
from pipeline.training import label_scores
from pipeline.training.fit import Fit

PER_COLUMN = [{"class_name": "Normalization", "config": {"axis": -1}}]
SMALL = {
    "mlp": Mlp(hidden=[8], dropout=0.2),
    "cnn": Cnn(filters=[4], normalize=True, preprocessing=PER_COLUMN),
    "layers": Layers(layers=["Flatten", {"class_name": "Dense", "config": {"units": 10, "activation": "softmax"}}]),
    "residual_cnn": ResidualCnn(filters=[4, 6], preprocessing=PER_COLUMN),
    "tabular": Tabular(hidden=[8], vocabulary=12),
    "gru": Gru(units=[6, 5], bidirectional=True, preprocessing=PER_COLUMN),
    "transformer": Transformer(depth=2, width=8, heads=2, feed_forward=12, preprocessing=PER_COLUMN),
}
WITH_HEADS = [name for name in SMALL if name != "layers"]
PEOPLE = """age,height,town,about,job,income
31,1.7,Oslo,likes red boats,cook,1.5
NA,1.6,Rome,likes boats,nurse,2.5
45,1.8,,red cars,cook,0.5
28,NA,Oslo,cars and boats and cars,nurse,3.0
39,1.9,Rome,,cook,1.0
22,1.5,Oslo,red,nurse,2.0
"""


def quick_for(quick, cases):
    """Cases of which all but the quick ones are slow."""
    return [
        case if case in quick else pytest.param(*(case if isinstance(case, tuple) else [case]), marks=pytest.mark.slow)
        for case in cases
    ]


def built(model, data):
    return build_model(model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))


def raw(data, rows=9):
    """The first raw rows of a data set's training split, as the saved model takes them."""
    table = data.train.select(np.arange(min(rows, len(data.train))))
    return next(iter(input_pipeline.ordered_batches(table, data.spec, rows)))[0]


def flat(outputs):
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A table with numbers, categories, text, gaps in each, and a class to predict."""
    path = tmp_path_factory.mktemp("people") / "people.csv"
    path.write_text(PEOPLE)
    paths = {"path": str(path), "test_path": str(path), "validation_path": str(path)}
    columns = {"numeric": ["age", "height"], "categorical": ["town"], "text": ["about"], "labels": ["job"]}
    return splits.load(Csv(**paths, **columns, missing_values="impute"))


@pytest.fixture
def data_for(digits, vowels, people):
    return {"gru": vowels, "transformer": vowels, "tabular": people, "layers": digits}.get


# ---- every model -----------------------------------------------------------------------------------------------------


def test_every_model_has_a_case_here():
    generating = {"gan": Gan}  # takes no row of data: tests/objectives/test_adversarial.py
    assert {name: type(model) for name, model in SMALL.items()} | generating == members("model")


@pytest.mark.parametrize(
    "name, precision",
    [(name, "float32") for name in SMALL]
    + [(name, "mixed_bfloat16") for name in ("cnn", "transformer")]
    + quick_for((), [(name, "mixed_bfloat16") for name in SMALL if name not in ("cnn", "transformer")]),
)
def test_a_saved_model_gives_the_same_bits_for_raw_input(tmp_path, data_for, digits, name, precision):
    keras.config.set_dtype_policy(precision)
    data = data_for(name, digits)
    model = built(SMALL[name], data)
    outputs = flat(model(raw(data)))
    model.save(tmp_path / "model.keras")
    keras.config.set_dtype_policy("float32")  # whoever loads it need not know the precision it was trained in
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for output, again in zip(outputs, flat(loaded(raw(data))), strict=True):
        assert output.shape == (len(output), *[label.width for label in data.spec.labels.values()])
        np.testing.assert_array_equal(output, again)


@pytest.mark.parametrize("name", quick_for(("mlp", "transformer"), WITH_HEADS))
def test_outputs_are_float32_probabilities_also_in_mixed_precision(data_for, digits, name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    data = data_for(name, digits)
    (output,) = flat(built(SMALL[name], data)(raw(data)))
    assert output.dtype == np.float32
    np.testing.assert_allclose(output.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", quick_for(("tabular",), SMALL))
def test_the_same_seed_builds_the_same_weights_and_another_seed_others(data_for, digits, name):
    def kernels(seed):
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
        model = built(SMALL[name], data_for(name, digits))
        return np.concatenate([np.ravel(weight) for weight in model.get_weights()])

    np.testing.assert_array_equal(kernels(0), kernels(0))
    assert (kernels(0) != kernels(1)).any()


def test_each_of_several_labels_has_a_head_that_is_saved_with_the_model(tmp_path):
    arrays = {"x": np.arange(12, dtype=np.float32).reshape(6, 2), "a": np.arange(6) % 2, "b": np.arange(6) % 3}
    np.savez(tmp_path / "two.npz", **arrays)
    split = SplitOptions(validation=0, test=0.2, stratify=False)
    data = splits.load(Npz(path=str(tmp_path / "two.npz"), labels=["a", "b"], split=split))
    model = built(SMALL["tabular"], data)
    outputs = model(raw(data))
    assert {name: output.shape[1] for name, output in outputs.items()} == {"a": 2, "b": 3}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    for output, again in zip(flat(outputs), flat(loaded(raw(data)))):
        np.testing.assert_array_equal(output, again)


# ---- the layers in front ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_normalization_adapts_to_the_training_rows_only_and_in_full_precision(digits, precision):
    keras.config.set_dtype_policy(precision)
    images = digits.train.features["image"].astype(np.float64)
    layer = built(Mlp(hidden=[4]), digits).layers[0]
    np.testing.assert_allclose(np.squeeze(layer.mean), images.mean(), rtol=1e-5)
    np.testing.assert_allclose(np.squeeze(layer.variance), images.var(), rtol=1e-5)
    assert keras.config.dtype_policy().name == precision


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_normalization_of_sequences_counts_every_step_once_and_no_padding(vowels, name):
    model = built(SMALL[name], vowels)
    layers = model.front if name == "transformer" else model.layers
    layer = next(layer for layer in layers if isinstance(layer, keras.layers.Normalization))
    steps = vowels.train.features["utterance"].values.astype(np.float64)
    np.testing.assert_allclose(np.ravel(layer.mean), steps.mean(axis=0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(np.ravel(layer.variance), steps.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.float32])
def test_numbers_of_any_dtype_are_normalized(tmp_path, dtype):
    x = np.random.default_rng(0).integers(0, 200, (50, 3)).astype(dtype)
    np.savez(tmp_path / "n.npz", train_x=x, train_y=np.arange(50) % 2, test_x=x, test_y=np.arange(50) % 2)
    data = splits.load(Npz(path=str(tmp_path / "n.npz"), split=SplitOptions(validation=0)))
    layer = built(Mlp(hidden=[4], preprocessing=PER_COLUMN), data).layers[0]
    np.testing.assert_allclose(np.ravel(layer.mean), x.astype(np.float64).mean(axis=0), rtol=1e-5)


def test_a_layer_is_adapted_to_the_outputs_of_the_layers_before_it(digits):
    front = [{"class_name": "Rescaling", "config": {"scale": 0.0625}}, "Normalization"]
    layer = built(Mlp(hidden=[4], preprocessing=front), digits).layers[1]
    images = digits.train.features["image"] / 16
    np.testing.assert_allclose(np.ravel(layer.mean), np.ravel(images.mean(axis=(0, 1, 2))), rtol=1e-5)


def test_a_missing_number_counts_as_the_training_mean_of_its_column(people):
    model = built(SMALL["tabular"], people)
    x = {name: np.asarray(value) for name, value in raw(people).items()}
    filled = {name: value.copy() for name, value in x.items()}
    assert np.isnan(x["numeric"]).any(axis=0).all()
    filled["numeric"] = np.where(np.isnan(x["numeric"]), np.nanmean(x["numeric"], axis=0), x["numeric"])
    np.testing.assert_allclose(model(x), model(filled), atol=1e-6)


def test_a_batch_of_only_missing_numbers_does_not_change_the_mean(tmp_path):
    rows = input_pipeline.ADAPT_BATCH + 4
    ages = ["NA"] * input_pipeline.ADAPT_BATCH + ["1", "2", "3", "4"]
    text = "age,label\n" + "".join(f"{age},{'ab'[row % 2]}\n" for row, age in enumerate(ages))
    (tmp_path / "gaps.csv").write_text(text)
    path = str(tmp_path / "gaps.csv")
    data = splits.load(Csv(path=path, validation_path=path, test_path=path, numeric=["age"], missing_values="impute"))
    assert len(data.train) == rows
    layer = next(each for each in built(SMALL["tabular"], data).layers if isinstance(each, keras.layers.Normalization))
    assert float(np.ravel(layer.mean)[0]) == 2.5


def test_a_category_absent_from_training_has_a_code_of_its_own(people):
    model = built(SMALL["tabular"], people)
    x = {name: np.asarray(value)[:1] for name, value in raw(people).items()}
    one, other, known = (
        np.asarray(model(x | {"town": np.array([[town]], object)})) for town in ("Lima", "Bonn", "Rome")
    )
    np.testing.assert_array_equal(one, other)
    assert (one != known).any()


# ---- sequences -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_more_padding_changes_no_output(vowels, name):
    model = built(SMALL[name], vowels)
    x = np.asarray(raw(vowels))
    longer = np.pad(x, [(0, 0), (0, 17), (0, 0)], constant_values=STEP_PADDING)
    np.testing.assert_allclose(model(x), model(longer), atol=1e-6)


@pytest.mark.parametrize("name", ["gru", "transformer"])
def test_every_step_that_is_not_padding_changes_the_output(vowels, name):
    model = built(SMALL[name], vowels)
    x = np.asarray(raw(vowels, 1)).copy()
    before = np.asarray(model(x))
    for step in (0, x.shape[1] - 1):
        changed = x.copy()
        changed[0, step] += 1
        assert np.abs(np.asarray(model(changed)) - before).max() > 1e-4


def token_sequences(tmp_path, longest=7, rows=30, vocabulary=11):
    """Return a data set of sequences of token IDs from 1."""
    generator = np.random.default_rng(0)
    lengths = generator.integers(1, longest + 1, rows)
    arrays = {
        "x": generator.integers(1, vocabulary, lengths.sum()).astype(np.int32),
        "n": lengths,
        "y": np.arange(rows) % 2,
    }
    np.savez(
        tmp_path / "tokens.npz",
        **{f"{split}_{name}": value for split in ("train", "test") for name, value in arrays.items()},
    )
    return splits.load(Npz(path=str(tmp_path / "tokens.npz"), lengths="n", split=SplitOptions(validation=0)))


@pytest.mark.parametrize(
    "model", [Gru(units=[4], vocabulary=11), Transformer(depth=1, width=4, heads=1, vocabulary=11)]
)
def test_tokens_are_embedded_and_their_padding_changes_no_output(tmp_path, model):
    data = token_sequences(tmp_path)
    network = built(model, data)
    x = np.asarray(raw(data))
    np.testing.assert_allclose(network(x), network(np.pad(x, [(0, 0), (0, 5)])), atol=1e-6)


def test_tokens_without_a_vocabulary_are_refused_naming_the_key(tmp_path):
    with pytest.raises(ConfigError, match=r"model\.vocabulary"):
        built(Gru(), token_sequences(tmp_path))


def test_tokens_can_be_bytes(tmp_path):
    x = np.random.default_rng(0).integers(1, 256, (10, 6)).astype(np.uint8)
    np.savez(tmp_path / "bytes.npz", x=x, y=np.arange(10) % 2)
    split = SplitOptions(validation=0, test=0.5)
    data = splits.load(Npz(path=str(tmp_path / "bytes.npz"), features=["x"], labels=["y"], split=split))
    assert np.asarray(built(Gru(units=[4], vocabulary=256), data)(raw(data))).shape[1] == 2


def test_steps_of_whole_numbers_are_measurements_not_tokens(tmp_path):
    x = np.random.default_rng(0).integers(1, 100, (40, 2)).astype(np.int32)
    arrays = {"x": x, "n": np.full(10, 4), "y": np.arange(10) % 2}
    np.savez(
        tmp_path / "n.npz",
        **{f"{split}_{name}": value for split in ("train", "test") for name, value in arrays.items()},
    )
    data = splits.load(Npz(path=str(tmp_path / "n.npz"), lengths="n", split=SplitOptions(validation=0)))
    for model in (Gru(units=[4]), Transformer(depth=1, width=4, heads=1)):
        assert built(model, data)(np.asarray(raw(data))).shape == (9, 2)


@pytest.mark.parametrize("preprocessing", [PER_COLUMN, []])
def test_sequences_of_one_length_need_no_mask(preprocessing):
    data = splits.load(Synthetic(rows=60, shape=[6, 3], classes=3))
    for model in (SMALL["gru"], SMALL["transformer"]):
        model = (
            Transformer(**{**vars(model), "preprocessing": preprocessing}) if isinstance(model, Transformer) else model
        )
        assert built(model, data)(np.asarray(raw(data))).shape == (9, 3)


def test_position_codes_are_those_of_the_paper():
    codes = np.asarray(transformer_encoder.position_codes(5, 6))
    for step in range(5):
        for index in range(3):
            angle = step / 10_000 ** (2 * index / 6)
            np.testing.assert_allclose(codes[step, [index, index + 3]], [np.sin(angle), np.cos(angle)], atol=1e-6)


# ---- what the config writes down reaches the layers ------------------------------------------------------------------


def every_layer(model):
    return all_layers(model)[1:]


@pytest.mark.parametrize("name", quick_for(("residual_cnn", "gru", "transformer"), WITH_HEADS))
def test_initializers_reach_every_layer_with_weights(data_for, digits, name):
    own = {
        "kernel_initializer": "he_uniform",
        "bias_initializer": {"class_name": "Constant", "config": {"value": 0.25}},
    }
    model = built(type(SMALL[name])(**{**vars(SMALL[name]), **own}), data_for(name, digits))
    found = 0
    for layer in every_layer(model):
        if isinstance(
            layer, keras.layers.Dense | keras.layers.Conv2D | keras.layers.GRUCell | keras.layers.EinsumDense
        ):
            assert isinstance(layer.kernel_initializer, keras.initializers.HeUniform)
            assert layer.bias is None or layer.bias_initializer.value == 0.25
            found += 1
    assert found >= 2


@pytest.mark.parametrize("name", ["cnn", "residual_cnn"])
def test_the_constants_of_batch_normalization_reach_every_layer(digits, name):
    constants = BatchNormalization(momentum=0.7, epsilon=0.02)
    model = built(type(SMALL[name])(**{**vars(SMALL[name]), "batch_normalization": constants}), digits)
    found = [
        (layer.momentum, layer.epsilon) for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert set(found) == {(0.7, 0.02)}


def test_the_constants_of_a_gru_reach_every_cell(vowels):
    own = {"reset_after": False, "recurrent_activation": "hard_sigmoid", "recurrent_initializer": "identity"}
    cells = [
        layer
        for layer in every_layer(built(Gru(**{**vars(SMALL["gru"]), **own}), vowels))
        if isinstance(layer, keras.layers.GRUCell)
    ]
    assert len(cells) == 4
    for cell in cells:
        assert not cell.reset_after and cell.recurrent_activation is keras.activations.hard_sigmoid
        assert isinstance(cell.recurrent_initializer, keras.initializers.IdentityInitializer)


def test_the_epsilon_of_layer_normalization_reaches_every_layer(vowels):
    model = built(Transformer(**{**vars(SMALL["transformer"]), "epsilon": 0.125}), vowels)
    found = [layer.epsilon for layer in every_layer(model) if isinstance(layer, keras.layers.LayerNormalization)]
    assert found == [0.125] * 5


def test_the_heads_of_each_kind_of_label_have_their_activation():
    kinds = heads.ACTIVATIONS | {"multi_label": "sigmoid"}
    assert kinds == {"class": "softmax", "one_hot": "softmax", "real": "linear", "multi_label": "sigmoid"}
    data = splits.load(Synthetic(rows=50, shape=[3], classes=0))
    assert built(Mlp(hidden=[4]), data).layers[-1].activation is keras.activations.linear


# ---- what does not fit -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cnn", "residual_cnn", "gru", "transformer", "mlp"])
def test_data_that_does_not_fit_the_model_is_refused(digits, vowels, people, name):
    other = {"cnn": vowels, "residual_cnn": vowels, "gru": digits, "transformer": digits, "mlp": people}[name]
    with pytest.raises(ConfigError, match="model"):
        built(SMALL[name], other)


def test_an_image_too_small_for_the_convolutions_is_refused(digits):
    with pytest.raises(
        ConfigError, match=r"model=cnn: does not fit the data.*Keras: Computed output size would be zero"
    ):
        built(Cnn(filters=[4, 4, 4, 4], padding="valid"), digits)


def test_names_of_any_characters_work_for_several_inputs_and_labels(tmp_path):
    towns, labels = (
        ["Town (birth)", "a/b", "dense"],
        ["Loan Status", "Größe (€)", "val", "numeric", "_x", "%", "x" * 200],
    )
    rows = [",".join([f"{row}", *("pq"[row % 2] for _ in towns), *("uv"[row % 2] for _ in labels)]) for row in range(8)]
    (tmp_path / "odd.csv").write_text("\n".join([",".join(["name", *towns, *labels]), *rows]) + "\n", encoding="utf-8")
    path = str(tmp_path / "odd.csv")
    data = splits.load(
        Csv(path=path, validation_path=path, test_path=path, numeric=["name"], categorical=towns, labels=labels)
    )
    model = built(SMALL["tabular"], data)
    objective = Supervised(SupervisedOptions(), data.spec, model)
    objective.compile(keras.optimizers.Adam(), Fit())
    batches = input_pipeline.ordered_batches(data.test, data.spec, 4)
    found = model.evaluate(batches, verbose=0, return_dict=True)
    assert sorted(found) == sorted(objective.log_names())
    assert {original_log_name(name, labels) for name in found} > {"loss", "Loan Status_loss", "%_accuracy", "_x_loss"}
    assert sorted(label_scores.predict(model, data.spec, batches)) == sorted(labels)
    model.save(tmp_path / "model.keras")
    keras.saving.load_model(tmp_path / "model.keras")


def test_all_columns_of_numbers_are_one_input_of_any_model(tmp_path):
    rows = [",".join([*(f"{row % (column + 2)}" for column in range(30)), "uv"[row % 2]]) for row in range(40)]
    header = ",".join([*(f"m {column}" for column in range(30)), "label"])
    (tmp_path / "wide.csv").write_text("\n".join([header, *rows]) + "\n")
    path = str(tmp_path / "wide.csv")
    data = splits.load(Csv(path=path, validation_path=path, test_path=path, numeric=["*"]))
    assert data.spec.features["numeric"].columns == tuple(f"m {column}" for column in range(30))
    for name in ("mlp", "tabular"):
        assert [tuple(tensor.shape) for tensor in built(SMALL[name], data).inputs] == [(None, 30)]


def test_missing_numbers_are_refused_by_a_model_that_does_not_replace_them(people, tmp_path):
    (tmp_path / "gaps.csv").write_text("age,label\n1,a\n,b\n3,a\n,b\n")
    path = str(tmp_path / "gaps.csv")
    data = splits.load(Csv(path=path, validation_path=path, test_path=path, numeric=["age"], missing_values="impute"))
    with pytest.raises(ConfigError, match=r"2 missing values in 'age'. Set model=tabular"):
        built(SMALL["mlp"], data)
    built(SMALL["tabular"], data)


def test_a_category_that_is_listed_has_a_code_though_training_lacks_it(tmp_path):
    (tmp_path / "towns.csv").write_text("town,label\nRome,a\nOslo,b\nRome,a\nOslo,b\n")
    path, listed = str(tmp_path / "towns.csv"), {"town": ["Rome", "Oslo", "Lima"]}
    paths = {"path": path, "validation_path": path, "test_path": path}
    data = splits.load(Csv(**paths, categorical=["town"], categories=listed))
    model = built(SMALL["tabular"], data)
    lookup = next(layer for layer in model.layers if isinstance(layer, keras.layers.StringLookup))
    assert lookup.get_vocabulary(include_special_tokens=False) == listed["town"]


def test_several_labels_are_refused_by_a_model_with_one_head(tmp_path):
    arrays = {"x": np.ones((6, 2), np.float32), "a": np.arange(6) % 2, "b": np.arange(6) % 3}
    np.savez(tmp_path / "two.npz", **arrays)
    data = splits.load(
        Npz(path=str(tmp_path / "two.npz"), labels=["a", "b"], split=SplitOptions(validation=0, stratify=False))
    )
    with pytest.raises(ConfigError, match="a, b"):
        built(SMALL["mlp"], data)
