"""The multi-task objective: what it learns, its losses and weights, resume and refusals."""

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.data import input_pipeline, splits
from pipeline.data.sources.digits import Digits
from pipeline.errors import ConfigError
from pipeline.models.layers import Layers
from pipeline.models.model import build_model
from pipeline.models.tabular import Tabular
from pipeline.objectives.multi_task import MultiTask, MultiTaskOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.training.optimizer import Optimizer
from pipeline.training.tape import GradientLog, Tape

LABELS = ["digit", "parity", "ink"]
ALL = Digits(labels=LABELS)
CASE = {"data": ALL, "model": Tabular(hidden=[16], dropout=0.1)}
LEARNED = MultiTaskOptions(weighting="learned")


def task_weights(row):
    return {label: row[f"{label}_weight"] for label in LABELS}


@pytest.fixture
def objective_of():
    """Return a function from MultiTaskOptions to a compiled objective on digits, and a batch."""

    def make(objective, labels=LABELS, model=None, training=None):
        data = splits.load(Digits(labels=labels))
        model = model or Tabular(hidden=[8])
        built = build_model(model, data.spec, lambda name: input_pipeline.feature_batches(data.train, data.spec, name))
        made = MultiTask(objective, data.spec, built)
        made.compile(Optimizer("SGD", {"learning_rate": 0.1}).build(1), training or Tape())
        return made, next(iter(input_pipeline.ordered_batches(data.train, data.spec, 50)))

    return make


# ---- what is learned -------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["fixed", "learned"])
def test_every_task_is_learned_better_than_chance(train, configured, weighting):
    case = {**CASE, "epochs": 15, "batch_size": 32}
    last = train(configured(Tape, objective=MultiTaskOptions(weighting=weighting), **case)).history[-1]
    held_out = splits.load(ALL).validation.labels
    assert last["val_digit_accuracy"] > 0.8  # the most frequent class has about 0.1
    assert last["val_parity_accuracy"] > 0.8  # about 0.5
    spread = np.abs(held_out["ink"] - np.median(held_out["ink"])).mean()  # no constant guess does better
    assert last["val_ink_mean_absolute_error"] < 0.7 * spread


@pytest.mark.slow
def test_task_of_weight_zero_is_not_learned(train, configured):
    weights = {"parity": 0.0, "ink": 0.0}
    last = train(configured(Tape, objective=MultiTaskOptions(weights=weights), **{**CASE, "epochs": 8})).history[-1]
    assert last["val_parity_accuracy"] < 0.75 < last["val_digit_accuracy"]


@pytest.mark.slow
def test_learned_weights_approach_the_inverse_of_each_loss(train, configured):
    """exp(-s) L + s / 2 is smallest if the weight exp(-s) is 1 / (2 L). For real labels the same holds for exp(-s) / 2.

    The weight lags behind while the loss still decreases, so the model is too small to decrease it for long.
    """
    optimizer = Optimizer("Adam", {"learning_rate": 0.02, "epsilon": 1e-7})
    case = {**CASE, "model": Tabular(hidden=[2]), "epochs": 40, "optimizer": optimizer}
    last = train(configured(Tape, objective=LEARNED, **case)).history[-10:]
    for label in LABELS:
        ratios = [task_weights(epoch)[label] * 2 * epoch[f"{label}_loss"] for epoch in last]
        assert 0.9 < np.median(ratios) < 1.1, label


# ---- losses and weights ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_weights_of_one_give_the_same_bits_as_supervised(train, configured):
    plain = train(configured(Tape, objective=SupervisedOptions(), **CASE))
    for weights in ({}, dict.fromkeys(LABELS, 1.0)):
        multi = train(configured(Tape, objective=MultiTaskOptions(weights=weights), **CASE))
        assert multi.digest == plain.digest
        assert multi.history[-1]["loss"] == pytest.approx(plain.history[-1]["loss"], rel=1e-6)
        assert {k: v for k, v in multi.history[-1].items() if k != "loss"} == {
            k: v for k, v in plain.history[-1].items() if k != "loss"
        }


