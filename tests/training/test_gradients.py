"""Statistics of gradients: correct values, at the correct steps, without an effect on the weights."""

import json
import math
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from pipeline.errors import ConfigError, Interrupted
from pipeline.models.mlp import Mlp
from pipeline.training import gradients
from pipeline.training.optimizer import Optimizer
from pipeline.training.tape import GradientLog, Tape

PLAIN_SGD = Optimizer("SGD", {"learning_rate": 0.1, "momentum": 0.0})


def log(every):
    return GradientLog(every=every, histograms=False)


def lines(folder):
    return [json.loads(line) for line in (folder / "gradients.jsonl").read_text().splitlines()]


def test_recording_gradients_does_not_change_the_weights(training_run, configured, tmp_path):
    case = {"model": Mlp(hidden=[16], dropout=0.2), "steps_per_execution": 5}
    plain = training_run(tmp_path / "plain", configured(Tape, **case))
    recorded = training_run(tmp_path / "recorded", configured(Tape, **case, gradients=log(every=4)))
    assert (recorded.digest, recorded.history) == (plain.digest, plain.history)


def test_every_nth_step_of_the_run_is_recorded_from_the_first_on(training_run, configured, tmp_path):
    done = training_run(tmp_path / "run", configured(Tape, steps_per_execution=5, gradients=log(every=4)))
    steps = [line["step"] for line in lines(tmp_path / "run")]
    assert steps == list(range(1, 3 * done.per_epoch + 1, 4))


@pytest.mark.slow
def test_resumed_run_has_the_records_of_an_uninterrupted_one(training_run, configured, tmp_path):
    config = configured(Tape, gradients=log(every=5))
    training_run(tmp_path / "whole", config)
    with pytest.raises(Interrupted):
        training_run(tmp_path / "stopped", config, stop_at=(2, 7))
    with (tmp_path / "stopped" / "gradients.jsonl").open(
        "a"
    ) as file:  # lines of a killed process, the last one cut short
        file.write('{"step": 30, "epoch": 3, "updates": {}}\n{"step": 3')
    training_run(tmp_path / "stopped", config)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "whole")


def test_update_of_plain_sgd_is_the_gradient_times_the_learning_rate(training_run, configured, tmp_path):
    config = configured(Tape, optimizer=PLAIN_SGD, model=Mlp(hidden=[8]), epochs=1, gradients=log(every=1))
    training_run(tmp_path / "run", config)
    first = lines(tmp_path / "run")[0]["updates"]["supervised"]
    assert first["norm"] == pytest.approx(math.hypot(*(norm for norm, _ in first["layers"].values())), rel=1e-5)
    norm, ratio = first["layers"]["mlp/dense"]
    weights_norm = np.sqrt(64 * 8 * 2 / (64 + 8))  # of Glorot's initial weights; the biases are 0
    assert 0.1 * norm / ratio == pytest.approx(weights_norm, rel=0.1)


def test_losses_with_opposed_gradients_have_a_cosine_below_zero():
    weight = tf.Variable([1.0, 1.0])
    with tf.GradientTape(persistent=True) as tape:
        losses = {"up": weight[0] + weight[1], "down": -weight[0] - weight[1], "across": weight[0] - weight[1]}
    found = gradients.conflicts([weight], tape, losses)
    expected = {"up|down": -1.0, "up|across": 0.0, "down|across": 0.0}
    assert {pair: float(cosine) for pair, cosine in found.items()} == pytest.approx(expected, abs=1e-6)


def test_first_step_that_is_not_finite_is_named_with_its_variable(training_run, configured, tmp_path):
    wild = replace(PLAIN_SGD, config={"learning_rate": 1e30, "momentum": 0.0})
    config = configured(Tape, optimizer=wild, steps_per_execution=5)
    with pytest.raises(ConfigError, match=r"epoch 1, step \d: expected finite .* (loss|gradient of)") as refused:
        training_run(tmp_path / "run", config)
    assert "learning_rate" in str(refused.value)


@pytest.mark.slow
def test_report_shows_gradients_and_tensorboard_their_histograms(tmp_path):
    overrides = [
        "training=tape",
        "training.gradients.every=10",
        "training.epochs=3",
        "run.name=seen",
        "registry.url=none",
    ]
    subprocess.run([sys.executable, "-m", "pipeline", "train", f"run.root={tmp_path}", *overrides], check=True)
    assert 'id="gradients"' in (tmp_path / "seen" / "report.html").read_text()
    drawn = {path.name for path in (tmp_path / "seen" / "plots").iterdir()}
    assert {"supervised-norms.png", "supervised-updates.png"} <= drawn
    assert list((tmp_path / "seen" / "tensorboard" / "gradients").glob("*tfevents*"))
