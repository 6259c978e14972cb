"""The trial step: it restores all state, names what a GPU would refuse, and reports all findings in one error."""

import mmap
import random
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from pipeline.config import Config
from pipeline.data import input_pipeline
from pipeline.data.sources.digits import Digits
from pipeline.errors import ConfigError
from pipeline.models.mlp import Mlp
from pipeline.models.model import build_model
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.preflight import catalogue, determinism_checks, inspection, memory
from pipeline.preflight.setup import Setup
from pipeline.training.fit import Fit
from pipeline.training.optimizer import Optimizer
from pipeline.training.options import EarlyStopping
from pipeline.training.tape import Tape
from pipeline.training.weights_digest import weights_digest


class Unseeded(layers.Layer):
    """Draws from every random generator that no layer owns."""

    def call(self, x, training=False):
        noise = keras.random.normal(keras.ops.shape(x)) + tf.random.normal(tf.shape(x)) + random.random()
        return x + noise * np.random.rand()


class Counting(layers.Layer):
    """Has a TensorFlow variable that is in none of Keras's lists of variables."""

    def build(self, shape):
        self.calls = tf.Variable(0, trainable=False)

    def call(self, x):
        self.calls.assign_add(1)
        return x


def state(setup):
    model, optimizer = setup.model, setup.model.optimizer
    every = [*model.variables, *optimizer.variables, *model.metrics_variables]
    return {variable.path: keras.ops.convert_to_numpy(variable).tobytes() for variable in every}


def draws():
    return random.random(), np.random.rand(), float(tf.random.uniform(())), float(keras.random.uniform(()))


STATEFUL = {
    "dropout": lambda: [layers.Dense(4), layers.Dropout(0.5), layers.Dense(3, "softmax")],
    "batch normalisation": lambda: [layers.BatchNormalization(), layers.Dense(3, "softmax")],
    "random augmentation": lambda: [layers.Reshape((2, 2, 1)), layers.RandomRotation(0.2), layers.Flatten(),
                                    layers.Dense(3, "softmax")],
    "spectral normalisation": lambda: [layers.SpectralNormalization(layers.Dense(3)), layers.Softmax()],
    "recurrent dropout": lambda: [layers.Reshape((2, 2)), layers.GRU(3, dropout=0.2), layers.Dense(3, "softmax")],
}  # fmt: skip
OPTIMIZERS = {
    "SGD": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    "Adam": ("Adam", {"learning_rate": 0.001, "amsgrad": True}),
    "average": ("Adam", {"learning_rate": 0.001, "use_ema": True}),
    "accumulation": ("SGD", {"learning_rate": 0.1, "gradient_accumulation_steps": 3}),
}


@pytest.mark.parametrize("model", STATEFUL)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_trial_step_restores_the_state_bit_for_bit(prepared, model, optimizer):
    setup = prepared(STATEFUL[model](), optimizer=OPTIMIZERS[optimizer], metrics=["accuracy"])
    before = state(setup)
    assert not any(finding.is_error for finding in inspection.inspect(setup))
    now = state(setup)
    assert {path: now[path] for path in before} == before
    assert all(not np.frombuffer(now[path], np.uint8).any() for path in now.keys() - before.keys())  # new metrics: 0


@pytest.mark.parametrize("optimizer", ["average", "accumulation"])
def test_trial_step_restores_slots_of_averages_and_sums(prepared, optimizer):
    setup = prepared([layers.Dense(3, "softmax")], optimizer=OPTIMIZERS[optimizer])
    before = state(setup)
    inspection.inspect(setup)
    assert state(setup) == before


def test_trial_step_restores_loss_scales(prepared):
    model = [layers.Dense(4), layers.Dense(3, "softmax", dtype="float32")]
    setup = prepared(model, precision="mixed_float16")
    before = state(setup)
    inspection.inspect(setup)
    assert "loss_scale" in " ".join(before) and state(setup) == before


def test_trial_step_restores_a_variable_that_keras_does_not_know(prepared):
    setup = prepared([Counting(), layers.Dense(3, "softmax")])
    inspection.inspect(setup)
    assert int(setup.model.layers[0].calls) == 0


def test_inspection_restores_every_random_generator(prepared):
    setup = prepared([Unseeded(), layers.Dense(3, "softmax")])
    keras.utils.set_random_seed(7)
    expected = draws()
    setup = prepared([Unseeded(), layers.Dense(3, "softmax")])
    keras.utils.set_random_seed(7)
    inspection.inspect(setup)
    assert draws() == expected


def test_second_inspection_gives_the_same_findings(prepared):
    setup = prepared([layers.Dropout(0.5), layers.Dense(3)], loss="SparseCategoricalCrossentropy", batch_size=7)
    assert inspection.inspect(setup) == inspection.inspect(setup) != []


# ---- weights of a run ------------------------------------------------------------------------------------------------


