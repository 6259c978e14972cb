"""Regularization: formulas, combinations, resume and refusals."""

import itertools
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.options import SplitOptions
from pipeline.data.sources.digit_tasks import DigitTasks
from pipeline.data.sources.digits import Digits
from pipeline.errors import ConfigError
from pipeline.models.gan import Gan
from pipeline.models.mlp import Mlp
from pipeline.models.tabular import Tabular
from pipeline.objectives.adversarial import AdversarialOptions
from pipeline.objectives.maml import MamlOptions
from pipeline.objectives.multi_task import MultiTaskOptions
from pipeline.objectives.supervised import Supervised, SupervisedOptions
from pipeline.spec import DataSpec, Feature, class_label
from pipeline.training.fit import Fit
from pipeline.training.model_inputs import model_spec
from pipeline.training.objective import Objective
from pipeline.training.regularization import (
    GradientPenalty,
    Mixup,
    Regularization,
    WeightDecay,
    Wrapper,
    check_mixable,
)
from pipeline.training.tape import Tape

ROWS, WIDTH, CLASSES = 12, 5, 3
SPEC = DataSpec({"x": Feature((WIDTH,), "float32")}, {"y": class_label(range(CLASSES))})


def batch():
    numbers = np.random.default_rng(0)
    x = numbers.normal(size=(ROWS, WIDTH)).astype(np.float32)
    return tf.constant(x), tf.constant(numbers.integers(0, CLASSES, ROWS))


def supervised():
    layers = [keras.layers.Dense(4, "tanh", name="body"), keras.layers.Dense(CLASSES, "softmax", name="head")]
    return Supervised(SupervisedOptions(), SPEC, keras.Sequential([keras.Input((WIDTH,)), *layers]))


def compiled(objective):
    objective.compile(keras.optimizers.SGD(0.1), Tape())
    return objective


def losses(objective, given=None):
    (update,) = objective.updates()
    return update.losses(given or batch())[0]


# ---- formulas --------------------------------------------------------------------------------------------------------


def test_gradient_penalty_is_the_mean_squared_gradient_of_each_rows_loss():
    objective = compiled(GradientPenalty(supervised(), 0.3))
    x, y = batch()
    loss = keras.losses.SparseCategoricalCrossentropy()
    squares = []
    for row in range(ROWS):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(y[row : row + 1], objective.model(x[row : row + 1]))
        squares.append(np.sum(np.square(tf.convert_to_tensor(tape.gradient(value, x)))))
    np.testing.assert_allclose(losses(objective)["gradient_penalty"], 0.3 * np.mean(squares), rtol=1e-4)


@pytest.mark.slow
def test_gradient_penalty_makes_gradients_smaller(train, configured):
    config = configured(Tape, model=Mlp(hidden=[16]), epochs=6)
    gradients = {}
    for weight in (1e-6, 10.0):
        history = train(replace(config, regularization=Regularization(gradient_penalty=weight))).history
        gradients[weight] = history[-1]["gradient_penalty"] / weight
        assert history[-1]["val_accuracy"] > 0.75 and "val_gradient_penalty" not in history[-1]
    assert gradients[10.0] < 0.7 * gradients[1e-6]


def test_weight_decay_is_the_rate_of_the_first_pattern_times_the_squared_matrices():
    objective = compiled(WeightDecay(supervised(), {"head": 0.5, "*": 0.01}))
    model = objective.model
    expected = 0.5 * np.sum(np.square(model.get_layer("head").kernel)) + 0.01 * np.sum(
        np.square(model.get_layer("body").kernel)
    )
    model.get_layer("body").bias.assign(np.full(4, 9.0))
    np.testing.assert_allclose(losses(objective)["weight_decay"], expected, rtol=1e-5)


