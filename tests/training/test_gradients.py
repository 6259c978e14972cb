"""Gradients that are looked at: true numbers, on the steps asked for, and without a trace in the weights."""

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


def looks(every):
    return GradientLog(every=every, histograms=False)


def lines(folder):
    return [json.loads(line) for line in (folder / "gradients.jsonl").read_text().splitlines()]


def test_looking_at_gradients_leaves_no_trace_in_the_weights(training_run, configured, tmp_path):
    case = {"model": Mlp(hidden=[16], dropout=0.2), "steps_per_execution": 5}
    unwatched = training_run(tmp_path / "unwatched", configured(Tape, **case))
    watched = training_run(tmp_path / "watched", configured(Tape, **case, gradients=looks(every=4)))
    assert (watched.digest, watched.history) == (unwatched.digest, unwatched.history)


def test_every_nth_step_of_the_run_is_looked_at_the_first_among_them(training_run, configured, tmp_path):
    done = training_run(tmp_path / "run", configured(Tape, steps_per_execution=5, gradients=looks(every=4)))
    steps = [line["step"] for line in lines(tmp_path / "run")]
    assert steps == list(range(1, 3 * done.per_epoch + 1, 4))


@pytest.mark.slow
def test_a_run_that_goes_on_has_the_lines_of_one_left_alone(training_run, configured, tmp_path):
    config = configured(Tape, gradients=looks(every=5))
    training_run(tmp_path / "alone", config)
    with pytest.raises(Interrupted):
        training_run(tmp_path / "stopped", config, stop_at=(2, 7))
    with (tmp_path / "stopped" / "gradients.jsonl").open("a") as file:  # what a killed process wrote, and half a line
        file.write('{"step": 30, "epoch": 3, "updates": {}}\n{"step": 3')
    training_run(tmp_path / "stopped", config)
    assert lines(tmp_path / "stopped") == lines(tmp_path / "alone")


def test_under_plain_descent_a_move_is_the_gradient_times_the_learning_rate(training_run, configured, tmp_path):
    config = configured(Tape, optimizer=PLAIN_SGD, model=Mlp(hidden=[8]), epochs=1, gradients=looks(every=1))
    training_run(tmp_path / "run", config)
    first = lines(tmp_path / "run")[0]["updates"]["supervised"]
    assert first["norm"] == pytest.approx(math.hypot(*(norm for norm, _ in first["layers"].values())), rel=1e-5)
    norm, ratio = first["layers"]["mlp/dense"]
    of_weights = np.sqrt(64 * 8 * 2 / (64 + 8))  # the spread of Glorot's initial weights, whose biases are 0
    assert 0.1 * norm / ratio == pytest.approx(of_weights, rel=0.1)


def test_losses_that_pull_apart_have_a_cosine_below_zero():
    weight = tf.Variable([1.0, 1.0])
    with tf.GradientTape(persistent=True) as tape:
        losses = {"up": weight[0] + weight[1], "down": -weight[0] - weight[1], "across": weight[0] - weight[1]}
    found = gradients._conflicts(_Update([weight]), tape, losses)
    expected = {"up|down": -1.0, "up|across": 0.0, "down|across": 0.0}
    assert {pair: float(cosine) for pair, cosine in found.items()} == pytest.approx(expected, abs=1e-6)


class _Update:
    def __init__(self, variables):
        self.variables = variables


def test_the_first_step_that_is_not_finite_is_named_with_its_variable(training_run, configured, tmp_path):
    wild = replace(PLAIN_SGD, config={"learning_rate": 1e30, "momentum": 0.0})
    config = configured(Tape, optimizer=wild, steps_per_execution=5)
    with pytest.raises(ConfigError, match=r"epoch 1, step \d: expected finite .* (loss|gradient of)") as refused:
        training_run(tmp_path / "run", config)
    assert "learning_rate" in str(refused.value)


@pytest.mark.slow
def test_gradients_are_drawn_in_the_report_and_their_histograms_kept_for_tensorboard(tmp_path):
    words = ["training=tape", "training.gradients.every=10", "training.epochs=3", "run.name=seen", "registry.url=none"]
    subprocess.run([sys.executable, "-m", "pipeline", "train", f"run.root={tmp_path}", *words], check=True)
    assert 'id="gradients"' in (tmp_path / "seen" / "report.html").read_text()
    drawn = {path.name for path in (tmp_path / "seen" / "plots").iterdir()}
    assert {"supervised-norms.png", "supervised-moves.png"} <= drawn
    assert list((tmp_path / "seen" / "tensorboard" / "gradients").glob("*tfevents*"))