def trained(data, look, **model):
    keras.backend.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    built = build_model(
        Mlp(**model), data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name)
    )
    objective = Supervised(SupervisedOptions(), data.spec, built)
    batches = input_pipeline.TrainingFeed(split=data.train, spec=data.spec, source=Digits(), batch_size=64, seed=0)
    training = Fit(epochs=2, tensorboard=False)
    optimizer = Optimizer("Adam", {"learning_rate": 0.001})
    objective.compile(optimizer.build(2 * batches.steps), training)
    if look:
        config = Config(data=Digits(), model=Mlp(), optimizer=optimizer, objective=SupervisedOptions(),
                          training=training)  # fmt: skip
        inspection.inspect(Setup(config, data, objective, batches))
    built.fit(batches.batches(0), epochs=2, shuffle=False, verbose=0)
    return weights_digest(built)


def test_run_has_the_same_weights_with_and_without_preflight(digits, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert trained(digits, True, dropout=0.3) == trained(digits, False, dropout=0.3)


# ---- what a GPU would refuse -----------------------------------------------------------------------------------------


def resized(x):
    x = layers.Dense(4)(layers.Reshape((2, 2, 1))(x))
    return layers.Lambda(lambda z: tf.image.resize(z, (4, 4), "nearest"))(x)


REFUSED = {
    "nearest neighbours": ("ResizeNearestNeighborGrad", resized),
    "contrast": ("AdjustContrastv2", lambda x: layers.Lambda(lambda z: tf.image.adjust_contrast(z, 2.0))(
        layers.Reshape((2, 2, 1))(x))),
    "dilation": ("Dilation2DBackpropInput", lambda x: layers.Lambda(lambda z: tf.nn.dilation2d(
        z, tf.ones((2, 2, 1)), (1, 1, 1, 1), "SAME", "NHWC", (1, 1, 1, 1)))(
            layers.Reshape((2, 2, 1))(layers.Dense(4)(x)))),
    "quantisation": ("FakeQuantWithMinMaxVarsGradient", lambda x: layers.Lambda(
        lambda z: tf.quantization.fake_quant_with_min_max_vars(z, -1.0, 1.0))(layers.Dense(4)(x))),
    "crops": ("CropAndResizeGradImage", lambda x: layers.Lambda(lambda z: tf.image.crop_and_resize(
        z, [[0.0, 0.0, 1.0, 1.0]], [0], (2, 2))[:1] * 1.0 + z)(layers.Reshape((2, 2, 1))(layers.Dense(4)(x)))),
}  # fmt: skip


def classified(body):
    return lambda x: layers.Dense(3, "softmax")(layers.Flatten()(body(x)))


@pytest.mark.parametrize("case", REFUSED)
def test_operation_without_a_deterministic_kernel_is_named_with_its_layer(prepared, case):
    operation, body = REFUSED[case]
    findings = inspection.inspect(prepared(classified(body)))
    step_finding = [
        finding for finding in findings if finding.code == "determinism-unproved" and operation in finding.found
    ]
    alternative = determinism_checks.REFUSALS[operation].alternative
    assert [finding.place for finding in step_finding] == ["lambda"] and f"Use {alternative}" in step_finding[0].fix


@pytest.mark.parametrize("options", [{"determinism": "relaxed"}, {"device": "cpu"}])
def test_no_gpu_warning_if_no_gpu_has_to_be_deterministic(found, options):
    assert "determinism-unproved" not in found(classified(resized), **options)


def test_operation_refused_by_a_gpu_is_an_error_with_an_alternative(prepared):
    setup = prepared([layers.Dense(3, "softmax")])
    message = f"{determinism_checks.REFUSALS['AdjustContrastv2'].message}. [Op:AdjustContrastv2]"
    finding = determinism_checks.refused(setup, tf.errors.UnimplementedError(None, None, message))
    assert finding.code == "not-deterministic" and finding.is_error and "RandomContrast" in finding.fix
    assert determinism_checks.refused(setup, tf.errors.UnimplementedError(None, None, "Cast is not supported")) is None


def test_every_listed_error_text_is_in_the_library_of_tensorflow():
    library = Path(tf.sysconfig.get_lib()) / "libtensorflow_cc.so.2"
    with library.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        absent = [
            name for name, entry in determinism_checks.REFUSALS.items() if content.find(entry.message.encode()) < 0
        ]
    assert absent == []


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_update_that_is_not_finite_gives_a_finding(found):
    x = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32) * 1000
    assert "update-not-finite" in found([layers.Dense(3, "softmax")], x=x, optimizer=("SGD", {"learning_rate": 3e38}))


def test_sparse_gradient_of_an_embedding_is_checked_and_applied(prepared):
    def build(x):
        tokens = keras.ops.clip(keras.ops.cast(keras.ops.abs(x), "int32"), 0, 8)
        return layers.Dense(3, "softmax")(layers.Flatten()(layers.Embedding(9, 2)(tokens)))

    setup = prepared(build)
    before = state(setup)
    assert {finding.code for finding in inspection.inspect(setup)} == set()
    assert state(setup) == before


