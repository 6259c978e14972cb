"""The MAML objective: its gradient, its measures, what it learns, resume and refusals."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.cli.main import main
from pipeline.config import Config
from pipeline.data import splits
from pipeline.data.sources.digit_tasks import DigitTasks
from pipeline.data.sources.sinusoids import Sinusoids, draw_tasks
from pipeline.errors import ConfigError, DataError
from pipeline.models.mlp import Mlp
from pipeline.objectives.maml import Maml, MamlOptions
from pipeline.objectives.supervised import SupervisedOptions
from pipeline.spec import class_label, real_label
from pipeline.training.model_inputs import model_spec
from pipeline.training.tape import Tape

SHOTS, POINTS = 10, 20


def objective(layers, inner_rate, inner_steps, first_order=False, label=real_label(), shots=SHOTS):  # noqa: B008
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((1,)), *layers])
    return Maml(MamlOptions(shots, inner_rate, inner_steps, first_order), label, model)


def gradients_of(maml, batch):
    with tf.GradientTape() as tape:
        loss = maml.losses(batch)[0]["loss"]
    return tape.gradient(loss, [variable.value for variable in maml.model.trainable_variables])


@pytest.mark.parametrize("first_order", [False, True])
def test_gradient_of_a_linear_model_equals_the_formula(first_order):
    maml = objective([keras.layers.Dense(1, use_bias=False)], 0.01, 1, first_order)
    maml.model.set_weights([np.array([[0.7]], np.float32)])
    x, y = draw_tasks(tasks=5, points=POINTS, seed=0)
    s, q = x[:, :SHOTS, 0], x[:, SHOTS:, 0]
    t, u = y[:, :SHOTS], y[:, SHOTS:]
    adapted = 0.7 - 0.01 * 2 * np.mean(s * (0.7 * s - t), axis=1)
    through = 1 if first_order else 1 - 0.01 * 2 * np.mean(s**2, axis=1)  # d adapted / d weight
    by_hand = np.mean(through * 2 * np.mean(q * (adapted[:, None] * q - u), axis=1))
    np.testing.assert_allclose(gradients_of(maml, (x, tf.constant(y)))[0].numpy().item(), by_hand, rtol=1e-4)


def test_loss_and_accuracy_of_classes_equal_the_formulas_after_one_step():
    """One step on two support points of a linear model with a softmax."""
    maml = objective([keras.layers.Dense(2, "softmax", use_bias=False)], 0.5, 1, label=class_label("ab"), shots=2)
    weights = np.array([[0.3, -0.2]])
    maml.model.set_weights([weights.astype(np.float32)])
    x, y = np.array([1.0, -2.0, 0.5, -1.0]), np.array([0, 1, 1, 1])
    measures = maml.after_steps((tf.constant(x[None, :, None], tf.float32), tf.constant(y[None])), 1)

    def probabilities(weights, points):
        scores = np.exp(points[:, None] * weights)
        return scores / scores.sum(axis=1, keepdims=True)

    gradient = (x[:2, None] * (probabilities(weights, x[:2]) - np.eye(2)[y[:2]])).mean(axis=0)
    for step, adapted in enumerate((weights, weights - 0.5 * gradient)):
        guesses = probabilities(adapted, x[2:])
        expected = -np.log(guesses[[0, 1], y[2:]]).mean(), (guesses.argmax(axis=1) == y[2:]).mean()
        np.testing.assert_allclose((measures["loss"][0, step], measures["accuracy"][0, step]), expected, rtol=1e-5)


def test_task_without_queries_is_refused_with_its_shape():
    maml = objective([keras.layers.Dense(1)], 0.01, 1)
    with pytest.raises(DataError, match=r"objective maml, label.*\(5, 10\)"):
        maml.after_steps(tuple(map(tf.constant, draw_tasks(tasks=5, points=SHOTS, seed=0))), 1)


@pytest.mark.slow
def test_weights_trained_by_maml_adapt_better_than_weights_trained_on_all_tasks():
    test = tuple(map(tf.constant, draw_tasks(tasks=600, points=POINTS, seed=10_000)))

    def after_one_step(trained_after):
        layers = [keras.layers.Dense(40, "relu"), keras.layers.Dense(40, "relu"), keras.layers.Dense(1)]
        maml = objective(layers, 0.01, 1)
        maml.compile(keras.optimizers.Adam(0.001), Tape())

        @tf.function
        def step(x, y):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(maml.after_steps((x, y), 1)["loss"], axis=0)[trained_after]
            variables = maml.model.trainable_variables
            maml.model.optimizer.apply(tape.gradient(loss, [v.value for v in variables]), variables)

        for x, y in zip(
            *(np.split(values, 2000) for values in draw_tasks(tasks=50_000, points=POINTS, seed=0)), strict=True
        ):
            step(x, y)
        return float(tf.reduce_mean(maml.after_steps(test, 1)["loss"], axis=0)[1])

    assert after_one_step(1) < 0.75 * after_one_step(0)


WAVES = Sinusoids(tasks=500, held_out=200, points=15), Mlp(hidden=[8], preprocessing=[])
DIGITS = DigitTasks(tasks=500, held_out=200), Mlp(hidden=[8])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "stop_at"),
    [(WAVES, (2, 3)), (DIGITS, (2, "validation"))],
    ids=["waves, inside an epoch", "classes, inside a validation"],
)
def test_resume_of_maml_gives_the_same_bits(train, configured, task, stop_at):
    data, model = task
    config = configured(Tape, data=data, model=model, objective=MamlOptions(support=6, inner_steps=1), epochs=2)
    alone, stopped = train(config), train(config, stop_at=stop_at)
    assert (stopped.digest, stopped.history) == (alone.digest, alone.history)


@pytest.mark.parametrize(
    ("objective", "message"),
    [
        (MamlOptions(support=2), "objective.support: .* 3 points.*'number'"),
        (SupervisedOptions(), r"objective=supervised: .*\(18,\)"),
    ],
    ids=["a class without a support point", "tasks for another objective"],
)
def test_tasks_that_do_not_fit_the_objective_are_refused(objective, message):
    spec = splits.load(DigitTasks(tasks=10, held_out=10)).spec
    with pytest.raises(ConfigError, match=message):
        model_spec(Config(data=DigitTasks(), model=Mlp(), objective=objective), spec)


BAD = {
    "rows that are no tasks": (["data=digits"], ["objective=maml", "image", "(8, 8, 1)"]),
    "a class without a support point": (
        ["experiment=digits_few_shot", "objective.support=2"],
        ["objective.support", "3 points", "number"],
    ),
    "no point left as a query": (["objective.support=20"], ["objective.support", "20 points"]),
    "Keras's fit": (["training=fit"], ["training=tape", "maml"]),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_wrong_combination_is_refused_with_the_names(case, tmp_path, capsys):
    overrides, expected = BAD[case]
    assert main(["check", "experiment=sinusoids_maml", f"run.root={tmp_path}", *overrides]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in expected), message


@pytest.mark.release
@pytest.mark.parametrize(("shots", "after_1", "after_10"), [(10, 0.5, 0.2), (5, 0.8, 0.4)])
def test_sinusoids_preset_reaches_the_known_errors(tmp_path, shots, after_1, after_10):
    overrides = [f"objective.support={shots}", f"data.points={shots + 10}", f"run.root={tmp_path}", "run.name=waves"]
    command = [sys.executable, "-m", "pipeline", "train", "experiment=sinusoids_maml", "registry.url=none", *overrides]
    subprocess.run(command, check=True)
    scores = json.loads((tmp_path / "waves" / "result.json").read_text())["metrics"]["tasks"]
    assert scores["mse_after_1"]["value"] <= after_1 and scores["mse_after_10"]["value"] <= after_10


@pytest.mark.release
def test_few_shot_preset_learns_new_tasks_faster_than_untrained_weights(tmp_path):
    overrides = ["experiment=digits_few_shot", f"run.root={tmp_path}", "run.name=few"]
    command = [sys.executable, "-m", "pipeline", "train", *overrides, "registry.url=none"]
    subprocess.run(command, check=True)
    scores = json.loads((tmp_path / "few" / "result.json").read_text())["metrics"]["tasks"]
    assert scores["accuracy_by_chance"]["value"] == pytest.approx(1 / 3)
    assert scores["accuracy_after_0"]["high"] < 0.4  # chance, before any step
    # after one step on digits that were not in training; then after any steps on new images of trained digits
    assert scores["accuracy_after_1"]["low"] > scores["untrained_accuracy_after_1"]["high"]
    last = json.loads((tmp_path / "few" / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["val_accuracy_after_1"] > 0.7 and last["val_accuracy_after_5"] > 0.8
    again = subprocess.run(
        [sys.executable, "-m", "pipeline", "evaluate", f"run.root={tmp_path}", "run.name=few"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    printed = {line.split()[0]: line.split()[1] for line in again.stdout.splitlines() if "accuracy" in line}
    assert all(f"{scores[name]['value']:.4f}" == value for name, value in printed.items()) and len(printed) == len(
        scores
    )
