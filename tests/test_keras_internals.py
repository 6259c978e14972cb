"""Private names of Keras and TensorFlow: each test names one that an upgrade broke."""

import ast
import random
from pathlib import Path

import keras
import pytest
import tensorflow as tf
from keras import layers

from pipeline import keras_internals

PACKAGE = Path(__file__).parents[1] / "pipeline"


def small_model():
    inputs = keras.Input((3,))
    inner = keras.Sequential([layers.Input((3,)), layers.Dense(2, name="deep")])
    return keras.Model(inputs, layers.Dense(1, name="last")(inner(inputs)))


def test_flatten_layers_reaches_layers_inside_other_models():
    model = small_model()
    found = keras_internals.all_layers(model)
    assert found[0] is model
    assert {"deep", "last"} <= {layer.name for layer in found}


def test_functional_is_the_class_of_a_model_made_from_tensors():
    assert type(small_model()) is keras_internals.FUNCTIONAL


def test_metrics_of_a_built_subclassed_model_take_one_more():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    model = Subclassed()
    model.build((None, 3))
    model.compile(loss="mse")
    metric = keras.metrics.Mean("extra")
    keras_internals.add_metric(model, metric)
    metric.update_state(2.0)
    assert float(model.get_metrics_result()["extra"]) == 2.0
    model.reset_metrics()
    assert float(metric.result()) == 0.0


@pytest.mark.parametrize(
    ("metric", "direction"),
    [
        (keras.metrics.SparseCategoricalAccuracy, "max"),
        (keras.metrics.MeanSquaredError, "min"),
        (keras.metrics.Mean, None),
    ],
    ids=["accuracy", "error", "mean"],
)
def test_direction_of_a_metric_is_known(metric, direction):
    assert keras_internals.better_direction(metric()) == direction


def test_learning_rate_of_an_optimizer_is_a_schedule_or_not():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    assert keras_internals.learning_rate_schedule(keras.optimizers.SGD(schedule)) is schedule
    assert keras_internals.learning_rate_schedule(keras.optimizers.SGD(0.1)) is None


def test_mask_of_outputs_is_the_one_that_a_layer_attached():
    outputs = layers.Masking()(keras.ops.convert_to_tensor([[[1.0], [0.0]]]))
    assert keras.ops.convert_to_numpy(keras_internals.mask_of(outputs)).tolist() == [[True, False]]
    assert keras_internals.mask_of(keras.ops.ones((1, 2, 1))) is None


def test_global_seed_generator_is_made_at_first_use_and_again_after_it_is_forgotten():
    keras.utils.set_random_seed(0)
    keras.random.uniform((1,))
    first = keras_internals.global_seed_generator()
    assert isinstance(first, keras.random.SeedGenerator)
    keras_internals.forget_global_seed_generator()
    assert keras_internals.global_seed_generator() is None
    keras.random.uniform((1,))
    assert keras_internals.global_seed_generator() is not first


def test_eager_seed_generator_advances_with_every_stateful_operation():
    tf.random.set_seed(0)
    generator = keras_internals.eager_seed_generator()
    assert isinstance(generator, random.Random)
    state = generator.getstate()
    tf.random.uniform((4,))
    assert generator.getstate() != state


def test_get_function_returns_the_graph_that_an_operation_calls():
    @tf.function
    def inner(x):
        return x + 1.0

    graph = tf.function(lambda x: inner(x) * 2.0).get_concrete_function(tf.TensorSpec((), tf.float32)).graph
    (call,) = [operation for operation in graph.get_operations() if "PartitionedCall" in operation.type]
    called = keras_internals.called_function(graph, call.get_attr("f").name)
    assert "AddV2" in {operation.type for operation in called.get_operations()}


def test_local_devices_give_the_memory_of_each_gpu():
    memory = keras_internals.gpu_memory()
    assert len(memory) == len(tf.config.list_logical_devices("GPU"))
    assert all(size > 2**20 for size in memory)


def test_no_other_module_uses_private_names_of_keras_or_tensorflow():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        if path.name != "keras_internals.py":
            found += [f"{path.relative_to(PACKAGE)}:{line}: {name}" for line, name in private_names(path)]
    assert found == []


def private_names(path):
    """Yield (line, source) of every import of a private module and every private attribute of another object."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.startswith(("keras.src", "tensorflow.python"))
        ):
            yield node.lineno, node.module
        if isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
            own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls", "os")
            if not own:
                yield node.lineno, ast.unparse(node)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1]
            if isinstance(name, ast.Constant) and str(name.value).startswith("_") and name.value[:2] != "__":
                yield node.lineno, ast.unparse(node)


def test_variables_beyond_the_limit_are_refused_before_they_take_memory():
    with keras_internals.limited_variables(100):
        layers.Dense(2).build((None, 3))
        with pytest.raises(MemoryError, match=r"at most 100 bytes; found .*kernel of shape \(1000000, 1000000\)"):
            layers.Dense(10**6).build((None, 10**6))
    layers.Dense(100).build((None, 3))


def test_last_layers_are_found_from_the_output_back_to_the_input():
    assert [[layer.name for layer in chain][:2] for chain in keras_internals.last_layers(small_model())] == [
        ["last", "deep"]
    ]
