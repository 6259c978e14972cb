"""The user's own code: losses, metrics, layers and members in files under custom/."""

import re
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline import custom_code, keras_objects, members
from pipeline.errors import ConfigError
from pipeline.function_objects import FunctionLoss
from pipeline.runs import saved_model

ERROR = """
    def squared(y_true, y_pred):
        return (y_true - y_pred) ** 2
"""
REDUCED = """
    import keras


    def total(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred))


    def by_column(y_true, y_pred):
        return keras.ops.mean(keras.ops.square(y_true - y_pred), axis=0)
"""
LAYER = """
    import keras


    class Doubled(keras.layers.Dense):
        def call(self, inputs):
            return 2 * super().call(inputs)
"""


def tensors(*values):
    return [keras.ops.convert_to_tensor(np.array(value, np.float32)) for value in values]


# ---- a loss and a metric of a function -------------------------------------------------------------------------------


@pytest.mark.parametrize("shapes", [((4,), (4, 1)), ((4, 1), (4,)), ((4,), (4,)), ((4, 1), (4, 1))])
def test_function_compares_each_row_with_itself(custom_file, shapes):
    for kind in ("losses", "metrics"):
        custom_file(f"{kind}.py", ERROR)
    labels, outputs = np.arange(4.0), np.array([0.0, 1.0, 2.0, 5.0])
    y_true, y_pred = tensors(labels.reshape(shapes[0]), outputs.reshape(shapes[1]))
    loss, metric = keras_objects.loss("k", "squared"), keras_objects.metric("k", "squared")
    metric.update_state(y_true, y_pred)
    assert float(loss(y_true, y_pred)) == float(metric.result()) == 1.0
    assert keras.ops.convert_to_numpy(loss.call(y_true, y_pred)).tolist() == [0, 0, 0, 4]
    keras_metric = keras.metrics.MeanSquaredError()
    keras_metric.update_state(y_true, y_pred)
    assert float(metric.result()) == float(keras_metric.result())


@pytest.mark.parametrize("traced", [False, True], ids=["eager", "traced"])
@pytest.mark.parametrize(("name", "line", "shape"), [("total", 5, r"\(\)"), ("by_column", 9, r"\(3,\)")])
@pytest.mark.parametrize("kind", ["losses", "metrics"])
def test_function_that_reduces_the_rows_is_refused_with_file_and_line(custom_file, kind, name, line, shape, traced):
    custom_file(f"{kind}.py", REDUCED)
    y_true, y_pred = tensors(np.ones((4, 3)), np.ones((4, 3)))
    use = keras_objects.loss("k", name) if kind == "losses" else keras_objects.metric("k", name).update_state
    if traced:
        use = tf.function(use, input_signature=[tf.TensorSpec((None, 3))] * 2)
    place = rf"custom/{kind}\.py, line {line}"
    with pytest.raises(ConfigError, match=rf"{place}: expected {name} to return one value per row.*the shape {shape}"):
        use(y_true, y_pred)


def test_row_weights_are_applied_in_a_loss_and_in_a_metric(custom_file):
    for kind in ("losses", "metrics"):
        custom_file(f"{kind}.py", ERROR)
    y_true, y_pred, weights = tensors([0.0, 0.0], [[1.0], [3.0]], [1.0, 0.0])
    metric = keras_objects.metric("k", "squared")
    metric.update_state(y_true, y_pred, weights)
    assert float(metric.result()) == 1.0
    assert float(keras_objects.loss("k", "squared")(y_true, y_pred, weights)) == 0.5


@pytest.mark.parametrize("weights", [None, [1.0, 1.0]])
@pytest.mark.parametrize("returned", ["(y_true - y_pred) ** 2", "((y_true - y_pred) ** 2)[..., 0]"])
def test_mask_of_steps_leaves_padding_out(custom_file, returned, weights):
    for kind in ("losses", "metrics"):
        custom_file(f"{kind}.py", f"def squared(y_true, y_pred):\n    return {returned}\n")
    (x,) = tensors([[[1.0], [2.0], [0.0]], [[5.0], [0.0], [0.0]]])
    outputs = keras.layers.Masking()(x)
    labels = keras.ops.zeros((2, 3, 1))
    weights = None if weights is None else tensors(weights)[0]
    metric = keras_objects.metric("k", "squared")
    metric.update_state(labels, outputs, weights)
    assert float(metric.result()) == pytest.approx((1 + 4 + 25) / 3)
    own, reference = keras_objects.loss("k", "squared"), keras.losses.MeanSquaredError()
    assert float(own(labels, outputs, weights)) == pytest.approx(float(reference(labels, outputs)))


