"""The adversarial objective: quality of its images, updates, penalty, validation, resume and refusals."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from pipeline.cli.main import main
from pipeline.config import Config
from pipeline.data.options import SplitOptions
from pipeline.data.sources.digits import Digits
from pipeline.keras_internals import learning_rate_schedule
from pipeline.models.gan import Gan
from pipeline.models.model import build_model
from pipeline.objectives.adversarial import AdversarialOptions, drawn_rows
from pipeline.training.optimizer import Optimizer
from pipeline.training.tape import Tape

SMALL = Gan(latent=4, generator=[16], critic=[16])
ADAM = {"class_name": "Adam", "config": {"learning_rate": 0.001, "epsilon": 1e-7}}
CASE = {"model": SMALL, "epochs": 2}
WITHOUT_VALIDATION = Digits(split=SplitOptions(validation=0))  # so that no classifier is trained


def pipeline(*arguments, **options):
    return subprocess.run([sys.executable, "-m", "pipeline", *arguments], capture_output=True, text=True, **options)


@pytest.mark.slow
def test_digits_gan_reduces_the_frechet_distance_thirty_times_after_the_first_epoch(tmp_path):
    overrides = ["experiment=digits_gan", f"run.root={tmp_path}", "run.name=gan", "registry.url=none"]
    done = pipeline("train", *overrides)
    assert done.returncode == 0, done.stderr
    history = [json.loads(line) for line in (tmp_path / "gan" / "metrics.jsonl").read_text().splitlines()]
    assert history[0]["val_frechet_distance"] > 30 * history[-1]["val_frechet_distance"]
    assert history[-1]["val_accuracy"] > 0.9 > 0.3 > history[0]["val_accuracy"]
    scores = json.loads((tmp_path / "gan" / "result.json").read_text())["metrics"]["generated"]
    assert scores["accuracy"]["value"] > 0.9 and scores["frechet_distance"]["value"] < 15
    assert (tmp_path / "gan" / "samples" / "epoch-00200.png").exists()
    assert "generated" in (tmp_path / "gan" / "report.html").read_text()
    again = pipeline("evaluate", f"run.root={tmp_path}", "run.name=gan")
    assert again.returncode == 0, again.stderr
    assert f"{scores['accuracy']['value']:.4f}" in again.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "data", "stop_at"),
    [("non_saturating", WITHOUT_VALIDATION, (2, 7)), ("wgan_gp", Digits(), (2, "validation"))],
    ids=["non_saturating, inside an epoch", "wgan_gp, inside a validation"],
)
def test_resume_of_a_gan_gives_the_same_bits(train, configured, loss, data, stop_at):
    objective = AdversarialOptions(loss=loss, critic_steps=2, critic_optimizer=ADAM)
    config = configured(Tape, data=data, objective=objective, **CASE)
    alone, stopped = train(config), train(config, stop_at=stop_at)
    assert (stopped.digest, stopped.history) == (alone.digest, alone.history)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("loss", "precision"), [("non_saturating", "mixed_bfloat16"), ("wgan_gp", "mixed_float16")], ids=str
)
def test_resume_of_a_gan_in_16_bits_gives_the_same_bits(train, configured, loss, precision):
    objective = AdversarialOptions(loss=loss, critic_steps=2, critic_optimizer=ADAM)
    config = configured(Tape, data=WITHOUT_VALIDATION, objective=objective, precision=precision, **CASE)
    alone, stopped = train(config), train(config, stop_at=(2, 7))
    assert (stopped.digest, stopped.history) == (alone.digest, alone.history)
    assert all(np.isfinite(value) for value in alone.history[-1].values())


def test_critic_is_updated_critic_steps_times_with_its_own_optimizer(digits):
    config = Config(data=Digits(), model=SMALL, objective=AdversarialOptions(critic_steps=3, critic_optimizer=ADAM),
                      optimizer=Optimizer(**ADAM), training=Tape())  # fmt: skip
    model = build_model(config.model, digits.spec, lambda name: images_of(digits))
    objective = config.objective.build(config, digits, model, total_steps=10)
    objective.compile(config.optimizer.build(10), config.training)
    moves = [(update.name, update.optimizer) for update in objective.updates()]
    assert [name for name, _ in moves] == ["critic_1", "critic_2", "critic_3", "generator"]
    assert len({id(optimizer) for _, optimizer in moves[:3]}) == 1 and moves[0][1] is not moves[3][1]
    held = {variable.path for variable in objective.variables().values()}
    assert all(variable.path in held for _, optimizer in moves for variable in optimizer.variables)


def test_schedule_of_the_critic_lasts_the_whole_run(digits):
    cosine = {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.002}}
    spelled = {"class_name": "Adam", "config": {"learning_rate": cosine}}
    config = Config(data=Digits(), model=SMALL, objective=AdversarialOptions(critic_steps=5, critic_optimizer=spelled),
                      optimizer=Optimizer(**ADAM), training=Tape())  # fmt: skip
    model = build_model(config.model, digits.spec, lambda name: images_of(digits))
    objective = config.objective.build(config, digits, model, total_steps=10)
    schedule = learning_rate_schedule(objective.critic_optimizer)
    assert float(schedule(25)) == pytest.approx(0.001) and float(schedule(50)) == pytest.approx(0, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("monitor, mode", [("val_frechet_distance", "min"), ("val_accuracy", "max")])
def test_early_stopping_can_monitor_the_validation_of_a_gan(tmp_path, monitor, mode):
    overrides = ["experiment=digits_gan", f"run.root={tmp_path}", "registry.url=none", "training.epochs=2"]
    early = ["training.early_stopping.patience=1", f"training.early_stopping.monitor={monitor}"]
    assert (
        main(["train", *overrides, *early, f"training.early_stopping.mode={mode}", "training.tensorboard=false"]) == 0
    )


@pytest.mark.slow
def test_monitor_that_is_not_logged_is_refused_with_the_logged_names(tmp_path, capsys):
    assert main(["check", "experiment=digits_gan", "training.early_stopping.patience=1"]) == 2
    assert "monitor-unknown" in (message := capsys.readouterr().err) and "val_frechet_distance" in message


def test_drawn_rows_come_from_the_whole_split(digits):
    order = np.argsort(digits.train.labels["digit"], kind="stable")
    images = drawn_rows(Digits(), digits.spec, digits.train.select(order), 200)
    classes = np.bincount([label for _, label in images.as_numpy_iterator()], minlength=10)
    assert classes.sum() == 200 and classes.min() > 5


def images_of(data):
    return tf.data.Dataset.from_tensor_slices(data.train.features["image"]).batch(500)


def test_gradient_penalty_is_the_squared_distance_of_the_gradient_norm_from_one(digits):
    config = Config(data=Digits(), model=SMALL, objective=AdversarialOptions(loss="wgan_gp"),
                      optimizer=Optimizer(**ADAM), training=Tape())  # fmt: skip
    model = build_model(config.model, digits.spec, lambda name: images_of(digits))
    objective = config.objective.build(config, digits, model, total_steps=10)
    # the gradient of a linear critic is the same everywhere
    weights = np.arange(1.0, 65.0, dtype=np.float32).reshape(8, 8, 1) / 100
    model.criticize = lambda images, labels: ops.sum(images * weights, axis=(1, 2, 3))
    real, fake = (keras.random.uniform((5, 8, 8, 1), seed=seed) for seed in (1, 2))
    penalty = float(objective.gradient_penalty(real, fake, np.zeros(5, np.int64)))
    assert penalty == pytest.approx((np.linalg.norm(weights) - 1) ** 2, rel=1e-5)


BAD = {
    "another model": (["objective=adversarial", "training=tape"], ["objective=adversarial", "model=gan", "mlp"]),
    "another objective": (["model=gan"], ["objective=adversarial", "model=gan", "supervised"]),
    "Keras's fit": (["experiment=digits_gan", "training=fit"], ["training=tape", "adversarial"]),
    "no images": (["experiment=digits_gan", "data=japanese_vowels"], ["images"]),
    "an unknown optimizer": (["experiment=digits_gan", "objective.critic_optimizer={class_name: Adm}"],
                             ["objective.critic_optimizer", "Adam"]),
    "an unknown loss": (["experiment=digits_gan", "objective.loss=hinge"], ["objective.loss", "wgan_gp"]),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("case", BAD)
def test_wrong_combination_is_refused_with_the_names(case, tmp_path, capsys):
    overrides, expected = BAD[case]
    assert main(["check", f"run.root={tmp_path}", *overrides]) == 2
    message = capsys.readouterr().err
    assert all(word in message for word in expected), message


def test_saved_gan_generates_the_same_images(digits, tmp_path):
    model = build_model(SMALL, digits.spec, lambda name: images_of(digits))
    inputs = {"latent": keras.random.normal((3, 4), seed=1), "label": np.array([0, 5, 9])}
    model.save(tmp_path / "model.keras")
    np.testing.assert_array_equal(keras.saving.load_model(tmp_path / "model.keras")(inputs), model(inputs))


def test_samples_of_a_gan_are_the_same_in_every_call(digits):
    model = build_model(SMALL, digits.spec, lambda name: images_of(digits))
    np.testing.assert_array_equal(model.samples(2), model.samples(2))
    assert model.samples(2).shape == (2, 10, 8, 8, 1)