def test_mixup_loss_of_mixed_rows_is_shared_between_both_labels():
    objective = compiled(Mixup(supervised(), 0.4, seed=3))
    x, y = batch()
    generator = keras.random.SeedGenerator(3)  # the same random draws, in the same order
    share = float(keras.random.beta((), 0.4, 0.4, seed=generator))
    share = max(share, 1 - share)
    partners = keras.random.shuffle(keras.ops.arange(ROWS), seed=generator).numpy()
    assert 0.5 < share < 1 and (partners != np.arange(ROWS)).any()
    outputs = objective.model(share * x.numpy() + (1 - share) * x.numpy()[partners])
    loss = keras.losses.SparseCategoricalCrossentropy()
    expected = share * loss(y, outputs) + (1 - share) * loss(y.numpy()[partners], outputs)
    np.testing.assert_allclose(losses(objective)["loss"], expected, rtol=1e-5)


def test_regularizers_can_be_nested_in_any_order():
    wraps = [
        lambda inner: GradientPenalty(inner, 0.1),
        lambda inner: WeightDecay(inner, {"*": 0.1}),
        lambda inner: Mixup(inner, 0.4, seed=0),
    ]
    weights, found = supervised().model.get_weights(), []
    for order in itertools.permutations(wraps):
        keras.backend.clear_session(free_memory=False)
        objective = supervised()
        for wrap in order:
            objective = wrap(objective)
        compiled(objective).model.set_weights(weights)
        found.append(losses(objective))
        objective.measure(batch(), found[-1], objective.model(batch()[0]))
        assert set(objective.log_names()) == {"loss", "accuracy", "weight_decay", "gradient_penalty"}
    for other in found[1:]:
        for name in ("loss", "weight_decay"):
            np.testing.assert_allclose(other[name], found[0][name], rtol=1e-5)


# ---- in training -----------------------------------------------------------------------------------------------------

ALL = Regularization(mixup=0.3, gradient_penalty=0.01, weight_decay={"dense*": 0.001})


@pytest.mark.slow
def test_resume_with_all_regularizers_gives_the_same_bits(train, configured):
    config = replace(configured(Tape), regularization=ALL)
    whole, again = train(config), train(config, (2, 7))
    assert again.digest == whole.digest and again.history == whole.history


@pytest.mark.slow
def test_mixup_works_with_several_labels(train, configured):
    case = {"data": Digits(labels=["digit", "ink"]), "model": Tabular(hidden=[32]), "epochs": 10}
    for objective in (MultiTaskOptions(), SupervisedOptions()):
        config = replace(configured(Tape, objective=objective, **case), regularization=ALL)
        last = train(config).history[-1]
        assert last["val_digit_accuracy"] > 0.75 and last["val_loss"] < 3


DECAY = {"weight_decay": {"*": 0.001}}
PENALTY = {"gradient_penalty": 0.01}
FEW = DigitTasks(tasks=300, held_out=100)
OTHERS = {
    "the GAN": (DECAY, {"objective": AdversarialOptions(critic_steps=2), "model": Gan(generator=[8], critic=[8]),
                        "data": Digits(split=SplitOptions(validation=0))}),
    "MAML": (DECAY | PENALTY, {"objective": MamlOptions(support=3, inner_steps=1), "data": FEW}),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("options", "case"), OTHERS.values(), ids=OTHERS)
def test_resume_of_other_objectives_with_penalties_gives_the_same_bits(train, configured, options, case):
    config = replace(configured(Tape, **{**case, "epochs": 2}), regularization=Regularization(**options))
    whole, again = train(config), train(config, (2, 2))
    assert again.digest == whole.digest and again.history == whole.history
    for name in options:
        assert 0 < whole.history[-1][name] < 1


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_pattern_that_matches_no_layer_is_refused_with_the_layers():
    with pytest.raises(ConfigError, match=r"'bodi'.*/body, .*/head.*Did you mean body"):
        WeightDecay(supervised(), {"bodi": 0.1})


def test_numbers_below_zero_are_refused():
    for wrong in ({"mixup": -0.1}, {"gradient_penalty": -1.0}, {"weight_decay": {"dense": -1.0}}):
        with pytest.raises(ConfigError, match=f"regularization.{next(iter(wrong))}"):
            Regularization(**wrong)