def test_model_compiled_with_functions_is_saved_and_loaded(custom_file, tmp_path):
    custom_file("losses.py", ERROR)
    custom_file(
        "metrics.py",
        """
        import keras


        def distance(y_true, y_pred):
            return keras.ops.abs(y_true - y_pred)


        class Largest(keras.metrics.Mean):
            def update_state(self, y_true, y_pred, sample_weight=None):
                super().update_state(keras.ops.max(y_pred))
        """,
    )
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    metrics = [keras_objects.metric("k", name) for name in ("distance", "Largest")]
    model.compile("sgd", loss=keras_objects.loss("k", "squared"), metrics=metrics)
    rows = np.arange(8, dtype=np.float32).reshape(4, 2), np.ones((4, 1), np.float32)
    before = model.evaluate(*rows, verbose=0, return_dict=True)
    saved_model.save(model, tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras", custom_objects=keras_objects.custom_classes())
    assert isinstance(loaded.loss, FunctionLoss) and loaded.loss.name == "squared"
    assert loaded.evaluate(*rows, verbose=0, return_dict=True) == before
    assert [type(metric).__name__ for metric in loaded.metrics[1].metrics] == ["FunctionMetric", "Largest"]
    np.testing.assert_array_equal(saved_model.load(tmp_path / "model.keras")(rows[0]), model(rows[0]))


def test_saved_function_that_no_longer_exists_is_named(custom_file):
    custom_file("losses.py", ERROR)
    config = keras_objects.loss("k", "squared").get_config()
    with pytest.raises(ConfigError, match=r"custom/losses\.py: expected the function cubed"):
        FunctionLoss.from_config({**config, "function": "cubed"})


# ---- layers ----------------------------------------------------------------------------------------------------------


def test_custom_layer_is_saved_and_loaded_with_equal_outputs(custom_file, tmp_path):
    custom_file("layers.py", LAYER)
    doubled = keras_objects.custom_classes()["Doubled"]
    model = keras.Sequential([keras.Input((3,)), doubled(2), keras.layers.Dense(1)])
    saved_model.save(model, tmp_path / "model.keras")
    loaded = saved_model.load(tmp_path / "model.keras")
    rows = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    assert type(loaded.layers[0]) is doubled
    np.testing.assert_array_equal(loaded(rows), model(rows))


def test_custom_layer_with_the_name_of_a_keras_layer_is_saved_and_loaded(custom_file, tmp_path):
    custom_file("layers.py", LAYER.replace("Doubled", "Dense"))
    own = keras_objects.custom_classes()["Dense"]
    model = keras.Sequential([keras.Input((3,)), own(2), keras.layers.Dense(1)])
    saved_model.save(model, tmp_path / "model.keras")
    loaded = saved_model.load(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [own, keras.layers.Dense]


# ---- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["layers.Layer", "losses.Loss", "metrics.Mean"])
def test_two_classes_with_the_same_name_are_refused_with_both_files_and_lines(custom_file, base):
    text = f"import keras\n\n\nclass Twice(keras.{base}):\n    pass\n"
    custom_file("first.py", text)
    custom_file("models/second.py", f"# later\n{text}")
    with pytest.raises(ConfigError) as raised:
        keras_objects.custom_classes()
    assert str(raised.value).startswith(
        "custom/models/second.py, line 5: expected a unique name; found Twice in custom/first.py, line 4 too. "
    )


def test_class_that_another_file_imports_is_not_counted_twice(custom_file):
    custom_file("layers.py", LAYER)
    custom_file("models/block.py", "from custom.layers import Doubled\n")
    assert list(keras_objects.custom_classes()) == ["Doubled"]


def test_member_with_a_used_name_is_refused_with_both_files_and_lines(custom_file):
    file = custom_file("models/mlp.py", "")
    with pytest.raises(ConfigError) as raised:
        members.members("model")
    assert str(raised.value).startswith(f"{file}: expected a unique name; found model=mlp in ")
    assert re.search(r"pipeline/models/mlp\.py, line \d+ too\. Rename the file\.", str(raised.value))


def test_file_with_two_members_is_refused_with_their_lines(custom_file):
    file = custom_file(
        "models/twins.py",
        """
        from dataclasses import dataclass

        from pipeline.models.model import ModelOptions


        @dataclass
        class First(ModelOptions):
            pass


        @dataclass
        class Second(ModelOptions):
            pass
        """,
    )
    with pytest.raises(ConfigError) as raised:
        members.members("model")
    assert str(raised.value).startswith(f"{file}: expected one class that derives from ModelOptions")
    assert "found 2, First in line 7, Second in line 12." in str(raised.value)


@pytest.mark.parametrize(
    ("kind", "build", "name"),
    [
        *[("losses", keras_objects.loss, name) for name in ("mse", "MSE", "mean_squared_error", "bce", "Huber")],
        *[
            ("metrics", keras_objects.metric, name)
            for name in ("mae", "accuracy", "acc", "ce", "AUC", "cosine_similarity")
        ],
    ],
)
def test_function_with_a_name_or_alias_of_keras_is_refused_with_its_line(custom_file, kind, build, name):
    custom_file(f"{kind}.py", f"\n\ndef {name}(y_true, y_pred):\n    return y_pred\n")
    with pytest.raises(ConfigError) as raised:
        build("k", "mse")
    assert str(raised.value) == (
        f"custom/{kind}.py, line 3: expected a name that Keras does not use; found {name}, which keras.{kind} has too. "
        "Rename it."
    )


@pytest.mark.parametrize(("kind", "build"), [("losses", keras_objects.loss), ("metrics", keras_objects.metric)])
def test_unknown_name_is_refused_with_the_nearest_name_the_own_names_and_the_file(custom_file, kind, build):
    custom_file(f"{kind}.py", ERROR + "\n\n    def cubed(y_true, y_pred):\n        return y_pred\n")
    with pytest.raises(ConfigError) as raised:
        build("the.key", "squard")
    assert str(raised.value) == (
        f"the.key: keras.{kind} and custom/{kind}.py have no 'squard'. Did you mean squared? "
        f"custom/{kind}.py defines cubed, squared."
    )


def test_unknown_name_without_a_file_says_that_there_is_none(custom_file):
    custom_file("metrics.py", ERROR)
    with pytest.raises(ConfigError, match=r"There is no custom/losses\.py\.$"):
        keras_objects.loss("the.key", "squared")


# ---- files -----------------------------------------------------------------------------------------------------------


def test_file_that_another_package_hides_is_named(custom_file, tmp_path):
    custom_file("losses.py", ERROR)
    package = tmp_path / "elsewhere" / "custom"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "losses.py").touch()
    sys.path.insert(0, str(package.parent))
    try:
        with pytest.raises(ConfigError, match="under that name"):
            custom_code.definitions("losses")
    finally:
        sys.path.remove(str(package.parent))


@pytest.mark.parametrize("packaged", [False, True], ids=["without __init__.py", "with __init__.py"])
def test_custom_code_is_imported_with_and_without_init_files(custom_file, tmp_path, packaged):
    if packaged:
        custom_file("__init__.py", "")
        custom_file("models/__init__.py", "")
    custom_file("layers.py", LAYER)
    custom_file(
        "models/doubled.py",
        """
        from dataclasses import dataclass

        from custom.layers import Doubled
        from pipeline.models.model import ModelOptions


        @dataclass
        class Model(ModelOptions):
            layer = Doubled
        """,
    )
    assert members.members("model")["doubled"].layer is keras_objects.custom_classes()["Doubled"]