# ---- memory ----------------------------------------------------------------------------------------------------------


def test_peak_memory_grows_with_the_batch_and_the_weights():
    def step(rows, units):
        weights = tf.Variable(tf.ones((units, units)))

        def forward(x):
            with tf.GradientTape() as tape:
                y = tf.reduce_sum(tf.nn.relu(x @ weights) @ weights)
            return tape.gradient(y, weights)

        return memory.peak(tf.function(forward).get_concrete_function(tf.TensorSpec((rows, units))).graph)

    assert step(2_000, 10) > 1.8 * step(1_000, 10)
    assert step(1, 200) > 3.6 * step(1, 100)
    assert step(1_000, 10) > 2 * 1_000 * 10 * 4  # the outputs of both layers are stored for the gradient


@pytest.mark.parametrize("need, code", [(10, None), (85, "memory-tight"), (101, "memory")])
def test_needed_memory_is_compared_with_available_memory(need, code):
    assert [finding.code for finding in memory.check(need * 2**30, 100 * 2**30)] == ([code] if code else [])


def test_step_that_needs_too_much_memory_is_not_run(prepared, monkeypatch):
    setup = prepared([layers.Dense(3, "softmax")])
    monkeypatch.setattr(memory, "available", lambda: 100)
    assert {finding.code for finding in inspection.inspect(setup)} == {"memory"}


# ---- the verdict -----------------------------------------------------------------------------------------------------


def look(setup):
    return inspection.check(setup.config, setup.data, setup.objective, setup.feed)


def test_all_findings_are_in_one_config_error(prepared):
    setup = prepared([layers.Dense(3)], loss="SparseCategoricalCrossentropy", batch_size=7,
                     early_stopping=EarlyStopping(9, "val_los"))  # fmt: skip
    with pytest.raises(ConfigError) as raised:
        look(setup)
    assert raised.value.status == 2
    for text in ("2 errors and 1 warning", "[logits-as-probabilities] y", "[monitor-unknown]", "val_loss",
                  "[last-batch-of-one]", "why: ", "fix: ", "preflight.ignore=["):  # fmt: skip
        assert text in str(raised.value)


def test_warnings_are_printed_once_and_do_not_stop_the_run(prepared, capsys):
    verdict = look(prepared([layers.Dense(3, "softmax")], batch_size=7))
    assert [finding.code for finding in verdict.warnings] == ["last-batch-of-one"] and verdict.ignored == []
    assert capsys.readouterr().err.count("last-batch-of-one") == 1


def test_ignored_findings_do_not_stop_the_run_and_are_returned(prepared, capsys):
    verdict = look(
        prepared([layers.Dense(3)], loss="SparseCategoricalCrossentropy", ignore=["logits-as-probabilities"])
    )
    assert [finding.code for finding in verdict.ignored] == ["logits-as-probabilities"]
    assert capsys.readouterr().err == ""


def test_step_that_raises_is_reported_with_the_message_of_the_error(found):
    class Refusing(layers.Layer):
        def call(self, x, training=False):
            if training:
                raise ValueError("not while training")
            return x

    assert "not while training" in found([Refusing(), layers.Dense(3, "softmax")])["step-fails"].found


class WrongShape(Supervised):
    def losses(self, batch):
        losses, outputs = super().losses(batch)
        wanted = tf.zeros((7,))
        return losses | {"distance": tf.reduce_sum(outputs - wanted)}, outputs


class OfNothing(Supervised):
    def losses(self, batch):
        _, outputs = super().losses(batch)
        return {"loss": tf.constant(1.0)}, outputs


def test_wrong_shapes_in_an_objective_are_reported_with_its_name_and_line(found):
    step_finding = found([layers.Dense(3, "softmax")], objective=WrongShape, engine=Tape)["step-fails"]
    assert "objective supervised, supervised update" in step_finding.place
    for text in ("outputs - wanted", "3 and 7", "test_preflight_trial.py, line", "x (16, 4) float32", "y (16,)"):
        assert text in step_finding.found


def test_loss_that_depends_on_no_variable_is_reported_with_the_variable(found):
    step_finding = found([layers.Dense(3, "softmax", name="only")], objective=OfNothing, engine=Tape)["takes-no-part"]
    assert "only/" in step_finding.place and step_finding.is_error


def test_page_of_findings_is_current():
    page = Path(__file__).parents[2] / "docs" / "preflight.md"
    assert page.read_text() == catalogue.markdown(), "make docs"


def test_every_finding_has_a_unique_code_a_reason_and_a_fix():
    assert len(catalogue.CATALOGUE) == sum(map(len, catalogue.SECTIONS.values()))
    for code, entry in catalogue.CATALOGUE.items():
        assert entry.severity in (catalogue.ERROR, catalogue.WARNING) and entry.explanation and entry.general_fix(), (
            code
        )