@pytest.mark.parametrize("feature", [Feature((1,), "string"), Feature((None, 3), "float32"), Feature((9,), "int32")])
def test_mixup_of_rows_that_cannot_be_mixed_is_refused(feature):
    with pytest.raises(ConfigError, match="'text'"):
        check_mixable(DataSpec({"text": feature}, SPEC.labels))


def test_gradient_penalty_of_losses_without_gradient_is_refused_with_the_update():
    inner = supervised()
    model = keras.Sequential([keras.Input((WIDTH,), dtype="uint8"), keras.layers.Dense(CLASSES, "softmax")])
    objective = compiled(GradientPenalty(Supervised(inner.options, SPEC, model), 0.1))
    with pytest.raises(ConfigError, match="'supervised'"):
        losses(objective)


@pytest.mark.parametrize(
    "options", [{"mixup": 0.1}, {"gradient_penalty": 0.1}, {"weight_decay": {"dense": 0.1}}], ids=str
)
def test_regularization_with_the_fit_engine_is_refused(configured, options):
    with pytest.raises(ConfigError, match="training=tape"):
        replace(configured(Fit), regularization=Regularization(**options)).check_sections()


@pytest.mark.parametrize(
    ("options", "objective", "model"),
    [
        ({"mixup": 0.1}, AdversarialOptions(), Gan()),
        ({"mixup": 0.1}, MamlOptions(), Mlp()),
        ({"gradient_penalty": 0.1}, AdversarialOptions(), Gan()),
    ],
    ids=["mixup, GAN", "mixup, MAML", "gradient penalty, GAN"],
)
def test_regularizer_that_the_objective_cannot_use_is_refused(configured, options, objective, model):
    config = configured(Tape, objective=objective, model=model)
    with pytest.raises(ConfigError, match=f"regularization.{next(iter(options))}: .*objective="):
        replace(config, regularization=Regularization(**options)).check_sections()


def test_wrapper_forwards_every_method_of_an_objective():
    methods = {name for name, member in vars(Objective).items() if callable(member) and not name.startswith("_")}
    derived = {"variables", "optimizers"}  # computed from the others
    assert methods - derived <= set(vars(Wrapper))
    wrapped = compiled(WeightDecay(supervised(), {"head": 0.1}))
    for attribute in set(Objective.__annotations__):
        assert getattr(wrapped, attribute) == getattr(wrapped.objective, attribute)


def test_mixup_and_gradient_penalty_make_pixels_float_inputs(digits):
    config = Config(data=Digits(), model=Mlp(), objective=SupervisedOptions(), regularization=ALL)
    assert model_spec(config, digits.spec).features["image"].dtype == "float32"
    plain = replace(config, regularization=Regularization(weight_decay={"dense": 0.1}))
    assert model_spec(plain, digits.spec) == splits.load(Digits()).spec


def test_float64_rows_are_mixed_in_float64():
    x, y = batch()
    mixed, _ = Mixup(supervised(), 0.4, seed=3).mix((tf.cast(x, tf.float64) + 1.7e9, y))
    assert mixed.dtype == tf.float64
    assert np.abs(mixed - 1.7e9).max() < 10 and len(np.unique(mixed)) > ROWS


def test_the_gradient_penalty_of_float64_rows_is_that_of_float32():
    layers = [keras.layers.Rescaling(1.0, -1.7e9, dtype="float64"), keras.layers.Dense(CLASSES, "softmax")]
    model = keras.Sequential([keras.Input((WIDTH,), dtype="float64"), *layers])
    x, y = batch()
    wide = Supervised(SupervisedOptions(), SPEC, model)
    narrow = Supervised(SupervisedOptions(), SPEC, keras.Sequential([keras.Input((WIDTH,)), layers[1]]))
    found = [
        losses(compiled(GradientPenalty(objective, 0.5)), (rows, y))["gradient_penalty"]
        for objective, rows in ((wide, tf.cast(x, tf.float64) + 1.7e9), (narrow, x))
    ]
    assert found[0].dtype == tf.float32
    np.testing.assert_allclose(*found, rtol=1e-4)