def test_loss_of_each_task_is_its_loss_times_its_weight(objective_of):
    weights = {"digit": 0.5, "ink": 3.0}
    plain, batch = objective_of(MultiTaskOptions())
    keras.utils.set_random_seed(0)
    weighted, _ = objective_of(MultiTaskOptions(weights=weights))
    weighted.model.set_weights(plain.model.get_weights())
    ones, others = plain.losses(batch)[0], weighted.losses(batch)[0]
    assert list(ones) == list(others) == LABELS
    for label in LABELS:
        np.testing.assert_allclose(others[label], weights.get(label, 1.0) * ones[label], rtol=1e-6)


def test_learned_losses_equal_the_formula_of_kendall_gal_and_cipolla(objective_of):
    plain, batch = objective_of(MultiTaskOptions())
    learned, _ = objective_of(LEARNED)
    learned.model.set_weights(plain.model.get_weights())
    for s, variable in zip((0.3, -0.5, 1.2), learned.log_variances.values(), strict=True):
        variable.assign(s)
    unweighted, losses = plain.losses(batch)[0], learned.losses(batch)[0]
    for label, scale, s in zip(LABELS, (1, 1, 0.5), (0.3, -0.5, 1.2), strict=True):
        np.testing.assert_allclose(losses[label], scale * np.exp(-s) * unweighted[label] + s / 2, rtol=1e-5)


@pytest.mark.parametrize("objective", [MultiTaskOptions(weights={"digit": 0.5, "ink": 2.0}), LEARNED], ids=str)
def test_validation_loss_is_weighted_like_the_training_loss(objective_of, objective):
    made, batch = objective_of(objective)
    for value, variable in zip((0.3, -0.5, 1.2), made.log_variances.values(), strict=False):
        variable.assign(value)
    losses, outputs = made.losses(batch)  # the model has no dropout
    made.measure(batch, losses, outputs)
    scores = made.evaluate(tf.data.Dataset.from_tensors(batch), None)
    assert scores["loss"] == pytest.approx(float(sum(losses.values())), rel=1e-5)
    assert not any(name.endswith("_weight") for name in scores)


def test_losses_and_metrics_can_be_given_per_label(objective_of):
    options = {
        "loss": {"ink": "huber"},
        "metrics": {"ink": ["root_mean_squared_error", "mean_squared_error"], "digit": []},
    }
    plain, (x, y) = objective_of(MultiTaskOptions())
    made, batch = objective_of(MultiTaskOptions(**options))
    made.model.set_weights(plain.model.get_weights())
    unweighted, losses = plain.losses(batch)[0], made.losses(batch)[0]
    outputs = made.model(x)["ink"][:, 0]
    np.testing.assert_allclose(losses["ink"], keras.losses.Huber()(y["ink"], outputs), rtol=1e-5)
    assert all(float(losses[label]) == float(unweighted[label]) for label in ("digit", "parity"))
    scores = made.evaluate(tf.data.Dataset.from_tensors(batch), None)
    assert scores["ink_root_mean_squared_error"] == pytest.approx(
        float(scores["ink_mean_squared_error"]) ** 0.5, rel=1e-5
    )
    assert {name for name in scores if name.endswith("accuracy")} == {"parity_accuracy"}
    assert set(made.log_names()) == set(scores)


def test_losses_of_layers_count_once(objective_of):
    made, batch = objective_of(MultiTaskOptions())
    made.model.get_layer("dense").kernel.regularizer = keras.regularizers.L2(0.01)
    expected = 0.01 * np.sum(np.square(made.model.get_layer("dense").kernel.numpy()))
    np.testing.assert_allclose(made.losses(batch)[0]["regularization"], expected, rtol=1e-5)


# ---- resume and optimizer --------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_resume_with_learned_weights_gives_the_same_bits(train, configured):
    config = configured(Tape, objective=LEARNED, **CASE)
    whole = train(config)
    for again in (train(config, (2, 7)), train(config, (2, "validation"))):
        assert (
            again.digest == whole.digest and again.history == whole.history and again.metrics_file == whole.metrics_file
        )
    assert task_weights(whole.history[0]) != task_weights(whole.history[-1])


def test_weight_decay_of_the_optimizer_leaves_out_the_log_variances(objective_of):
    made, _ = objective_of(LEARNED)
    adamw = keras.optimizers.AdamW(weight_decay=0.1)
    made.compile(adamw, Tape())
    assert not any(adamw._use_weight_decay(variable) for variable in made.log_variances.values())
    assert all(adamw._use_weight_decay(variable) for variable in made.model.trainable_variables)


# ---- refusals --------------------------------------------------------------------------------------------------------


def test_weight_below_zero_is_refused():
    for weight in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match=r"objective\.weights\.ink"):
            MultiTaskOptions(weights={"ink": weight})


def test_weights_with_learned_weighting_are_refused():
    with pytest.raises(ConfigError, match=r"learned.*digit"):
        MultiTaskOptions(weighting="learned", weights={"digit": 1.0})


@pytest.mark.parametrize("options", [{"loss": {"ink": 3}}, {"metrics": {"ink": "mse"}}, {"metrics": "mse"}], ids=str)
def test_loss_or_metrics_of_another_form_are_refused_with_the_key(options):
    ((key, value),) = options.items()
    with pytest.raises(ConfigError, match=rf"objective\.{key}{'.ink' if isinstance(value, dict) else ''}: expected"):
        MultiTaskOptions(**options)


REFUSED = {
    "a loss of an unknown label": (
        {"objective": MultiTaskOptions(loss={"inc": "mse"})},
        r"loss\.inc: .*mean ink",
    ),
    "metrics of an unknown label": (
        {"objective": MultiTaskOptions(metrics={"inc": ["mse"]})},
        r"metrics\.inc: .*mean ink",
    ),
    "a weight of an unknown label": (
        {"objective": MultiTaskOptions(weights={"inc": 1.0})},
        "inc.*Did you mean ink",
    ),
    "no weight above zero": ({"objective": MultiTaskOptions(weights=dict.fromkeys(LABELS, 0.0))}, "above 0"),
    "one label": ({"objective": MultiTaskOptions(), "labels": ["digit"]}, "digit alone"),
    "no head": (
        {
            "objective": MultiTaskOptions(),
            "model": Layers(layers=["Flatten", {"class_name": "Dense", "config": {"units": 3}}]),
        },
        "head.*digit, parity, ink",
    ),
}


@pytest.mark.parametrize("case, message", REFUSED.values(), ids=REFUSED)
def test_unknown_label_weight_or_head_is_refused_by_name(objective_of, case, message):
    with pytest.raises(ConfigError, match=message):
        objective_of(**case)


def test_loss_that_does_not_fit_its_task_is_refused_with_the_task(objective_of):
    made, (x, y) = objective_of(MultiTaskOptions())
    with pytest.raises(ConfigError, match=r"'digit'.*\(50, 10\).*\(50, 7\)"):
        made.losses((x, y | {"digit": tf.zeros((50, 7))}))


# ---- the labels of digits --------------------------------------------------------------------------------------------


def test_parity_and_ink_of_digits_equal_those_of_the_images():
    table = splits.load(Digits(labels=["ink", "digit", "parity"])).train
    np.testing.assert_array_equal(table.labels["parity"], table.labels["digit"] % 2)
    np.testing.assert_allclose(table.labels["ink"], table.features["image"].mean(axis=(1, 2, 3)), rtol=1e-6)


def test_further_labels_leave_every_row_in_its_split(digits):
    more = splits.load(ALL)
    for name, rows in digits.splits.items():
        np.testing.assert_array_equal(more.splits[name].labels["digit"], rows.labels["digit"])


@pytest.mark.parametrize("labels", [[], ["digit", "digit"], ["digits"]])
def test_labels_that_are_empty_repeated_or_unknown_are_refused(labels):
    with pytest.raises(ConfigError, match=r"data\.labels"):
        Digits(labels=labels)


@pytest.mark.slow
def test_gradient_log_has_the_conflicts_between_tasks(training_run, configured, tmp_path):
    config = configured(Tape, objective=LEARNED, **CASE)
    training_run(tmp_path / "run", replace(config, training=replace(config.training, gradients=GradientLog(every=5))))
    first = json.loads((tmp_path / "run" / "gradients.jsonl").read_text().splitlines()[0])
    conflicts = first["updates"]["supervised"]["conflicts"]
    assert set(conflicts) == {"digit|parity", "digit|ink", "parity|ink"}
    assert all(-1 <= cosine <= 1 for cosine in conflicts.values())
